"""The time left: from what was seen, and nothing before; told by a clock of the test's own."""

import pytest

from harness.forecast import Forecast, predict
from harness.progress import AUDIT, QUALITY, TIME, State, Step


class Clock:
    """A clock that a test sets."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def forecast(clock: Clock) -> Forecast:
    return Forecast(clock)


def quality(name: str, done: int = 0, *, spent_s: float = 0.0, left_s: float | None = None, cost: int = 0) -> Step:
    state: State = "queued" if not done else "ended" if left_s == 0 else "running"
    return Step(QUALITY, done, 10, name, state, spent_s=spent_s, left_s=left_s, multiply_adds=cost or None)


def test_nothing_is_said_without_evidence(forecast: Forecast, clock: Clock) -> None:
    assert forecast.list_left() == []
    forecast.expect(["a", "b"], budget_s=None)
    clock.now_s = 3
    forecast.take(Step(QUALITY, 0, 10, "a", spent_s=0.0))
    assert forecast.list_left() == [(QUALITY, None, False)]
    assert forecast.estimate_line_s(forecast.lines["a"]) is None
    assert forecast.passed_s == 3


def test_work_side_by_side_takes_less_time_than_work(forecast: Forecast, clock: Clock) -> None:
    forecast.expect(["a", "b"], budget_s=None)
    for name in "ab":
        forecast.take(Step(QUALITY, 0, 10, name, spent_s=0.0))
    clock.now_s = 10
    for name in "ab":
        forecast.take(quality(name, 5, spent_s=10, left_s=15))
    ((_, left_s, _),) = forecast.list_left()
    assert left_s == pytest.approx((15 + 15) / 2)  # two seconds of work in each second so far
    assert forecast.estimate_line_s(forecast.lines["a"]) == pytest.approx(15)


def test_what_has_not_begun_is_estimated_from_the_others(forecast: Forecast, clock: Clock) -> None:
    forecast.expect("abc", budget_s=None)
    for name, cost in zip("abc", (1, 3, 5), strict=True):
        forecast.take(quality(name, cost=cost))
    forecast.take(Step(QUALITY, 0, 10, "a", spent_s=0.0, multiply_adds=1))
    clock.now_s = 10
    forecast.take(quality("a", 10, spent_s=10, left_s=0, cost=1))
    assert forecast.list_left()[0][1] == pytest.approx(10 + 10)  # one seen: its time for each
    forecast.take(Step(QUALITY, 0, 10, "b", spent_s=0.0, multiply_adds=3))
    clock.now_s = 30
    forecast.take(quality("b", 10, spent_s=20, left_s=0, cost=3))
    assert forecast.list_left()[0][1] == pytest.approx(30)  # two seen: along their line


def test_a_failure_tells_nothing_of_the_others(forecast: Forecast, clock: Clock) -> None:
    forecast.expect("ab", budget_s=None)
    forecast.take(Step(QUALITY, 0, 10, "a", spent_s=0.0))
    clock.now_s = 1
    forecast.take(quality("a", 1, spent_s=1, left_s=0))
    forecast.conclude("a", "failed", "NaN")
    assert forecast.list_left() == [(QUALITY, None, False)]


def test_time_is_its_budget_until_blocks_tell_more(forecast: Forecast, clock: Clock) -> None:
    forecast.expect("ab", budget_s=90)
    for name in "ab":
        forecast.conclude(name, "", "PSNR 20")  # measured before
    assert forecast.count() == {"measured": 2}
    assert forecast.list_left() == [(AUDIT, None, False), (TIME, 180, True)]
    forecast.take(Step(AUDIT, submission="a"))
    clock.now_s = 8
    forecast.take(Step(AUDIT, submission="a", state="ended"))
    assert forecast.list_left() == [(AUDIT, 8, False), (TIME, 180, True)]
    forecast.take(Step(AUDIT, submission="b"))
    forecast.take(Step(AUDIT, submission="b", state="ended"))
    forecast.take(Step(TIME, 0, 0, "a", spent_s=0.0))
    clock.now_s = 18
    forecast.take(Step(TIME, 1, 0, "a", "queued", spent_s=10.0))
    assert forecast.list_left() == [(TIME, 170, True)]
    forecast.take(Step(TIME, 2, 6, "a", "queued", spent_s=20.0, left_s=40.0))
    assert forecast.list_left() == [(TIME, pytest.approx(40 + 60), False)]
    forecast.conclude("a", "done", "")
    forecast.conclude("b", "unavailable", "no weights")
    assert forecast.list_left() == []
    assert forecast.count() == {"done": 1, "unavailable": 1}


def test_a_stage_begins_and_ends_once(forecast: Forecast) -> None:
    steps = [
        quality("a"),
        Step(QUALITY, 0, 10, "a"),
        Step(QUALITY, 1, 10, "a"),
        Step(QUALITY, 10, 10, "a", "ended"),
        Step(TIME, 0, 0, "a"),
        Step(TIME, 1, 0, "a", "queued"),
        Step(TIME, 1, 0, "a"),
        Step("writing reports"),
        Step("writing reports"),
    ]
    assert [forecast.take(step) for step in steps] == [False, True, False, True, True, False, False, True, False]


@pytest.mark.parametrize(
    ("seen", "multiply_adds", "expected_s"),
    [
        ([(None, 4.0), (None, 8.0)], 5, 6.0),
        ([(2, 4.0)], 200, 4.0),
        ([(2, 4.0), (4, 6.0)], 10, 12.0),
        ([(2, 4.0), (4, 6.0)], None, 5.0),
        ([(2, 4.0), (4, 3.0)], 100, 3.5),  # more cost less: that is no line to follow
        ([(20, 4.0), (40, 60.0)], 1, 4.0),  # not less than the least that was seen
    ],
)
def test_prediction(seen: list[tuple[int | None, float]], multiply_adds: int | None, expected_s: float) -> None:
    assert predict(seen)(multiply_adds) == pytest.approx(expected_s)
