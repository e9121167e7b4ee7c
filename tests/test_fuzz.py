"""Arbitrary and nearly right text to the parsers of manifests and records: only the harness's own errors come out."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import make_failure, make_record

from harness.archive import read_record, write_record
from harness.errors import RecordError, SubmissionError
from harness.submission import Manifest, decode_manifest, read_submission

EXAMPLES = 300

fuzz = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# --- manifests

KEYS = [*Manifest.__struct_fields__, "Name", "", "a.b", "a\nb"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=30), st.just("NHWC")
)
LINES = st.one_of(
    st.tuples(st.sampled_from(KEYS), st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)),
    st.text(max_size=20),
)
VALID = {"name": "a", "title": "A", "trained_on": "nothing"}
WHOLE = "".join(f"{key} = '{value}'\n" for key, value in VALID.items())


def encode_line(line: str | tuple[str, object]) -> str:
    """A line of TOML, which takes JSON for most values."""
    return line if isinstance(line, str) else f"{json.dumps(line[0])} = {json.dumps(line[1])}"


def check_manifest(text: str) -> None:
    """It is refused in one sentence, or it means what it says."""
    try:
        manifest = decode_manifest(text, Path("a/submission.toml"))
    except SubmissionError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        return
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", manifest.name)
    assert "/" not in manifest.model_file


@fuzz
@given(st.binary(max_size=200))
def test_a_manifest_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "submission.toml").write_bytes(content)
    with pytest.raises(SubmissionError):  # three keys do not come about by chance
        read_submission(tmp_path)


@fuzz
@given(st.text(max_size=200))
def test_a_manifest_of_any_text(text: str) -> None:
    check_manifest(text)
    check_manifest(WHOLE + text)


@fuzz
@given(st.lists(LINES, max_size=5), st.booleans())
def test_a_manifest_of_known_keys_with_any_values(lines: list[str | tuple[str, object]], whole: bool) -> None:
    check_manifest("\n".join([WHOLE if whole else "", *map(encode_line, lines)]))


@fuzz
@given(st.data())
def test_a_manifest_with_a_changed_stretch(data: st.DataObject) -> None:
    text = WHOLE + 'authors = ["B"]\nlayout = "NHWC"\ndraws = 2\nseed = 0\n'
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 20)))
    check_manifest(text[:begin] + data.draw(st.text(max_size=20)) + text[end:])


# --- records

RECORDS = [msgspec.json.encode(record) for record in (make_record(images=["0"]), make_failure("alpha", "It failed."))]
JSON = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner))
)


def check_record(folder: Path, content: bytes) -> None:
    """It is refused in one sentence, or written and read again it is the same."""
    path = folder / "alpha.json"
    path.write_bytes(content)
    try:
        record = read_record(path)
    except RecordError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 1000
        return
    write_record(folder / "again.json", record)
    assert read_record(folder / "again.json") == record


def replace_somewhere(data: st.DataObject, value: object) -> object:
    """The value with one part, at whatever depth, replaced, removed or added."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        key = data.draw(st.sampled_from(sorted(value)))
        action = data.draw(st.sampled_from(["go on", "go on", "go on", "drop", "add"]))
        if action == "drop":
            return {name: part for name, part in value.items() if name != key}
        if action == "add":
            return value | {data.draw(st.text(max_size=5)): data.draw(JSON)}
        return value | {key: replace_somewhere(data, value[key])}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], replace_somewhere(data, value[index]), *value[index + 1 :]]
    return data.draw(JSON)


@fuzz
@given(st.binary(max_size=200))
def test_a_record_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    check_record(tmp_path, content)
    check_record(tmp_path, b'{"format_version": 2, ' + content)


@fuzz
@given(st.data())
def test_a_record_with_a_changed_part(tmp_path: Path, data: st.DataObject) -> None:
    record = json.loads(data.draw(st.sampled_from(RECORDS)))
    for _ in range(data.draw(st.integers(1, 3))):
        record = replace_somewhere(data, record)
    check_record(tmp_path, json.dumps(record).encode())


@fuzz
@given(st.data())
def test_a_record_with_a_changed_stretch(tmp_path: Path, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(RECORDS))
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, min(len(text), begin + 20)))
    check_record(tmp_path, text[:begin] + data.draw(st.binary(max_size=20)) + text[end:])
