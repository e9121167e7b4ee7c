"""What a worker of a cluster does of its own: it sets up an evaluation as the client has it, and runs tasks in it.

The client's orders are plain values. The dataset is opened here by its name, path or URL, and has to be the client's;
so have the code and the packages. A model comes as bytes, and lies in a folder of its own while a task runs.
"""

import contextlib
import datetime
import logging
import platform
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from harness import __version__
from harness.admission import try_process
from harness.assets import open_store
from harness.challenge import Challenge
from harness.datasets import open_dataset
from harness.environment import PACKAGES, count_cores, describe_environment, find_versions
from harness.errors import DataError, DisturbedError, HarnessError, UsageError, quote
from harness.files import claim_folder, make_scratch, remove_scratch
from harness.fingerprint import hash_sources
from harness.formats import FORMATS, find_format
from harness.job import Evaluation, Parcel
from harness.metrics import bridge
from harness.protocol import Device
from harness.quality import bind_extra, bind_metrics, measure_compilation
from harness.records import Environment
from harness.submission import Manifest, SubmissionFolder
from harness.timing import TimingPlan

LISTED = tuple(dict.fromkeys([*PACKAGES, *bridge.PACKAGES, *(name for row in FORMATS for name in row.packages)]))
"""Packages that have to be the same on all machines, as far as they are there."""

MOST_EXPECTED = 100
"""Files of expected outputs (55 MB each) that a worker keeps; older ones are made again when they are needed."""

T = TypeVar("T")
Files = dict[str, bytes]
"""The files of a model by name."""


@dataclass(frozen=True)
class Orders:
    """All that a worker needs to set up an evaluation; the same key, the same evaluation.

    dataset: how a worker opens it. code: what has to be the same there. metrics: those of the challenge that the
    client found; extras: those that were asked for beside them.
    """

    key: str
    challenge: Challenge
    dataset: str
    dataset_sha256: str
    metrics: tuple[str, ...]
    extras: tuple[str, ...]
    plan: TimingPlan | None
    threads: int
    device: Device
    allow_code: bool
    code: dict[str, str]


@dataclass(frozen=True)
class Cargo:
    """A submission on its way to a worker, but for the model's bytes."""

    orders: Orders
    manifest: Manifest


@dataclass(frozen=True)
class Machine:
    """A worker as it describes itself."""

    host: str
    cores: int
    code: dict[str, str]


def describe_machine() -> Machine:
    """This worker."""
    return Machine(socket.gethostname(), count_cores(), describe_code())


def describe_code() -> dict[str, str]:
    """What computes the values, by name and version."""
    return {"harness": f"{__version__} ({hash_sources()[:12]})", "Python": platform.python_version()} | find_versions(
        LISTED
    )


def find_other_code(theirs: dict[str, str], ours: dict[str, str]) -> str:
    """What differs, in words; "" where nothing does."""
    for name in ours | theirs:
        if theirs.get(name) != ours.get(name):
            return f"{name} {theirs.get(name, 'missing')}, not {ours.get(name, 'missing')}"
    return ""


def check_code(orders: Orders) -> None:
    """Raise UsageError where this worker would compute with other code than the client."""
    if other := find_other_code(describe_code(), orders.code):
        raise UsageError(f"the worker on {socket.gethostname()} has {other}; install there what is here.")


_opened: dict[str, Evaluation] = {}
_opening = threading.Lock()


def open_evaluation(orders: Orders) -> Evaluation:
    """The evaluation, set up once in this process. Raises HarnessError where it cannot be the client's."""
    with _opening:
        open_scratch()
        if orders.key not in _opened:
            check_code(orders)
            while len(_opened) > 1:  # those of earlier runs; their images take memory
                del _opened[next(iter(_opened))]
            _opened[orders.key] = set_up(orders)
        return _opened[orders.key]


