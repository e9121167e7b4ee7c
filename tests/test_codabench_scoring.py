"""A scoring as Codabench's worker runs it: its figures are the local leaderboard's, and a failure is no score."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import codabench_worker
import models
import pytest
import tiny
from codabench_home import make_home
from codabench_worker import Worker, pack

import harness
from harness.challenge import read_challenge
from harness.codabench import bootstrap, scoring
from harness.codabench.columns import list_board_columns
from harness.errors import SubmissionError
from harness.submission import MANIFEST

QUALITY = {"A", "psnr", "ms_ssim", "model_mb", "multiply_adds_g", "parameters_k"}
"""Columns of the phase without time that come out the same in every run; memory does not."""
UNITS = {
    "peak_mb": ("peak_bytes", 1e6),
    "model_mb": ("model_bytes", 1e6),
    "multiply_adds_g": ("multiply_adds", 1e9),
    "parameters_k": ("parameters", 1e3),
}
"""Columns that are in other units than the exported ones."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The challenge, its pictures, and a bundle of both phases."""
    return make_home(tmp_path_factory.mktemp("codabench"))


@pytest.fixture(scope="module")
def worker(home: Path) -> Worker:
    """For the phase that times nothing; the first scoring compiles the metrics."""
    settings = home / "app" / "program" / "settings.json"
    made = Worker(home / "app", home / "bundle.zip")
    content = json.loads(settings.read_text())
    settings.write_text(json.dumps(content | {"timing": False}))
    return made


def rank(home: Path, folder: Path, reports: Path, *options: str) -> dict[str, float]:
    """The row of `harness run` and `harness export` here, by the challenge itself."""
    place = ("--challenge", "challenge/tiny.toml", "--reports", str(reports))
    run_here(home, "run", str(folder), *place, "--dataset", "pictures", "--no-images", *options)
    (row,) = json.loads(run_here(home, "export", "--format", "json", *place))
    return row


def run_here(home: Path, *arguments: str) -> str:
    environment = {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": str(Path(harness.__file__).parent.parent)}
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def compare(scores: dict[str, float], row: dict[str, float]) -> None:
    """Each value is the local leaderboard's, digit by digit."""
    for key, value in scores.items():
        source, divisor = UNITS.get(key, (key, 1))
        assert value == row[source] / divisor, key


@pytest.mark.slow
def test_scores_are_those_of_the_local_leaderboard(home: Path, worker: Worker, tmp_path: Path) -> None:
    folder = models.write_submission(tmp_path / "mine", models.brighten())
    done = worker.score(pack(folder, below="my_net/"))
    assert (done.returncode, done.stderr) == (0, "")
    scores = worker.read_scores()
    assert set(scores) == {*QUALITY, "peak_mb"}
    compare({key: scores[key] for key in QUALITY}, rank(home, folder, tmp_path / "reports", "--no-timing"))
    page = (worker.app / "output" / "detailed_results.html").read_text()
    assert "<h1>mine</h1>" in page
    assert f"{scores['psnr']:.2f}" in page
    assert not any(word in page for word in ('src="', '<link rel="stylesheet', "plotly.min.js"))


@pytest.mark.slow
def test_times_are_those_of_the_record_beside_the_scores(home: Path, worker: Worker, tmp_path: Path) -> None:
    """Two runs never take the same time: the local leaderboard is made of the record that the scoring wrote."""
    with zipfile.ZipFile(home / "app-bundle" / "scoring_program_2.zip") as archive:
        timed = worker.copy(tmp_path / "app", **json.loads(archive.read("settings.json")))
    done = timed.score(timed.sample)
    assert (done.returncode, done.stderr) == (0, "")
    scores = timed.read_scores()
    assert set(scores) == set(timed.columns)
    record = home / "reports" / "records" / "pictures" / "brighten.json"
    record.parent.mkdir(parents=True)
    shutil.copy(timed.app / "output" / "record.json", record)
    exported = run_here(home, "export", "--format", "json", "--challenge", "challenge/tiny.toml", "--phase", "final")
    (row,) = json.loads(exported)
    compare(scores, row)
    assert scores["A"] == scores["psnr"] + min(scores["speed_up"], 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (models.all_nan(), "error: bad: its output holds 39600 values that are NaN or infinite; mend the model."),
        (None, "error: bad: model.onnx is not there as a regular file; put the model beside the manifest"),
    ],
)
def test_a_submission_that_fails_has_a_sentence_and_no_score(
    worker: Worker, tmp_path: Path, model: object, sentence: str
) -> None:
    folder = models.write_submission(tmp_path / "bad", model)  # type: ignore[arg-type]
    assert worker.refuse(pack(folder)).startswith(sentence)
    assert "Not ranked" in (worker.app / "output" / "detailed_results.html").read_text()


@pytest.mark.slow
def test_a_faulty_manifest_has_a_sentence(worker: Worker, tmp_path: Path) -> None:
    folder = models.write_submission(tmp_path / "bad", models.identity())
    (folder / MANIFEST).write_text("name = 3")
    assert "submission.toml" in worker.refuse(pack(folder))


