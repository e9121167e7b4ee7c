"""The runtime for programs: what it finds in them, what it says of faulty files, and how it runs them."""

import io
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
import torch
from red_team_code import Draws, Honest, KeepsAttribute, KeepsBuffer, LoadsSlowly, save_script
from torch import Tensor, nn

from harness.runtimes import torch as runtime

pytestmark = [
    pytest.mark.usefixtures("torch_threads"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

SOURCE = np.random.default_rng(3).random((1, 3, 8, 9), dtype=np.float32)


def load(module: nn.Module, *, seed: int | None = None) -> runtime.Program:
    program = runtime.load_model(save_script(module), kind="torchscript", threads=1, device="cpu", seed=seed)
    program.place(SOURCE)
    return program


def run(program: runtime.Program) -> np.ndarray:
    program.run()
    return program.take()


# --- what is found


class Holds(nn.Module):
    """A part of a larger module."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.parts = nn.Sequential(nn.Identity(), part)

    def forward(self, source: Tensor) -> Tensor:
        return self.parts(source)


class KeepsInBranch(nn.Module):
    """Sets an attribute inside a loop and a branch."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, source: Tensor) -> Tensor:
        for turn in range(3):
            if turn == 1:
                self.calls += 1
        return source


class KeepsInMethod(nn.Module):
    """Sets an attribute in what a fork runs."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(1)

    def keep(self, source: Tensor) -> Tensor:
        self.kept = source
        return source

    def forward(self, source: Tensor) -> Tensor:
        return torch.jit.wait(torch.jit.fork(self.keep, source))


class State:
    """An object that can be changed."""

    def __init__(self, value: Tensor):
        self.value = value

    def keep(self, value: Tensor):  # type: ignore[no-untyped-def]
        self.value = value


class KeepsInObject(nn.Module):
    """Sets an attribute of an object that it holds: none of its own methods sets one."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State(torch.zeros(1))

    def forward(self, source: Tensor) -> Tensor:
        self.state.keep(source)
        return source


class MakesObject(nn.Module):
    """Makes an object in each run, and keeps nothing."""

    def forward(self, source: Tensor) -> Tensor:
        return State(source).value


class StartsAgain(LoadsSlowly):
    """Calls what belongs to its loading."""

    def forward(self, source: Tensor) -> Tensor:
        self.__setstate__((source, True))
        return source


@pytest.mark.parametrize(
    "build",
    [KeepsAttribute, lambda: Holds(KeepsAttribute()), KeepsInBranch, KeepsInMethod, KeepsInObject, StartsAgain],
    ids=["module", "submodule", "branch", "fork", "object", "loading"],
)
def test_a_program_that_sets_an_attribute_is_refused(build: Any) -> None:
    inspected = runtime.inspect_model(save_script(build()), kind="torchscript")
    assert inspected.refused == ("code that keeps something between its runs (prim::SetAttr)",)


@pytest.mark.parametrize("build", [Honest, KeepsBuffer, LoadsSlowly, MakesObject, lambda: Holds(nn.ReLU())])
def test_a_program_that_sets_none_is_not_refused(build: Any) -> None:
    assert runtime.inspect_model(save_script(build()), kind="torchscript").refused == ()


def test_parameters_are_counted_and_buffers_are_not() -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1, bias=False))
    inspected = runtime.inspect_model(save_script(module), kind="torchscript")
    assert inspected.parameters == 8 * 27 + 8 + 16 + 24
    assert runtime.count_multiply_adds(b"", layout="NCHW", width_px=9, height_px=8) is None


# --- faulty files


def zip_of(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            archive.writestr(f"archive/{name}", member)
    return content.getvalue()


FAULTY = {
    "empty": b"",
    "text": b"no program",
    "pickle": pickle.dumps({"a": 1}),
    "start of an archive": b"PK\x03\x04",
    "empty archive": zip_of(),
    "another archive": zip_of(readme=b"x"),
    "half of a program": None,
}


@pytest.mark.parametrize("kind", ["torchscript", "pt2"])
@pytest.mark.parametrize("content", FAULTY.values(), ids=FAULTY)
def test_a_faulty_file_is_one_sentence(kind: str, content: bytes | None) -> None:
    content = save_script(Honest())[:-700] if content is None else content
    with pytest.raises(ValueError, match=f"^the file is no (archive of a|whole) {kind} program") as caught:
        runtime.inspect_model(content, kind=kind)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert str(caught.value).endswith(("export it again", "export it with torch"))


def test_cuda_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="CUDA is not available to PyTorch"):
        runtime.load_model(save_script(Honest()), kind="torchscript", threads=1, device="cuda", seed=None)


# --- runs


class Pair(nn.Module):
    def forward(self, source: Tensor) -> tuple[Tensor, Tensor]:
        return source, source


class Fails(nn.Module):
    def forward(self, source: Tensor) -> Tensor:
        return source.reshape(7, 7)


class Refuses(nn.Module):
    def forward(self, source: Tensor) -> Tensor:
        if bool(source.sum() > 0):
            raise ValueError("too bright")
        return source


class Views(nn.Module):
    """An output that does not lie in memory in its order."""

    def forward(self, source: Tensor) -> Tensor:
        return source.transpose(2, 3)


def test_an_output_that_is_no_tensor_is_named() -> None:
    with pytest.raises(TypeError, match="its output is tuple; it must be one tensor"):
        run(load(Pair()))


@pytest.mark.parametrize(
    ("module", "words"),
    [(Fails, r"^RuntimeError: shape '\[7, 7\]' is invalid"), (Refuses, r"^\S*ValueError: too bright")],
)
def test_an_error_in_a_program_is_said_in_its_own_words(module: type[nn.Module], words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        run(load(module()))


def test_an_output_comes_back_in_its_order_and_is_forgotten() -> None:
    program = load(Views())
    np.testing.assert_array_equal(run(program), SOURCE.transpose(0, 1, 3, 2))
    with pytest.raises(AttributeError):
        program.take()


def test_a_program_does_not_reach_the_callers_picture() -> None:
    class Overwrites(nn.Module):
        def forward(self, source: Tensor) -> Tensor:
            return source.mul_(0)

    source = SOURCE.copy()
    program = load(Overwrites())
    program.place(source)
    assert not run(program).any()
    np.testing.assert_array_equal(source, SOURCE)


def test_a_seed_makes_random_numbers_repeat() -> None:
    first, again, other, free = (load(Draws(), seed=seed) for seed in (1, 1, 2, None))
    np.testing.assert_array_equal(run(first), run(first))
    np.testing.assert_array_equal(run(first), run(again))
    assert np.abs(run(first) - run(other)).max() > 0.01
    assert np.abs(run(free) - run(free)).max() > 0.01
