"""Exporting to ONNX: the graph's interface, its agreement with PyTorch, and what is not written."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from reference.baselines import InstanceNorm, make_random_srcnn
from reference.export import export_onnx, measure_difference

ROOT = Path(__file__).parent.parent


class Tiny(nn.Module):
    """Every kind of layer that a submission of this repository may use, without its size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(12, 12, 3, padding=1)
        self.norm = InstanceNorm(12, eps=1e-3, affine=True)

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


def test_the_order_of_the_metadata_does_not_change_the_file(tmp_path):
    network = Tiny()
    for name, keys in (("one", "ab"), ("two", "ba")):
        export_onnx(network, tmp_path / name, doc="", metadata=dict.fromkeys(keys, "x"), sizes=[(4, 6)])
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
