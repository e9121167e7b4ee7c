"""JSON schemas of the files that people and programs write and read, for editors and other programs.

They say less than the readers check: what several keys must have in common is not in them.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from harness.challenge import Challenge
from harness.errors import UsageError
from harness.records import Record
from harness.scoring import suggest_name
from harness.submission import Manifest

KINDS: dict[str, type[msgspec.Struct]] = {"submission": Manifest, "challenge": Challenge, "record": Record}
DIALECT = "https://json-schema.org/draft/2020-12/schema"
CALIBRATION = {
    "description": "The path of a calibration as `harness mos-fit` writes it.",
    "type": "object",
    "properties": {"calibration": {"type": "string", "minLength": 1}},
    "required": ["calibration"],
    "additionalProperties": False,
}
"""What [mos] of a challenge's file may be in place of the pairs themselves."""


def render_schema(kind: str) -> str:
    """The schema of submission.toml, of a challenge's TOML file or of a record, as JSON text.

    Raises UsageError for another kind.
    """
    if kind not in KINDS:
        raise UsageError(f"no schema of '{kind}'{suggest_name(kind, KINDS)}; there are those of {', '.join(KINDS)}.")
    schema = msgspec.json.schema(KINDS[kind], schema_hook=describe_type)
    definitions = {name: clean_description(definition) for name, definition in schema.pop("$defs").items()}
    if kind == "challenge":
        allow_calibration(definitions["Challenge"])
    whole = {"$schema": DIALECT, **schema, "$defs": definitions}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def describe_type(kind: type) -> dict[str, Any]:
    """The schema of what msgspec does not know: a path is written as text."""
    if kind is Path:
        return {"type": "string", "minLength": 1}
    raise NotImplementedError(f"no schema of {kind}")


def clean_description(definition: dict[str, Any]) -> dict[str, Any]:
    """A definition whose docstring is not indented as in the source."""
    return definition | {"description": inspect.cleandoc(definition.get("description", ""))}


def allow_calibration(challenge: dict[str, Any]) -> None:
    """Let [mos] of a challenge name a calibration's file, as `read_challenge` does."""
    challenge["properties"]["mos"] = {"anyOf": [challenge["properties"]["mos"], CALIBRATION]}
