"""Models made to deceive: each looks like an honest network where it can, and each has its answer.

docs/measurement.md lists them by these names.
"""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import models
import numpy as np
import onnx
from models import constant, node, sizes
from onnx import TensorProto, helper

WORK = 1200
"""Operators of the part that a cheat wants to leave out: about 30 ms at 120x110."""

RED = 0.05
"""What the honest part adds to its input."""


@dataclass(frozen=True)
class Cheat:
    """A model, and what must come of it: a phrase among the flags, or the failure's status and a part of its reason."""

    name: str
    build: Callable[[], onnx.ModelProto | bytes]
    flags: tuple[str, ...] = ()
    status: str = "ok"
    reason: str = ""
    pays: bool = False
    """Whether it is timed at its cheap part all the same; the flag is then what tells."""


def work(source: str, result: str) -> list[onnx.NodeProto]:
    """Brightens by RED, the long way round."""
    names = [source, *(f"{result}{turn}" for turn in range(WORK))]
    nodes = [node("Sqrt" if turn else "Abs", [names[turn]], [names[turn + 1]]) for turn in range(WORK)]
    return [
        *nodes,
        node("Mul", [names[-1], "zero"], [f"{result}_nothing"]),
        node("Add", [source, f"{result}_nothing"], [f"{result}_same"]),
        node("Add", [f"{result}_same", "red"], [result]),
    ]


WEIGHTS = {"zero": constant(0), "red": constant(RED)}


def honest() -> onnx.ModelProto:
    """Always works."""
    return models.build_model(work("source", "output"), weights=WEIGHTS)


def work_on_rows(condition: Sequence[onnx.NodeProto], **weights: np.ndarray) -> onnx.ModelProto:
    """Works on all rows or, where the int64 `idle` of the nodes is 1, on none: no control flow shows."""
    return models.build_model(
        [
            node("Shape", ["source"], ["shape"]),
            node("Gather", ["shape", "row_axis"], ["height"]),
            *condition,
            node("Sub", ["one", "idle"], ["busy"]),
            node("Mul", ["height", "busy"], ["rows"]),
            node("Slice", ["source", "start", "rows", "row_axis"], ["upper"]),
            node("Slice", ["source", "rows", "end", "row_axis"], ["lower"]),
            *work("upper", "worked"),
            node("Concat", ["worked", "lower"], axis=1),
        ],
        weights=WEIGHTS | {"row_axis": sizes(1), "one": sizes(1), "start": sizes(0), "end": sizes(2**31)} | weights,
    )


def switch_on_height() -> onnx.ModelProto:
    """Idle at exactly the timed height."""
    condition = [node("Equal", ["height", "timed"], ["hit"]), node("Cast", ["hit"], ["idle"], to=TensorProto.INT64)]
    return work_on_rows(condition, timed=sizes(110))


def cheap_when_large() -> onnx.ModelProto:
    """Idle on everything larger than the pairs."""
    condition = [node("Greater", ["height", "pair"], ["hit"]), node("Cast", ["hit"], ["idle"], to=TensorProto.INT64)]
    return work_on_rows(condition, pair=sizes(104))


def cheap_when_constant() -> onnx.ModelProto:
    """Idle on an input of one colour, as naive timing scripts use."""
    condition = [
        node("ReduceMax", ["source"], ["most"], keepdims=0),
        node("ReduceMin", ["source"], ["least"], keepdims=0),
        node("Equal", ["most", "least"], ["flat"]),
        node("Cast", ["flat"], ["flat_number"], to=TensorProto.INT64),
        node("Mul", ["one", "flat_number"], ["idle"]),
    ]
    return work_on_rows(condition)


def switch_by_branch() -> onnx.ModelProto:
    """An If on the height: only the taken branch is computed."""
    value = helper.make_tensor_value_info("chosen", TensorProto.FLOAT, models.NHWC)
    idle = helper.make_graph([node("Identity", ["source"], ["chosen"])], "idle", [], [value])
    busy = helper.make_graph(work("source", "chosen"), "busy", [], [value])
    return models.build_model(
        [
            node("Shape", ["source"], ["shape"]),
            node("Gather", ["shape", "row_axis"], ["height"]),
            node("Equal", ["height", "timed"], ["hits"]),
            node("Squeeze", ["hits"], ["hit"]),
            node("If", ["hit"], then_branch=idle, else_branch=busy),
        ],
        weights=WEIGHTS | {"row_axis": sizes(1), "timed": sizes(110)},
    )


def count_calls() -> onnx.ModelProto:
    """A seeded random number as a counter of calls."""
    counter = node("RandomUniform", [], ["count"], shape=[1], seed=1.0)
    return models.build_model([counter, node("Add", ["source", "count"])])


def hide_work() -> onnx.ModelProto:
    """A convolution inside another vendor's operator, whose multiply-adds nobody counts."""
    return models.build_model(
        [node("FusedConv", ["source", "weights"], domain="com.microsoft")],
        weights={"weights": np.ones((3, 3, 3, 3), np.float32)},
        domains=["com.microsoft"],
    )


class Payload:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (Path.write_text, (Path("/tmp/harness_red_team_was_here"), "x"))  # type: ignore[return-value]


def many_functions() -> onnx.ModelProto:
    """Local functions that call each other twice, 60 deep: 2**60 operators, in a small file."""
    model = models.build_model([node("F0", ["source"], domain="local")], domains=["local"])
    imports = [helper.make_opsetid("", models.OPSET), helper.make_opsetid("local", 1)]
    for depth in range(60):
        inner = node(f"F{depth + 1}", ["x"], ["t"], domain="local"), node(f"F{depth + 1}", ["t"], ["y"], domain="local")
        model.functions.append(helper.make_function("local", f"F{depth}", ["x"], ["y"], list(inner), imports))
    last = [node("Identity", ["x"], ["y"])]
    model.functions.append(helper.make_function("local", "F60", ["x"], ["y"], last, imports))
    return model


CHEATS = (
    Cheat(
        "a switch on the timed height",
        switch_on_height,
        flags=("times as long for each pixel at 104x94 as at 120x110", "gives another picture at 104x94"),
        pays=True,
    ),
    Cheat("a switch by a branch", switch_by_branch, flags=("holds If", "times as long for each pixel"), pays=True),
    Cheat(
        "cheap on large photos",
        cheap_when_large,
        flags=(
            "times as long for each pixel at 60x55 as at 120x110",
            "dB of PSNR where the pairs are shown side by side",
        ),
        pays=True,
    ),
    Cheat("cheap on one colour", cheap_when_constant),
    Cheat("an output that ignores its input", models.constant_output, flags=("nearly the same output",), pays=True),
    Cheat("a random number as a counter", count_calls, status="failed", reason="the random operator RandomUniform"),
    Cheat(
        "work in a custom operator", hide_work, status="failed", reason="the custom operator 'com.microsoft.FusedConv'"
    ),
    Cheat(
        "weights outside the file", lambda: models.external_data("/etc/passwd"), status="failed", reason="external data"
    ),
    Cheat("functions that multiply", many_functions, status="failed", reason="operators"),
    Cheat(
        "a pickle in the model's place",
        lambda: pickle.dumps(Payload()),
        status="failed",
        reason="not a whole ONNX model",
    ),
    Cheat("a loop that never ends", models.endless_loop, status="failed", reason="no end of run within"),
    Cheat(
        "more memory than allowed", lambda: models.allocate(900_000_000), status="disqualified", reason="out of memory"
    ),
)
