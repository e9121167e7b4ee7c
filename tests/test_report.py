"""The page on training: it takes in the logs of real runs only, and says what they, the weights and the photos say."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from training import SMALL, make_data

from harness.archive import read_record, read_records
from harness.assets import AssetStore
from harness.challenge import read_challenge
from harness.embedded import PHOTOGRAPHS, read_photograph
from harness.estimates import average_quality
from reference import report
from reference.contact_sheet import SHEETS, SOURCE, Photo
from reference.curves import COLOURS
from reference.losses import LossWeights
from reference.report import REPORT, ROOT, SUBMISSIONS, main, read_embedded_photos, read_run, read_sets
from reference.train import train
from reference.training_page import HELD_OUT

COMMITTED = ROOT / REPORT


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Folders of two runs: `final` on all pairs, `fold` with two of ten held out."""
    folder = tmp_path_factory.mktemp("runs")
    small = replace(SMALL, loss=LossWeights(l1=1.0, ms_ssim=0.0, psnr=0.04))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(replace(small, folds=0), replace(make_data(), extra=None, extra_sha256="none"), folder / "final")
    train(replace(small, folds=5, extra_share=0.25), make_data(), folder / "fold")
    torch.set_num_threads(threads)
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A checkout without weights, models, mirror, cache and network, with small photos in place of the embedded set."""
    random = np.random.default_rng(3)
    photos = [Photo(name, random.integers(0, 200, (60, 90, 3), dtype=np.uint8)) for name in ("one", "two")]
    monkeypatch.setattr(report, "read_embedded_photos", lambda: photos)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    monkeypatch.setattr(report, "open_store", lambda mirror: AssetStore(mirror, offline=True))
    return tmp_path / "root"


def read_page(root: Path) -> str:
    return (root / REPORT / "README.md").read_text("utf-8")


def read_cells(page: str, name: str) -> dict[str, str]:
    """Cells by heading of the first table row whose first cell begins with this name or a link to it."""
    lines = page.splitlines()
    number = next(i for i, line in enumerate(lines) if re.match(rf"\| \[?{re.escape(name)}\W", line))
    head = next(i for i in range(number, 0, -1) if lines[i].startswith("|:")) - 1
    heads, cells = ([cell.strip() for cell in lines[i].strip("|").split("|")] for i in (head, number))
    return dict(zip(heads, cells, strict=True))


def copy_run(folder: Path, target: Path, **facts: object) -> Path:
    """A run's log with other facts; None takes one away."""
    target.mkdir(parents=True)
    shutil.copy(folder / "log.csv", target)
    stored = json.loads((folder / "run.json").read_text()) | facts
    (target / "run.json").write_text(json.dumps({key: value for key, value in stored.items() if value is not None}))
    return target


def test_a_log_is_taken_in_as_it_is(root, runs, capsys):
    assert main(["--add", str(runs / "fold"), "--name", "first-try", "--root", str(root)]) == 0
    logs = root / REPORT / "logs"
    assert (logs / "first-try.csv").read_bytes() == (runs / "fold/log.csv").read_bytes()
    assert (logs / "first-try.json").read_bytes() == (runs / "fold/run.json").read_bytes()
    assert "first-try.csv: 3 rows, up to step 5" in capsys.readouterr().out
    cells = read_cells(read_page(root), "first-try")
    rows = pd.read_csv(runs / "fold/log.csv").set_index("step")
    facts = json.loads((runs / "fold/run.json").read_text())
    assert cells["Network"] == "high_performance generator"
    assert cells["Trained on"] == (
        "test, 10 pairs of 48x48 px, without fold 0 of 5; 25 % of each batch from further pairs"
    )
    assert cells["Objective"] == "l1 + 0.04 (-psnr)"
    assert cells["Steps x batch"] == "5 x 4"
    assert cells["Minutes"] == f"{facts['seconds'] / 60:.1f}"
    assert cells["Device"] == f"{facts['cpu']}, 1 thread"
    assert cells["PSNR (dB)"] == f"{rows['psnr_db'][5]:.2f}"
    assert cells["MS-SSIM"] == f"{rows['ms_ssim'][5]:.4f}"
    assert cells["NIQE ↓"] == "-"
    assert f"| {rows['loss_l1'][5]:.4g}" in read_page(root)


