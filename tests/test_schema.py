"""The schemas say of files what the readers say of them, as far as a schema can."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.challenge import FOLDER
from harness.errors import HarnessError, UsageError
from harness.schema import KINDS, render_schema
from harness.submission import Manifest, decode_manifest

ROOT = Path(__file__).parent.parent
REMEDY = "run: for k in submission challenge record; do harness schema $k > docs/schema/$k.json; done"


def open_validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads(render_schema(kind))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("kind", KINDS)
def test_the_published_schema_is_that_of_the_code(kind: str) -> None:
    assert (ROOT / "docs" / "schema" / f"{kind}.json").read_text(encoding="utf-8") == render_schema(kind), REMEDY


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_sound(kind: str) -> None:
    assert not open_validator(kind).is_valid({"no_such_key": 1})


def test_every_manifest_here_is_valid() -> None:
    paths = sorted(ROOT.glob("submissions/*/submission.toml"))
    validator = open_validator("submission")
    assert len(paths) > 5
    for path in paths:
        validator.validate(msgspec.toml.decode(path.read_bytes()))


def test_every_record_here_is_valid() -> None:
    paths = sorted(ROOT.glob("reports/records/*/*.json"))
    validator = open_validator("record")
    assert len(paths) > 5
    for path in paths:
        validator.validate(json.loads(path.read_bytes()))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_challenge_of_the_package_is_valid(path: Path) -> None:
    open_validator("challenge").validate(msgspec.toml.decode(path.read_bytes()))


def test_a_challenge_may_name_a_calibration() -> None:
    table = msgspec.toml.decode((FOLDER / "pirm2018b.toml").read_bytes())
    validator = open_validator("challenge")
    assert validator.is_valid(table | {"mos": {"calibration": "mos.toml"}})
    assert not validator.is_valid(table | {"mos": {"calibration": "mos.toml", "note": "and more"}})


WORDS = st.sampled_from(["a", "b.c", "", ".a", "-", "a b", "NHWC", "onnx", "pt2", "x" * 65])
VALUES = WORDS | st.integers(-1, 101) | st.lists(WORDS, max_size=2) | st.booleans()
TABLES = st.dictionaries(st.sampled_from([*Manifest.__struct_fields__, "Name"]), VALUES, max_size=8)
NEEDED = st.fixed_dictionaries({"name": WORDS, "title": WORDS, "trained_on": WORDS})


@given(NEEDED, TABLES)
def test_an_editor_and_the_reader_agree_on_a_manifest(needed: dict[str, Any], others: dict[str, Any]) -> None:
    table = needed | others
    validator = open_validator("submission")
    try:
        decode_manifest(msgspec.toml.encode(table).decode(), Path("submission.toml"))
    except HarnessError:
        several = "seed" in table and table.get("draws", 1) != 1  # a rule on two keys, or on a file's name
        assert not validator.is_valid(table) or several or table.get("model_file") == ""
    else:
        validator.validate(table)


def test_descriptions_are_not_indented_as_in_the_source() -> None:
    described = [text["description"] for text in json.loads(render_schema("record"))["$defs"].values()]
    assert any("\n" in text for text in described)
    assert not any("\n   " in text for text in described)


def test_what_each_key_of_the_manifest_means_is_said() -> None:
    keys = json.loads(render_schema("submission"))["$defs"]["Manifest"]["properties"]
    assert {key for key, value in keys.items() if not value.get("description")} == set()


def test_an_unknown_kind() -> None:
    with pytest.raises(UsageError, match=r"'recrod' \(did you mean 'record'\?\); there are those of submission"):
        render_schema("recrod")
