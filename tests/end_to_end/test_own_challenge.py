"""From a folder of pairs to a leaderboard by one's own formula, as a newcomer goes."""

import shutil
from pathlib import Path

import models
import pytest
import tiny
from place import Place

from harness.archive import read_record
from harness.boards import build_boards
from harness.challenge import read_challenge

FORMULA = "2**(2*psnr) / (1e18*time)"


@pytest.fixture
def newcomer(tmp_path: Path) -> Place:
    """A folder with nothing but pairs and a photo."""
    (tmp_path / "scratch").mkdir()
    tiny.write_dataset(tmp_path / "my_pairs")
    return Place(tmp_path)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.slow
def test_a_submission_is_ranked_by_a_formula_of_one_s_own(newcomer: Place) -> None:
    said = newcomer.succeed("new-challenge", "my", "--dataset", "my_pairs").stdout
    assert said.startswith("Written: my.toml\n")
    assert "no photos" not in said
    challenge = newcomer.folder / "my.toml"
    edit(challenge, "4*(psnr - 21) + 100*(ms_ssim - 0.9) + 2*min(baseline_time/time, 4)", FORMULA)
    said = newcomer.succeed("new-submission", "mine", "--challenge", "my.toml").stdout
    assert said.startswith("Written: submissions/mine/submission.toml\n")
    models.save(models.brighten(), newcomer.folder / "submissions" / "mine" / "model.onnx")
    newcomer.succeed("validate", "submissions/mine", "--challenge", "my.toml")
    options = ("--challenge", "my.toml", "--budget", "1", "--no-images")
    shown = newcomer.succeed("run", *options).stdout
    record = read_record(newcomer.folder / "reports" / "records" / "my_pairs" / "mine.json")
    (board,) = build_boards([record], read_challenge(challenge))
    row = board.frame.iloc[0]
    assert row["A"] == pytest.approx(2 ** (2 * row["psnr"]) / (1e18 * row["time"]))
    assert row["rank"] == 1
    page = (newcomer.folder / "reports" / "leaderboard.md").read_text(encoding="utf-8")
    assert f"Score A = `{FORMULA}`" in page
    assert f"{row['A']:.2f}" in shown
    assert f"{row['A']:.2f} ±" in page


def test_pairs_without_photos_are_told_of_and_scored_without_time(newcomer: Place) -> None:
    shutil.rmtree(newcomer.folder / "my_pairs" / "photos")
    said = newcomer.succeed("new-challenge", "my", "--dataset", "my_pairs").stdout
    assert "my_pairs has no photos/: time and memory are measured on photos of one size, so put some there." in said
    newcomer.succeed("new-submission", "mine")
    models.save(models.brighten(), newcomer.folder / "submissions" / "mine" / "model.onnx")
    shown = newcomer.succeed("run", "submissions/mine", "--challenge", "my.toml", "--no-images").stdout
    record = read_record(newcomer.folder / "reports" / "records" / "my_pairs" / "mine.json")
    (board,) = build_boards([record], read_challenge(newcomer.folder / "my.toml"))
    assert f"{board.frame.iloc[0]['A']:.2f}" in shown


def test_nothing_is_written_over(newcomer: Place) -> None:
    newcomer.succeed("new-challenge", "my")
    newcomer.succeed("new-submission", "mine")
    assert "my.toml is there already, and stays as it is" in newcomer.refuse(2, "new-challenge", "my")
    assert "submission.toml is there already, and stays as it is" in newcomer.refuse(2, "new-submission", "mine")


def test_a_kind_of_file_without_a_schema(newcomer: Place) -> None:
    assert "there are those of submission, challenge, record" in newcomer.refuse(2, "schema", "board")
    assert newcomer.succeed("schema", "record").stdout.startswith("{\n")
