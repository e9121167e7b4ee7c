"""One submission on one dataset: which values, what of it repeats, and what becomes of a failure."""

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import onnx
import pytest
import tiny
from onnx import TensorProto
from tiny import ignore

from harness import session
from harness.admission import validate
from harness.assets import open_store
from harness.boards import build_boards
from harness.challenge import Challenge, ChallengeMetric, read_challenge
from harness.dataset import Dataset
from harness.datasets import open_dataset
from harness.errors import ChallengeError, ModelError
from harness.evaluate import evaluate
from harness.job import Evaluation
from harness.metrics.psnr import psnr
from harness.progress import AUDIT, CHECK, QUALITY, TIME, Step
from harness.quality import BoundMetric, bind_metrics, score_image
from harness.records import Quality, Record
from harness.render.markdown import render_leaderboard
from harness.submission import SubmissionFolder
from harness.timing import TimingPlan

PLAN = TimingPlan(threads=1, least_blocks=1, most_blocks=1, warmups=1, runs=2)


def get_quality(record: Record) -> Quality:
    assert record.failure is None
    assert record.quality is not None
    return record.quality


# --- a result


def test_a_record_holds_the_values_of_each_pair(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder]
) -> None:
    record = evaluate(submit(models.brighten(0.05)), evaluation, split=None, on_progress=ignore)
    quality = get_quality(record)
    assert (record.status, record.challenge, record.timing) == ("ok", "tiny", None)
    assert (quality.dataset, quality.split, len(quality.photos)) == ("pictures", "all", 1)
    for scored in quality.pairs:
        pair = evaluation.dataset.load_pair(scored.image)
        output = pair.source.astype(np.float32) / np.float32(255) + np.float32(0.05)
        expected = psnr(np.clip(output, 0, 1).astype(np.float64), pair.target / 255, data_range=1)
        assert scored.values["psnr"] == pytest.approx(expected, abs=1e-4)
        shipped = np.rint(np.clip(output, 0, 1) * 255).astype(np.uint8)
        assert scored.values["psnr_png"] == pytest.approx(psnr(shipped, pair.target, data_range=255), abs=1e-9)
        assert scored.values.keys() == {"psnr", "psnr_png", "ms_ssim", "ms_ssim_png"}
    assert quality.profiles == {"psnr": "pirm-b", "ms_ssim": "pirm-b"}
    assert [scored.image for scored in quality.pairs] == ["0", "1", "2"]
    assert quality.photos[0].values == {}  # no metric of this challenge is for photos


def test_a_constant_output_is_a_result(evaluation: Evaluation, submit: Callable[..., SubmissionFolder]) -> None:
    quality = get_quality(evaluate(submit(models.constant_output()), evaluation, split=None, on_progress=ignore))
    target = evaluation.dataset.load_pair("0").target
    assert quality.pairs[0].values["psnr"] == pytest.approx(psnr(np.zeros_like(target), target, data_range=255))


def test_cost_memory_and_the_model_itself_are_recorded(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder]
) -> None:
    record = evaluate(submit(models.brighten()), evaluation, split=None, on_progress=ignore)
    assert record.cost is not None
    assert (record.cost.parameters, record.cost.multiply_adds) == (1, 0)
    assert record.cost.model_bytes == len(models.brighten().SerializeToString())
    assert record.memory is not None
    assert 30e6 < record.memory.loaded_bytes < 300e6
    assert 30e6 < record.memory.peak_bytes < 300e6
    assert (record.submission.layout, len(record.submission.sha256)) == ("NHWC", 64)


def test_the_peak_of_memory_is_that_of_the_runs(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    roomy = read_challenge(tiny.write_challenge(tmp_path / "roomy", model_bytes=100_000_000))
    record = evaluate(
        submit(models.burden(15_000_000)), replace(evaluation, challenge=roomy), split=None, on_progress=ignore
    )
    assert record.memory is not None
    assert record.memory.peak_bytes < record.memory.loaded_bytes - 30_000_000


def test_what_cannot_be_counted_within_the_limits_is_still_valid(
    challenge: Challenge, submit: Callable[..., SubmissionFolder]
) -> None:
    """At one known size the counter holds in memory what the model would only make in a run."""
    _, cost, _ = validate(submit(models.allocate(900_000_000)), challenge, allow_code=False)
    assert cost.multiply_adds is None


def test_a_repeated_evaluation_gives_the_same_digits(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder]
) -> None:
    folder = submit(models.brighten(0.07))
    first, second = (get_quality(evaluate(folder, evaluation, split=None, on_progress=ignore)) for _ in range(2))
    assert first == second
    assert len({scored.values["psnr"] for scored in first.pairs}) == 3  # or equal values would prove nothing