def test_validated_values_are_those_of_the_selected_weights(root, runs):
    folder = copy_run(runs / "fold", root.parent / "early", selected_step=2, target_niqe=4.0)
    table = pd.read_csv(folder / "log.csv")
    table["niqe"] = [5.5, 5.25, 5.0]
    table.to_csv(folder / "log.csv", index=False)
    assert main(["--add", str(folder), "--root", str(root)]) == 0
    cells = read_cells(read_page(root), "early")
    assert cells["PSNR (dB)"] == f"{table['psnr_db'][0]:.2f}"
    assert cells["NIQE ↓"] == "5.50 (4.00)"


def test_runs_on_all_pairs_stand_apart(root, runs):
    for name in ("final", "fold"):
        assert main(["--add", str(runs / name), "--root", str(root)]) == 0
    page = read_page(root)
    assert page.index("### Runs on all pairs") < page.index("(curves_final.svg)") < page.index("### Runs with a fold")
    assert page.index("### Runs with a fold") < page.index("(curves_folds.svg)")
    assert "PSNR (dB)" not in read_cells(page, "final")
    for name in ("final", "folds"):
        assert (root / REPORT / f"curves_{name}.svg").read_text().startswith("<?xml")


def test_a_figure_has_as_many_runs_as_colours(root, runs):
    logs = root / REPORT / "logs"
    logs.mkdir(parents=True)
    for number in range(len(COLOURS) + 1):
        shutil.copy(runs / "fold/log.csv", logs / f"{number}.csv")
        shutil.copy(runs / "fold/run.json", logs / f"{number}.json")
    assert main(["--no-sheets", "--root", str(root)]) == 0
    names = {path.name for path in (root / REPORT).glob("*.svg")}
    assert names == {"curves_folds.svg", "curves_folds_2.svg"}
    (logs / "0.csv").unlink()
    assert main(["--no-sheets", "--root", str(root)]) == 0
    assert {path.name for path in (root / REPORT).glob("*.svg")} == {"curves_folds.svg"}, "the second has no runs left"
    assert "curves_folds_2" not in read_page(root)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"seconds": None, "selected_step": None}, "run.json does not state seconds"),
        ({"config": None}, "does not state config"),
        ({"config": {"network": "vdsr"}}, "unknown network 'vdsr'"),
        ({"config": {"network": "srcnn", "steps": 7}}, "the log ends at step 5, the run at step 7"),
        ({"config": {"network": "srcnn", "steps": 5, "loss": {"contextual": 1.0}, "folds": 0}}, "loss_contextual"),
        ({"selected_step": 3}, "with the weights of step 3"),
        ({"data": 300}, "does not state data"),
    ],
)
def test_what_is_no_log_of_a_finished_run_is_refused(root, runs, capsys, facts, sentence):
    folder = copy_run(runs / "fold", root.parent / "other", **facts)
    check_refusal(["--add", str(folder), "--root", str(root)], capsys, sentence)
    assert not root.exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot read"),
        (
            "step,seconds,psnr_db,ms_ssim,loss_l1,loss_psnr\n5,1,20,0.9,1,1\n2,2,20,0.9,1,1\n",
            "not whole numbers that rise",
        ),
        ("step,seconds,psnr_db,ms_ssim,loss_l1,loss_psnr\n2.5,1,20,0.9,1,1\n5,2,20,0.9,1,1\n", "not whole numbers"),
        ("step,seconds,loss_l1,loss_psnr\n5,1,20,0.9\n", "the log has no ms_ssim"),
    ],
)
def test_a_log_that_is_none_is_refused(root, runs, capsys, text, sentence):
    folder = copy_run(runs / "fold", root.parent / "other")
    (folder / "log.csv").unlink() if text is None else (folder / "log.csv").write_text(text)
    check_refusal(["--add", str(folder), "--root", str(root)], capsys, sentence)


def check_refusal(arguments: list[str], capsys: pytest.CaptureFixture, sentence: str, code: int = 2) -> None:
    assert main(arguments) == code
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_names_are_file_names(root, runs, capsys):
    for name in ("../up", "a b", ".hidden", "a|b"):
        check_refusal(["--add", str(runs / "fold"), "--name", name, "--root", str(root)], capsys, "another --name")
    check_refusal(["--name", "lonely", "--root", str(root)], capsys, "--add RUN_DIR")
    check_refusal(["--add", str(root / "nowhere"), "--root", str(root)], capsys, "nowhere/log.csv")


