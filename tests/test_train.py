"""Training on a tiny synthetic set: resumable, repeatable, with clear errors; and the data it reads."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from reference.data import Augmentation, Pairs, draw_batch, read_pairs, split_pairs
from reference.generators import Generator, GeneratorConfig
from reference.train import TrainingConfig, compute_learning_rate, main, read_config, train, validate

CONFIGS = Path(__file__).parent.parent / "reference" / "configs"
SMALL = TrainingConfig(
    generator=GeneratorConfig(kind="high_performance", quarter_growth=8, quarter_layers=1, half_layers=1),
    augmentation=Augmentation(mixup=0.5, cutmix=0.5, gain=0.1),
    steps=3,
    batch_size=4,
    warmup_steps=1,
    folds=5,
    validate_every=2,
)
AUGMENTATIONS = [{}, {"mixup": 1.0}, {"cutmix": 1.0}, {"crop_px": 24}, {"gain": 0.3}]


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    generator = torch.Generator().manual_seed(5)
    source = torch.rand(10, 3, 48, 48, generator=generator)
    return Pairs(source, (source * 0.8 + 0.1).square(), tuple(range(10)))


def test_resumed_run_equals_an_uninterrupted_one(pairs, tmp_path):
    whole = load_file(train(SMALL, pairs, tmp_path / "whole"))
    train(SMALL, pairs, tmp_path / "parts", stop_after=2)
    torch.manual_seed(123)  # whatever happens between
    parts = load_file(train(SMALL, pairs, tmp_path / "parts"))
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name


def test_weights_carry_configuration_and_step_and_fit_the_generator(pairs, tmp_path):
    path = train(SMALL, pairs, tmp_path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert metadata["step"] == "3"
    config = json.loads(metadata["config"])
    assert config["steps"] == 3
    Generator(GeneratorConfig(**config["generator"])).load_state_dict(load_file(path))
    rows = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["2", "3"]
    assert 0 < float(rows[1]["ms_ssim"]) < 1
    assert not list(tmp_path.glob("*.part"))


def test_training_lowers_the_error(pairs, tmp_path):
    config = replace(SMALL, steps=40, augmentation=Augmentation(), ema_decay=0.5, validate_every=40)
    _, validation = split_pairs(pairs, 5, 0)
    train(config, pairs, tmp_path)
    trained = Generator(config.generator).eval()
    trained.load_state_dict(load_file(tmp_path / "model.safetensors"))
    before, _ = validate(Generator(config.generator).eval(), validation)
    after, _ = validate(trained, validation)
    assert after > before + 3


def test_checkpoint_of_another_configuration_is_refused(pairs, tmp_path):
    train(SMALL, pairs, tmp_path, stop_after=2)
    with pytest.raises(ValueError, match="another configuration"):
        train(replace(SMALL, learning_rate=1e-4), pairs, tmp_path)


def test_validation_leaves_out_targets_of_one_colour(pairs):
    source, target = pairs.source[:3], pairs.target[:3].clone()
    target[2] = 1.0
    generator = Generator(SMALL.generator).eval()
    expected = validate(generator, Pairs(source[:2], target[:2], (0, 1)))
    assert validate(generator, Pairs(source, target, (0, 1, 2))) == pytest.approx(expected)


def test_learning_rate_warms_up_and_ends_near_zero():
    config = TrainingConfig(learning_rate=1.0, steps=100, warmup_steps=10)
    assert compute_learning_rate(config, 0) == pytest.approx(0.1)
    assert compute_learning_rate(config, 50) == pytest.approx(0.5)
    assert 0 < compute_learning_rate(config, 99) < 1e-3


def test_folds_are_disjoint_and_cover_all(pairs):
    held_out = []
    for fold in range(5):
        training, validation = split_pairs(pairs, 5, fold)
        assert sorted(training.numbers + validation.numbers) == list(range(10))
        held_out += validation.numbers
    assert sorted(held_out) == list(range(10))
    assert split_pairs(pairs, 0, 0)[0].numbers == pairs.numbers
    assert split_pairs(pairs, 0, 0)[1].numbers == ()


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (5, 5), (5, -1), (-1, 0)])
def test_folds_that_do_not_exist_are_refused(pairs, folds, fold):
    with pytest.raises(ValueError, match="folds must be"):
        split_pairs(pairs, folds, fold)


@pytest.mark.parametrize("changes", AUGMENTATIONS)
def test_augmentation_moves_source_and_target_together(changes):
    source = torch.rand(8, 3, 32, 32) / 2
    batch, target = draw_batch(Pairs(source, source.clone(), tuple(range(8))), 6, Augmentation(**changes))
    assert torch.equal(batch, target)
    assert batch.shape == (6, 3, changes.get("crop_px", 32), changes.get("crop_px", 32))
    assert batch.min() >= 0
    assert batch.max() <= 1


def test_dihedral_augmentation_makes_all_eight_views():
    source = torch.rand(1, 3, 6, 6)
    pairs = Pairs(source.repeat(200, 1, 1, 1), source.repeat(200, 1, 1, 1), tuple(range(200)))
    batch, _ = draw_batch(pairs, 200, Augmentation())
    assert len({tuple(image.flatten().tolist()) for image in batch}) == 8


@pytest.mark.assets
def test_only_the_training_pairs_are_read(assets_dir):
    pairs = read_pairs(assets_dir, torch.device("cpu"))
    assert len(pairs.numbers) == 300
    assert all(number % 4 for number in pairs.numbers)
    assert pairs.source.shape == pairs.target.shape == (300, 3, 100, 100)
    assert 0 <= pairs.source.min() < pairs.source.max() <= 1


@pytest.mark.parametrize("name", ["boe_normal", "boe_highperf"])
def test_committed_configurations_train_on_all_pairs(name):
    assert read_config(CONFIGS / f"{name}.toml", []).folds == 0


def test_changes_on_the_command_line_reach_the_configuration():
    config = read_config(CONFIGS / "boe_normal.toml", ["loss.psnr=0.5", "folds=5", "learning_rate=1"])
    assert (config.loss.psnr, config.folds, config.learning_rate) == (0.5, 5, 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepps = 3", "unknown key 'stepps'"),
        ("[loss]\nl2 = 1.0", "known are color"),
        ('steps = "many"', "steps must be int"),
        ("loss = 3", "must be a table"),
        ("steps = ", "cannot read the configuration"),
    ],
)
def test_bad_configuration_is_one_sentence(tmp_path, capsys, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    assert main([str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_missing_assets_are_one_sentence(tmp_path, capsys):
    arguments = [str(CONFIGS / "boe_normal.toml"), "--out", str(tmp_path / "out"), "--assets", str(tmp_path)]
    assert main([*arguments, "--device", "cpu"]) == 2
    assert "--assets" in capsys.readouterr().err
