"""ONNX models that are broken, or behave badly, in ways that `models` has no use for."""

import models
import numpy as np
import onnx
from onnx import TensorProto, helper

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def with_opset(version: int) -> onnx.ModelProto:
    """Declares this version of the standard operators."""
    model = models.identity()
    model.opset_import[0].version = version
    return model


def without_opset() -> onnx.ModelProto:
    model = models.identity()
    del model.opset_import[:]
    return model


def with_ir_version(version: int) -> onnx.ModelProto:
    """Declares this version of the file format."""
    model = models.identity()
    model.ir_version = version
    return model


def unknown_operator() -> onnx.ModelProto:
    return models.build_model([models.node("Enhance", ["source"])])


def missing_weights() -> onnx.ModelProto:
    """Adds a weight that the file does not hold."""
    return models.build_model([models.node("Add", ["source", "lost"])])


def cycle() -> onnx.ModelProto:
    return models.build_model(
        [models.node("Add", ["source", "second"], ["first"]), models.node("Identity", ["first"], ["second"])],
        outputs=[("second", TensorProto.FLOAT, models.NHWC)],
    )


def all_infinite() -> onnx.ModelProto:
    return models.build_model([models.node("Add", ["source", "inf"])], weights={"inf": models.constant(np.inf)})


def constant_of_shape(byte_count: int) -> onnx.ModelProto:
    """Makes one tensor of `byte_count` bytes of a shape that stands in the file, so that loading may fold it."""
    value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
    return models.build_model(
        [
            models.node("ConstantOfShape", ["shape"], ["ones"], value=value),
            models.node("ReduceMax", ["ones"], ["one"], keepdims=0),
            models.node("Mul", ["source", "one"]),
        ],
        weights={"shape": models.sizes(byte_count // 4)},
    )


def divide_the_least_integer() -> onnx.ModelProto:
    """The least integer through -1: the processor ends a process that tries, here while the model is loaded."""
    return models.build_model(
        [
            models.node("Div", ["least", "minus_one"], ["quotient"]),
            models.node("Cast", ["quotient"], ["value"], to=TensorProto.FLOAT),
            models.node("Add", ["source", "value"]),
        ],
        weights={"least": models.sizes(-(2**63)), "minus_one": models.sizes(-1)},
    )


def nested_functions(depth: int) -> onnx.ModelProto:
    """Functions that each call the next one twice: a few kilobytes that unfold to 2 ** depth operators."""
    model = models.build_model([models.node("F0", ["source"], domain="local")], domains=["local"])
    imports = [helper.make_opsetid("", models.OPSET), helper.make_opsetid("local", 1)]
    for level in range(depth):
        kind, domain = (f"F{level + 1}", "local") if level + 1 < depth else ("Identity", "")
        body = [models.node(kind, ["x"], ["m"], domain=domain), models.node(kind, ["m"], ["y"], domain=domain)]
        model.functions.append(helper.make_function("local", f"F{level}", ["x"], ["y"], body, imports))
    return model