@pytest.mark.assets
def test_niqe_repeats_as_well(
    assets_dir: Path, challenge: Challenge, dataset: Dataset, tmp_path: Path, submit: Callable[..., SubmissionFolder]
) -> None:
    own = read_challenge("pirm2018b")
    photos = tiny.write_dataset(tmp_path / "large", pairs=1, width_px=300, height_px=200)
    metrics, missing = bind_metrics(own, open_store(assets_dir))
    evaluation = Evaluation(own, open_dataset(str(photos), open_store()), metrics, plan=None, threads=1)
    folder = submit(models.brighten(0.07))
    first, second = (get_quality(evaluate(folder, evaluation, split=None, on_progress=ignore)) for _ in range(2))
    assert first == second
    assert not missing
    assert first.photos[0].values["niqe"] is not None


COMPILATION = """
import gc, pathlib, sys
import numpy as np
from numba.core.registry import CPUDispatcher
from harness.assets import open_store
from harness.challenge import read_challenge
from harness.quality import bind_metrics, measure_compilation, score_image

def count_kernels():
    return sum(len(found.signatures) for found in gc.get_objects() if isinstance(found, CPUDispatcher))

metrics, _ = bind_metrics(read_challenge("pirm2018b"), open_store(pathlib.Path(sys.argv[1])))
print(count_kernels())
measure_compilation(metrics)
print(count_kernels())
for size in ((100, 100, 3), (240, 320, 3)):
    noise = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    score_image("noise", [noise.astype(np.float32) / 255], noise, metrics)
score_image("noise", [noise.astype(np.float32) / 255], None, metrics)
print(count_kernels(), len(metrics))
"""


