"""What the parent and the child say to each other: JSON messages, and raw bytes for arrays; never a pickle."""

from typing import Literal

import msgspec

Layout = Literal["NHWC", "NCHW"]


class _Message(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    pass


class Inspect(_Message, frozen=True):
    """Read the model's graph without running it; its cost is counted for one image of this size.

    layout is what the submission declares; None: it is read off the graph.
    """

    runtime: str
    path: str
    layout: Layout | None
    width_px: int
    height_px: int


class Load(_Message, frozen=True):
    """Make the model ready to run."""

    runtime: str
    path: str
    threads: int


class Put(_Message, frozen=True):
    """Keep the float32 array that follows as bytes: the input of the coming runs."""

    shape: tuple[int, ...]


class Run(_Message, frozen=True):
    """Run the model once on the kept input."""


class Fetch(_Message, frozen=True):
    """Send the last output as bytes."""


class Tensor(msgspec.Struct, frozen=True):
    """An input or output of a graph; a dimension that is not fixed is None."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


def choose_layout(declared: Layout | None, shape: tuple[int | None, ...]) -> Layout:
    """The declared layout of a 4-D input, or the one that its three channels show."""
    return declared or ("NCHW" if shape[1] == 3 and shape[3] != 3 else "NHWC")


class Inspected(_Message, frozen=True):
    """A graph as it declares itself. multiply_adds is None when an operator is not known to the counter."""

    opset: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: int
    multiply_adds: int | None
    refused: tuple[str, ...]


class Done(_Message, frozen=True):
    """The request was carried out; how long it took."""

    wall_ns: int = 0


class Ran(_Message, frozen=True):
    """One run's times and what it returned."""

    wall_ns: int
    cpu_ns: int
    dtype: str
    shape: tuple[int, ...]


class Failed(_Message, frozen=True):
    """The request failed inside the child."""

    kind: str
    message: str


Request = Inspect | Load | Put | Run | Fetch
Reply = Inspected | Done | Ran | Failed

MAX_MESSAGE_BYTES = 1 << 20
"""No message is near this; arrays travel as bytes of a length both sides know."""
