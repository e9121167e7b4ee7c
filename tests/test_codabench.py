"""Codabench's bundle: it keeps the rules, holds all that a scoring needs, and refuses what could not be scored."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import codabench_worker
import msgspec
import numpy as np
import pytest
import tiny
import yaml
from codabench_home import START, make_home, plan, write_phases
from codabench_rules import find_breaches
from codabench_worker import Worker

from harness.assets import open_store
from harness.challenge import read_challenge
from harness.codabench import scoring
from harness.codabench.bundle import write_bundle
from harness.codabench.columns import LONGEST, list_board_columns
from harness.codabench.competition import Wishes, plan_competition
from harness.codabench.program import SOURCES, list_requirements
from harness.codabench.sample import build_model
from harness.codabench.settings import read_settings
from harness.datasets import open_dataset
from harness.errors import DataError, UsageError
from harness.submission import MANIFEST


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The challenge, its pictures, and a bundle of both phases."""
    return make_home(tmp_path_factory.mktemp("codabench"))


def read_yaml(bundle: Path) -> dict:
    with zipfile.ZipFile(bundle) as archive:
        return yaml.safe_load(archive.read("competition.yaml"))


def test_a_bundle_keeps_the_rules(home: Path) -> None:
    assert find_breaches(home / "bundle.zip") == []


def test_a_bundle_of_one_phase_keeps_the_rules(tmp_path: Path) -> None:
    notes = write_bundle(plan(tmp_path, timing=False, image="me/harness:1", queue="a-b"), tmp_path / "new" / "b.zip")
    assert find_breaches(tmp_path / "new" / "b.zip") == []
    table = read_yaml(tmp_path / "new" / "b.zip")
    assert (table["docker_image"], table["queue"]) == ("me/harness:1", "a-b")
    assert [column["key"] for column in table["leaderboards"][0]["columns"]] == [
        *("A", "psnr", "ms_ssim", "peak_mb", "model_mb", "multiply_adds_g", "parameters_k")
    ]
    assert "See that their licence lets you" in notes[0]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.zip"]  # nothing half made is left


def test_the_command_writes_a_bundle_and_says_what_to_know(home: Path, tmp_path: Path) -> None:
    environment = {"PATH": os.defpath, "HOME": str(tmp_path), "PYTHONPATH": str(SOURCES.parent)}
    options = ["--dataset", "pictures", "--no-timing", "--out", str(tmp_path / "new.zip"), "--start", "2030-01-01"]
    command = [sys.executable, "-m", "harness", "codabench", "challenge/tiny.toml", *options]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=True)
    data, image, written = done.stdout.splitlines()
    assert data.startswith("3 pairs of pictures (split all) are scored. The bundle holds the files")
    assert "are installed before each scoring" in image
    assert written == f"Written: {tmp_path / 'new.zip'}"
    assert find_breaches(tmp_path / "new.zip") == []


def test_pictures_that_are_made_when_needed_are_not_in_the_bundle(tmp_path: Path) -> None:
    competition = plan(tmp_path, dataset="embedded", timing=False)
    notes = write_bundle(competition, tmp_path / "bundle.zip")
    assert "no file of them is in the bundle" in notes[0]
    reference = Worker(tmp_path / "app", tmp_path / "bundle.zip").app / "input" / "ref"
    assert [path.name for path in reference.iterdir()] == ["challenge"]


def test_phases_follow_one_another(home: Path) -> None:
    first, second = read_yaml(home / "bundle.zip")["phases"]
    assert (first["start"], first["end"]) == ("2030-01-01 00:00:00", "2030-03-01 23:59:59")
    assert (second["start"], second["tasks"]) == ("2030-03-02 00:00:00", [1])
    assert second["name"] == 'final: "the end" | <b>'


def test_the_leaderboard_has_the_scores_of_all_phases(home: Path) -> None:
    columns = read_yaml(home / "bundle.zip")["leaderboards"][0]["columns"]
    assert [(column["key"], column["sorting"]) for column in columns] == [
        ("A", "desc"),
        ("B", "desc"),
        ("psnr", "desc"),
        ("ms_ssim", "desc"),
        ("time", "asc"),
        ("speed_up", "desc"),
        ("peak_mb", "asc"),
        ("model_mb", "asc"),
        ("multiply_adds_g", "asc"),
        ("parameters_k", "asc"),
    ]


