"""`harness mos-fit`: from a table to the calibration that a challenge names."""

import os
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
    assert lines[4] == 'It holds for NIQE on this image set only: photos of "ours", 2026.'
    assert lines[-2:] == ["[mos]", 'calibration = "mos.toml"']
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
        ("niqe,score\n1,2\n", r"no column 'mos'; it needs niqe and mos, separated by a comma, and has: niqe, score"),
        ("niqe,mos\n1,2\n2,x\n3,4\n", r"column 'mos', row 2: 'x' is not a finite number"),
        ("niqe,mos\n1,2\n2,3\n", r"pairs must hold at least three \(NIQE, MOS\), got 2"),
        ("niqe,mos\n1,2\n1,3\n1,4\n", r"pairs must differ in NIQE, got 1\.0 in all of them"),
        ("", r"is empty"),
        ("niqe;mos\n1;2\n2;3\n4;4\n", r"it needs niqe and mos, separated by a comma, and has: niqe;mos"),
        ("niqe,NIQE,mos\n1,2,3\n2,3,4\n4,5,6\n", r"two columns have one name .*keep one"),
        ("niqe,mos\n-1,2\n2,3\n4,4\n", r"pairs must have no NIQE below 0, .*got -1"),
        ("niqe,mos\n1e308,2\n2,3\n4,4\n", r"pairs must lie within 1e\+06 of 0, got 1e\+308"),
        ("niqe,mos\n1e-200,2\n2e-200,3\n3e-200,4\n", r"pairs must differ in NIQE, got 1e-200"),
    ],
)
def test_a_table_without_a_line_is_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = write_table(tmp_path, content)
    with pytest.raises(DataError, match=sentence) as caught:
        calibrate(path, tmp_path / "mos.toml", image_set="x")
    assert str(caught.value).startswith(str(path))
    assert not (tmp_path / "mos.toml").exists()


def test_what_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        calibrate(write_table(tmp_path), tmp_path / "file" / "mos.toml", image_set="x")


def test_only_a_file_of_its_own_is_replaced(tmp_path: Path) -> None:
    table, link = write_table(tmp_path), tmp_path / "link.toml"
    link.symlink_to(tmp_path / "elsewhere.toml")
    for path in (tmp_path, link, Path(os.devnull)):
        with pytest.raises(UsageError, match="is no file that could be replaced; name another --out"):
            calibrate(table, path, image_set="x")
    with pytest.raises(UsageError, match="is the table itself"):
        calibrate(table, table, image_set="x")
    assert table.read_text() == TABLE
    assert not Path(os.devnull).is_file()
    assert link.is_symlink()


def test_the_image_set_is_one_line_that_says_something(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--image-set is blank"):
        calibrate(write_table(tmp_path), tmp_path / "mos.toml", image_set=" \n")
    calibrate(write_table(tmp_path), tmp_path / "mos.toml", image_set="two\nlines \x1b[31m")
    assert read_calibration(tmp_path / "mos.toml").image_set == "two lines ?[31m"


def test_what_three_pairs_do_not_have_is_said(tmp_path: Path) -> None:
    lines = calibrate(write_table(tmp_path, "niqe,mos\n5,3\n5,3\n6,3\n"), tmp_path / "mos.toml", image_set="x")
    assert any(line.endswith("no r, as all MOS are equal.") for line in lines)
    assert any(line.startswith("No leave-one-out error: without one of the pairs") for line in lines)


@pytest.mark.parametrize(
    ("mos", "sentence"),
    [
        ('calibration = "none.toml"', r"none\.toml: cannot be read: No such file or directory"),
        ('calibration = "bad.toml"', r"bad\.toml: key 'note' is missing at the top level"),
        ('calibration = "bad.toml"\nnote = "x"', r"challenge\.toml: calibration at \[mos\] is the path of a file"),
        ('calibration = ""', r"challenge\.toml: calibration at \[mos\] is the path of a file"),
        ('calibration = "/dev/zero"', r"/dev/zero: cannot be read: it is no file"),
        ('calibration = "nan.toml"', r"nan\.toml: .*pairs must be finite"),
        ('calibration = "equal.toml"', r"equal\.toml: .*pairs must differ in NIQE"),
    ],
)
def test_a_calibration_that_does_not_hold_is_named(tmp_path: Path, mos: str, sentence: str) -> None:
    (tmp_path / "bad.toml").write_text('image_set = "x"')
    for name, niqe in (("nan", ("1", "2", "nan")), ("equal", ("3", "3", "3"))):
        pairs = "".join(f'[[pairs]]\nlabel = "a"\nniqe = {value}.0\nmos = {n}.0\n' for n, value in enumerate(niqe))
        pairs = pairs.replace("nan.0", "nan")
        (tmp_path / f"{name}.toml").write_text(f'image_set = "x"\nnote = "x"\n{pairs}')
    with pytest.raises(ChallengeError, match=sentence):
        read_challenge(write_challenge(tmp_path, mos))
