"""Training on a tiny synthetic set: what it writes, what it selects, and clear errors. Kills are in test_resume.py."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from training import EVERY_LOSS, SMALL, TOML, TinyFeatures, check_same_run, make_data, read_rows, write_dped

from reference import train as train_module
from reference.augmentation import Augmentation
from reference.data import TrainingData, split_pairs
from reference.generators import Generator, GeneratorConfig
from reference.run_folder import open_run_folder
from reference.train import main, train, warn_of_slow_precision
from reference.validation import validate

pytestmark = pytest.mark.usefixtures("quick_training")


@pytest.fixture(scope="module")
def data() -> TrainingData:
    return replace(make_data(), extra=None, extra_sha256="none")


def read_metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def test_interruption_before_the_first_checkpoint(data, tmp_path, monkeypatch, capsys):
    (tmp_path / "config.toml").write_text("")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "read_data", interrupt)
    assert main([str(tmp_path / "config.toml"), "--out", str(tmp_path / "out")]) == 130
    assert (
        capsys.readouterr().err
        == "Interrupted. Give the same command again: a run goes on from its last checkpoint, if it has one.\n"
    )


def test_weights_carry_what_they_are_and_fit_the_generator(tmp_path):
    config = replace(SMALL, loss=replace(SMALL.loss, perceptual=1.0), extra_share=0.25)
    path = train(config, make_data(), tmp_path, features=TinyFeatures())
    metadata = read_metadata(path)
    assert metadata["step"] == "5"
    assert metadata["select"] == "last"
    assert metadata["features"] == "tiny features"
    assert metadata["data"] == "test, 10 pairs of 48x48 px"
    assert metadata["extra_sha256"] == "abc"
    stored = json.loads(metadata["config"])
    assert stored["steps"] == 5
    Generator(GeneratorConfig(**stored["generator"])).load_state_dict(load_file(path))
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts["config"] == stored
    assert facts["features"] == "tiny features"
    assert (facts["device"], facts["threads"], facts["torch"]) == ("cpu", 1, torch.__version__)
    assert facts["selected_step"] == 5


def test_log_has_a_row_a_validation_and_one_at_the_end(data, tmp_path, capsys):
    train(SMALL, data, tmp_path)
    rows = read_rows(tmp_path)
    assert [row["step"] for row in rows] == ["2", "4", "5"]
    assert list(rows[0]) == ["step", "psnr_db", "ms_ssim", "loss_l1", "loss_ms_ssim", "loss_psnr"]
    assert all(0 < float(row["ms_ssim"]) < 1 for row in rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:3] for line in lines] == [["step", "2"], ["step", "4"], ["step", "5"]]


def test_logged_losses_are_means_since_the_row_before(data, tmp_path):
    train(replace(SMALL, validate_every=1), data, tmp_path / "each")
    train(SMALL, data, tmp_path / "mean")
    each, mean = read_rows(tmp_path / "each"), read_rows(tmp_path / "mean")
    for name in ("loss_l1", "loss_ms_ssim", "loss_psnr"):
        values = [float(row[name]) for row in each]
        expected = [np.mean(values[0:2]), np.mean(values[2:4]), values[4]]
        assert [float(row[name]) for row in mean] == pytest.approx(expected, rel=1e-5)


def test_without_validation_pairs_the_losses_are_logged(data, tmp_path):
    train(replace(SMALL, folds=0), data, tmp_path)
    assert list(read_rows(tmp_path)[0]) == ["step", "loss_l1", "loss_ms_ssim", "loss_psnr"]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_lowers_the_error(data, tmp_path, precision):
    config = replace(SMALL, steps=40, augmentation=Augmentation(), ema_decay=0.5, precision=precision)
    _, validation = split_pairs(data.pairs, 5, 0)
    trained = Generator(config.generator).eval()
    trained.load_state_dict(load_file(train(config, data, tmp_path)))
    before = validate(Generator(config.generator).eval(), validation)
    after = validate(trained, validation)
    assert after.psnr_db > before.psnr_db + 3
    assert all(tensor.dtype == torch.float32 for tensor in trained.state_dict().values())


@pytest.mark.parametrize("network", ["srcnn", "johnson"])
def test_other_networks_are_trained_as_well(data, tmp_path, network):
    config = replace(SMALL, network=network, steps=3)
    path = train(config, data, tmp_path / "whole")
    assert json.loads(read_metadata(path)["config"])["network"] == network
    train(replace(config, checkpoint_every=1), data, tmp_path / "other")
    check_same_run(tmp_path / "whole", tmp_path / "other")


def test_niqe_selects_the_weights(tmp_path):
    config = replace(SMALL, steps=8, validate_every=2, checkpoint_every=2, select="niqe", select_margin_db=50.0)
    data = replace(make_data(96), extra=None)
    values = iter([9.0, 5.0, 4.0, 6.0, 4.5])  # of the targets, then of the steps 2, 4, 6, 8
    path = train(config, data, tmp_path / "out", niqe=lambda _: next(values))
    assert (read_metadata(path)["step"], read_metadata(path)["select"]) == ("4", "niqe")
    facts = json.loads((tmp_path / "out/run.json").read_text())
    assert (facts["selected_step"], facts["target_niqe"]) == (4, 9.0)
    assert [row["niqe"] for row in read_rows(tmp_path / "out")] == ["5.0", "4.0", "6.0", "4.5"]
    stored = torch.load(tmp_path / "out/checkpoint.pt", weights_only=True)
    kept = {candidate["step"]: candidate["weights"] for candidate in stored["candidates"]}
    selected = load_file(path)
    assert all(torch.equal(selected[name], kept[4][name]) for name in selected)
    last = stored["learners"]["average"]
    assert not all(torch.equal(selected[name], last[name]) for name in selected)


def test_psnr_bounds_what_niqe_selects(tmp_path):
    config = replace(SMALL, steps=8, validate_every=2, select="niqe", select_margin_db=1.0)
    values = iter([9.0, 1.0, 2.0, 3.0, 4.0])
    path = train(config, replace(make_data(96), extra=None), tmp_path, niqe=lambda _: next(values))
    psnr_db = {row["step"]: float(row["psnr_db"]) for row in read_rows(tmp_path)}
    near = [step for step, value in psnr_db.items() if value >= max(psnr_db.values()) - 1.0]
    assert 1 < len(near) < 4, "else nothing is shown"
    assert read_metadata(path)["step"] == near[0] != "2", "the earliest has the lowest NIQE"


@pytest.mark.parametrize(("size", "niqe"), [(48, lambda _: 1.0), (96, None)])
def test_niqe_that_cannot_be_had_selects_nothing(tmp_path, size, niqe):
    data = replace(make_data(size), extra=None)
    with pytest.raises(ValueError, match='select = "niqe" needs NIQE'):
        train(replace(SMALL, select="niqe"), data, tmp_path, niqe=niqe)


def test_niqe_that_cannot_be_had_is_left_out(data, tmp_path, capsys):
    train(replace(SMALL, steps=2), data, tmp_path, niqe=lambda _: 1.0)
    notice = capsys.readouterr().err
    assert notice.startswith("NIQE is left out: it needs two or more validation pairs")
    assert "niqe" not in read_rows(tmp_path)[0]


@pytest.mark.parametrize(
    ("config", "changes", "source", "message"),
    [
        ({"learning_rate": 1e-4}, {}, "tiny features", r"other config \(learning_rate\)"),
        ({"loss": EVERY_LOSS}, {}, "tiny features", r"other config \(loss\)"),
        ({}, {"name": "dped"}, "tiny features", r"other data \(test, 10 pairs of 48x48 px, now dped, 10"),
        ({}, {"extra_sha256": "abd"}, "tiny features", r"other extra_sha256 \(abc, now abd\)"),
        ({}, {}, "VGG-19", r"other features \(tiny features, now VGG-19\)"),
    ],
)
def test_checkpoint_of_another_run_is_refused(tmp_path, config, changes, source, message):
    first = replace(SMALL, steps=2, extra_share=0.25, loss=replace(SMALL.loss, perceptual=1.0))
    train(first, make_data(), tmp_path, features=TinyFeatures())
    features = TinyFeatures()
    features.source = source
    with pytest.raises(ValueError, match=message):
        train(replace(first, **config), replace(make_data(), **changes), tmp_path, features=features)


def test_checkpoint_that_cannot_be_read_is_one_sentence(data, tmp_path):
    contents = [b"", b"no checkpoint", b"PK\x03\x04"]
    for stored in ([1, 2], {"identity": None}, {"step": 3}):
        torch.save(stored, tmp_path / "stored")
        contents.append((tmp_path / "stored").read_bytes())
    for content in contents:
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint\.pt is no checkpoint, or .*: delete it to start again$"):
            train(SMALL, data, tmp_path)


def test_loss_that_grows_without_bound_is_one_sentence(data, tmp_path):
    config = replace(SMALL, learning_rate=1e30, steps=30, checkpoint_every=1)
    with pytest.raises(ValueError, match=r"the loss loss_\w+ is no finite number any more at step \d+") as caught:
        train(config, data, tmp_path)
    assert "\n" not in str(caught.value)
    stored = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert all(total.isfinite() for total in stored["sums"].values())


def test_two_processes_do_not_share_a_folder(data, tmp_path):
    with open_run_folder(tmp_path), pytest.raises(ValueError, match="another process is training in"):
        train(SMALL, data, tmp_path)
    train(SMALL, data, tmp_path)


def test_drafts_of_a_killed_process_are_cleared_away(data, tmp_path):
    (tmp_path / ".checkpoint.pt.x3f9").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    train(SMALL, data, tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoint.pt", "log.csv", "model.safetensors", "run.json", "notes.txt"}


def test_command_writes_the_figure_too(tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text(TOML.replace("250", "3"))
    arguments = [str(config), "--dped", str(write_dped(tmp_path / "dped")), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--device", "cpu", "--set", "folds=0", "--set", "network=srcnn"]) == 0
    assert (tmp_path / "out/curves.svg").read_text().startswith("<?xml")
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out/model.safetensors")
    metadata = read_metadata(tmp_path / "out/model.safetensors")
    assert metadata["data"] == "dped/iphone, 12 pairs of 48x48 px"
    assert json.loads(metadata["config"])["network"] == "srcnn"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_on_cuda_goes_on_from_its_checkpoint(tmp_path, precision):
    config = tmp_path / "config.toml"
    config.write_text(TOML.replace("250", "3"))
    places = ["--dped", str(write_dped(tmp_path / "dped")), "--out", str(tmp_path / "out")]
    arguments = [str(config), *places, "--device", "cuda", "--set", f"precision={precision}"]
    assert main(arguments) == 0
    before = (tmp_path / "out/model.safetensors").read_bytes()
    (tmp_path / "out/model.safetensors").unlink()
    assert main(arguments) == 0
    assert (tmp_path / "out/model.safetensors").read_bytes() == before
    assert json.loads((tmp_path / "out/run.json").read_text())["device"].startswith("cuda")


def test_weights_of_features_that_no_loss_compares_are_refused(tmp_path, capsys):
    config = tmp_path / "config.toml"
    config.write_text("")
    places = ["--dped", str(write_dped(tmp_path / "dped")), "--out", str(tmp_path / "out")]
    assert main([str(config), *places, "--feature-weights", "vgg19.pth", "--device", "cpu"]) == 2
    assert "no loss compares features, leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("precision", "capability", "warns"),
    [("bfloat16", "AVX2", True), ("bfloat16", "AVX512", False), ("float32", "AVX2", False)],
)
def test_a_precision_that_the_cpu_emulates_is_named(monkeypatch, capsys, precision, capability, warns):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    warn_of_slow_precision(replace(SMALL, precision=precision), torch.device("cpu"))
    assert ("--set precision=float32" in capsys.readouterr().err) == warns
