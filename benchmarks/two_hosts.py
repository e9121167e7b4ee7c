"""Two machines on one: a scheduler and two Dask workers in network namespaces of their own, and the same run here.

    python -m benchmarks.two_hosts --submissions submissions/boe_normal ...

Needs root, `ip` and two cores; makes three namespaces that a bridge connects, and removes them. Each worker has a core,
a host name and a scratch folder of its own; the second is there for time and memory. What it shows:

1. quality of all submissions on both workers and on the second alone: the time of each;
2. the records of a run in which the first worker is killed halfway;
3. a whole run, with times; all of them held against a run without a cluster, to the last digit.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.archive import read_record
from harness.records import Record

ROOT = Path(__file__).parent.parent
BRIDGE, NETWORK = "hx-br", "10.213.77"
NAMESPACES = ("hx-client", "hx-first", "hx-second")
PORT = 8786


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--submissions", nargs="+", type=Path, required=True)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="more options of `harness run`, last")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was begun is undone then too
    with tempfile.TemporaryDirectory() as folder, make_namespaces(), contextlib.ExitStack() as stack:
        place = Path(folder)
        # each worker has one core, and photos are enhanced with all cores: their last digits depend on how many
        common = [*map(str, options.submissions), "--no-images", "--threads", "1", *options.options]
        cluster = ["--scheduler", f"tcp://{NETWORK}.1:{PORT}"]
        start(stack, place, 0, "scheduler", "--host", f"{NETWORK}.1", "--port", str(PORT))
        start(stack, place, 2, "worker", f"tcp://{NETWORK}.1:{PORT}", "--resources", "timing=1")
        alone_s = harness(place, "alone", [*common, "--no-timing", *cluster])
        first = start(stack, place, 1, "worker", f"tcp://{NETWORK}.1:{PORT}")
        both_s = harness(place, "both", [*common, "--no-timing", *cluster])
        print(
            f"Quality on one worker {alone_s:.1f} s, on two {both_s:.1f} s: {both_s / alone_s:.2f} of it.", flush=True
        )
        harness(place, "killed", [*common, "--no-timing", *cluster], kill=(first, both_s / 2))
        start(stack, place, 1, "worker", f"tcp://{NETWORK}.1:{PORT}")
        harness(place, "timed", [*common, *cluster])
        harness(place, "here", [*common, "--no-timing"])
        for name in ("alone", "both", "killed", "timed"):
            print(f"{name}: {compare(read(place / name), read(place / 'here'))}")


@contextlib.contextmanager
def make_namespaces() -> Iterator[None]:
    """Three namespaces on a bridge, for the length of the block."""
    remove_namespaces()
    try:
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(NAMESPACES):
            ip("netns", "add", name)
            ip("link", "add", f"hx{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"hx{number}", "master", BRIDGE, "up")
            ip("-n", name, "address", "add", f"{NETWORK}.{number + 1}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        remove_namespaces()


def remove_namespaces() -> None:
    """Those of this or an earlier run, as far as they are there; with a namespace go its interfaces."""
    for name in NAMESPACES:
        subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)
    subprocess.run(["ip", "link", "delete", BRIDGE], stderr=subprocess.DEVNULL, check=False)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def enter(number: int, *command: str) -> list[str]:
    """A command in a namespace, with a host name and, but for the client, a core of its own."""
    name = NAMESPACES[number]
    cores = sorted(os.sched_getaffinity(0))
    pinned = ["taskset", "-c", str(cores[number - 1])] if number else []
    script = f'hostname {name} && exec "$@"'
    return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", script, "sh", *pinned, *command]


def describe_environment(place: Path, number: int) -> dict[str, str]:
    """The environment of one machine, whose files lie in a folder of its own."""
    folder = place / NAMESPACES[number]
    folder.mkdir(exist_ok=True)
    return os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}


def start(stack: contextlib.ExitStack, place: Path, number: int, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a part of the cluster, which ends with the stack."""
    command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
    if arguments[0] == "worker":
        command += ["--nthreads", "1", "--local-directory", str(place / NAMESPACES[number])]
    log = stack.enter_context((place / f"{NAMESPACES[number]}.log").open("ab"))
    process = subprocess.Popen(
        enter(number, *command),
        stdout=log,
        stderr=log,
        env=describe_environment(place, number),
        start_new_session=True,
    )
    stack.callback(end, process)
    time.sleep(15 if number else 5)  # until it is there
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def harness(
    place: Path, reports: str, arguments: Sequence[str], *, kill: tuple[subprocess.Popen[bytes], float] | None = None
) -> float:
    """Run it in the client's namespace; the seconds of the work itself. kill: a process, and after so many seconds."""
    command = [sys.executable, "-m", "harness", "run", *arguments, "--quiet", "--reports", str(place / reports)]
    start_s = time.monotonic()
    with subprocess.Popen(enter(0, *command), env=describe_environment(place, 0), cwd=ROOT) as process:
        while process.poll() is None:
            if kill and time.monotonic() - start_s > kill[1]:
                end(kill[0])
                kill = None
            time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{reports}: harness run ended with {process.returncode}")
    return time.monotonic() - start_s


def read(reports: Path) -> dict[str, Record]:
    return {path.stem: read_record(path) for path in sorted(reports.glob("records/*/*.json"))}


def compare(there: dict[str, Record], here: dict[str, Record]) -> str:
    """Whether two sets of records have the same quality to the last digit, and where that of the first was made."""
    same = there.keys() == here.keys()
    hosts, timed, values = set(), set(), 0
    for name, record in there.items():
        mine, theirs = here[name].quality if name in here else None, record.quality
        if mine is None or theirs is None:
            same = False
            continue
        same = same and (mine.pairs, mine.photos) == (theirs.pairs, theirs.photos)
        values += sum(len(image.values) for image in (*mine.pairs, *mine.photos))
        hosts.update(theirs.hosts)
        timed.update({record.environment.host} if record.timing else ())
    times = f"; timed on {', '.join(sorted(timed))}" if timed else ""
    return (
        f"{len(there)} records, {values} values {'equal' if same else 'DIFFER'}; on {', '.join(sorted(hosts))}{times}"
    )


if __name__ == "__main__":
    main()
