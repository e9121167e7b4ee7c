"""Programs made to deceive, as TorchScript: what red_team.py does with graphs, with code that keeps, counts and writes.

docs/measurement.md lists them by these names.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

WRITTEN = Path("/tmp/harness_red_team_code_was_here")


@dataclass(frozen=True)
class Program:
    """A program, and what must come of it: a phrase among the flags, or the failure's kind and a part of its reason."""

    name: str
    build: Callable[[], nn.Module]
    flag: str = ""
    status: str = "ok"
    kind: str = ""
    reason: str = ""
    allow_code: bool = True


def save_script(module: nn.Module) -> bytes:
    """The bytes of its TorchScript."""
    content = io.BytesIO()
    torch.jit.save(torch.jit.script(module.eval()), content)
    return content.getvalue()


def work(source: Tensor) -> Tensor:
    """Brightens by RED, the long way round."""
    result = source
    for _ in range(400):
        result = torch.sqrt(torch.abs(result))
    return source + 0.0 * result + 0.05


class Honest(nn.Module):
    """Always works."""

    def forward(self, source: Tensor) -> Tensor:
        return work(source)


class KeepsAttribute(nn.Module):
    """Replays its last output for the same input, from attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen, self.kept = torch.zeros(1), torch.zeros(1)

    def forward(self, source: Tensor) -> Tensor:
        if self.seen.shape == source.shape and bool((self.seen == source).all()):
            return self.kept
        self.seen, self.kept = source, work(source)
        return self.kept


class KeepsBuffer(nn.Module):
    """The same with buffers that are written in place: no attribute is set. They hold any picture of the tests."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3 * 110 * 120))
        self.register_buffer("kept", torch.zeros(3 * 110 * 120))

    def forward(self, source: Tensor) -> Tensor:
        flat = source.flatten()
        seen, kept = self.seen[: flat.numel()], self.kept[: flat.numel()]
        if not bool((seen == flat).all()):
            seen.copy_(flat)
            kept.copy_(work(flat))
        return kept.clone().reshape(source.shape)


class Counts(nn.Module):
    """Leaves the work out from the sixth call on."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, source: Tensor) -> Tensor:
        self.calls.add_(1)
        return source if bool(self.calls > 5) else work(source)


class Draws(nn.Module):
    """Adds noise."""

    def forward(self, source: Tensor) -> Tensor:
        return source + 0.05 + 0.1 * (torch.rand_like(source) - 0.5)


class Writes(nn.Module):
    """Maps a file, which makes it."""

    def __init__(self) -> None:
        super().__init__()
        self.path = str(WRITTEN)

    def forward(self, source: Tensor) -> Tensor:
        written = torch.from_file(self.path, True, 16).fill_(1.0)
        return work(source) + 0.0 * written.sum()


class Prints(nn.Module):
    """Prints what a reply could look like."""

    def forward(self, source: Tensor) -> Tensor:
        print(  # noqa: T201
            '{"type": "ran", "wall_ns": 1, "cpu_ns": 1, "dtype": "float32", "shape": [1, 3, 110, 120]}'
        )
        return work(source)


class LoadsSlowly(nn.Module):
    """Works while it is loaded."""

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, bool]:
        return torch.ones(1, 3, 110, 120), self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, bool]) -> None:
        self.training = state[1]
        warm = state[0]
        for _ in range(20):
            warm = work(warm)

    def forward(self, source: Tensor) -> Tensor:
        return work(source)


class StartsSlowly(nn.Module):
    """Works much longer in its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, source: Tensor) -> Tensor:
        turns = 1 if bool(self.calls > 0) else 40
        self.calls.add_(1)
        result = source
        for _ in range(turns):
            result = work(source)
        return result


PROGRAMS = (
    Program(
        "a program without leave",
        Honest,
        status="failed",
        kind="rule",
        reason="run it with --allow-code",
        allow_code=False,
    ),
    Program("a cache between calls", KeepsAttribute, status="failed", reason="keeps something between its runs"),
    Program("a cache in a buffer", KeepsBuffer, flag="times as fast on a photo that it has just seen"),
    Program("a counter in a buffer", Counts, status="failed", kind="not_repeatable"),
    Program(
        "undeclared noise", Draws, status="failed", kind="not_repeatable", reason="has to declare its seed or draws"
    ),
    Program("a program that writes files", Writes, status="failed", kind="error", reason="its run failed"),
    Program("a program that prints results", Prints),
)
