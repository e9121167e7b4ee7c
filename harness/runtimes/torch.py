"""TorchScript and torch.export programs: code, which runs only where the parent allows it and behind its layers.

Nothing static can be trusted of them. Loading one already runs it: a program may hold pickles.
"""

import contextlib
import functools
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch

from harness.protocol import Device, Inspected, Layout

TENSORS_ALONE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
"""Tensors are then read without Python's pickle, and nothing else is."""

refusing = ContextVar("refusing", default=False)


def inspect_model(content: bytes, *, kind: str) -> Inspected:
    """Parameters, and what no program may hold. Raises ValueError for a file that is none."""
    module = read_model(content, kind)
    parameters = sum(tensor.numel() for tensor in module.parameters())
    keeps = kind == "torchscript" and any(map(sets_attribute, list_nodes(module)))
    refused = ("code that keeps something between its runs (prim::SetAttr)",) if keeps else ()
    return Inspected(opset=0, inputs=(), outputs=(), parameters=parameters, refused=refused, control_flow=())


def count_multiply_adds(content: bytes, *, layout: Layout, width_px: int, height_px: int) -> None:
    """Never known: a program can hide its work."""


def load_model(content: bytes, *, kind: str, threads: int, device: Device, seed: int | None) -> "Program":
    """Make a program ready to run."""
    prepare_torch(threads, device)
    return Program(read_model(content, kind, device), device, seed)


def prepare_torch(threads: int, device: Device) -> None:
    """Give PyTorch its threads. Raises ValueError where it has no such device."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("CUDA is not available to PyTorch; install a build for it, or leave out --device cuda")


def read_model(content: bytes, kind: str, device: Device = "cpu") -> Any:
    """The module. Raises ValueError for a file that is no such program."""
    if not content.startswith(b"PK"):
        raise ValueError(f"the file is no archive of a {kind} program; export it with torch")
    try:
        with unpickle_nothing():
            if kind == "torchscript":
                return torch.jit.load(io.BytesIO(content), map_location=device).eval()
            return torch.export.load(io.BytesIO(content)).module().to(device)
    except Exception as error:  # the loaders raise whatever they stumble over
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise ValueError(f"the file is no whole {kind} program ({reason[:200]}); export it again") from error


@contextlib.contextmanager
def unpickle_nothing() -> Iterator[None]:
    """Refuse pickles that name a class or function: the loader would run them, which lets them change the clock."""
    os.environ[TENSORS_ALONE] = "1"
    add_hook()
    refusing.set(True)
    try:
        yield
    finally:
        refusing.set(False)
        os.environ.pop(TENSORS_ALONE, None)


@functools.cache
def add_hook() -> None:
    """Once, as no hook can be removed."""

    def refuse(event: str, _: object) -> None:
        if event == "pickle.find_class" and refusing.get():
            raise RuntimeError("it holds a pickle")

    sys.addaudithook(refuse)


def list_nodes(module: Any) -> Iterator[Any]:
    """The nodes of all methods of a TorchScript module and of those inside it, with all that these call.

    Without those of __setstate__, which has to set attributes; it runs while the module is loaded, or is called here.
    """
    for part in module.modules():
        for name in part._c._method_names():
            if name != "__setstate__":
                graph = getattr(part._c, "_get_method")(name).graph.copy()  # noqa: B009
                torch._C._jit_pass_inline(graph)
                yield from list_block(graph)


def list_block(block: Any) -> Iterator[Any]:
    """The nodes of a graph or block, and of the blocks and graphs in them."""
    for node in block.nodes():
        yield node
        inside = [node.g("Subgraph")] if node.hasAttribute("Subgraph") else []
        for inner in (*node.blocks(), *inside):
            yield from list_block(inner)


def sets_attribute(node: Any) -> bool:
    """Whether it sets an attribute of anything but an object that the same run has made."""
    return bool(node.kind() == "prim::SetAttr" and next(node.inputs()).node().kind() != "prim::CreateObject")


def find_reason(message: str) -> str:
    """What comes after the lines of code that TorchScript shows, or all of a message without any."""
    lines = message.partition("<--- HERE")[2].splitlines()
    reason = itertools.dropwhile(lambda line: not line or line.startswith(("Traceback", " ")), lines)
    return "\n".join(reason) or message


class Program:
    """A loaded program on its device."""

    def __init__(self, module: Callable[[torch.Tensor], Any], device: Device, seed: int | None) -> None:
        self.module, self.device, self.seed = module, device, seed

    def place(self, source: np.ndarray) -> None:
        """Copy the input of the coming runs to the device."""
        self.source = torch.from_numpy(source.copy()).to(self.device)

    def run(self) -> None:
        """Compute the output, and wait until the device has done so."""
        if self.seed is not None:
            torch.manual_seed(self.seed)
        try:
            with torch.inference_mode():
                self.output = self.module(self.source)
        except (RuntimeError, torch.jit.Error) as error:  # TorchScript puts pages of its own before what went wrong
            raise RuntimeError(find_reason(str(error))) from error
        if self.device == "cuda":
            torch.cuda.synchronize()

    def take(self) -> np.ndarray:
        """The output in main memory, which is not kept any longer."""
        output = self.output
        del self.output
        if not isinstance(output, torch.Tensor):
            raise TypeError(f"its output is {type(output).__name__}; it must be one tensor")
        array: np.ndarray = output.detach().cpu().contiguous().numpy()
        return array
