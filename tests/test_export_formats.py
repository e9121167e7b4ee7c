"""One network in every format scores the same; the challenge's own graph scores what its checkpoint scores."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import models
import numpy as np
import pytest
import tiny
from processes import linux
from tiny import ignore

from harness.assets import AssetStore
from harness.challenge import read_challenge
from harness.evaluate import evaluate
from harness.job import Evaluation
from harness.records import Record
from harness.submission import read_submission
from reference.build import ROOT, build

pytestmark = [linux, pytest.mark.slow]

PSNR_DB, MS_SSIM = 0.001, 0.0001
"""So far may two formats of one network be apart, on any image."""


@pytest.fixture
def judge(tmp_path: Path, evaluation: Evaluation) -> Callable[[Path], Record]:
    """Evaluates a folder's quality with memory for every runtime."""
    path = tiny.write_challenge(
        tmp_path / "roomy", memory_bytes=3_500_000_000, model_bytes=10_000_000, run_s=60.0, load_s=60.0
    )
    roomy = replace(evaluation, challenge=read_challenge(path), allow_code=True)
    return lambda folder: evaluate(read_submission(folder), roomy, split=None, on_progress=ignore)


def list_values(record: Record, name: str) -> list[float]:
    assert record.quality is not None, record.failure
    return [score.values[name] for score in record.quality.pairs]


def check_alike(record: Record, expected: Record) -> None:
    for name, allowed in (("psnr", PSNR_DB), ("ms_ssim", MS_SSIM)):
        differences = np.abs(np.subtract(list_values(record, name), list_values(expected, name)))
        assert differences.max() <= allowed


def need(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")


def export(name: str, runtime: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "reference.export_formats", name, runtime, "--out", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("runtime", ["pt2", "torch", "litert"])
def test_a_generator_scores_the_same_in_each_format(
    judge: Callable[[Path], Record], tmp_path: Path, runtime: str
) -> None:
    if runtime == "litert":
        need("tensorflow", "ai_edge_litert")
    done = export("boe_normal", runtime, tmp_path)
    assert done.returncode == 0, done.stderr
    record = judge(tmp_path / f"boe_normal_{runtime}")
    assert record.submission.runtime == runtime
    check_alike(record, judge(ROOT / "submissions" / "boe_normal"))


@pytest.mark.assets
def test_the_challenges_own_graph_scores_what_its_checkpoint_scores(
    judge: Callable[[Path], Record], tmp_path: Path, assets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("tensorflow", "tf2onnx")
    graph = assets_dir / "aiff22" / "ai-challenge" / "models_pretrained" / "dped_srcnn.pb"
    if not graph.is_file():
        pytest.skip("the mirror has no dped_srcnn.pb")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda *_, **__: tmp_path / "cache")
    build("srcnn", AssetStore(assets_dir, offline=True), tmp_path)
    models.write_submission(tmp_path / "submissions" / "srcnn")
    folder = models.write_submission(tmp_path / "graph", model_file="dped_srcnn.pb")
    (folder / "dped_srcnn.pb").write_bytes(graph.read_bytes())
    check_alike(judge(folder), judge(tmp_path / "submissions" / "srcnn"))


def test_a_network_that_has_no_such_format_is_one_sentence(tmp_path: Path) -> None:
    done = export("srcnn_300", "torch", tmp_path)
    assert done.returncode != 0
    assert done.stderr.strip() == "only the generators are written in this format; take pt2 for the other networks."
    assert not list(tmp_path.iterdir())
