"""Bicubic enlargement as an ONNX file: what any network for super-resolution has to beat."""

import onnx
from onnx import TensorProto, helper

OPSET = 20
COEFFICIENT = -0.5
"""Of Keys' cubic, as MATLAB's imresize has it."""


def make_bicubic(scale: int) -> onnx.ModelProto:
    """[1, height, width, 3] -> [1, scale * height, scale * width, 3], RGB, not clipped."""
    sizes = [1.0, 1.0, float(scale), float(scale)]
    nodes = [
        helper.make_node("Transpose", ["input"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Resize",
            ["planes", "", "scales"],
            ["enlarged"],
            mode="cubic",
            cubic_coeff_a=COEFFICIENT,
            coordinate_transformation_mode="half_pixel",
        ),
        helper.make_node("Transpose", ["enlarged"], ["output"], perm=[0, 2, 3, 1]),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, f"{name}_height", f"{name}_width", 3])
        for name in ("input", "output")
    ]
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], sizes)
    graph = helper.make_graph(nodes, "bicubic", ends[:1], ends[1:], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model
