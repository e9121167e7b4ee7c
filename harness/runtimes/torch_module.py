"""PyTorch source with weights: `model.py`, whose `build()` returns the network, and its tensors beside it.

It is Python: it runs only where the parent allows it and behind its layers, and can do all that these leave it.
"""

import sys
from types import ModuleType
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import nn

from harness.protocol import Device, Inspected, Layout
from harness.runtimes.torch import Program, prepare_torch

MODULE = "model"
BUILD = "build"


def inspect_model(code: bytes, weights: bytes, *, kind: str) -> Inspected:
    """Parameters; nothing static can be said of a program. Raises ValueError for files that are no such model."""
    del kind
    parameters = sum(tensor.numel() for tensor in build_network(code, weights).parameters())
    return Inspected(opset=0, inputs=(), outputs=(), parameters=parameters, refused=(), control_flow=())


def count_multiply_adds(code: bytes, weights: bytes, *, layout: Layout, width_px: int, height_px: int) -> None:
    """Never known: a program can hide its work."""


def load_model(code: bytes, weights: bytes, *, kind: str, threads: int, device: Device, seed: int | None) -> Program:
    """Build the network and make it ready to run."""
    del kind
    prepare_torch(threads, device)
    return Program(build_network(code, weights).to(device), device, seed)


def build_network(code: bytes, weights: bytes) -> nn.Module:
    """The network in eval mode with its weights. Raises ValueError that says which file does not hold, and why."""
    tensors = read_weights(weights)
    build = getattr(run_code(code), BUILD, None)
    if not callable(build):
        raise ValueError(f"it has no function {BUILD}(); write one that takes nothing and returns the network")
    try:
        network = build()
    except Exception as error:
        raise ValueError(f"its {BUILD}() fails ({shorten(error)}); mend it") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"its {BUILD}() returns {type(network).__name__}; it must return a torch.nn.Module")
    try:
        network.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise ValueError(f"the weights are not those of its network ({shorten(error)}); save them again") from error
    return network.eval()


def read_weights(content: bytes) -> dict[str, Any]:
    """The tensors of a safetensors file, by name; no pickle is read."""
    try:
        tensors: dict[str, Any] = safetensors.torch.load(content)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"the weights are no whole safetensors file ({shorten(error)}); save them again") from error
    return tensors


def run_code(code: bytes) -> ModuleType:
    """The module that the source makes, under the name by which Python's own tools look it up."""
    module = ModuleType(MODULE)
    sys.modules[MODULE] = module
    try:
        exec(compile(code, f"{MODULE}.py", "exec"), module.__dict__)  # noqa: S102 - this is what was asked for
    except SyntaxError as error:
        raise ValueError(f"it is no valid Python ({error.msg}, line {error.lineno}); correct it") from error
    except Exception as error:
        raise ValueError(f"it fails as it is imported ({shorten(error)}); mend it") from error
    return module


def shorten(error: Exception) -> str:
    """An error's lines as one, with its kind."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
