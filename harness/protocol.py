"""What the parent and the child say to each other: JSON messages, and raw bytes for arrays; never a pickle."""

from typing import Annotated, Literal

import msgspec

Layout = Literal["NHWC", "NCHW"]
Positive = Annotated[int, msgspec.Meta(gt=0)]
Device = Literal["cpu", "cuda"]


class _Message(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    pass


class Convert(_Message, frozen=True):
    """Turn the model into an ONNX file. Its open files follow, as descriptors."""

    runtime: str


class Inspect(_Message, frozen=True):
    """Read the model's graph without running it. Its open files follow, as descriptors."""

    runtime: str


class Count(_Message, frozen=True):
    """Count the multiply-adds for one image of this size. The model's open files follow, as descriptors."""

    runtime: str
    layout: Layout
    width_px: int
    height_px: int


class Load(_Message, frozen=True):
    """Make the model ready to run. Its open files follow, as descriptors.

    With a seed, random numbers start anew from it in every run.
    """

    runtime: str
    threads: int
    device: Device = "cpu"
    seed: int | None = None


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


class Inspected(_Message, frozen=True):
    """A graph as it declares itself; `refused` are phrases for what no submission may hold."""

    opset: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: int
    refused: tuple[str, ...]
    control_flow: tuple[str, ...] = ()


class Converted(_Message, frozen=True):
    """The model as an ONNX file, which follows as so many bytes."""

    size_bytes: int


class Counted(_Message, frozen=True):
    """Multiply-adds, or None when an operator or a shape is not known to the counter."""

    multiply_adds: int | None


class Confined(_Message, frozen=True):
    """The child's first words: of each layer of its isolation "on", or "off: " and why."""

    layers: dict[str, str]


class Done(_Message, frozen=True):
    """The request was carried out; how long it took."""

    wall_ns: int = 0


class Ran(_Message, frozen=True):
    """One run's times and what it returned."""

    wall_ns: Positive
    cpu_ns: Positive
    dtype: str
    shape: tuple[int, ...]


class Failed(_Message, frozen=True):
    """The request failed inside the child."""

    kind: str
    message: str


Request = Convert | Inspect | Count | Load | Put | Run | Fetch
Reply = Confined | Converted | Inspected | Counted | Done | Ran | Failed

MAX_CONVERTED_BYTES = 200_000_000
"""Of the ONNX file that a conversion gives: twice what a submitted file may have."""

MAX_MESSAGE_BYTES = 1 << 20
"""No message is near this; arrays travel as bytes of a length both sides know."""