def test_the_programs_of_two_phases_differ_in_their_settings_alone(home: Path, tmp_path: Path) -> None:
    codabench_worker.unpack(home / "bundle.zip", tmp_path)
    first, second = (zipfile.ZipFile(tmp_path / f"scoring_program_{number}.zip") for number in (1, 2))
    with first, second:
        assert first.namelist() == second.namelist()
        different = [name for name in first.namelist() if first.read(name) != second.read(name)]
    assert different == ["settings.json"]


def test_pages_show_text_as_text(home: Path) -> None:
    with zipfile.ZipFile(home / "bundle.zip") as archive:
        page = archive.read("pages/overview.md").decode()
        assert all(archive.read(f"pages/{name}.md").isascii() for name in ("evaluation", "data", "submit", "terms"))
    assert '| final: "the end" \\| &lt;b> | 2030-03-02 00:00 |' in page


def test_a_bundle_comes_out_the_same_again(home: Path, tmp_path: Path) -> None:
    competition = plan(home, home / "challenge" / "tiny.toml", phases=("validation", "final"), budget_s=6)
    write_bundle(competition, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (home / "bundle.zip").read_bytes()


def test_the_kit_scores_as_codabench_does(home: Path, tmp_path: Path) -> None:
    """Its own sources and script, with nothing of this checkout on the path."""
    codabench_worker.unpack(home / "bundle.zip", tmp_path)
    codabench_worker.unpack(tmp_path / "starting_kit.zip", tmp_path / "kit")
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}
    for command in (
        ["make_submission.py", "mine"],
        ["-m", "harness", "validate", "mine", "--challenge", "challenge/tiny.toml"],
    ):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path / "kit",
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.startswith("brighten is valid: NHWC")
    with zipfile.ZipFile(tmp_path / "kit" / "mine.zip") as archive:
        assert sorted(archive.namelist()) == ["model.onnx", MANIFEST]


def test_a_sample_of_a_larger_scale_is_larger() -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(build_model(4))
    (output,) = session.run(None, {"source": np.full((1, 5, 7, 3), 0.5, np.float32)})
    assert output.shape == (1, 20, 28, 3)
    assert np.allclose(output, 0.52)


def test_requirements_are_those_of_the_package() -> None:
    lines = list_requirements(read_challenge("pirm2018b")).decode().split()
    assert {"msgspec", "numpy", "onnxruntime", "landlockpy"} <= {line.partition("==")[0] for line in lines}
    assert not {"torch", "pytest", "efficient-enhancement-harness"} & {line.partition("==")[0] for line in lines}
    assert f"numpy=={np.__version__}" in lines
    assert len({line.partition("==")[0] for line in lines}) == len(lines)


def test_files_that_are_left_out_are_taken_from_the_worker(tmp_path: Path) -> None:
    notes = write_bundle(plan(tmp_path, timing=False, with_data=False), tmp_path / "bundle.zip")
    assert "the files are not in the bundle" in notes[0]
    worker = Worker(tmp_path / "app", tmp_path / "bundle.zip")
    assert sorted(path.name for path in (worker.app / "input" / "ref").iterdir()) == ["challenge"]
    settings = read_settings(worker.app / "program")
    data = tmp_path / "data"
    places = scoring.Places(worker.app / "program", worker.app / "input" / "ref", tmp_path, tmp_path, data)
    with pytest.raises(DataError, match="the dataset pictures is neither in the reference data nor in"):
        scoring.find_data(settings, places)
    shutil.copytree(tmp_path / "pictures", data / "pictures")
    assert scoring.find_data(settings, places) == data / "pictures"


@pytest.mark.assets
def test_the_bundle_of_a_challenge_of_another_kind_says_what_it_asks_for(tmp_path: Path) -> None:
    """Larger outputs, scores of which less is better, and a PSNR that qualifies."""
    competition = plan_competition("ntire_esr", Wishes(start=START), open_store(), on_progress=tiny.ignore)
    write_bundle(competition, tmp_path / "bundle.zip")
    assert find_breaches(tmp_path / "bundle.zip") == []
    first = read_yaml(tmp_path / "bundle.zip")["leaderboards"][0]["columns"][0]
    assert (first["key"], first["sorting"]) == ("Final", "asc")
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        evaluation = archive.read("pages/evaluation.md").decode()
        submit = archive.read("pages/submit.md").decode()
    assert "takes PSNR (dB) of at least 31.05" in evaluation
    assert "MOS" not in evaluation
    assert "4 times as wide and high" in submit
    assert "make_submission.py my_submission 4" in submit


