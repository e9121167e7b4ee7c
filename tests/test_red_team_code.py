"""Programs that cheat are caught as well, and honest ones get their numbers; only with leave, and only confined."""

import contextlib
import io
import json
import logging
import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import pytest
import tiny
import torch
from onnx import TensorProto
from processes import linux
from red_team import RED
from red_team_code import PROGRAMS, WRITTEN, Draws, Honest, LoadsSlowly, Program, StartsSlowly, save_script
from tiny import ignore
from torch import nn

from harness.challenge import read_challenge
from harness.evaluate import evaluate
from harness.flags import find_flags
from harness.formats import find_format
from harness.job import Evaluation
from harness.records import Record, Timing
from harness.render.measurement import list_remarks
from harness.runtimes import torch as runtime
from harness.submission import SubmissionFolder, read_submission
from harness.timing import TimingPlan

pytestmark = [linux, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PLAN = TimingPlan(threads=1, least_blocks=1, most_blocks=1, warmups=1, runs=2)
PSNR_DB = -20 * math.log10(20 / 255 - RED)
"""Of the honest program: targets are 20 brighter than their sources."""

Judge = Callable[..., Record]


@pytest.fixture(autouse=True)
def _no_trace() -> Iterator[None]:
    WRITTEN.unlink(missing_ok=True)
    yield
    WRITTEN.unlink(missing_ok=True)


@pytest.fixture
def judge(tmp_path: Path, evaluation: Evaluation) -> Judge:
    """Evaluates a program's bytes, with leave and with memory for its runtime."""
    path = tiny.write_challenge(
        tmp_path / "roomy", memory_bytes=3_500_000_000, model_bytes=10_000_000, run_s=20.0, load_s=60.0
    )
    roomy = replace(evaluation, challenge=read_challenge(path), allow_code=True)

    def judge(content: bytes, *, plan: TimingPlan | None = PLAN, allow_code: bool = True, **keys: object) -> Record:
        folder = write_program(tmp_path / "program", content, **keys)
        return evaluate(folder, replace(roomy, plan=plan, allow_code=allow_code), split=None, on_progress=ignore)

    return judge


def write_program(folder: Path, content: bytes, *, runtime: str = "torchscript", **keys: object) -> SubmissionFolder:
    file = find_format(runtime).model_file
    models.write_submission(folder, runtime=runtime, model_file=file, **keys)
    (folder / file).write_bytes(content)
    return read_submission(folder)


def read_psnr_db(record: Record) -> float:
    assert record.quality is not None, record.failure
    return float(np.mean([score.values["psnr"] for score in record.quality.pairs]))


def read_timing(record: Record) -> Timing:
    assert record.timing is not None, record.failure
    return record.timing


# --- cheats


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_that_cheats_is_caught(judge: Judge, program: Program) -> None:
    record = judge(save_script(program.build()), allow_code=program.allow_code)
    assert record.status == program.status, record.failure
    assert not WRITTEN.exists()
    if record.failure is not None:
        assert program.kind in ("", record.failure.kind)
        assert program.reason in record.failure.message
        return
    assert read_psnr_db(record) == pytest.approx(PSNR_DB, abs=1e-3)
    flags = find_flags(record)
    assert any(program.flag in flag for flag in flags) if program.flag else flags == ()


@pytest.mark.slow
def test_warming_up_while_loading_is_a_number_of_its_own(judge: Judge) -> None:
    honest, warm = (read_timing(judge(save_script(module))) for module in (Honest(), LoadsSlowly()))
    assert warm.load_ns[0] > 5 * min(honest.samples_ns[0]) + honest.load_ns[0]
    assert min(warm.samples_ns[0]) > 0.5 * min(honest.samples_ns[0])


def test_a_slow_first_call_is_a_number_of_its_own(judge: Judge) -> None:
    timing = read_timing(judge(save_script(StartsSlowly())))
    assert timing.warmup_ns[0][0] > 10 * max(timing.samples_ns[0])


CHEATS = [*(program.name for program in PROGRAMS), "warming up while loading", "a slow first call"]


@pytest.mark.parametrize("name", CHEATS)
def test_every_program_is_in_the_documentation(name: str) -> None:
    page = Path(__file__).parent.parent / "docs" / "measurement.md"
    assert f"| {name} |" in page.read_text(encoding="utf-8")


# --- declared noise


@pytest.mark.slow
def test_noise_from_a_declared_seed_repeats(judge: Judge) -> None:
    first, second = (judge(save_script(Draws()), plan=plan, seed=1) for plan in (PLAN, None))
    assert first.quality == second.quality
    assert first.timing is not None
    assert any("from the seed 1" in remark for remark in list_remarks(first))


def test_the_values_of_declared_draws_are_means(judge: Judge) -> None:
    record = judge(save_script(Draws()), draws=3)
    assert record.timing is not None, record.failure
    assert any("the mean over 3 outputs" in remark for remark in list_remarks(record))
    error = (20 / 255 - RED) ** 2 + 0.1**2 / 12
    assert read_psnr_db(record) == pytest.approx(-10 * math.log10(error), abs=0.05)


# --- one network in each format


class Network(nn.Module):
    """A convolution that blurs a little."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 3, padding=1)
        weights = torch.zeros(3, 3, 3, 3)
        for channel in range(3):
            weights[channel, channel] = 0.05
            weights[channel, channel, 1, 1] = 0.6
        self.layer.weight.data, self.layer.bias.data = weights, torch.full((3,), 0.03)

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        return self.layer(source)


def save_exported(module: nn.Module) -> bytes:
    """The bytes of its .pt2, for pictures of any size."""
    free, content = torch.export.Dim.AUTO, io.BytesIO()
    source = torch.rand(1, 3, 30, 32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module.eval(), (source,), dynamic_shapes=({2: free, 3: free},))
        torch.export.save(program, content)
    return content.getvalue()


@pytest.fixture(scope="module")
def exported() -> bytes:
    return save_exported(Network())


@pytest.mark.slow
def test_one_network_has_the_same_quality_in_each_format(judge: Judge, exported: bytes) -> None:
    network = Network()
    weights = {"w": network.layer.weight.detach().numpy(), "b": network.layer.bias.detach().numpy()}
    graph = models.build_model(
        [models.node("Conv", ["source", "w", "b"], pads=[1, 1, 1, 1])],
        weights=weights,
        inputs=[("source", TensorProto.FLOAT, models.NCHW)],
        outputs=[("output", TensorProto.FLOAT, models.NCHW)],
    )
    records = {
        "onnx": judge(graph.SerializeToString(), runtime="onnx", plan=None),
        "torchscript": judge(save_script(network), plan=None),
        "pt2": judge(exported, runtime="pt2"),
    }
    values = {name: read_psnr_db(record) for name, record in records.items()}
    assert values == pytest.approx(dict.fromkeys(values, values["onnx"]), abs=0.001)
    assert read_timing(records["pt2"]).samples_ns
    assert "is a program (pt2), run with --allow-code" in list_remarks(records["pt2"])


# --- code that runs while a program is loaded


class Payload:
    """Leaves traces where it is unpickled: by Python, and by a program that it starts."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        code = f"import os, pathlib; os.system('touch {WRITTEN}'); pathlib.Path('{WRITTEN}').write_text('x')"
        return exec, (code,)


def rewrite(archive: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """The archive with members changed."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        new.writestr("archive/data/constants/opaque_obj_0", pickle.dumps(Payload()))  # only poison_opaque points to it
    return content.getvalue()


def save_payload() -> bytes:
    """As torch.save writes it."""
    content = io.BytesIO()
    torch.save(Payload(), content)
    return content.getvalue()


def poison_weights(name: str, member: bytes) -> bytes:
    if name.endswith("model_weights_config.json"):
        config = json.loads(member)
        config["config"]["layer.weight"]["use_pickle"] = True
        return json.dumps(config).encode()
    return save_payload() if name.endswith("weights/weight_0") else member


def poison_inputs(name: str, member: bytes) -> bytes:
    return save_payload() if name.endswith("sample_inputs/model.pt") else member


def poison_opaque(name: str, member: bytes) -> bytes:
    if name.endswith("model_constants_config.json"):
        meta = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
        return json.dumps({"config": {"x": meta | {"tensor_meta": None}}}).encode()
    return member


def poison_expression(name: str, member: bytes) -> bytes:
    """The loader evaluates what is said of sizes: no pickle is needed."""
    code = f"__import__('pathlib').Path('{WRITTEN}').write_text('x')"
    return re.sub(rb'"expr_str": "[^"]*"', f'"expr_str": "{code}"'.encode(), member) if "models/" in name else member


def poison_script(name: str, member: bytes) -> bytes:
    return pickle.dumps(Payload(), protocol=2) if name.endswith("data.pkl") else member


POISONS = (poison_weights, poison_inputs, poison_opaque, poison_expression)


@pytest.mark.parametrize("poison", [*POISONS, poison_script])
def test_code_that_runs_while_loading_leaves_no_trace(
    judge: Judge, exported: bytes, poison: Callable[..., bytes]
) -> None:
    if poison is poison_script:
        record = judge(rewrite(save_script(Network()), poison), plan=None)
    else:
        poisoned = rewrite(exported, poison)
        record = judge(poisoned, plan=None, runtime="pt2")
    assert not WRITTEN.exists()
    assert record.failure is not None
    assert "the file is no whole" in record.failure.message


@pytest.mark.parametrize("poison", [poison_weights, poison_inputs, poison_opaque])
def test_the_runtime_runs_no_pickle(exported: bytes, poison: Callable[..., bytes]) -> None:
    """Not even where nothing else confines it: with all of Python, a program could turn the clock."""
    with pytest.raises(ValueError, match="the file is no whole pt2 program"):
        runtime.read_model(rewrite(exported, poison), "pt2")
    assert not WRITTEN.exists()


@pytest.mark.parametrize("poison", POISONS)
def test_such_code_runs_where_nothing_confines_it(
    exported: bytes, poison: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)  # a warning of the loader's has too few values
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.load(io.BytesIO(rewrite(exported, poison)))
    assert WRITTEN.exists()


def test_a_plain_pickle_is_no_program(judge: Judge) -> None:
    record = judge(pickle.dumps(Payload()), plan=None)
    assert record.failure is not None
    assert "the file is no archive of a torchscript program; export it with torch" in record.failure.message
    assert "\n" not in record.failure.message
    assert not WRITTEN.exists()
