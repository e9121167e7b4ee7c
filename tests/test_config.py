"""The configuration of a training run: every key of the right kind, or one sentence."""

import dataclasses
from pathlib import Path

import pytest

from reference.config import TrainingConfig, read_config
from reference.train import main

CONFIGS = Path(__file__).parent.parent / "reference" / "configs"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.toml"
    path.write_text("")
    return path


def test_an_empty_file_is_the_defaults(empty):
    assert read_config(empty, []) == TrainingConfig()


@pytest.mark.parametrize("name", ["boe_normal", "boe_highperf"])
def test_committed_configurations_train_on_all_pairs(name):
    assert read_config(CONFIGS / f"{name}.toml", []).folds == 0


def test_tables_and_types_reach_the_configuration(tmp_path):
    path = tmp_path / "all.toml"
    path.write_text(
        'network = "srcnn"\nprecision = "bfloat16"\nlearning_rate = 1\nsteps = 7\n'
        '[loss]\nl1 = 0\ncolor = 0.5\n[generator]\nkind = "high_performance"\n[augmentation]\ndihedral = false\n'
    )
    config = read_config(path, [])
    assert (config.network, config.precision, config.steps) == ("srcnn", "bfloat16", 7)
    assert config.learning_rate == 1.0
    assert isinstance(config.learning_rate, float)
    assert config.loss == dataclasses.replace(TrainingConfig().loss, l1=0.0, color=0.5)
    assert config.generator.kind == "high_performance"
    assert config.augmentation.dihedral is False


def test_changes_on_the_command_line_reach_the_configuration():
    changes = ["loss.psnr=0.5", "folds=5", "learning_rate=1", "network=srcnn", 'select="niqe"', "loss.l1 = 2"]
    config = read_config(CONFIGS / "boe_normal.toml", changes)
    assert (config.loss.psnr, config.folds, config.learning_rate) == (0.5, 5, 1.0)
    assert (config.network, config.select, config.loss.l1) == ("srcnn", "niqe", 2.0)
    assert config.augmentation.gain == 0.15, "the rest of the file stays"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepps = 3", "unknown key 'stepps'"),
        ("[loss]\nl2 = 1.0", "known are adversarial"),
        ('steps = "many"', "steps must be int"),
        ("steps = 3.0", "steps must be int"),
        ("steps = true", "steps must be int"),
        ("steps = 0", "steps must be at least 1"),
        ("checkpoint_every = 0", "checkpoint_every must be at least 1"),
        ("learning_rate = nan", "learning_rate must be float"),
        ("learning_rate = -1.0", "learning_rate must be above 0"),
        (f"learning_rate = {'9' * 400}", "learning_rate must be float"),
        ("seed = 99999999999999999999", "seed must be at least 0 and below"),
        ("warmup_steps = -1", "warmup_steps must be at least 0"),
        ("select_margin_db = -0.1", "select_margin_db must be at least 0"),
        ("[augmentation]\nmixup = -3", "mixup must be from 0 to 1"),
        ("[augmentation]\ncrop_px = -5", "crop_px must be at least 0"),
        ("folds = 0\nfold = 3", "fold 3 needs pairs to hold out"),
        ("[loss]\nl1 = -1", "the weight of the loss l1 must be at least 0"),
        ("ema_decay = 1.0", "ema_decay must be at least 0 and below 1"),
        ("extra_share = 1.5", "extra_share must be at least 0 and below 1"),
        ("[augmentation]\ndihedral = 1", "dihedral must be bool"),
        ('precision = "float16"', "precision must be one of float32, bfloat16, got 'float16'"),
        ('features = "resnet"', "features must be one of auto, vgg19"),
        ('network = "unet"', "unknown network 'unet'"),
        ('[generator]\nkind = "tiny"', "kind must be one of normal, high_performance"),
        ('select = "niqe"\nfolds = 0', "set folds to at least 2"),
        ("[loss]\nl1 = 0\nms_ssim = 0\npsnr = 0", "every loss has the weight 0"),
        ("loss = 3", "loss must be a table"),
        ("steps = ", "cannot read the configuration"),
    ],
)
def test_bad_configuration_is_one_sentence(tmp_path, capsys, text, message):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    assert main([str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert str(path) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps=", "steps must be int"),
        ("steps.many=3", "steps must be int"),
        ("loss=3", "loss must be a table"),
        ("=3", "cannot read the change '=3': write KEY=VALUE"),
        ("steps", "steps must be int"),
    ],
)
def test_bad_change_is_one_sentence(empty, change, message):
    with pytest.raises(ValueError, match=message):
        read_config(empty, [change])


def test_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="cannot read the configuration"):
        read_config(tmp_path / "none.toml", [])
