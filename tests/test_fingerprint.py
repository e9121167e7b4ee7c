"""Content keys: whatever a result depends on changes the key, and nothing else does."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import models
import msgspec
import pytest
from stored import ENVIRONMENT

from harness import fingerprint
from harness.challenge import Challenge, read_challenge
from harness.fingerprint import compute_key, hash_sources
from harness.job import Evaluation
from harness.records import Environment
from harness.submission import Manifest
from harness.timing import TimingPlan

MANIFEST = Manifest(name="a", title="A", trained_on="nothing")


@pytest.fixture
def timed(evaluation: Evaluation) -> Evaluation:
    return dataclasses.replace(evaluation, plan=TimingPlan(threads=1))


def key(
    evaluation: Evaluation,
    *,
    manifest: Manifest = MANIFEST,
    model_sha256: str = "0",
    split: str = "all",
    environment: Environment = ENVIRONMENT,
) -> str:
    return compute_key(manifest, evaluation, model_sha256=model_sha256, split=split, environment=environment)


def replace(evaluation: Evaluation, part: str, **changes: object) -> Evaluation:
    """An evaluation with fields of its dataset, challenge or plan changed."""
    old = getattr(evaluation, part)
    new = dataclasses.replace(old, **changes) if part != "challenge" else msgspec.structs.replace(old, **changes)
    return dataclasses.replace(evaluation, **{part: new})


def test_a_key_is_a_sha256_and_repeats(timed: Evaluation) -> None:
    assert len(bytes.fromhex(key(timed))) == 32
    assert key(timed) == key(timed)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: key(e, model_sha256="1"),
        lambda e: key(e, split="test"),
        lambda e: key(replace(e, "dataset", name="other")),
        lambda e: key(replace(e, "dataset", sha256="1")),
        lambda e: key(replace(e, "challenge", infinite_psnr_db=60.0)),
        lambda e: key(replace(e, "challenge", limits=msgspec.structs.replace(e.challenge.limits, run_s=3.0))),
        lambda e: key(replace(e, "challenge", metrics=e.challenge.metrics[::-1])),
        lambda e: key(dataclasses.replace(e, metrics=e.metrics[:1])),
        lambda e: key(dataclasses.replace(e, threads=2)),
        lambda e: key(dataclasses.replace(e, plan=None)),
    ],
    ids="model split dataset pictures challenge limit order missing-metric threads untimed".split(),
)
def test_what_a_result_depends_on_changes_the_key(timed: Evaluation, change: Callable[[Evaluation], str]) -> None:
    assert change(timed) != key(timed)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(TimingPlan)])
def test_every_field_of_the_plan_counts(timed: Evaluation, field: str) -> None:
    value = "cuda" if field == "device" else getattr(timed.plan, field) + 1
    assert key(replace(timed, "plan", **{field: value})) != key(timed)


@pytest.mark.parametrize("field", Manifest.__struct_fields__)
def test_every_field_of_the_manifest_counts(evaluation: Evaluation, field: str) -> None:
    changed = msgspec.structs.replace(MANIFEST, **{field: "something else"})
    assert key(evaluation, manifest=changed) != key(evaluation)


@pytest.mark.parametrize("field", Environment.__struct_fields__)
def test_the_machine_and_the_packages_count_but_not_the_date(evaluation: Evaluation, field: str) -> None:
    changed = msgspec.structs.replace(ENVIRONMENT, **{field: "something else"})
    same = field in {"started_utc", "git_commit", "git_dirty"}
    assert (key(evaluation, environment=changed) == key(evaluation)) is same


def test_leave_to_run_programs_and_workers_do_not_count(timed: Evaluation) -> None:
    assert key(dataclasses.replace(timed, allow_code=True)) == key(dataclasses.replace(timed, workers=2)) == key(timed)


def test_a_field_added_to_an_evaluation_counts_by_itself(evaluation: Evaluation) -> None:
    @dataclasses.dataclass(frozen=True)
    class Wider(Evaluation):
        new_option: bool = False

    parts = {f.name: getattr(evaluation, f.name) for f in dataclasses.fields(evaluation) if f.init}
    assert key(Wider(**parts, new_option=True)) != key(Wider(**parts))


def test_the_baseline_counts_where_time_is_measured(timed: Evaluation, challenge: Challenge) -> None:
    untimed = dataclasses.replace(timed, plan=None)
    before = key(timed), key(untimed)
    models.save(models.identity(), challenge.baseline.model)
    assert (key(timed) == before[0], key(untimed) == before[1]) == (False, True)
    challenge.baseline.model.unlink()
    assert len(key(timed)) == 64


def test_the_place_of_a_checkout_does_not_count(timed: Evaluation, challenge: Challenge, tmp_path: Path) -> None:
    moved = shutil.copytree(challenge.baseline.model.parent, tmp_path / "elsewhere")
    other = dataclasses.replace(timed, challenge=read_challenge(moved / "tiny.toml"))
    assert other.challenge != timed.challenge
    assert key(other) == key(timed)


def test_sources_count_but_for_what_only_shows(tmp_path: Path) -> None:
    def hash_with(name: str, text: str) -> str:
        folder = shutil.copytree(fingerprint.SOURCES, tmp_path / name / str(len(text)))
        with (folder / name).open("a") as file:
            file.write(text)
        return hash_sources(folder)

    for name, counts in {
        "evaluate.py": True,
        "metrics/psnr.py": True,
        "render/tables.py": False,
        "published/verdicts.py": False,
        "cli.py": False,
        "commands/run.py": False,
    }.items():
        assert (hash_with(name, "") == hash_sources()) is True
        assert (hash_with(name, "# more") != hash_sources()) is counts
