"""What the commands do before and beside `run`: read folders, set up an evaluation, validate, measure files."""

import contextlib
import functools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.additions import list_extras
from harness.admission import check_trained_on, try_process, validate
from harness.assets import AssetStore, find_pristine_model
from harness.challenge import DEFAULT_CHALLENGE, Challenge, list_challenges
from harness.cluster import Cluster, connect, locate_dataset
from harness.dataset import Dataset, read_image
from harness.datasets import open_first
from harness.environment import count_cores, count_cpus
from harness.errors import (
    DataError,
    HarnessError,
    RecordError,
    SubmissionError,
    UsageError,
)
from harness.executor import OpenCrew, open_crew
from harness.files import claim_folder, remove_partials, remove_scratch
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


def choose_challenge(named: str | None, paths: Sequence[Path]) -> str:
    """The challenge that was named, else that for which the folders say they are made, else DEFAULT_CHALLENGE.

    Raises UsageError where they are made for several, or for one that is a file somewhere.
    """
    if named is not None:
        return named
    made_for = set()
    for path in paths:
        with contextlib.suppress(SubmissionError):  # it is told with the others
            made_for.add(read_submission(path).manifest.challenge)
    if len(made_for) > 1:
        raise UsageError(f"these folders are made for {' and '.join(sorted(made_for))}; name one with --challenge.")
    (chosen,) = made_for or {DEFAULT_CHALLENGE}
    if chosen not in list_challenges():
        raise UsageError(f"{paths[0]} is made for the challenge {chosen!r}; name its file with --challenge.")
    return chosen


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
    challenge: Challenge,
    dataset_name: str | None,
    store: AssetStore,
    options: Options,
    *,
    on_progress: Progress,
    cluster: Cluster | None = None,
) -> tuple[Evaluation, list[str]]:
    """Open the dataset and bind the metrics; also sentences on what had to be left out, and on the isolation.

    cluster: whose workers are to do the work, and set up the same.
    """
    names = [dataset_name] if dataset_name else [name for name in (challenge.dataset, challenge.stand_in) if name]
    dataset = open_first(
        names, store, lambda done, total: on_progress(Step("fetching the dataset", done, total)), scale=challenge.scale
    )
    metrics, missing = bind_metrics(challenge, store)
    threads, workers = choose_counts(options, cluster)
    plan = None
    if options.timing and dataset.photos:
        check_photos(dataset)
        plan = TimingPlan(threads=threads, device=options.device, budget_s=options.budget_s)
    evaluation = Evaluation(
        challenge, dataset, metrics, plan, threads, options.device, options.allow_code, workers=workers
    )
    if cluster is None:
        isolation = try_process(challenge, options.device)
        on_progress(Step("compiling the metrics"))
        place = describe_compilation(measure_compilation(metrics))
    else:
        on_progress(Step("setting up the workers"))
        isolation = cluster.set_up(evaluation, locate_dataset(dataset_name, dataset))
        place = cluster.describe(timing=options.timing)
    notes = [note for note in (missing, place, describe_isolation(isolation)) if note]
    return replace(evaluation, isolation=isolation), notes


def choose_counts(options: Options, cluster: Cluster | None) -> tuple[int, int]:
    """Threads of a model and models at once: as asked for, or the physical cores where they run."""
    if cluster is not None:
        if options.workers:
            raise UsageError("--workers is for this machine; leave it out, or --scheduler.")
        if options.timing and not cluster.timed:
            raise UsageError(
                "no worker is there to measure time; start one on a quiet machine with "
                "`dask worker ADDRESS --nthreads 1 --resources timing=1`, or leave time out with --no-timing."
            )
        return options.threads or cluster.cores, 1
    threads, workers = options.threads or count_cores(), options.workers or count_cores()
    for name, number in (("threads", threads), ("workers", workers)):
        if number > count_cpus():
            raise UsageError(f"--{name} {number} is more than the {count_cpus()} CPUs that can be used here.")
    return threads, workers


def add_metrics(
    evaluation: Evaluation, asked: Sequence[str], records: Iterable[Record], store: AssetStore
) -> tuple[Evaluation, dict[str, str]]:
    """The evaluation with metrics that the challenge does not list: those asked for, and those that records have.

    Of the latter also, by name, why one cannot be had here; of the former that is a UsageError or DataError.
    """
    challenge, dataset = evaluation.challenge, evaluation.dataset
    extras, missing = bind_extras(asked, list_extras(records, challenge), challenge, dataset, store)
    return replace(evaluation, metrics=(*evaluation.metrics, *extras)), missing


def describe_compilation(compiled_s: float) -> str:
    """What to know of a first start; "" of any other."""
    return f"The metrics were compiled in {compiled_s:.1f} s; later runs load them." if compiled_s > LOAD_S else ""


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
def claim_machine(reports_dir: Path, *, here: bool = True) -> Iterator[None]:
    """Hold this machine for a run that measures time, unless that is done elsewhere. Raises UsageError while another
    one does.
    """
    with contextlib.ExitStack() as stack:
        for folder in (Path(tempfile.gettempdir()), reports_dir) if here else (reports_dir,):
            try:
                stack.enter_context(claim_folder(folder))
            except BlockingIOError:
                raise UsageError(
                    "another run measures time on this machine, and two would disturb each other; "
                    "wait for its end, or leave time out (run --no-timing, check without --speed)."
                ) from None
        yield


@contextlib.contextmanager
def open_place(reports_dir: Path, scheduler: str | None, *, timing: bool) -> Iterator[Cluster | None]:
    """Where the work of a run is to be done, for its length: the cluster of a scheduler, or None for this machine."""
    claim = claim_machine(reports_dir, here=scheduler is None) if timing else contextlib.nullcontext()
    with claim, connect(scheduler) if scheduler else contextlib.nullcontext() as cluster:
        yield cluster


def choose_crew(cluster: Cluster | None) -> OpenCrew:
    """Who does the work there."""
    return open_crew if cluster is None else cluster.open_crew


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
