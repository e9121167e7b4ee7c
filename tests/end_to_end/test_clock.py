"""The wall clock may jump (a laptop wakes, NTP sets the clock): no duration is measured with it."""

import ast
from collections.abc import Iterator

import pytest
from place import ROOT, TINY, Place

from harness.archive import read_record

WALL_CLOCK = {
    ("time", "time"), ("time", "time_ns"), ("time", "localtime"), ("time", "gmtime"), ("time", "ctime"),
    ("time", "clock_gettime"), ("time", "clock_gettime_ns"),
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"),
}  # fmt: skip
JUMPS = """
import itertools, time
true_time, jumps = time.time, itertools.cycle((0, 3e8, -3e8, 86400))
time.time = lambda: true_time() + next(jumps)
time.time_ns = lambda: int(time.time() * 1e9)
"""


def find_wall_clock(source: str) -> Iterator[str]:
    """Uses of the wall clock, however its module was imported."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if (owner, node.attr) in WALL_CLOCK:
                yield f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names if ("time", alias.name) in WALL_CLOCK)


@pytest.mark.parametrize(
    "source",
    ["import time\ntime.time()", "from time import time", "datetime.datetime.now(datetime.UTC)", "date.today()"],
)
def test_a_use_of_the_wall_clock_is_found(source: str) -> None:
    assert len(list(find_wall_clock(source))) == 1
    assert not list(find_wall_clock("time.monotonic() + time.perf_counter_ns() + time.process_time_ns()"))


def test_only_dates_of_records_and_competitions_come_from_the_wall_clock() -> None:
    paths = sorted((ROOT / "harness").rglob("*.py"))
    uses = {path.name: list(find_wall_clock(path.read_text(encoding="utf-8"))) for path in paths}
    dates = ("environment.py", "worksite.py", "competition.py")  # of a record, of one made on a cluster, of a start
    assert {name: found for name, found in uses.items() if found} == {key: ["datetime.now"] for key in dates}


@pytest.mark.slow
def test_a_jumping_clock_changes_no_time(place: Place) -> None:
    (place.folder / "sitecustomize.py").write_text(JUMPS)
    place.environment["PYTHONPATH"] += f":{place.folder}"
    place.succeed("run", "--threads", "1", *TINY, "--again")
    record = read_record(place.records / "good.json")
    assert record.timing is not None
    for rows in (record.timing.samples_ns, record.timing.baseline_samples_ns, record.timing.warmup_ns):
        assert all(0 < sample < 10e9 for row in rows for sample in row)
    assert all(0 < load < 60e9 for load in record.timing.load_ns)
