"""What is shown of progress: on a terminal of any size, in a log, and when nothing is to be shown."""

import io
import re
import threading
import time

import pytest
from processes import wait_for
from rich.console import Console

from harness import display as module
from harness.display import LiveDisplay, PlainDisplay, show_progress
from harness.forecast import Forecast
from harness.progress import AUDIT, QUALITY, TIME, Step, Tally
from harness.render.live import describe_duration, render_progress
from harness.screen import Screen

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def draw(forecast: Forecast, *, width: int = 80, height: int = 24) -> list[str]:
    """The lines that a terminal of this size shows."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(render_progress(forecast, width=width, height=height))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.fixture
def forecast() -> Forecast:
    """One submission in each state."""
    forecast = Forecast(lambda: 65.0)
    forecast.expect(["fast", "slow", "noisy", "later", "bad", "gone"], budget_s=90)
    forecast.take(Step(QUALITY, 40, 112, "slow", spent_s=4.0, left_s=7.0))
    forecast.take(Step(TIME, 4, 0, "noisy", spent_s=20.0))
    forecast.take(Step(TIME, 4, 9, "noisy", "queued", spent_s=20.0, left_s=25.0))
    forecast.conclude("fast", "done", "PSNR 22.31, 33 ms, 2.50x")
    forecast.conclude("bad", "failed", "its output holds NaN \x1b[2J[red]\u202e\nsecond line")
    forecast.conclude("gone", "unavailable", "run `make weights`")
    return forecast


def test_every_submission_has_its_line(forecast: Forecast) -> None:
    lines = draw(forecast)
    assert [line.split()[:2] for line in lines[:6]] == [
        ["fast", "done"],
        ["slow", "quality"],
        ["noisy", "time"],
        ["later", "waiting"],
        ["bad", "failed"],
        ["gone", "unavailable"],
    ]
    assert lines[0].endswith("PSNR 22.31, 33 ms, 2.50x")
    assert re.search(r"40/112 +━+", lines[1])
    assert re.search(r"block 4 of about 9 +━+", lines[2])
    assert lines[6] == "1 done, 1 failed, 1 running, 1 unavailable, 2 waiting"
    assert lines[7].startswith("0:00:00 passed, left: quality about ")
    assert lines[7].endswith(", audit, time about 2 min")


def test_text_of_a_submission_moves_no_terminal(forecast: Forecast) -> None:
    text = "\n".join(draw(forecast))
    assert "its output holds NaN [2J[red] second line" in text
    assert not {"\x1b", "\u202e"} & set(text)


@pytest.mark.parametrize("width", [20, 40, 69, 70, 80, 120])
def test_a_narrow_window_breaks_no_line(forecast: Forecast, width: int) -> None:
    lines = draw(forecast, width=width)
    assert len(lines) == 8
    assert max(map(len, lines)) <= width
    assert any("━" in line for line in lines) == (width >= 70)


def test_a_thousand_submissions_stay_on_the_screen() -> None:
    forecast = Forecast()
    names = [f"net_{number:04}" for number in range(1000)]
    forecast.expect(names, budget_s=90)
    for name in names[:500]:
        forecast.take(Step(QUALITY, 0, 112, name))
        forecast.conclude(name, "done", "PSNR 20.00")
    forecast.take(Step(QUALITY, 7, 112, names[501], spent_s=1.0))
    start_s = time.process_time()
    lines = draw(forecast, height=24)
    assert time.process_time() - start_s < 1
    assert len(lines) < 24
    shown = [line.split()[:2] for line in lines[:-2]]
    assert shown[:5] == [
        ["net_0497", "done"],
        ["net_0498", "done"],
        ["net_0499", "done"],
        ["net_0500", "waiting"],
        ["net_0501", "quality"],
    ]
    assert lines[-2] == "500 done, 1 running, 499 waiting"


def test_of_many_that_take_turns_those_at_work_are_shown() -> None:
    forecast = Forecast()
    forecast.expect([f"net_{number:04}" for number in range(100)], budget_s=90)
    for name in forecast.lines:
        forecast.take(Step(TIME, 0, 0, name))
        forecast.take(Step(TIME, 1, 0, name, "queued"))
    forecast.take(Step(TIME, 1, 0, "net_0050"))
    lines = draw(forecast, height=16)
    assert len(lines) < 16
    assert "net_0050  time  block 2" in lines
    assert lines[-1] == "Nothing is drawn while a model is timed."


def test_what_is_done_beside_the_submissions_has_a_line() -> None:
    clock = iter(range(100))
    forecast = Forecast(lambda: float(next(clock)))
    forecast.take(Step("pirm2018b", 100, 800))
    forecast.take(Step("pirm2018b", 200, 800))
    assert draw(forecast)[0] == "pirm2018b 200/800, about 5 s left"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "5 s"), (43, "45 s"), (58, "1 min"), (200, "3 min"), (3570, "1 h"), (4000, "1 h 5 min"), (7200, "2 h")],
)
def test_a_duration_is_no_more_exact_than_an_estimate(seconds: float, text: str) -> None:
    assert describe_duration(seconds) == text


# --- a terminal


@pytest.fixture
def terminal() -> Screen:
    return Screen(file=io.StringIO(), force_terminal=True, width=80, height=24, soft_wrap=True)


def read(screen: Screen) -> str:
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_live_display_ends_clean_whatever_happens(terminal: Screen) -> None:
    live = LiveDisplay(terminal)
    with pytest.raises(KeyboardInterrupt), live.show():
        live.expect(["a"], budget_s=None)
        live.conclude("a", "done", "PSNR 20")
        raise KeyboardInterrupt
    text = read(terminal)
    assert "PSNR 20" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor is shown again
    assert [thread for thread in threading.enumerate() if thread.daemon and "_tick" in thread.name] == []


def test_nothing_is_drawn_while_a_model_is_timed(terminal: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REDRAW_S", 0.01)
    live = LiveDisplay(terminal)

    def grows() -> bool:
        before = len(read(terminal))
        time.sleep(0.3)
        return len(read(terminal)) > before

    with live.show():
        live.take(Step(QUALITY, 1, 10, "a"))
        assert grows()
        for stage in (AUDIT, TIME):
            live.take(Step(stage, 0, 0, "a"))
            assert f"a  {stage}" in CONTROL.sub("", read(terminal))
            assert not grows()
        live.take(Step("writing reports"))
        assert grows()


def test_a_live_display_takes_only_final_sentences(terminal: Screen) -> None:
    live = LiveDisplay(terminal)
    assert (live.needs_sentence(final=True), live.needs_sentence(final=False)) == (True, False)


# --- elsewhere


def test_elsewhere_a_stage_is_a_line_at_its_begin_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(file=io.StringIO(), width=20, soft_wrap=True)
    plain = PlainDisplay(screen)
    plain.expect(["a"], budget_s=90)
    tally = Tally("a", photos=1, pairs=50, multiply_adds=None, on_progress=plain.take)
    plain.take(Step("checking the models", 0, 1))
    tally.queue()
    tally.begin(0)
    for _ in range(50):
        tally.count(0)
    tally.end()
    plain.conclude("a", "", "")
    for block in range(9):
        plain.take(Step(TIME, block, 0, "a"))
    assert read(screen).splitlines() == [
        "[0:00:00] checking the models 0/1",
        "[0:00:00] a: quality, 51 outputs",
        "[0:00:00] a: quality took 0:00:00",
        "[0:00:00] a: time",
    ]
    assert plain.needs_sentence(final=False)
    monkeypatch.setattr(module, "REMINDER_S", 0.0)
    plain.take(Step(TIME, 9, 20, "a", spent_s=45.0, left_s=45.0))
    assert read(screen).splitlines()[-1] == "[0:00:00] about 45 s left"


def test_elsewhere_what_is_not_counted_is_told_where_it_takes_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOMENT_S", 0.2)
    screen = Screen(file=io.StringIO(), width=20, soft_wrap=True)
    with show_progress(console=screen) as shown:
        shown.take(Step("a quick thing"))
        shown.take(Step("compiling the metrics"))
        assert wait_for(lambda: read(screen) == "[0:00:00] compiling the metrics\n")
        shown.take(Step("writing reports"))
    time.sleep(0.4)
    assert read(screen) == "[0:00:00] compiling the metrics\n"


def test_a_stream_that_is_no_terminal_gets_no_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as CI services set it; rich then takes any file for a terminal
    screen = Screen(file=io.StringIO(), width=80, highlight=False)
    with show_progress(console=screen) as shown:
        shown.take(Step("writing reports"))
        shown.take(Step(AUDIT, submission="a"))
    assert isinstance(shown, PlainDisplay)
    assert read(screen) == "[0:00:00] a: audit\n"


def test_a_quiet_display_says_nothing() -> None:
    screen = Screen(file=io.StringIO(), force_terminal=True)
    with show_progress(quiet=True, console=screen) as shown:
        shown.expect(["a"], budget_s=1)
        shown.take(Step(TIME, 0, 0, "a"))
        shown.conclude("a", "done", "")
        assert not shown.needs_sentence(final=True)
    assert read(screen) == ""


# --- counting


def test_a_tally_learns_photos_and_pairs_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Step] = []
    now_s = 0.0
    monkeypatch.setattr("harness.progress.time.monotonic", lambda: now_s)
    tally = Tally("a", photos=2, pairs=10, multiply_adds=7, on_progress=seen.append)
    tally.queue()
    tally.begin(0)
    tally.begin(1)
    now_s = 1.0
    tally.count(1)
    assert seen[-1].left_s is None  # a photo may take as long as all pairs
    now_s = 5.0
    tally.count(0)
    tally.count(1)
    assert (seen[-1].done, seen[-1].total, seen[-1].spent_s) == (3, 12, 10.0)
    assert seen[-1].left_s == pytest.approx(1 * 5.0 + 8 * 2.5)
    tally.end()
    assert [step.state for step in seen] == ["queued", *["running"] * 5, "ended"]
    assert {step.multiply_adds for step in seen} == {7}