@pytest.mark.assets
def test_all_metrics_of_the_challenge_are_compiled_beforehand(assets_dir: Path) -> None:
    command = [sys.executable, "-c", COMPILATION, str(assets_dir)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    before, compiled, used, metrics = map(int, done.stdout.split())
    assert metrics == 3
    assert before < compiled == used


@pytest.mark.assets
def test_the_identity_has_infinite_psnr_on_the_four_white_pairs(
    assets_dir: Path, challenge: Challenge, submit: Callable[..., SubmissionFolder]
) -> None:
    """They count as the challenge's TOML says, and the leaderboard shows how many there were."""
    rules = read_challenge("pirm2018b")
    evaluation = Evaluation(
        rules,
        open_dataset("pirm2018b", open_store(assets_dir)),
        bind_metrics(rules, open_store(assets_dir))[0],
        plan=None,
        threads=1,
    )
    record = evaluate(submit(models.identity()), evaluation, split="all", on_progress=ignore)
    infinite = [pair.image for pair in get_quality(record).pairs if pair.values["psnr"] is None]
    assert len(infinite) == 4
    for name in infinite:
        assert evaluation.dataset.load_pair(name).target.min() == 255
    (board,) = build_boards([record], rules)
    finite = [pair.values["psnr"] for pair in get_quality(record).pairs if pair.values["psnr"] is not None]
    assert board.frame["psnr"][0] == pytest.approx((sum(finite) + 4 * 54.15) / 400)
    page = render_leaderboard([board], [record], rules)
    assert "(4 inf)" in page
    assert "counts as 54.15 dB" in " ".join(page.split())


def test_an_exact_output_has_infinite_psnr(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    for path in (tmp_path / "pictures" / "target").iterdir():
        path.write_bytes((tmp_path / "pictures" / "source" / path.name).read_bytes())
    quality = get_quality(evaluate(submit(models.identity()), evaluation, split=None, on_progress=ignore))
    assert {scored.values["psnr"] for scored in quality.pairs} == {None}
    assert quality.pairs[0].values["ms_ssim"] == pytest.approx(1)


def test_time_is_measured_beside_the_baseline(evaluation: Evaluation, submit: Callable[..., SubmissionFolder]) -> None:
    timed = replace(evaluation, plan=PLAN)
    told: list[Step] = []
    record = evaluate(submit(models.brighten()), timed, split=None, on_progress=told.append)
    assert record.timing is not None
    assert (record.timing.width_px, record.timing.height_px, record.timing.baseline) == (120, 110, "slow")
    assert len(record.timing.samples_ns[0]) == len(record.timing.baseline_samples_ns[0]) == 2
    assert list(dict.fromkeys(step.stage for step in told)) == [CHECK, QUALITY, AUDIT, TIME]
    assert {step.submission for step in told if step.stage != CHECK} == {"a"}


def test_without_photos_there_is_neither_memory_nor_time(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder], tmp_path: Path
) -> None:
    bare = open_dataset(str(tiny.write_dataset(tmp_path / "bare", photos=0)), open_store())
    record = evaluate(submit(models.brighten()), replace(evaluation, dataset=bare), split=None, on_progress=ignore)
    assert record.status == "ok"
    assert record.memory is None
    prepared, _ = session.prepare_evaluation(
        evaluation.challenge, str(tmp_path / "bare"), open_store(), session.Options(threads=1), on_progress=ignore
    )
    assert prepared.plan is None


# --- a failure


@pytest.mark.parametrize(
    ("model", "status", "stage", "kind", "sentence"),
    [
        (models.all_nan(), "failed", "output", "not_finite", "39600 values that are NaN"),
        (models.not_finite(), "failed", "output", "not_finite", "values that are NaN"),
        (models.wrong_size(), "failed", "output", "wrong_shape", r"\(1, 109, 120, 3\) for an input of \(1, 110, 120"),
        (models.invert(), "failed", "output", "metric", "ms_ssim of 0 is nan: it is not defined"),
        (models.fixed_size(), "failed", "validate", "rule", "fixed size"),
        (models.with_type(TensorProto.INT64), "failed", "validate", "rule", "is int64; it must be float32"),
        (models.with_type(TensorProto.FLOAT16), "failed", "validate", "rule", "is float16; it must be float32"),
        (models.two_outputs(), "failed", "validate", "rule", "1 inputs and 2 outputs"),
        (models.with_shape(("height", "width", 3)), "failed", "validate", "rule", "its input has shape"),
        (models.random_operator(), "failed", "validate", "rule", "random operator"),
        (models.identity().SerializeToString()[:-20], "failed", "load", "error", "not a whole ONNX model"),
        (models.allocate(900_000_000), "disqualified", "run", "out_of_memory", r"out of memory \(limit 0\.4 GB\)"),
        (models.endless_loop(), "failed", "run", "timeout", "no end of run within 2 s"),
        (b"x" * 1_000_001, "disqualified", "validate", "too_large", "1.0 MB, 1 MB are allowed"),
        (None, "failed", "validate", "missing", "put the model beside the manifest"),
    ],
    ids="nan 0/0 size negative fixed int64 float16 outputs rank random truncated memory endless large missing".split(),
)
def test_what_a_model_does_wrong_is_a_record(
    evaluation: Evaluation,
    submit: Callable[..., SubmissionFolder],
    model: onnx.ModelProto | bytes | None,
    status: str,
    stage: str,
    kind: str,
    sentence: str,
) -> None:
    record = evaluate(submit(model), evaluation, split=None, on_progress=ignore)
    assert record.failure is not None
    assert (record.status, record.failure.stage, record.failure.kind) == (status, stage, kind)
    with pytest.raises(ModelError, match=sentence):
        raise ModelError(record.failure.message)
    assert (record.quality, record.timing, record.memory, record.cost) == (None, None, None, None)


def test_weights_that_are_published_elsewhere_are_unavailable(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder]
) -> None:
    record = evaluate(submit(None, weights="run `make weights`"), evaluation, split=None, on_progress=ignore)
    assert record.status == "unavailable"
    assert record.failure is not None
    assert "make weights" in record.failure.message


def test_a_baseline_that_fails_is_not_recorded_against_the_submission(
    evaluation: Evaluation, submit: Callable[..., SubmissionFolder]
) -> None:
    evaluation.challenge.baseline.model.write_bytes(b"no model")
    with pytest.raises(ChallengeError, match=r"slow\.onnx cannot be timed"):
        evaluate(submit(models.brighten()), replace(evaluation, plan=PLAN), split=None, on_progress=ignore)


@pytest.mark.parametrize(("name", "value"), [("psnr", math.nan), ("psnr", -math.inf), ("ms_ssim", math.inf)])
def test_a_value_that_is_not_defined_is_a_failure(name: str, value: float) -> None:
    chosen = ChallengeMetric(name, "pairs", "pirm-b")
    image = np.zeros((4, 4, 3), np.uint8)
    metric = BoundMetric(chosen, lambda output, target, *, data_range: value)
    with pytest.raises(ModelError, match=f"{name} of x is (nan|-?inf): it is not defined") as caught:
        score_image("x", [image.astype(np.float32)], image, [metric])
    assert caught.value.kind == "metric"


def test_a_metric_that_refuses_an_image_is_a_failure() -> None:
    def refuse(output: object, target: object, *, data_range: float) -> float:
        raise ValueError("too small")

    chosen = ChallengeMetric("psnr", "pairs", "pirm-b")
    image = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ModelError, match="psnr of x: too small"):
        score_image("x", [image.astype(np.float32)], image, [BoundMetric(chosen, refuse)])
