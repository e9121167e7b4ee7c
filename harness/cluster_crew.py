"""Sends tasks to the workers of a Dask cluster through its executor, and finds out which of them kill their workers."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from harness import worksite
from harness.environment import describe_environment
from harness.errors import DisturbedError, ModelError, SubmissionError
from harness.job import Parcel
from harness.records import Environment
from harness.submission import SubmissionFolder, hash_model

if TYPE_CHECKING:
    from distributed import Client

TIMING = "timing"
QUIET = {TIMING: 1}
"""What a worker on a quiet machine offers, and a task that needs it takes all of."""

TRIES = 2
TASKS_PER_THREAD = 4
"""So many tasks wait with the scheduler for each thread of a worker."""

MOST_MODELS = 64
ASK_AGAIN_S, WAIT_S, POLL_S = 10.0, 60.0, 2.0

T = TypeVar("T")


@dataclass(eq=False)
class Errand:
    """A task that is out, and the future that its sender holds."""

    folder: SubmissionFolder
    work: tuple[Any, ...]
    options: dict[str, Any]
    outer: Future[Any] = field(default_factory=Future)
    tries: int = 0


class ClusterCrew:
    """The workers of a cluster. Each task may lose its worker once.

    When a worker dies, every task that it had is a suspect, most of them without guilt. So each is tried again alone,
    when nothing else is out: if a worker dies again, it was this one.
    """

    def __init__(self, client: "Client", orders: worksite.Orders, scratch: Path) -> None:
        self.scratch = scratch
        self._client, self._orders = client, orders
        self._executor = client.get_executor(pure=False)
        self._models: OrderedDict[tuple[tuple[Path, int, int], ...], Any] = OrderedDict()
        self._suspects: deque[Errand] = deque()
        self._out: dict[Errand, Future[Any]] = {}
        self._changing = threading.RLock()
        self.measures_memory = orders.plan is not None
        self._lost = (
            f"the scheduler at {client.scheduler.address} is gone, or let go of the work; see that it runs "
            "(`dask scheduler`), and run it again."
        )
        self._quiet_host, self._asked_s, self._most = "", -ASK_AGAIN_S, 0

    @property
    def most_tasks(self) -> int:
        """So many tasks are worth having out."""
        if time.monotonic() - self._asked_s > ASK_AGAIN_S:
            self._asked_s = time.monotonic()
            self._most = TASKS_PER_THREAD * max(sum(self._client.nthreads().values()), 1)
        return self._most

    def describe_place(self) -> Environment:
        """The code and the packages, which all workers share; what else they are no key depends on."""
        here = describe_environment(host="cluster")
        return msgspec.structs.replace(here, cpu_model="", cpu_count=0, os="")

    def submit(self, task: Callable[..., T], parcel: Parcel, *arguments: Any, measures: bool = False) -> Future[T]:
        """Memory is measured where time is."""
        options = {"resources": QUIET, "priority": 1} if measures else {}
        errand = Errand(parcel.folder, (task, *arguments), options)
        errand.outer.add_done_callback(lambda _: self._drop_cancelled(errand))
        self._send(errand)
        return errand.outer

    def run_quietly(self, task: Callable[..., T], parcel: Parcel, *arguments: Any) -> T:
        """Raises ModelError where two workers died of it, and DisturbedError where none is there for it."""
        from distributed import KilledWorker

        cargo = worksite.Cargo(self._orders, parcel.folder.manifest)
        for _ in range(TRIES):
            address = self._find_quiet_worker()
            model = self._send_model(parcel.folder)
            baseline = self._send_files([parcel.evaluation.challenge.baseline.model])
            future: Future[T] = self._executor.submit(
                *(worksite.run_timed_task, cargo, model, baseline, task, *arguments), resources=QUIET, workers=[address]
            )
            try:
                return self._await(future, address)
            except KilledWorker:
                continue
        raise blame()

    def call_off(self) -> None:
        """Let nothing begin any more."""
        with self._changing:
            out, self._out = self._out, {}
            self._suspects.clear()
        for future in out.values():
            future.cancel()

    # --- models

    def _send_model(self, folder: SubmissionFolder) -> Any:
        """A Dask future of the model's bytes. Raises SubmissionError where there is no model that could be sent."""
        hash_model(folder, limit_bytes=self._orders.challenge.limits.model_bytes)
        return self._send_files(folder.model_paths)

    def _send_files(self, paths: Sequence[Path]) -> Any:
        """A Dask future of files' bytes: a task, so that they come again after a loss, as scattered ones do not."""
        key = tuple((path, path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
        with self._changing:
            if key not in self._models or self._models[key].status in ("error", "cancelled", "lost"):
                import dask

                with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 GB"}):
                    self._models[key] = self._client.submit(
                        worksite.keep, {path.name: path.read_bytes() for path in paths}, pure=False
                    )
            self._models.move_to_end(key)
            while len(self._models) > MOST_MODELS:
                self._models.popitem(last=False)
            return self._models[key]

    # --- tasks that may run anywhere

    def _send(self, errand: Errand) -> None:
        try:
            model = self._send_model(errand.folder)
        except SubmissionError as error:
            answer(errand, None, error)
            return
        cargo = worksite.Cargo(self._orders, errand.folder.manifest)
        inner = self._executor.submit(worksite.run_task, cargo, model, *errand.work, **errand.options)
        with self._changing:
            self._out[errand] = inner
        inner.add_done_callback(lambda ended: self._take(errand, ended))

    def _take(self, errand: Errand, inner: Future[Any]) -> None:
        """Pass on what came of a task, or put it aside as a suspect."""
        from distributed import KilledWorker

        with self._changing:
            if self._out.pop(errand, None) is None:  # called off
                return
        try:
            answer(errand, inner.result())
        except CancelledError:
            answer(errand, None, DisturbedError(self._lost))
        except KilledWorker:
            errand.tries += 1
            if errand.tries < TRIES:
                with self._changing:
                    self._suspects.append(errand)
            else:
                answer(errand, None, blame())
        except Exception as fault:
            answer(errand, None, fault)
        self._try_suspect()

    def _try_suspect(self) -> None:
        """Send out one suspect, once nothing else is out."""
        with self._changing:
            if self._suspects and not self._out:
                self._send(self._suspects.popleft())

    def _drop_cancelled(self, errand: Errand) -> None:
        """The sender called a task off."""
        if errand.outer.cancelled():
            with self._changing:
                inner = self._out.pop(errand, None)
                if errand in self._suspects:
                    self._suspects.remove(errand)
            if inner is not None:
                inner.cancel()
            self._try_suspect()

    # --- tasks for a quiet machine

    def _find_quiet_worker(self) -> str:
        """One on the same host as before, as long as it is there."""
        end_s = time.monotonic() + WAIT_S
        while time.monotonic() < end_s:
            if hosts := list_timing_workers(self._client):
                if self._quiet_host not in hosts.values():
                    self._quiet_host = min(hosts.values())
                return min(address for address, host in hosts.items() if host == self._quiet_host)
            time.sleep(POLL_S)
        raise DisturbedError(
            f"no worker with the resource {TIMING}=1 is left; start one (dask worker ADDRESS --resources timing=1), "
            "and run it again."
        )

    def _await(self, future: Future[T], address: str) -> T:
        """What came of a task that only this worker may do. Raises KilledWorker also where it is gone otherwise."""
        from distributed import KilledWorker

        while not wait([future], timeout=POLL_S).done:
            if address not in list_timing_workers(self._client) and not wait([future], timeout=POLL_S).done:
                future.cancel()
                raise KilledWorker(task="", last_worker=None, allowed_failures=0)
        return future.result()


def answer(errand: Errand, result: Any, fault: Exception | None = None) -> None:
    """Give the sender of a task what came of it, if it still waits."""
    if not errand.outer.set_running_or_notify_cancel():
        return
    if fault is not None:
        errand.outer.set_exception(fault)
    else:
        errand.outer.set_result(result)


def blame() -> ModelError:
    """The fault of a submission that two workers died of."""
    return ModelError(
        f"{TRIES} workers died while they worked on it; mend the model, or run it again if they were killed.",
        stage="run",
        kind="killed",
    )


def list_timing_workers(client: "Client") -> dict[str, str]:
    """The address of the host by the address of each worker that is there for what needs a quiet machine."""
    workers = client.scheduler_info()["workers"]
    return {address: worker["host"] for address, worker in workers.items() if worker["resources"].get(TIMING, 0) >= 1}