@pytest.mark.slow
def test_other_pictures_than_those_of_the_bundle_are_no_score(worker: Worker, tmp_path: Path) -> None:
    other = worker.copy(tmp_path / "app", dataset_sha256="0" * 64)
    assert "are not those that the competition was made with" in other.refuse(other.sample)


def can_mount() -> bool:
    """Whether a folder can be put at /app for one process alone."""
    if os.name != "posix" or os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv"))):
        return False
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def real_app() -> Iterator[Path]:
    """The folder /app, made where it is missing and then removed."""
    app = Path("/app")
    made = not app.exists()
    app.mkdir(exist_ok=True)
    yield app
    if made:
        app.rmdir()


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs root, unshare and setpriv")
def test_the_command_runs_at_the_real_places_with_the_rights_of_the_worker(worker: Worker, real_app: Path) -> None:
    done = worker.score(worker.sample, prefix=codabench_worker.list_prefix(worker.app))
    assert (done.returncode, done.stderr) == (0, "")
    assert set(worker.read_scores()) == {*QUALITY, "peak_mb"}
    assert "Isolation on: " in done.stdout
    assert not list(real_app.iterdir())  # it was there for that process alone


# --- what a participant sends


def write_manifest(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text("")
    return folder


def test_the_manifest_is_found_at_the_top_or_one_folder_down(tmp_path: Path) -> None:
    inner = write_manifest(tmp_path / "net")
    write_manifest(tmp_path / "__MACOSX")
    write_manifest(tmp_path / ".hidden")
    (tmp_path / "metadata").write_text("exitCode: null")
    assert scoring.find_submission(tmp_path) == inner
    write_manifest(tmp_path)
    assert scoring.find_submission(tmp_path) == tmp_path


def test_no_manifest_and_several_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="at its top, nor in a folder there"):
        scoring.find_submission(tmp_path)
    write_manifest(tmp_path / "too" / "deep")
    with pytest.raises(SubmissionError, match="at its top, nor in a folder there"):
        scoring.find_submission(tmp_path)
    write_manifest(tmp_path / "b")
    write_manifest(tmp_path / "a")
    with pytest.raises(SubmissionError, match=r"holds 2 submissions \(a, b\)"):
        scoring.find_submission(tmp_path)


def test_a_link_is_no_manifest(tmp_path: Path) -> None:
    outside = write_manifest(tmp_path / "outside")
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / MANIFEST).symlink_to(outside / MANIFEST)
    (sent / "folder").symlink_to(outside)
    with pytest.raises(SubmissionError):
        scoring.find_submission(sent)


@pytest.mark.parametrize("value", [None, float("nan"), 1e10, float("inf")])
def test_a_value_that_codabench_cannot_hold_is_no_score(tmp_path: Path, value: float | None) -> None:
    challenge = read_challenge(tiny.write_challenge(tmp_path))
    columns = list_board_columns(challenge, list(challenge.phases.values()), photos=False, timing=False)
    settings = type("S", (), {"columns": columns})()
    with pytest.raises(SubmissionError, match="Score A"):
        dict(scoring.list_values({"A": value}, settings))


def test_a_submission_below_what_qualifies_is_no_score(tmp_path: Path) -> None:
    """Codabench ranks every submission that has a score."""
    path = tiny.write_challenge(tmp_path)
    path.write_text(path.read_text() + "\n[phases.validation.qualify]\npsnr = 20.0\n")
    rules = read_challenge(path)
    bounds = rules.list_bounds(rules.phases["validation"])
    with pytest.raises(SubmissionError, match=r"psnr is 19.5, and a place on the leaderboard takes at least 20"):
        scoring.check_qualified({"psnr": 19.5, "qualified": False}, bounds)
    scoring.check_qualified({"psnr": 20.5, "qualified": True}, bounds)


# --- the first to run


def test_an_old_interpreter_understands_the_first_program() -> None:
    ast.parse(Path(bootstrap.__file__).read_text(), feature_version=(3, 7))


def test_an_old_interpreter_is_told_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(bootstrap, "OLDEST", (99, 0))
    assert bootstrap.main([]) == 7
    error = capsys.readouterr().err
    assert error.startswith("error: this image has Python 3.")
    assert "build an image from the Dockerfile in the bundle" in error


@pytest.mark.slow
def test_packages_that_cannot_be_installed_are_no_score(home: Path, tmp_path: Path) -> None:
    lacking = Worker(tmp_path / "app", home / "bundle.zip")
    with (lacking.app / "program" / "requirements.txt").open("a") as file:
        file.write("no-such-package-of-ours==1.0\n")
    lacking.receive(lacking.sample)
    done = lacking.score(lacking.sample, PIP_NO_INDEX="1", TMPDIR=str(tmp_path))
    assert done.returncode == 7
    assert "This image lacks no-such-package-of-ours==1.0; installing." in done.stdout
    assert done.stderr.startswith("error: the packages that harness needs cannot be installed here (ERROR: ")
    assert not list((lacking.app / "output").iterdir())