def test_without_logs_the_page_says_how_to_add_one(root):
    assert main(["--no-sheets", "--root", str(root)]) == 0
    page = read_page(root)
    assert "No log has been added yet." in page
    assert "curves_" not in page
    assert "ablation" not in page


def test_the_ablation_is_linked_where_there_is_one(root):
    (root / REPORT).mkdir(parents=True)
    (root / REPORT / "ablation.md").write_text("# Ablation\n")
    assert main(["--no-sheets", "--root", str(root)]) == 0
    assert "[ablation](ablation.md)" in read_page(root)


def test_weights_tell_how_they_were_trained(root, runs, capsys):
    weights = root / "reference/weights"
    weights.mkdir(parents=True)
    shutil.copy(runs / "final/model.safetensors", weights / "final.safetensors")
    shutil.copy(runs / "fold/model.safetensors", weights / "other.safetensors")
    for name in ("final", "fold"):
        assert main(["--add", str(runs / name), "--root", str(root)]) == 0
    cells, other = (read_cells(read_page(root), name) for name in ("final", "other"))
    assert cells["Trained on"] == "test, 10 pairs of 48x48 px"
    assert cells["Log"] == "[log](logs/final.csv)"
    assert other["Log"] == "-"
    shutil.copy(runs / "fold/model.safetensors", weights / "final.safetensors")
    assert main(["--no-sheets", "--root", str(root)]) == 0
    assert read_cells(read_page(root), "final")["Log"] == "-", "trained otherwise than its log"
    capsys.readouterr()
    (weights / "bad.safetensors").write_bytes(b"no weights")
    check_refusal(["--no-sheets", "--root", str(root)], capsys, "bad.safetensors does not tell how it was trained")


@pytest.fixture
def entrants(root) -> Path:
    """All default submissions, two of them with a model."""
    for name, model in zip(SUBMISSIONS, (models.identity(), models.brighten(0.1), None, None), strict=True):
        models.write_submission(root / "submissions" / name, model)
    return root


