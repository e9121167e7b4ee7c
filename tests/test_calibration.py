"""`harness mos-fit`: from a table to the calibration that a challenge names."""

from pathlib import Path

import pytest

from harness.calibration import calibrate, read_pairs
from harness.challenge import FOLDER, MosPair, read_calibration, read_challenge
from harness.errors import ChallengeError, DataError, UsageError
from harness.metrics.mos_proxy import fit_mos

TABLE = "team,NIQE,MOS\nBOE-SBG,6.00,2.6283\nSRCNN,6.55,2.296\nDPED,6.82,2.4111\n"


def write_table(folder: Path, content: str = TABLE) -> Path:
    path = folder / "pairs.csv"
    path.write_text(content)
    return path


def write_challenge(folder: Path, mos: str) -> Path:
    """The shipped challenge with another [mos]."""
    shipped = (FOLDER / "pirm2018b.toml").read_text()
    before, _, rest = shipped.partition("[mos]")
    path = folder / "challenge.toml"
    path.write_text(f"{before}[mos]\n{mos}\n[phases.validation]\n{rest.partition('[phases.validation]')[2]}")
    return path


def test_a_table_becomes_a_calibration_that_a_challenge_names(tmp_path: Path) -> None:
    lines = calibrate(write_table(tmp_path), tmp_path / "mos.toml", image_set='photos of "ours", 2026')
    assert lines[0] == "MOS = 4.4774 - 0.3147 x NIQE"
    assert lines[-1] == 'It holds for NIQE on this image set only: photos of "ours", 2026.'
    assert any("Leave-one-out error 0.3801" in line for line in lines)
    challenge = read_challenge(write_challenge(tmp_path, 'calibration = "mos.toml"'))
    assert challenge.mos == read_calibration(tmp_path / "mos.toml")
    assert challenge.mos.image_set == 'photos of "ours", 2026'
    assert challenge.mos.pairs[1] == MosPair("SRCNN", 6.55, 2.296)
    shipped = read_challenge("pirm2018b").mos
    lines = [fit_mos([(pair.niqe, pair.mos) for pair in mos.pairs]) for mos in (challenge.mos, shipped)]
    assert lines[0] == lines[1]


def test_rows_without_names_are_numbered(tmp_path: Path) -> None:
    pairs = read_pairs(write_table(tmp_path, "mos,niqe\n3,4\n2,5\n1,6\n"))
    assert pairs[0] == MosPair("row 1", 4.0, 3.0)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("niqe,score\n1,2\n", r"no column 'mos'; it needs niqe and mos, and has: niqe, score"),
        ("niqe,mos\n1,2\n2,x\n3,4\n", r"column 'mos', row 2: 'x' is not a finite number"),
        ("niqe,mos\n1,2\n2,3\n", r"pairs must hold at least three \(NIQE, MOS\), got 2"),
        ("niqe,mos\n1,2\n1,3\n1,4\n", r"pairs must differ in NIQE, got 1\.0 in all of them"),
        ("", r"is empty"),
    ],
)
def test_a_table_without_a_line_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = write_table(tmp_path, content)
    with pytest.raises(DataError, match=sentence) as caught:
        calibrate(path, tmp_path / "mos.toml", image_set="x")
    assert str(caught.value).startswith(str(path))
    assert not (tmp_path / "mos.toml").exists()


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        calibrate(write_table(tmp_path), tmp_path, image_set="x")


@pytest.mark.parametrize(
    ("mos", "sentence"),
    [
        ('calibration = "none.toml"', r"none\.toml: cannot be read: No such file or directory"),
        ('calibration = "bad.toml"', r"bad\.toml: key 'note' is missing at the top level"),
        ('calibration = "bad.toml"\nnote = "x"', r"challenge\.toml: unknown key 'calibration' at \[mos\]"),
    ],
)
def test_a_calibration_that_does_not_hold_is_named(tmp_path: Path, mos: str, sentence: str) -> None:
    (tmp_path / "bad.toml").write_text('image_set = "x"')
    with pytest.raises(ChallengeError, match=sentence):
        read_challenge(write_challenge(tmp_path, mos))