@pytest.mark.assets
def test_the_bundle_of_the_real_challenge_holds_all_that_it_needs(tmp_path: Path) -> None:
    wishes = Wishes(phases=("validation", "test"), start=START)
    competition = plan_competition("pirm2018b", wishes, open_store(), on_progress=tiny.ignore)
    write_bundle(competition, tmp_path / "bundle.zip")
    assert find_breaches(tmp_path / "bundle.zip") == []
    worker = Worker(tmp_path / "app", tmp_path / "bundle.zip", task=1)
    assert {"A", "B", "C", "psnr", "ms_ssim", "niqe", "mos", "time", "peak_mb"} <= set(worker.columns)
    settings = read_settings(worker.app / "program")
    assert (settings.phase, settings.split, settings.folder) == ("test", "test", False)
    reference = worker.app / "input" / "ref"
    bundled = read_challenge(reference / "challenge" / settings.challenge)
    known = read_challenge("pirm2018b")
    assert bundled.phases == known.phases
    assert bundled.baseline.model.read_bytes() == known.baseline.model.read_bytes()
    store = open_store(reference / "assets", offline=True)
    store.cache = tmp_path / "nothing"
    assert open_dataset("pirm2018b", store).sha256 == settings.dataset_sha256
    pristine = list(reference.rglob("modelparameters.mat")) + list(reference.rglob("niqe_pris_params.npz"))
    assert len(pristine) == 1


# --- what cannot be


def test_a_score_that_none_could_have_is_refused(tmp_path: Path) -> None:
    challenge = write_phases(tmp_path / "challenge")
    with pytest.raises(UsageError, match="Score A is made of baseline_time, time, which needs a clock"):
        plan(tmp_path, challenge, phases=("final",), timing=False)
    shutil.rmtree(tmp_path / "pictures" / "photos")
    with pytest.raises(UsageError, match="which needs photos, which the dataset lacks"):
        plan(tmp_path, challenge, phases=("final",))


def test_a_damaged_picture_is_refused_before_anyone_is_scored(tmp_path: Path) -> None:
    tiny.write_dataset(tmp_path / "pictures")
    (tmp_path / "pictures" / "target" / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.png"):
        plan(tmp_path)


def test_nothing_stands_in_for_a_dataset_that_is_missing(tmp_path: Path) -> None:
    store = open_store(offline=True)
    store.mirror, store.cache = None, tmp_path
    with pytest.raises(DataError, match="aiff22"):
        plan_competition("pirm2018b", Wishes(), store, on_progress=tiny.ignore)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    competition = plan(tmp_path)
    (tmp_path / "folder.zip").mkdir()
    with pytest.raises(UsageError, match="is no file that could be replaced"):
        write_bundle(competition, tmp_path / "folder.zip")


@pytest.mark.parametrize("phases", [("final",), ("validation", "validation")])
def test_unknown_and_repeated_phases_are_refused(tmp_path: Path, phases: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"unknown phase|named twice"):
        plan(tmp_path, phases=phases)


def test_phases_of_one_leaderboard_have_to_agree_on_which_score_is_better(tmp_path: Path) -> None:
    challenge = read_challenge(write_phases(tmp_path))
    first, second = challenge.phases.values()
    lower = msgspec.structs.replace(second, better="lower")
    with pytest.raises(UsageError, match="of Score A more is better in one phase and less in another"):
        list_board_columns(challenge, [first, lower], photos=True, timing=True)
    columns = list_board_columns(challenge, [lower], photos=True, timing=True)
    assert [column.rising for column in columns if column.key in "AB"] == [True, True]


def test_keys_and_titles_fit_codabench(tmp_path: Path) -> None:
    challenge = read_challenge(tiny.write_challenge(tmp_path))
    phase = challenge.phases["validation"]
    long = type(phase)(label="l", note="n", scores={"My best score, over all of the pictures there": "psnr"})
    first = list_board_columns(challenge, [long], photos=False, timing=False)[0]
    assert first.key == "My_best_score_over_all_of_the_pictur"
    assert len(first.title) == LONGEST
    assert first.source == "My best score, over all of the pictures there"
    clash = type(phase)(label="l", note="n", scores={"ms-ssim": "psnr"})
    with pytest.raises(UsageError, match="would both be the column 'ms_ssim'"):
        list_board_columns(challenge, [clash], photos=False, timing=False)