def test_sheets_and_their_numbers(entrants, capsys):
    assert main(["--root", str(entrants)]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert [note.split(":")[0] for note in notes if note and "it/s" not in note] == [
        "Not on the sheets, as the model is not built",
        "NIQE is left out",
        "The sheets of the challenge's photos are left out",
    ]
    out = entrants / REPORT
    numbers = pd.read_csv(out / "numbers/embedded.csv")
    assert list(numbers["submission"].unique()) == [SOURCE, "boe_normal", "boe_highperf"]
    page = read_page(entrants)
    for sheet in SHEETS:
        assert f"(embedded/{sheet.name}.jpg)" in page
        with Image.open(out / "embedded" / f"{sheet.name}.jpg") as image:
            assert image.format == "JPEG"
    luma = numbers[numbers["exposure_ev"] == -1.5].groupby("submission")["luma"].mean()
    cells = read_cells(page, "\N{MINUS SIGN}1.5 EV")
    assert cells["source"] == cells["boe_normal"] == f"{luma[SOURCE]:.2f} / -"
    assert cells["boe_highperf"] == f"{luma['boe_highperf']:.2f} / -"
    assert not (out / "hd").exists()


def test_the_same_input_gives_the_same_files(entrants):
    kept = []
    for _ in range(2):
        assert main(["--root", str(entrants)]) == 0
        out = entrants / REPORT
        kept.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert len(kept[0]) == len(SHEETS) + 2
    assert kept[0] == kept[1]


def test_named_submissions_stand_on_the_sheets_in_that_order(entrants):
    assert main(["--submissions", "boe_highperf", "boe_normal", "--root", str(entrants)]) == 0
    numbers = pd.read_csv(entrants / REPORT / "numbers/embedded.csv")
    assert list(numbers["submission"].unique()) == [SOURCE, "boe_highperf", "boe_normal"]


def test_without_a_model_there_is_one_sentence(entrants, capsys):
    for name in SUBMISSIONS:
        (entrants / "submissions" / name / "model.onnx").unlink(missing_ok=True)
    check_refusal(["--root", str(entrants)], capsys, "no model is built of boe_normal, boe_highperf, dped, resnet_8_32")
    assert main(["--submissions", "dped", "--root", str(entrants)]) == 3
    assert "dped: model.onnx is not there" in capsys.readouterr().err
    assert main(["--submissions", "nobody", "--root", str(entrants)]) == 3
    assert not (entrants / REPORT).exists()


def test_photographs_are_shown_without_their_margins():
    for photo in read_embedded_photos():
        assert photo.image.shape == (720, 1280, 3)
        shown, photograph = photo.image[photo.shown], read_photograph(next(n for n in PHOTOGRAPHS if photo.name in n))
        assert shown.shape == photograph.shape
        assert np.corrcoef(shown.ravel(), photograph.ravel())[0, 1] > 0.9


@pytest.mark.assets
def test_the_challenges_photos_are_a_set(assets_dir):
    sets = dict(read_sets(AssetStore(assets_dir, offline=True)))
    assert [photo.name for photo in sets["hd"]] == [f"photo {number}" for number in range(4)]
    assert all(photo.image.shape == (720, 1280, 3) for photo in sets["hd"])


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_what_is_made_of_upstream_photos_stays_out_of_the_repository():
    names = [str(REPORT / place / "as_shot.jpg") for place in ("hd", "embedded")]
    done = subprocess.run(["git", "check-ignore", *names], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == names[:1]


def test_the_committed_sheets_are_small():
    for sheet in SHEETS:
        assert (COMMITTED / "embedded" / f"{sheet.name}.jpg").stat().st_size <= 400_000


def test_the_committed_numbers_are_those_of_the_records():
    """NIQE as shot, where the model is the same: the sheets and the leaderboard come to it in different ways."""
    compared = 0
    for path in sorted((COMMITTED / "numbers").glob("*.csv")):
        dataset = {"embedded": "embedded", "hd": "pirm2018b"}[path.stem]
        numbers = pd.read_csv(path, dtype={"model_sha256": str})
        for submission, rows in numbers[numbers["sheet"] == "as_shot"].groupby("submission"):
            place = ROOT / "reports/records" / dataset / f"{submission}.json"
            record = read_record(place) if place.is_file() else None
            if record and record.quality and record.submission.sha256.startswith(str(rows["model_sha256"].iloc[0])):
                stored = [image.values["niqe"] for image in record.quality.photos]
                np.testing.assert_allclose(rows["niqe"], stored, atol=2e-3)
                compared += 1
    assert compared


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "held_out.csv is no table"),
        ("submission,model_sha256\nme,12\n", "held_out.csv has no evaluated_utc"),
        ("submission,model_sha256,evaluated_utc,psnr_db,ms_ssim\n", "held_out.csv has no rows"),
    ],
)
def test_a_damaged_table_is_one_sentence(root, capsys, content, message):
    (root / REPORT).mkdir(parents=True)
    (root / REPORT / HELD_OUT).write_text(content)
    check_refusal(["--no-sheets", "--root", str(root)], capsys, message)


def test_every_look_at_the_held_out_pairs_is_listed():
    """A record of weights trained on the other 300 pairs is a look; without its row in the table this fails."""
    challenge = read_challenge("pirm2018b")
    looks = pd.read_csv(COMMITTED / HELD_OUT, dtype={"model_sha256": str}).set_index("model_sha256")
    records = read_records(ROOT / "reports/records/pirm2018b")
    ours = [record for record in records if record.quality and record.submission.trained_on == "pirm2018b/train"]
    assert ours
    for record in ours:
        look, means = looks.loc[record.submission.sha256[:12]], average_quality(record.quality, challenge)
        assert look["submission"] == record.submission.name
        assert looks.index[looks["submission"] == record.submission.name][-1] == record.submission.sha256[:12]
        assert [look["psnr_db"], look["ms_ssim"]] == pytest.approx([means["psnr"], means["ms_ssim"]], abs=1e-4)


def test_the_committed_page_says_what_lies_beside_it(tmp_path):
    """Otherwise `python -m reference.report --no-sheets` writes it anew."""
    for place in (REPORT, Path("reference/weights")):
        shutil.copytree(ROOT / place, tmp_path / place)
    assert main(["--no-sheets", "--root", str(tmp_path)]) == 0
    assert read_page(tmp_path) == read_page(ROOT)
    logs = [read_run(path).log.name for path in sorted((COMMITTED / "logs").glob("*.csv"))]
    assert all(f"(logs/{name}.csv)" in read_page(ROOT) for name in logs)