def set_up(orders: Orders) -> Evaluation:
    """Open the dataset and bind the metrics."""
    store, host = open_store(), socket.gethostname()
    try:
        dataset = open_dataset(orders.dataset, store, scale=orders.challenge.scale)
    except (DataError, UsageError) as error:
        raise DataError(f"on the worker {host}: {error}") from None
    if dataset.sha256 != orders.dataset_sha256:
        raise DataError(
            f"the dataset {dataset.name} on the worker {host} holds other images than here; give all the same files."
        )
    metrics, missing = bind_metrics(orders.challenge, store)
    if tuple(metric.chosen.name for metric in metrics) != orders.metrics:
        raise DataError(f"on the worker {host} the metrics are others than here: {missing or 'it has more of them.'}")
    try:
        extras = tuple(bind_extra(name, dataset, store) for name in orders.extras)
    except HarnessError as error:
        raise DataError(f"on the worker {host}: {error}") from None
    metrics = (*metrics, *extras)
    measure_compilation(metrics)
    return Evaluation(orders.challenge, dataset, metrics, orders.plan, orders.threads, orders.device, orders.allow_code)


def try_evaluation(orders: Orders) -> dict[str, str]:
    """Set up the evaluation; which layers of isolation are around a process for models here."""
    evaluation = open_evaluation(orders)
    return try_process(evaluation.challenge, "cpu")


@lru_cache
def open_scratch() -> "tempfile.TemporaryDirectory[str]":
    """A folder of this process, for as long as it lives; what a killed one left, with this number too, goes before."""
    remove_scratch(Path(tempfile.gettempdir()))
    return make_scratch()


def locate_scratch(orders: Orders) -> Path:
    """Where the expected outputs of an evaluation wait; the oldest go."""
    folder = Path(open_scratch().name) / orders.key
    folder.mkdir(exist_ok=True)
    for path in sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)[:-MOST_EXPECTED]:
        path.unlink(missing_ok=True)
    return folder


def keep(content: T) -> T:
    """The content itself: as a task's result they travel to each worker once, and again after a loss."""
    return content


def run_task(cargo: Cargo, model: Files, task: Callable[..., T], *arguments: Any) -> T:
    """Do a task here, on a submission that comes with its model."""
    with tell_plainly(), unpack(cargo, model) as parcel:
        return task(parcel, *arguments)


def run_timed_task(cargo: Cargo, model: Files, baseline: Files, task: Callable[..., T], *arguments: Any) -> T:
    """Do a task that measures time: no other run may do so on this machine meanwhile."""
    with tell_plainly(), hold_machine(), unpack(cargo, model) as parcel:
        challenge = parcel.evaluation.challenge
        path = parcel.folder.path / "baseline" / challenge.baseline.model.name
        path.parent.mkdir()
        path.write_bytes(baseline[path.name])
        there = msgspec.structs.replace(challenge, baseline=msgspec.structs.replace(challenge.baseline, model=path))
        return task(replace(parcel, evaluation=replace(parcel.evaluation, challenge=there)), *arguments)


@contextlib.contextmanager
def tell_plainly() -> Iterator[None]:
    """Whatever goes wrong in the block reaches the client: not every exception can travel, and then Dask waits on."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        logging.getLogger(__name__).exception("a task failed")
        reason = f"{type(error).__name__}: {quote(error)}"
        raise DisturbedError(f"a task failed on the worker {socket.gethostname()} ({reason}); see its log.") from None


@contextlib.contextmanager
def unpack(cargo: Cargo, model: Files) -> Iterator[Parcel]:
    """A submission's folder with its model, for the length of the block."""
    evaluation = open_evaluation(cargo.orders)
    with make_scratch() as name:
        folder = SubmissionFolder(Path(name), cargo.manifest)
        for file, content in model.items():
            (folder.path / file).write_bytes(content)
        yield Parcel(folder, evaluation, locate_scratch(cargo.orders), describe_here(cargo.manifest.runtime))


def describe_here(runtime: str) -> Environment:
    """This machine, now; what does not change is looked up once."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return msgspec.structs.replace(_look_round(runtime), started_utc=now)


@lru_cache
def _look_round(runtime: str) -> Environment:
    return describe_environment(find_format(runtime).packages, socket.gethostname())


@contextlib.contextmanager
def hold_machine() -> Iterator[None]:
    """Hold this machine while time is measured. Raises DisturbedError where another run does."""
    try:
        with claim_folder(Path(tempfile.gettempdir())):
            yield
    except BlockingIOError:
        raise DisturbedError(
            f"another run measures time on {socket.gethostname()}; run it again after its end."
        ) from None
