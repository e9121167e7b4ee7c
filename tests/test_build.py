"""Building the submissions' files: from which weights, what the file tells of them, and what cannot be built."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.assets import AssetStore
from harness.runtimes.onnx import count_multiply_adds
from harness.submission import read_submission
from reference.baselines import make_random_srcnn
from reference.build import (
    RECIPES,
    ROOT,
    SPEED_BASELINE_SEED,
    SPEED_BASELINES,
    SPEED_BASELINES_DIR,
    TRAINED,
    load_trained,
    main,
)
from reference.config import read_config
from reference.export import CHECKED_SIZES_PX, measure_difference
from reference.generators import GeneratorConfig
from reference.networks import NETWORKS, describe_network, make_network


@pytest.fixture
def empty_store(tmp_path, monkeypatch) -> AssetStore:
    """No mirror, no cache, no network."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    store = AssetStore(None, offline=True)
    monkeypatch.setattr("reference.build.open_store", lambda mirror: store)
    return store


@pytest.fixture
def weights_dir(tmp_path, monkeypatch) -> Path:
    """In the place of reference/weights."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setattr("reference.build.WEIGHTS", folder)
    return folder


def write_weights(path: Path, network: str, *, config: dict | None = None, **metadata: str) -> nn.Module:
    """What `reference.train` writes, of a network that was never trained, and a small generator."""
    torch.manual_seed(0)
    generator = {"kind": "high_performance", "quarter_growth": 4, "quarter_layers": 1, "half_layers": 0}
    module = make_network(network, GeneratorConfig(**generator))
    stored = {"network": network, "generator": generator, "folds": 0, "fold": 0} | (config or {})
    save_file(module.state_dict(), path, {"config": json.dumps(stored), "step": "7"} | metadata)
    return module


def describe(model: onnx.ModelProto) -> list[tuple]:
    """The graph without its names and values."""
    shapes = [tuple(tensor.dims) for tensor in model.graph.initializer]
    nodes = [
        (n.op_type, sorted(a.SerializeToString(deterministic=True) for a in n.attribute)) for n in model.graph.node
    ]
    return [*nodes, *shapes]


@pytest.mark.parametrize("name", SPEED_BASELINES)
def test_committed_speed_baseline_is_what_the_command_writes(tmp_path, capsys, name):
    path = SPEED_BASELINES_DIR / f"{name.removeprefix('speed-')}.onnx"
    assert main([name, "--root", str(tmp_path)]) == 0
    assert str(tmp_path / path) in capsys.readouterr().out
    built, committed = onnx.load(tmp_path / path), onnx.load(ROOT / path)
    assert describe(built) == describe(committed)
    for ours, theirs in zip(built.graph.initializer, committed.graph.initializer, strict=True):
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(ours), onnx.numpy_helper.to_array(theirs))
    assert str(SPEED_BASELINE_SEED) in committed.metadata_props[0].value


@pytest.mark.parametrize("name", RECIPES)
def test_manifest_is_valid_and_tells_how_to_get_the_model(name):
    manifest = read_submission(ROOT / "submissions" / name).manifest
    assert manifest.name == name
    assert f"python -m reference.build {name}" in manifest.weights
    assert manifest.model_file == "model.onnx"


@pytest.mark.parametrize(("option", "exit_code"), [([], 4), (["--if-available"], 0)])
def test_without_weights_the_others_are_still_built(tmp_path, capsys, empty_store, option, exit_code):
    assert main(["srcnn", "speed-srcnn", "--root", str(tmp_path / "out"), *option]) == exit_code
    captured = capsys.readouterr()
    (sentence,) = captured.err.splitlines()
    assert sentence.startswith("srcnn was not built: aiff22/ai-challenge/models_pretrained/dped_srcnn.index")
    assert "srcnn.onnx" in captured.out
    assert [path.name for path in (tmp_path / "out").rglob("*.onnx")] == ["srcnn.onnx"]


def test_damaged_weights_fail_even_if_available(tmp_path, capsys, monkeypatch):
    class DamagedStore:
        def find(self, name: str) -> Path:
            path = tmp_path / Path(name).name
            path.write_bytes(bytes(100))
            return path

    monkeypatch.setattr("reference.build.open_store", lambda mirror: DamagedStore())
    assert main(["dped", "--if-available", "--root", str(tmp_path)]) == 4
    assert "dped was not built" in capsys.readouterr().err


def test_unwritable_target_is_one_sentence(tmp_path, capsys, empty_store):
    (tmp_path / "harness").write_text("a file where a folder is needed")
    assert main(["speed-srcnn", "--root", str(tmp_path)]) == 4
    (sentence,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in sentence


def test_unknown_name_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["srcn"])
    assert stop.value.code == 2
    assert "resnet_8_32" in capsys.readouterr().err


def test_every_trainable_network_can_be_built():
    kinds = [GeneratorConfig(kind=kind) for kind in ("normal", "high_performance")]
    assert set(TRAINED.values()) == {describe_network(name, config) for name in NETWORKS for config in kinds}


@pytest.mark.parametrize("name", TRAINED)
def test_networks_that_are_compared_are_trained_on_all_pairs_in_the_same_way(name):
    other = "boe_normal_300" if name.endswith("_300") else "boe_normal"
    config, generators = (read_config(ROOT / f"reference/configs/{n}.toml", []) for n in (name, other))
    assert describe_network(config.network, config.generator) == TRAINED[name]
    for key in vars(config).keys() - {
        "network",
        "generator",
        "precision",
    }:  # harness/published/published.toml tells the precision
        assert getattr(config, key) == getattr(generators, key), key
    if config.network == "generator":
        shipped = read_config(ROOT / f"reference/configs/{name.removesuffix('_300')}.toml", [])
        assert config.generator == shipped.generator
    assert config.folds == 0


def test_builds_what_was_trained_here(tmp_path, capsys, weights_dir, empty_store):
    module = write_weights(
        weights_dir / "srcnn_300.safetensors", "srcnn", features="random, seed 3", data="dped/iphone, 9 pairs"
    )
    assert main(["srcnn_300", "--root", str(tmp_path)]) == 0
    path = tmp_path / "submissions/srcnn_300/model.onnx"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path}: 279 kB, at most ")
    assert line.endswith("from PyTorch at 1x1, 3x5, 75x133, 100x100, 241x322 px")
    assert float(line.split("at most ")[1].split()[0]) < 1e-5
    assert measure_difference(path.read_bytes(), as_channels_last(module), CHECKED_SIZES_PX) < 1e-5
    model = onnx.load(path)
    assert model.doc_string == "The network srcnn, trained here on dped/iphone, 9 pairs"
    metadata = {p.key: p.value for p in model.metadata_props}
    assert metadata["weights"] == "reference/weights/srcnn_300.safetensors, step 7 of reference/configs/srcnn_300.toml"
    assert metadata["features"] == "random, seed 3"
    assert json.loads(metadata["config"])["network"] == "srcnn"


def test_file_tells_of_a_fold_that_was_left_out_and_of_further_pairs(tmp_path, weights_dir, empty_store):
    path = weights_dir / "boe_highperf.safetensors"
    write_weights(path, "generator", config={"folds": 5, "fold": 2}, extra_sha256="0123")
    assert main(["boe_highperf", "--root", str(tmp_path)]) == 0
    assert onnx.load(tmp_path / "submissions/boe_highperf/model.onnx").doc_string == (
        "The network high_performance generator, trained here on pirm2018b/train, 300 pairs, without fold 2 of 5, "
        "and on further pairs"
    )


def test_first_files_do_not_name_their_network(tmp_path):
    path = tmp_path / "old.safetensors"
    module = write_weights(path, "generator")
    config = {"generator": {"kind": "high_performance", "quarter_growth": 4, "quarter_layers": 1, "half_layers": 0}}
    save_file(module.state_dict(), path, {"config": json.dumps(config), "step": "7"})
    trained = load_trained(path)
    assert trained.description == "high_performance generator"
    for name, tensor in module.state_dict().items():
        assert torch.equal(trained.module.state_dict()[name], tensor), name


@pytest.mark.parametrize(("option", "exit_code"), [([], 4), (["--if-available"], 0)])
def test_untrained_network_says_how_to_train_it(tmp_path, capsys, weights_dir, empty_store, option, exit_code):
    assert main(["johnson_300", "--root", str(tmp_path), *option]) == exit_code
    (sentence,) = capsys.readouterr().err.splitlines()
    assert str(weights_dir / "johnson_300.safetensors") in sentence
    assert "python -m reference.train reference/configs/johnson_300.toml --out runs/johnson_300" in sentence
    assert not list(tmp_path.rglob("*.onnx"))


def test_weights_of_another_network_are_refused(tmp_path, capsys, weights_dir, empty_store):
    write_weights(weights_dir / "resnet_8_32_300.safetensors", "srcnn")
    write_weights(weights_dir / "boe_normal.safetensors", "generator")
    assert main(["resnet_8_32_300", "boe_normal", "--if-available", "--root", str(tmp_path)]) == 4
    first, second = capsys.readouterr().err.splitlines()
    assert "holds the network srcnn, not resnet_8_32" in first
    assert "holds the network high_performance generator, not normal generator" in second
    assert not list(tmp_path.rglob("*.onnx"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"network": "resnet_8_32"}, "Missing key(s) in state_dict"),
        ({"network": "resnet"}, "unknown network 'resnet'"),
        ({"generator": {"kind": "fast"}}, "kind of generator 'fast' is unknown"),
        ({"generator": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ({"generator": None}, "must be a mapping"),
    ],
)
def test_weights_that_do_not_fit_their_configuration_are_one_sentence(
    tmp_path, capsys, weights_dir, empty_store, config, message
):
    write_weights(weights_dir / "srcnn_300.safetensors", "srcnn", config=config)
    assert main(["srcnn_300", "--root", str(tmp_path)]) == 4
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "srcnn_300.safetensors does not hold the weights of a network trained here" in sentence
    assert message in sentence


@pytest.mark.parametrize("content", [b"", b"not safetensors", bytes(100)])
def test_damaged_trained_weights_are_one_sentence(tmp_path, capsys, weights_dir, empty_store, content):
    (weights_dir / "srcnn_300.safetensors").write_bytes(content)
    assert main(["srcnn_300", "--root", str(tmp_path), "--if-available"]) == 4
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "does not hold the weights" in sentence


def test_weights_without_metadata_are_one_sentence(tmp_path, capsys, weights_dir, empty_store):
    save_file(make_random_srcnn(0).state_dict(), weights_dir / "srcnn_300.safetensors")
    assert main(["srcnn_300", "--root", str(tmp_path)]) == 4
    (sentence,) = capsys.readouterr().err.splitlines()
    assert "does not hold the weights" in sentence


@pytest.mark.assets
@pytest.mark.parametrize(
    ("name", "checkpoint", "multiply_adds"),
    [("div2k_resnet_6_16", "div2k_resnet_6_16", 16_992), ("div2k_vgg19_vdsr", "div2k_vgg19_vdsr.ckpt", 664_704)],
)
def test_builds_the_networks_of_super_resolution(tmp_path, assets_dir, name, checkpoint, multiply_adds):
    assert main([name, "--assets", str(assets_dir), "--root", str(tmp_path)]) == 0
    path = tmp_path / "submissions" / name / "model.onnx"
    metadata = {p.key: p.value for p in onnx.load(path).metadata_props}
    assert metadata["weights"].endswith(f"models_pretrained/{checkpoint}")
    counted = count_multiply_adds(path.read_bytes(), layout="NHWC", height_px=10, width_px=20)
    assert counted == multiply_adds * 200


@pytest.mark.assets
def test_srcnn_of_super_resolution_has_the_graph_of_the_speed_baseline(tmp_path, assets_dir):
    assert main(["div2k_srcnn", "--assets", str(assets_dir), "--root", str(tmp_path)]) == 0
    model = onnx.load(tmp_path / "submissions/div2k_srcnn/model.onnx")
    assert describe(model) == describe(onnx.load(ROOT / SPEED_BASELINES_DIR / "srcnn.onnx"))


@pytest.mark.assets
def test_builds_srcnn_with_the_graph_of_the_speed_baseline(tmp_path, assets_dir):
    assert main(["srcnn", "--assets", str(assets_dir), "--root", str(tmp_path)]) == 0
    model = onnx.load(tmp_path / "submissions/srcnn/model.onnx")
    assert describe(model) == describe(onnx.load(ROOT / SPEED_BASELINES_DIR / "srcnn.onnx"))
    source = {p.key: p.value for p in model.metadata_props}["weights"]
    assert source.endswith("6dc52ac4ebca74391fa24def015896c98dba5b4f: models_pretrained/dped_srcnn")


def test_built_models_are_not_in_the_repository():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {f"submissions/{name}/model.onnx" for name in RECIPES} <= set(ignored)


@pytest.mark.parametrize("name", ["boe_normal", "boe_highperf"])
def test_multiply_adds_are_those_of_pytorch(name):
    generator = load_trained(ROOT / "reference" / "weights" / f"{name}.safetensors").module
    counted = count_convolutions(generator.eval(), height_px=72, width_px=128)
    path = ROOT / "submissions" / name / "model.onnx"
    assert count_multiply_adds(path.read_bytes(), layout="NHWC", height_px=720, width_px=1280) == 100 * counted


def as_channels_last(module: nn.Module) -> nn.Module:
    class Wrapped(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return module.eval()(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    return Wrapped()


def count_convolutions(module: nn.Module, *, height_px: int, width_px: int) -> int:
    """Multiply-adds of the convolutions of one run, as PyTorch's own counter of operations has them."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(torch.rand(1, 3, height_px, width_px))
    return sum(counter.get_flop_counts()["Global"].values()) // 2
