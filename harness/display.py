"""How a command shows its progress on standard error: live on a terminal, as plain lines elsewhere, or not at all."""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from rich.live import Live

from harness.forecast import Forecast
from harness.progress import QUALITY, Step
from harness.render.cells import flatten
from harness.render.live import TIMED, describe_left, format_clock, render_progress
from harness.screen import Screen, log

REDRAW_S = 0.4
MOMENT_S = 2.0
REMINDER_S = 60.0
"""Without a word for longer, a run looks dead in a log, and some CI services end it."""


class Display:
    """Shows nothing; may be told from several threads."""

    def expect(self, names: Sequence[str], *, budget_s: float | None) -> None:
        """What there will be to do."""

    def take(self, step: Step) -> None:
        """How far something is."""

    def conclude(self, name: str, verdict: str, note: str) -> None:
        """What came of a submission; without a verdict, there is more to do."""

    def needs_sentence(self, *, final: bool) -> bool:  # noqa: ARG002
        """Whether what came of a submission, or of a part of the work on it, is also to be said in a sentence."""
        return False


class PlainDisplay(Display):
    """A line where a submission's stage begins and one where it ends, with the time passed; a reminder in long ones.

    Of what is done beside the submissions, what is counted has a line, and what takes longer than a moment.
    """

    def __init__(self, console: Screen) -> None:
        self._console, self._forecast = console, Forecast()
        self._told_s = time.monotonic()
        self._telling = threading.Lock()
        self._moment = threading.Event()

    def expect(self, names: Sequence[str], *, budget_s: float | None) -> None:
        self._forecast.expect(names, budget_s=budget_s)

    def take(self, step: Step) -> None:
        with self._telling:
            self.pass_by()
            if self._forecast.take(step):
                if step.submission or step.total:
                    self._print(self._describe(step))
                else:
                    threading.Thread(target=self._tell_later, args=(step, self._moment), daemon=True).start()
            elif time.monotonic() - self._told_s > REMINDER_S:
                self._print(describe_left(self._forecast) or step.stage)

    def conclude(self, name: str, verdict: str, note: str) -> None:
        with self._telling:
            self._forecast.conclude(name, verdict, note)

    def needs_sentence(self, *, final: bool) -> bool:  # noqa: ARG002
        return True

    def pass_by(self) -> None:
        """What is not told yet need not be any more."""
        self._moment.set()
        self._moment = threading.Event()

    def _tell_later(self, step: Step, passed: threading.Event) -> None:
        if not passed.wait(MOMENT_S):
            with self._telling:
                if not passed.is_set():
                    self._print(step.stage)

    def _describe(self, step: Step) -> str:
        if not step.submission:
            return f"{step.stage} {step.done}/{step.total}"
        if step.state == "ended":
            work = self._forecast.lines[step.submission].works[step.stage]
            return f"{step.submission}: {step.stage} took {format_clock(work.measure_wall_s(time.monotonic()))}"
        return f"{step.submission}: {step.stage}" + (f", {step.total} outputs" if step.stage == QUALITY else "")

    def _print(self, sentence: str) -> None:
        self._console.print(f"[{format_clock(self._forecast.passed_s)}] {flatten(sentence)}", markup=False)
        self._told_s = time.monotonic()


class LiveDisplay(Display):
    """Redraws itself, but never while a model is timed.

    What is measured on a quiet machine (audit, time) is told before and after each block, and only then, by the thread
    that measures, is anything drawn (3 ms of CPU time): no other thread of the display wakes up meanwhile. The clock
    stands still for as long as a block takes.
    """

    def __init__(self, console: Screen) -> None:
        self._forecast = Forecast()
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False)
        self._drawing = threading.Lock()
        self._ticking, self._over = threading.Event(), threading.Event()

    @contextlib.contextmanager
    def show(self) -> Iterator[None]:
        """On the terminal for the length of the block, and gone without a trace after it, however it ends."""
        ticker = threading.Thread(target=self._tick, daemon=True)
        ticker.start()
        try:
            self._live.start()
            self._ticking.set()
            yield
        finally:
            self._over.set()
            self._ticking.set()
            with self._drawing, contextlib.suppress(OSError):
                self._live.stop()
            ticker.join()

    def expect(self, names: Sequence[str], *, budget_s: float | None) -> None:
        with self._drawing:
            self._forecast.expect(names, budget_s=budget_s)

    def take(self, step: Step) -> None:
        with self._drawing:
            is_new = self._forecast.take(step)
            if step.stage in TIMED:
                self._ticking.clear()
            else:
                self._ticking.set()
            if is_new or step.stage in TIMED:
                self._draw()

    def conclude(self, name: str, verdict: str, note: str) -> None:
        with self._drawing:
            self._forecast.conclude(name, verdict, note)
            self._draw()

    def needs_sentence(self, *, final: bool) -> bool:
        return final  # the lines show the rest

    def _tick(self) -> None:
        while not self._over.wait(REDRAW_S):
            self._ticking.wait()
            with self._drawing:
                if self._ticking.is_set() and not self._over.is_set():
                    self._draw()

    def _draw(self) -> None:
        size = self._console.size
        with contextlib.suppress(OSError):  # a terminal that is gone stops no measurement
            self._live.update(render_progress(self._forecast, width=size.width, height=size.height), refresh=True)


@contextlib.contextmanager
def show_progress(*, quiet: bool = False, console: Screen = log) -> Iterator[Display]:
    """The display that suits standard error."""
    if quiet:
        yield Display()
    elif console.file.isatty() and not console.is_dumb_terminal:
        display = LiveDisplay(console)
        with display.show():
            yield display
    else:
        plain = PlainDisplay(console)
        try:
            yield plain
        finally:
            plain.pass_by()
