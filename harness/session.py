"""What the commands do before and beside `run`: read folders, set up an evaluation, validate, measure files."""

import contextlib
import functools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from harness.additions import list_extras
from harness.admission import check_trained_on, validate
from harness.assets import AssetStore, find_pristine_model
from harness.challenge import Challenge
from harness.dataset import Dataset, read_image
from harness.datasets import open_first
from harness.environment import count_cpus
from harness.errors import (
    DataError,
    DisturbedError,
    HarnessError,
    ModelError,
    RecordError,
    SubmissionError,
    UsageError,
)
from harness.files import claim_folder, remove_partials, remove_scratch
from harness.isolation import ModelProcess
from harness.job import Evaluation
from harness.metrics import get_metric
from harness.metrics.niqe import load_pristine_model
from harness.metrics.profiles import choose_profile, find_preparation, prepare_image
from harness.progress import Progress, Step
from harness.protocol import Device
from harness.quality import bind_extras, bind_metrics, measure_compilation
from harness.records import Cost, Record, Submission
from harness.submission import MANIFEST, SubmissionFolder, read_submission
from harness.timing import TimingPlan

SUBMISSIONS = Path("submissions")
LOAD_S = 2.0
"""To load the compiled metrics takes less."""


def read_folders(
    paths: Sequence[Path] | None, challenge: str
) -> tuple[list[SubmissionFolder], dict[Path, HarnessError]]:
    """The submissions in these folders, or those of ./submissions that are made for this challenge.

    A faulty one does not keep the others back.
    """
    named = bool(paths)
    if not paths:
        paths = sorted(manifest.parent for manifest in SUBMISSIONS.glob(f"*/{MANIFEST}"))
    folders: dict[str, SubmissionFolder] = {}
    others: set[str] = set()
    faults: dict[Path, HarnessError] = {}
    for path in paths:
        try:
            folder = read_submission(path)
        except SubmissionError as error:
            faults[path] = error
            continue
        if not named and folder.manifest.challenge != challenge:
            others.add(folder.manifest.challenge)
            continue
        if folder.name in folders:
            raise UsageError(f"{folders[folder.name].path} and {path} are both named {folder.name!r}; rename one.")
        folders[folder.name] = folder
    if not folders and not faults:
        made = f", only for {', '.join(sorted(others))}" if others else ""
        raise UsageError(
            f"no submission for {challenge} in {SUBMISSIONS.resolve()}{made}; name folders that hold a {MANIFEST}, "
            f'say challenge = "{challenge}" there, or start one with `harness new-submission NAME`.'
        )
    return list(folders.values()), faults


@dataclass(frozen=True)
class Options:
    """How to measure. threads, workers: None for the physical cores; budget_s: for the time of one submission."""

    threads: int | None = None
    workers: int | None = None
    timing: bool = True
    device: Device = "cpu"
    allow_code: bool = False
    budget_s: float = TimingPlan.budget_s


def prepare_evaluation(
    challenge: Challenge, dataset_name: str | None, store: AssetStore, options: Options, *, on_progress: Progress
) -> tuple[Evaluation, list[str]]:
    """Open the dataset and bind the metrics; also sentences on what had to be left out, and on the isolation."""
    names = [dataset_name] if dataset_name else [name for name in (challenge.dataset, challenge.stand_in) if name]
    dataset = open_first(
        names, store, lambda done, total: on_progress(Step("fetching the dataset", done, total)), scale=challenge.scale
    )
    metrics, missing = bind_metrics(challenge, store)
    threads = options.threads or count_cores()
    workers = options.workers or count_cores()
    for name, number in (("threads", threads), ("workers", workers)):
        if number > count_cpus():
            raise UsageError(f"--{name} {number} is more than the {count_cpus()} CPUs that can be used here.")
    plan = None
    if options.timing and dataset.photos:
        check_photos(dataset)
        plan = TimingPlan(threads=threads, device=options.device, budget_s=options.budget_s)
    isolation = try_process(challenge, options.device)
    evaluation = Evaluation(
        challenge, dataset, metrics, plan, threads, options.device, options.allow_code, isolation, workers
    )
    on_progress(Step("compiling the metrics"))
    compiled_s = measure_compilation(metrics)
    compiled = f"The metrics were compiled in {compiled_s:.1f} s; later runs load them." if compiled_s > LOAD_S else ""
    return evaluation, [note for note in (missing, compiled, describe_isolation(isolation)) if note]


def add_metrics(
    evaluation: Evaluation, asked: Sequence[str], records: Iterable[Record], store: AssetStore
) -> tuple[Evaluation, dict[str, str]]:
    """The evaluation with metrics that the challenge does not list: those asked for, and those that records have.

    Of the latter also, by name, why one cannot be had here; of the former that is a UsageError or DataError.
    """
    challenge, dataset = evaluation.challenge, evaluation.dataset
    extras, missing = bind_extras(asked, list_extras(records, challenge), challenge, dataset, store)
    return replace(evaluation, metrics=(*evaluation.metrics, *extras)), missing


