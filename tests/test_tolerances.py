"""What a check allows: a project's own tolerances, and the usual ones for what it leaves out."""

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.metrics import METRICS
from harness.tolerances import IMAGE, MEAN, SCORE, SETTINGS, Tolerances, read_tolerances


def test_every_metric_has_its_tolerances() -> None:
    assert set(MEAN) == set(IMAGE) == {metric.name for metric in METRICS}


def test_this_project_names_the_usual_ones() -> None:
    assert read_tolerances(Path(__file__).parent.parent / SETTINGS) == Tolerances()


def test_a_project_sets_its_own(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    assert read_tolerances(path) == Tolerances()
    path.write_text("[tool.other]\nx = 1\n")
    assert read_tolerances(path) == Tolerances()
    path.write_text("[tool.harness.check]\nmean = { psnr = 0.5 }\nimage = { niqe = 0 }\nspeed = 0.25\n")
    own = read_tolerances(path)
    assert (own.score, own.speed) == (SCORE, 0.25)
    assert own.mean == {**MEAN, "psnr": 0.5}
    assert own.image == {**IMAGE, "niqe": 0}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("[tool.harness.check", r"cannot be read: .*; correct it there"),
        ("[tool.harness.check]\nmeans = {}", r"\[tool\.harness\.check\]: .*unknown field `means`"),
        ("[tool.harness.check]\nmean = { psnr = -1 }", r"Expected `float` >= 0"),
        ("[tool.harness.check]\nmean = { psnr = 'x' }", r"Expected `float`, got `str`"),
        ("[tool.harness.check]\nscore = -0.1", r"Expected `float` >= 0"),
        ("[tool.harness.check]\nspeed = 1", r"Expected `float` < 1"),
        ("[tool.harness.check]\nimage = { psnrr = 1 }", r"unknown metric psnrr; known are psnr, ssim, ms_ssim, niqe"),
        ("[tool.harness]\ncheck = 3", r"\[tool\.harness\.check\]: Expected `object`, got `int`"),
    ],
)
def test_wrong_tolerances_are_one_sentence(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=sentence) as caught:
        read_tolerances(path)
    assert str(caught.value).startswith(str(path))
