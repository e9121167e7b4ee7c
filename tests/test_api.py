"""`from harness import leaderboard, load_records`, as a Python program uses them."""

import subprocess
import sys
from pathlib import Path

import pytest
from stored import make_failure, make_record

import harness
from harness import leaderboard, load_records
from harness.archive import write_record
from harness.errors import RecordError, UsageError

ROOT = Path(__file__).parent.parent


def test_records_become_a_frame(tmp_path: Path) -> None:
    records = [make_record("worse", psnr=20.0), make_record("better", psnr=24.0), make_failure("beta", "It crashed.")]
    for record in records:
        write_record(tmp_path / f"{record.submission.name}.json", record)
    loaded = load_records(tmp_path)
    assert loaded == tuple(sorted(records, key=lambda record: record.submission.name))
    frame = leaderboard(loaded)
    assert frame[["rank", "submission"]].to_numpy().tolist() == [[1, "better"], [2, "worse"]]
    assert (frame["A_low"] < frame["A"]).all()
    with pytest.raises(UsageError, match="unknown phase 'tset'"):
        leaderboard(loaded, phase="tset")


def test_nothing_to_show_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"holds no records; `harness run` makes them"):
        load_records(tmp_path)
    with pytest.raises(RecordError, match="no record holds a result"):
        leaderboard([make_failure("beta", "It crashed.")])


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'leaderbord'"):
        harness.leaderbord  # noqa: B018


def test_the_example_runs_on_the_committed_records() -> None:
    done = subprocess.run(
        [sys.executable, "examples/explore.py"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "Ranked, with the 95 % interval of Score A:"
    assert lines[2].split()[0] == "1"
    assert any("has the higher PSNR on" in line for line in lines)
