"""What is built to be installed: whole, small, sound, and at work in an environment and a folder of its own."""

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import models
import pytest
import tiny

import harness
from harness.challenge import read_challenge
from harness.formats import PACKAGE
from harness.session import try_process

ROOT = Path(__file__).parent.parent.parent
SDIST_BYTES, WHEEL_BYTES = 2_000_000, 2_000_000
OPTIONS = ("--challenge", "challenge/tiny.toml", "--dataset", "pictures")

pytestmark = pytest.mark.slow


def call(*command: str | Path, folder: Path) -> str:
    """Run a command without this process's own paths and settings; its standard output."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder), "TMPDIR": str(folder)}
    done = subprocess.run(
        [*map(str, command)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("built")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT, folder=folder)
    return folder / "dist"


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of a fresh environment that holds the wheel, and sees this one's libraries, but not its harness."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    options = ("--no-deps", "--no-index", "--disable-pip-version-check", "--quiet")
    call(sys.executable, "-m", "pip", "--python", python, "install", *options, *built.glob("*.whl"), folder=folder)
    libraries = next(python.parent.parent.glob("lib/python*/site-packages"))
    seen = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (libraries / "seen.pth").write_text("\n".join(seen))
    return python.parent


@pytest.fixture(scope="module")
def elsewhere(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with a challenge, pairs and a submission that has been evaluated, with its time."""
    folder = tmp_path_factory.mktemp("elsewhere")
    tiny.write_challenge(folder / "challenge", run_s=10.0)
    tiny.write_dataset(folder / "pictures")
    call(environment / "harness", "new-submission", "mine", *OPTIONS[:2], folder=folder)
    models.save(models.brighten(), folder / "submissions" / "mine" / "model.onnx")
    call(environment / "harness", "run", *OPTIONS, "--budget", "1", folder=folder)
    return folder


def list_tracked(folder: str) -> set[str]:
    """Files below a folder of the checkout that git keeps or would keep."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("no checkout here, or no git")
    return {name for name in done.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_holds_the_package_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in names if ".dist-info/" not in name} == list_tracked("harness")
    assert {"harness/assets.sha256", "harness/challenges/srcnn.onnx", "harness/templates/submission.toml"} < names
    assert wheel.stat().st_size < WHEEL_BYTES


def test_the_sdist_holds_no_reports_and_no_weights(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "CHANGELOG.md", "pyproject.toml", "mkdocs.yml", "docs/metrics.md"} < names
    assert {name.partition("/")[0] for name in names}.isdisjoint({"reports", "reference", "submissions", "tests"})
    networks = {name for name in names if name.endswith((".onnx", ".safetensors", ".pt"))}
    assert networks == {name for name in list_tracked("harness") if name.endswith(".onnx")}
    assert sdist.stat().st_size < SDIST_BYTES


def test_what_an_index_would_show_holds(built: Path) -> None:
    shown = call(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), folder=built)
    assert shown.count("PASSED") == 2


def test_the_command_and_the_module_are_the_installed_ones(environment: Path, tmp_path: Path) -> None:
    said = f"harness {harness.__version__}\n"
    assert call(environment / "harness", "--version", folder=tmp_path) == said
    assert call(environment / "python", "-m", "harness", "--version", folder=tmp_path) == said
    place = call(environment / "python", "-c", "import harness; print(harness.__file__)", folder=tmp_path)
    assert Path(place).is_relative_to(environment.parent)
    assert "pirm2018b" in call(environment / "harness", "list", folder=tmp_path)


def test_a_run_elsewhere_leaves_its_reports_there(elsewhere: Path) -> None:
    record = json.loads((elsewhere / "reports" / "records" / "pictures" / "mine.json").read_bytes())
    assert record["status"] == "ok"
    assert record["timing"]["baseline"] == "slow"
    assert "mine" in (elsewhere / "reports" / "leaderboard.md").read_text(encoding="utf-8")
    assert (elsewhere / "reports" / "leaderboard.html").exists()


def test_a_record_names_the_installed_version_and_no_commit(elsewhere: Path) -> None:
    made = json.loads((elsewhere / "reports" / "records" / "pictures" / "mine.json").read_bytes())["environment"]
    assert made["packages"][PACKAGE] == harness.__version__
    assert (made["git_commit"], made["git_dirty"]) == ("", False)


def test_a_model_is_confined_as_from_a_checkout(elsewhere: Path) -> None:
    """Landlock lets the child read the installed package and its libraries, wherever they lie."""
    record = json.loads((elsewhere / "reports" / "records" / "pictures" / "mine.json").read_bytes())
    off = {layer for layer, state in record["isolation"].items() if state != "on"}
    here = try_process(read_challenge(elsewhere / "challenge" / "tiny.toml"), "cpu")
    assert off == {layer for layer, state in here.items() if state != "on"}


def test_a_check_needs_no_project_around_it(environment: Path, elsewhere: Path) -> None:
    assert "Nothing got worse (1 of 1 compared)" in call(environment / "harness", "check", *OPTIONS, folder=elsewhere)


def test_a_check_takes_the_tolerances_of_the_project_around_it(environment: Path, elsewhere: Path) -> None:
    record = elsewhere / "reports" / "records" / "pictures" / "mine.json"
    kept = record.read_bytes()
    changed = json.loads(kept)
    for pair in changed["quality"]["pairs"]:
        pair["values"]["psnr"] += 0.04
    record.write_text(json.dumps(changed))
    settings = elsewhere / "pyproject.toml"
    settings.write_text("[tool.harness.check]\nmean = { psnr = 0.5 }\nscore = 0.5\n")
    try:
        call(environment / "harness", "leaderboard", "--challenge", "challenge/tiny.toml", folder=elsewhere)
        call(environment / "harness", "check", *OPTIONS, folder=elsewhere)
        settings.unlink()
        with pytest.raises(AssertionError, match="PSNR got worse"):
            call(environment / "harness", "check", *OPTIONS, folder=elsewhere)
    finally:
        record.write_bytes(kept)
        settings.unlink(missing_ok=True)


def test_the_packaged_challenge_and_baseline_serve(environment: Path, elsewhere: Path) -> None:
    said = call(environment / "harness", "validate", "submissions/mine", "--challenge", "pirm2018b", folder=elsewhere)
    assert said.startswith("mine is valid: NHWC")
    table = call(environment / "harness", "score", "published:final", "--phase", "test", folder=elsewhere)
    assert "SRCNN" in table


def test_schemas_come_with_the_wheel(environment: Path, tmp_path: Path) -> None:
    assert json.loads(call(environment / "harness", "schema", "submission", folder=tmp_path))["$ref"] == (
        "#/$defs/Manifest"
    )
