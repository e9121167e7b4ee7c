"""Runs on a Dask cluster: the digits of this machine, and what becomes of them where workers die or do not fit."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import models
import pytest
import tiny
from place import ROOT, TINY, Place
from workers import Cluster, start_cluster, write_killer

from harness.archive import read_record
from harness.records import Record

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="pins workers to cores"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two workers, one for time and memory; the submission `killer` kills either, and a nanny starts it again."""
    folder = tmp_path_factory.mktemp("cluster")
    with start_cluster(folder) as cluster:
        preload = ("--preload", str(write_killer(folder)))
        cluster.add_worker("--resources", "timing=1", *preload)
        cluster.add_worker(*preload, core=1)
        yield cluster


@pytest.fixture
def several(place: Place) -> Place:
    """Two more submissions, one of which fails, and more pairs."""
    shutil.rmtree(place.folder / "pictures")
    tiny.write_dataset(place.folder / "pictures", pairs=6, photos=2)
    shutil.rmtree(place.folder / "reports")
    place.submit("bad", models.all_nan())
    place.submit("late", models.brighten(0.06))
    return place


def read(place: Place, reports: str = "reports") -> dict[str, Record]:
    return {path.stem: read_record(path) for path in (place.folder / reports).glob("records/pictures/*.json")}


def test_a_cluster_gives_the_digits_of_this_machine(several: Place, cluster: Cluster) -> None:
    several.harness("run", *TINY, "--no-timing", "--no-images", "--reports", "local")
    options = (*TINY, "--no-images", "--budget", "3", "--scheduler", cluster.address)
    done = several.harness("run", *options)
    assert done.returncode == 3  # that of the faulty submission
    here, there = read(several, "local"), read(several)
    assert {name: record.status for name, record in there.items()} == {"bad": "failed", "good": "ok", "late": "ok"}
    assert there["bad"].failure == here["bad"].failure
    for name in ("good", "late"):
        mine, theirs, timing = here[name].quality, there[name].quality, there[name].timing
        assert mine is not None
        assert theirs is not None
        assert (theirs.pairs, theirs.photos) == (mine.pairs, mine.photos)
        assert theirs.hosts == (there[name].environment.host,) == (os.uname().nodename,)
        assert mine.hosts == ()
        assert here[name].environment.host == ""
        assert timing is not None
        assert len(timing.samples_ns) >= 3
        assert timing.threads == 1
        assert there[name].memory is not None
        assert there[name].audit is not None
    again = several.harness("run", *options)
    assert len(re.findall(r"^(?:good|late): as recorded on ", again.stderr, re.MULTILINE)) == 2
    assert not (several.records / "unfinished").exists()


def test_a_submission_that_kills_its_workers_fails_and_stops_no_other(several: Place, cluster: Cluster) -> None:
    several.submit("killer", models.brighten(0.07))
    done = several.harness("run", *TINY, "--no-timing", "--no-images", "--scheduler", cluster.address)
    assert done.returncode == 3
    records = read(several)
    statuses = {name: record.status for name, record in records.items()}
    assert statuses == {"bad": "failed", "good": "ok", "killer": "failed", "late": "ok"}
    failure = records["killer"].failure
    assert failure is not None
    assert (failure.kind, failure.message[:39]) == ("killed", "2 workers died while they worked on it;")


def wait_for_quality(process: subprocess.Popen[str]) -> None:
    """Until the quality of some submission is measured."""
    assert process.stderr is not None
    for line in process.stderr:
        if "quality took" in line:
            return


def test_a_lost_worker_is_no_loss(several: Place, tmp_path: Path) -> None:
    for number in range(4):
        several.submit(f"slow{number}", models.slow(600 + number))
    with start_cluster(tmp_path / "cluster") as cluster:
        cluster.add_worker("--resources", "timing=1")
        lost = cluster.add_worker("--no-nanny", core=1)
        options = (*TINY, "--no-timing", "--no-images", "--scheduler", cluster.address)
        with several.start("run", *options) as process:
            wait_for_quality(process)
            os.killpg(lost.pid, signal.SIGKILL)
            process.communicate(timeout=120)
    assert process.returncode == 3  # that of the faulty submission
    statuses = {name: record.status for name, record in read(several).items()}
    assert statuses == {"bad": "failed", "good": "ok", "late": "ok"} | {f"slow{number}": "ok" for number in range(4)}


@pytest.mark.parametrize("end", ["interrupt", "scheduler"])
def test_a_run_that_is_broken_off_goes_on_from_there(several: Place, tmp_path: Path, end: str) -> None:
    for number in range(4):
        several.submit(f"slow{number}", models.slow(300 + number))
    with start_cluster(tmp_path / "cluster") as cluster:
        cluster.add_worker("--no-nanny", "--resources", "timing=1")
        address = cluster.address
        options = (*TINY, "--no-timing", "--no-images", "--scheduler", cluster.address)
        with several.start("run", *options) as process:
            wait_for_quality(process)
            if end == "interrupt":
                process.send_signal(signal.SIGINT)
            else:
                os.killpg(cluster.scheduler.pid, signal.SIGKILL)
            _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert process.returncode == (130 if end == "interrupt" else 7)
    assert end == "interrupt" or f"the scheduler at {address} is gone" in errors
    assert len(re.findall("^error: ", errors, re.MULTILINE)) in (1, 2)  # that of the faulty submission may come before
    assert list(several.records.rglob("*.json"))
    several.harness("run", *TINY, "--no-timing", "--no-images")
    assert {"good", "late", *(f"slow{number}" for number in range(4))} <= {
        name for name, record in read(several).items() if record.status == "ok"
    }


def test_workers_with_other_code_are_refused(place: Place, cluster: Cluster, tiny_options: Sequence[str]) -> None:
    changed = shutil.copytree(ROOT / "harness", place.folder / "other" / "harness")
    with (changed / "quality.py").open("a") as file:
        file.write("# another version\n")
    place.environment["PYTHONPATH"] = str(changed.parent)
    error = place.refuse(2, "run", *tiny_options, "--scheduler", cluster.address)
    assert re.search(
        r"the worker tcp://\S+ on \S+ has harness \S+ \([0-9a-f]{12}\), not \S+ \([0-9a-f]{12}\); install there", error
    )


def test_what_does_not_fit_is_one_sentence(place: Place, cluster: Cluster, tiny_options: Sequence[str]) -> None:
    error = place.refuse(2, "run", *tiny_options, "--scheduler", "tcp://127.0.0.1:9")
    assert "no scheduler answers at tcp://127.0.0.1:9 (" in error
    error = place.refuse(2, "run", *tiny_options, "--scheduler", "127.0.0.1")
    assert "no scheduler answers at 127.0.0.1 (missing port number" in error
    error = place.refuse(2, "run", *tiny_options, "--workers", "1", "--scheduler", cluster.address)
    assert error == "error: --workers is for this machine; leave it out, or --scheduler."


def test_time_needs_a_worker_for_it(place: Place, tmp_path: Path, tiny_options: Sequence[str]) -> None:
    with start_cluster(tmp_path / "cluster") as cluster:
        assert "has no worker" in place.refuse(2, "run", *tiny_options, "--scheduler", cluster.address)
        cluster.add_worker()
        error = place.refuse(2, "run", *TINY, "--scheduler", cluster.address)
        assert "no worker is there to measure time" in error
        done = place.succeed("run", *tiny_options, "--again", "--scheduler", cluster.address)
        assert "; no time and no memory." in done.stderr
    record = read_record(place.records / "good.json")
    assert (record.status, record.memory) == ("ok", None)
