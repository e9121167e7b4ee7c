"""A Dask cluster whose workers do the tasks: who is there, whether they compute what this machine would, and the crew.

The scheduler sees tasks and plain values. A cluster trusts whoever can reach it: models still run in the confined
child process, on the workers.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import worksite
from harness.cluster_crew import ClusterCrew, list_timing_workers
from harness.dataset import Dataset
from harness.errors import DisturbedError, HarnessError, UsageError, quote
from harness.executor import Crew
from harness.files import make_scratch
from harness.fingerprint import hash_content
from harness.formats import PACKAGE
from harness.job import Evaluation
from harness.remote import is_url

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S, CLOSE_S = 10, 5


@contextlib.contextmanager
def connect(address: str) -> Iterator["Cluster"]:
    """The cluster of the scheduler at this address. Raises UsageError where none answers or its workers do not fit."""
    try:
        from distributed import Client
        from distributed.comm.addressing import parse_address, parse_host_port
        from distributed.comm.registry import get_backend
    except ImportError:
        raise UsageError(f"--scheduler needs Dask; install it: pip install '{PACKAGE}[cluster]'.") from None
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what matters of it comes as an exception too
    try:
        scheme, place = parse_address(address)  # first, since a client of an address that is none ends with a traceback
        get_backend(scheme)
        parse_host_port(place)
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        reason = quote(error) or type(error).__name__
        raise UsageError(
            f"no scheduler answers at {address} ({reason}); start `dask scheduler` there, or correct --scheduler."
        ) from None
    try:
        yield Cluster(client)
    finally:
        with contextlib.suppress(OSError):
            client.close(timeout=CLOSE_S)


class Cluster:
    """Workers that have this very code. timed: whether one of them is there for what needs a quiet machine."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        machines = self._ask_all(worksite.describe_machine)
        ours = worksite.describe_code()
        for address, machine in machines.items():
            if other := worksite.find_other_code(machine.code, ours):
                raise UsageError(f"the worker {address} on {machine.host} has {other}; install there what is here.")
        timing = list_timing_workers(client)
        self.timed = bool(timing)
        self.hosts = sorted({machine.host for machine in machines.values()})
        self.timing_hosts = sorted({machines[address].host for address in timing if address in machines})
        self.cores = min(machine.cores for address, machine in machines.items() if not timing or address in timing)
        self._dataset = ""

    def describe(self, *, timing: bool) -> str:
        """Who does the work, in a sentence."""
        measured = f"time and memory on {', '.join(self.timing_hosts)}" if timing else "no time and no memory"
        return f"Cluster of {len(self.hosts)} host(s): {', '.join(self.hosts)}; {measured}."

    def set_up(self, evaluation: Evaluation, dataset: str) -> dict[str, str]:
        """Have every worker set up the evaluation; which layers of isolation are on with all of them.

        dataset: how a worker opens it. Raises HarnessError for the first worker that cannot.
        """
        self._dataset, orders = dataset, write_orders(evaluation, dataset)
        executor = self._client.get_executor(pure=False)
        futures = [
            executor.submit(worksite.try_evaluation, orders, workers=[address])
            for address in self._client.scheduler_info()["workers"]
        ]
        return merge_layers([future.result() for future in futures])

    @contextlib.contextmanager
    def open_crew(self, evaluation: Evaluation) -> Iterator[Crew]:
        """The workers, for an evaluation of the dataset that they have. When the block fails, nothing more begins."""
        orders = write_orders(evaluation, self._dataset)
        with make_scratch() as scratch, fail_at_once(self._client):
            crew = ClusterCrew(self._client, orders, Path(scratch))
            try:
                yield crew
            except BaseException:
                crew.call_off()
                raise

    def _ask_all(self, question: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
        answers = self._client.run(question, *arguments, on_error="return")
        if not answers:
            raise UsageError("the cluster has no worker; start some: dask worker ADDRESS --resources timing=1")
        for address, answer in answers.items():
            if isinstance(answer, HarnessError):
                raise answer
            if isinstance(answer, BaseException):
                raise DisturbedError(
                    f"the worker {address} cannot be asked ({quote(answer) or type(answer).__name__}); "
                    "install there what is here, and start it again."
                )
        return dict(answers)


def locate_dataset(name: str | None, dataset: Dataset) -> str:
    """How a worker opens the dataset that the client opened: by URL, by a path that all share, or by name."""
    if name is not None and is_url(name):
        return name
    if name is not None and Path(name).is_dir():
        return str(Path(name).resolve())
    return dataset.name


def write_orders(evaluation: Evaluation, dataset: str) -> worksite.Orders:
    """What a worker needs to set up the evaluation."""
    orders = worksite.Orders(
        "",
        evaluation.challenge,
        dataset,
        evaluation.dataset.sha256,
        tuple(metric.chosen.name for metric in evaluation.metrics if not metric.extra),
        tuple(metric.chosen.name for metric in evaluation.metrics if metric.extra),
        evaluation.plan,
        evaluation.threads,
        evaluation.device,
        evaluation.allow_code,
        worksite.describe_code(),
    )
    return replace(orders, key=hash_content(orders)[:32])


def merge_layers(answers: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Of each layer of isolation "on", or why it was off on the first worker where it was."""
    layers: dict[str, str] = {}
    for answer in answers:
        for name, state in answer.items():
            if layers.get(name, "on") == "on":
                layers[name] = state
    return layers


@contextlib.contextmanager
def fail_at_once(client: "Client") -> Iterator[None]:
    """Have the scheduler give up a task when its worker dies: who is to blame is found out here, one task at a time."""
    before = limit_failures(client, 0)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            limit_failures(client, before)


def limit_failures(client: "Client", limit: int) -> int:
    """Set how many deaths of workers a task may see; the number before."""

    def change(limit: int, dask_scheduler: Any = None) -> int:  # inside, so that it travels with its code
        before: int = dask_scheduler.allowed_failures
        dask_scheduler.allowed_failures = limit
        return before

    before: int = client.run_on_scheduler(change, limit)
    return before
