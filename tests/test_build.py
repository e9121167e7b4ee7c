"""Building ONNX files: the graph's interface, its agreement with PyTorch, provenance, and what cannot be built."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness.assets import AssetStore
from harness.runtimes.onnx import count_multiply_adds
from harness.submission import read_submission
from reference.baselines import make_random_srcnn
from reference.build import (
    RECIPES,
    ROOT,
    SPEED_BASELINE,
    SPEED_BASELINE_PATH,
    SPEED_BASELINE_SEED,
    load_generator,
    main,
)
from reference.export import export_onnx, measure_difference


class Tiny(nn.Module):
    """Every kind of layer that a submission of this repository may use, without its size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 12, 3, padding=1)
        self.norm = nn.InstanceNorm2d(12, eps=1e-3, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, w = x.shape[2:]
        x = nn.functional.pad(x, (0, -w % 2, 0, -h % 2), mode="replicate")
        y = nn.functional.pixel_unshuffle(x, 2)
        return (x + nn.functional.pixel_shuffle(torch.relu(self.norm(self.conv(y))), 2))[:, :, :h, :w]


@pytest.fixture(scope="module")
def tiny_path(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    difference = export_onnx(Tiny().train(), path, doc="a tiny network", metadata={"weights": "random"})
    assert 0 < difference < 1e-5
    return path


@pytest.fixture
def empty_store(tmp_path, monkeypatch) -> AssetStore:
    """No mirror, no cache, no network."""
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    store = AssetStore(None, offline=True)
    monkeypatch.setattr("reference.build.open_store", lambda mirror: store)
    return store


def describe(model: onnx.ModelProto) -> list[tuple]:
    """The graph without its names and values."""
    shapes = [tuple(tensor.dims) for tensor in model.graph.initializer]
    nodes = [
        (n.op_type, sorted(a.SerializeToString(deterministic=True) for a in n.attribute)) for n in model.graph.node
    ]
    return [*nodes, *shapes]


def test_interface_is_the_challenges(tiny_path):
    model = onnx.load(tiny_path)
    assert [(v.domain, v.version) for v in model.opset_import] == [("", 20)]
    for values, name in ((model.graph.input, "input"), (model.graph.output, "output")):
        (value,) = values
        assert value.name == name
        assert value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        assert [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim] == [1, "height", "width", 3]


def test_graph_is_lean(tiny_path):
    model = onnx.load(tiny_path)
    operators = [node.op_type for node in model.graph.node]
    for operator in ("SpaceToDepth", "Gather", "Conv", "InstanceNormalization", "DepthToSpace"):
        assert operators.count(operator) == 1, operator
    assert operators.count("Transpose") == 2
    assert not model.functions


def test_any_size_agrees_with_torch(tiny_path):
    torch.manual_seed(0)
    session = onnxruntime.InferenceSession(tiny_path)
    model = Tiny().eval()
    for height, width in ((5, 9), (2, 3), (64, 33)):
        x = np.random.default_rng(height).random((1, height, width, 3), dtype=np.float32)
        (output,) = session.run(None, {"input": x})
        with torch.inference_mode():
            expected = model(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(output, expected, atol=1e-5)


def test_file_says_where_it_comes_from_and_nothing_of_this_machine(tiny_path):
    content = tiny_path.read_bytes()
    model = onnx.load_from_string(content)
    assert model.doc_string == "a tiny network"
    assert {p.key: p.value for p in model.metadata_props} == {"weights": "random"}
    for trace in (str(ROOT).encode(), str(Path.home()).encode(), b".py", b"stack_trace", b"site-packages"):
        assert trace not in content


def test_a_network_that_differs_is_not_written(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    monkeypatch.setattr("reference.export.TOLERANCE", 0)
    with pytest.raises(ValueError, match="differs from PyTorch by"):
        export_onnx(make_random_srcnn(0), path, doc="", metadata={}, sizes=[(16, 16)])
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_is_not_finite_is_refused(tiny_path):
    class Broken(nn.Module):
        def forward(self, x):
            return x * torch.nan

    with pytest.raises(ValueError, match="at 4x4 the output is not finite"):
        measure_difference(tiny_path.read_bytes(), Broken(), [(4, 4)])


def test_committed_speed_baseline_is_what_the_command_writes(tmp_path, capsys):
    assert main([SPEED_BASELINE, "--root", str(tmp_path)]) == 0
    assert str(tmp_path / SPEED_BASELINE_PATH) in capsys.readouterr().out
    built, committed = onnx.load(tmp_path / SPEED_BASELINE_PATH), onnx.load(ROOT / SPEED_BASELINE_PATH)
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
    assert main(["srcnn", SPEED_BASELINE, "--root", str(tmp_path / "out"), *option]) == exit_code
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
    assert main([SPEED_BASELINE, "--root", str(tmp_path)]) == 4
    (sentence,) = capsys.readouterr().err.splitlines()
    assert str(tmp_path) in sentence


def test_unknown_name_lists_the_known_ones(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["srcn"])
    assert stop.value.code == 2
    assert "resnet_8_32" in capsys.readouterr().err


@pytest.mark.assets
def test_builds_srcnn_with_the_graph_of_the_speed_baseline(tmp_path, assets_dir):
    assert main(["srcnn", "--assets", str(assets_dir), "--root", str(tmp_path)]) == 0
    model = onnx.load(tmp_path / "submissions/srcnn/model.onnx")
    assert describe(model) == describe(onnx.load(ROOT / SPEED_BASELINE_PATH))
    source = {p.key: p.value for p in model.metadata_props}["weights"]
    assert source.endswith("6dc52ac4ebca74391fa24def015896c98dba5b4f: models_pretrained/dped_srcnn")


def test_built_models_are_not_in_the_repository():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {f"submissions/{name}/model.onnx" for name in RECIPES} <= set(ignored)


@pytest.mark.parametrize("name", ["boe_normal", "boe_highperf"])
def test_multiply_adds_are_those_of_pytorch(name):
    generator, _ = load_generator(ROOT / "reference" / "weights" / f"{name}.safetensors")
    counted = count_convolutions(generator.eval(), height_px=72, width_px=128)
    path = ROOT / "submissions" / name / "model.onnx"
    assert count_multiply_adds(path, layout="NHWC", height_px=720, width_px=1280) == 100 * counted


def count_convolutions(module: nn.Module, *, height_px: int, width_px: int) -> int:
    """Multiply-adds of the convolutions of one run, as PyTorch's own counter of operations has them."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(torch.rand(1, 3, height_px, width_px))
    return sum(counter.get_flop_counts()["Global"].values()) // 2