def try_process(challenge: Challenge, device: Device) -> dict[str, str]:
    """The layers of isolation around a process for models. No submission's record may bear what goes wrong here.

    Raises DisturbedError where none starts, and UsageError where the baseline does not load on the device.
    """
    limits, model = challenge.limits, challenge.baseline.model
    try:
        with ModelProcess(memory_limit_bytes=limits.memory_bytes) as process:
            if device != "cpu":
                process.load(model, runtime="onnx", threads=1, device=device, deadline_s=limits.load_s)
            return process.isolation
    except ModelError as error:
        if error.stage == "start":
            raise DisturbedError(f"no process for models starts here: {error}") from error
        raise UsageError(f"--device {device} cannot be used here: {error}") from error


def describe_isolation(layers: Mapping[str, str]) -> str:
    """Which layers around a model's process are on, and why one is off."""
    on = [name for name, state in layers.items() if state == "on"]
    off = [f"{name} ({state.removeprefix('off: ')})" for name, state in layers.items() if state != "on"]
    return f"Isolation on: {', '.join(on) or 'nothing'}." + (f" Off: {'; '.join(off)}." if off else "")


def check_photos(dataset: Dataset) -> None:
    """Raise DataError for photos of several sizes: a time holds for one."""
    shapes = {name: dataset.load_photo(name).shape for name in dataset.photos}
    first, *others = dataset.photos
    for name in others:
        if shapes[name] != shapes[first]:
            sizes = " and ".join(f"{name} {shapes[name][1]}x{shapes[name][0]}" for name in (first, name))
            raise DataError(
                f"photos of {dataset.name} differ in size ({sizes}); give them one, or leave time out with --no-timing."
            )


def count_cores() -> int:
    """Physical cores, as far as this process may use them."""
    return max(1, min(psutil.cpu_count(logical=False) or count_cpus(), count_cpus()))


def remove_leftovers(reports_dir: Path, store: AssetStore) -> None:
    """Remove the temporaries of runs that were killed; those of running ones stay."""
    try:
        scratch = Path(tempfile.gettempdir())
    except OSError as error:
        raise RecordError(f"no scratch folder can be made: {error}; free some space or set TMPDIR.") from error
    remove_scratch(scratch)
    remove_scratch(store.cache, deep=True)
    for folder in (reports_dir, store.cache):
        remove_partials(folder)


@contextlib.contextmanager
def claim_machine(reports_dir: Path) -> Iterator[None]:
    """Hold this machine for a run that measures time. Raises UsageError while another one does."""
    with contextlib.ExitStack() as stack:
        for folder in (Path(tempfile.gettempdir()), reports_dir):
            try:
                stack.enter_context(claim_folder(folder))
            except BlockingIOError:
                raise UsageError(
                    "another run measures time on this machine, and two would disturb each other; "
                    "wait for its end, or leave time out (run --no-timing, check without --speed)."
                ) from None
        yield


def validate_submission(path: Path, challenge: Challenge, *, allow_code: bool = False) -> tuple[Submission, Cost]:
    """The static checks of one folder; SubmissionError for the first rule that it breaks."""
    folder = read_submission(path)
    try:
        check_trained_on(folder.manifest)
        return validate(folder, challenge, allow_code=allow_code)[:2]
    except SubmissionError as error:
        raise SubmissionError(f"{path}: {error}") from error


def measure_files(
    name: str, image: Path, target: Path | None, store: AssetStore, *, profile: str | None
) -> tuple[float, str]:
    """One metric of an 8-bit image (and its target), and the profile that made it: by default the first that has it."""
    metric = get_metric(name)
    if metric.needs_target != (target is not None):
        raise UsageError(
            f"{metric.label} {'compares IMAGE with a TARGET' if metric.needs_target else 'takes no TARGET'}."
        )
    profile = choose_profile(name) if profile is None else profile
    preparation = find_preparation(profile, name)
    images: list[np.ndarray] = [read_image(path) for path in (image, target) if path is not None]
    compute = metric.compute
    if name == "niqe":
        compute = functools.partial(compute, pristine=load_pristine_model(find_pristine_model(store)))
    try:
        prepared = [prepare_image(image, preparation) for image in images]
        return compute(*prepared, data_range=preparation.data_range, **preparation.options), profile
    except ValueError as error:
        border = f" (without its border of {preparation.border_px} pixels)" if preparation.border_px else ""
        files = " and ".join(str(path) for path in (image, target) if path)
        raise DataError(f"{metric.label} of {files}{border}: {error}") from None
