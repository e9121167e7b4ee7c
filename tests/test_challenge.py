"""Reading challenges: what the shipped one says, and one clear sentence for each fault."""

import math
from pathlib import Path

import pytest

from harness.challenge import FOLDER, find_phase, list_challenges, read_challenge
from harness.errors import ChallengeError, UsageError
from harness.metrics.profiles import find_preparation

SHIPPED = (FOLDER / "pirm2018b.toml").read_text(encoding="utf-8")


def write_changed(folder: Path, old: str, new: str) -> Path:
    """The shipped challenge with one place changed."""
    if old not in SHIPPED:
        raise KeyError(old)
    path = folder / "changed.toml"
    path.write_text(SHIPPED.replace(old, new, 1), encoding="utf-8")
    return path


def test_every_shipped_challenge_reads_under_its_own_name() -> None:
    assert "pirm2018b" in list_challenges()
    assert [read_challenge(name).name for name in list_challenges()] == list(list_challenges())


def test_limits_and_size_are_those_of_the_rules() -> None:
    challenge = read_challenge("pirm2018b")
    assert (challenge.limits.memory_bytes, challenge.limits.model_bytes) == (3_500_000_000, 100_000_000)
    assert (challenge.speed.width_px, challenge.speed.height_px) == (1280, 720)


def test_metrics_are_prepared_as_the_official_script_does() -> None:
    metrics = {metric.name: metric for metric in read_challenge("pirm2018b").metrics}
    assert {name: metric.images for name, metric in metrics.items()} == {
        "psnr": "pairs",
        "ms_ssim": "pairs",
        "niqe": "photos",
    }
    prepared = {name: find_preparation(metric.profile, name) for name, metric in metrics.items()}
    assert {name: (p.clip, p.data_range, p.quantize, p.border_px) for name, p in prepared.items()} == {
        "psnr": (True, 1.0, False, 0),
        "ms_ssim": (False, 255.0, False, 0),
        "niqe": (True, 255.0, True, 0),
    }


def test_infinite_psnr_counts_as_an_error_of_half_a_level() -> None:
    assert read_challenge("pirm2018b").infinite_psnr_db == pytest.approx(20 * math.log10(2 * 255), abs=0.005)


def test_baseline_path_is_beside_the_file(tmp_path: Path) -> None:
    assert read_challenge("pirm2018b").baseline.model == FOLDER / "srcnn.onnx"
    path = write_changed(tmp_path, 'model = "srcnn.onnx"', 'model = "models/other.onnx"')
    assert read_challenge(path).baseline.model == (tmp_path / "models" / "other.onnx").resolve()


def test_phases_have_three_scores_and_the_recovered_one_says_so() -> None:
    challenge = read_challenge("pirm2018b")
    assert {name: list(phase.scores) for name, phase in challenge.phases.items()} == {
        "validation": ["A", "B", "C"],
        "test": ["A", "B", "C"],
    }
    assert "recovered" in find_phase(challenge, "test").label
    assert "recovered" in find_phase(challenge, "test").note


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "width_px",
            "widht_px",
            r"unknown key 'widht_px' at \[speed\] \(did you mean 'width_px'\?\); known keys: width",
        ),
        ("profile =", "profil =", r"unknown key 'profil' at \[metrics\.0\].*known keys: name, images, profile"),
        ('profile = "pirm-b"\n', "", r"key 'profile' is missing at \[metrics\.0\]"),
        ("niqe = 6.00", "nige = 6.00", r"unknown key 'nige' at \[mos\.pairs\.0\].*known keys: label, niqe, mos"),
        ('label = "validation phase"', 'lable = "x"', r"unknown key 'lable' at \[phases\.\*\].*label, note, scores"),
        ("title =", "titel =", r"unknown key 'titel' at the top level \(did you mean 'title'\?\)"),
        ('profile = "pirm-b"', "profile = 3", r"metrics\.0\.profile: expected str, got int"),
        ("load_s = 60.0", 'load_s = "long"', r"limits\.load_s: expected float, got str"),
        ("load_s = 60.0", "load_s = nan", r"limits\.load_s: expected float > 0"),
        ("width_px = 1280", "width_px = 0", r"speed\.width_px: expected int >= 1"),
        ('model = "srcnn.onnx"', "model = 3", r"baseline\.model: expected a path, got int"),
        (
            'profile = "pirm-b"',
            'profile = "pirm"',
            r"metrics\.0: unknown profile 'pirm'; known are pirm-b, pirm-a",
        ),
        ('profile = "pirm-b"', 'profile = "live"', r"metrics\.0: the profile live has no psnr; it has niqe"),
        ('images = "pairs"', 'images = "pear"', r"metrics\.0\.images: invalid enum value 'pear'"),
        ('name = "ms_ssim"', 'name = "psnr"', r"a metric is listed twice"),
        ("[speed]", "[speed", r"not valid TOML.*line"),
        ('A = "4*(psnr', 'A = "4*(pnsr', r"phase validation, score A: unknown name 'pnsr' \(did you mean 'psnr'\?\)"),
        ("min(baseline_time/time, 4)", "min(4)", r"phase validation, score A: min\(\) takes two or more values"),
    ],
)
def test_fault_is_one_sentence_with_file_and_place(tmp_path: Path, old: str, new: str, expected: str) -> None:
    path = write_changed(tmp_path, old, new)
    with pytest.raises(ChallengeError, match=expected) as caught:
        read_challenge(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_a_challenge_error(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ChallengeError, match="not valid TOML"):
        read_challenge(path)


def test_missing_file_and_unknown_names() -> None:
    with pytest.raises(ChallengeError, match="cannot be read"):
        read_challenge("nowhere.toml")
    with pytest.raises(UsageError, match=r"did you mean 'pirm2018b'"):
        read_challenge("pirm2018")
    with pytest.raises(UsageError, match="phases of pirm2018b: validation, test"):
        find_phase(read_challenge("pirm2018b"), "tset")


def test_a_baseline_beside_the_file_comes_before_the_package_s(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes((FOLDER / "pirm2018b.toml").read_bytes())
    assert read_challenge(path).baseline.model == FOLDER / "srcnn.onnx"
    (tmp_path / "srcnn.onnx").write_bytes(b"mine")
    assert read_challenge(path).baseline.model == tmp_path / "srcnn.onnx"
