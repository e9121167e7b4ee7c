"""Signals become an exception, at once or at the end of a block that must not be left half done."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from harness import signals
from harness.signals import ENDING, Interrupted, hold_signals, ignore_signals, interruptible, raise_on_signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Those of a command; the alarm of pytest-timeout comes back."""
    alarm = signal.getsignal(signal.SIGALRM)
    signals._gate.patient_until_s = 0
    raise_on_signals()
    yield
    signal.signal(signal.SIGALRM, alarm)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_an_exception_with_the_exit_code_of_a_shell(number: int) -> None:
    with pytest.raises(Interrupted, match=rf"^interrupted by {signal.Signals(number).name}$") as caught:
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == 128 + number
    assert not isinstance(caught.value, Exception)


def test_a_held_signal_comes_at_the_end_of_the_outermost_block() -> None:
    done = []
    with pytest.raises(Interrupted, match="SIGTERM"), hold_signals():
        with hold_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]
    with hold_signals():  # it comes once
        pass


def test_a_held_signal_wins_over_an_error() -> None:
    with pytest.raises(Interrupted), hold_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        raise OSError


def test_what_a_library_makes_of_a_signal_is_still_the_signal() -> None:
    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Interrupted:
            raise ImportError("initialization failed") from None
    os.kill(os.getpid(), signal.SIGTERM)  # nothing disturbs the end


def test_a_signal_that_python_drops_comes_again() -> None:
    class Dying:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)

    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        Dying()
        time.sleep(10)


def test_an_error_without_a_signal_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals._gate, "received", 0)
    with pytest.raises(ImportError), interruptible():
        raise ImportError


def test_a_hasty_second_signal_lets_the_end_of_the_first_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "PATIENCE_S", 0.2)
    with pytest.raises(Interrupted, match="SIGTERM"):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.2)
    with pytest.raises(Interrupted, match="SIGINT"):
        os.kill(os.getpid(), signal.SIGINT)


def test_other_threads_hold_nothing() -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with hold_signals():
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)
    done.set()
    thread.join()


def test_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_on_signals()
    os.kill(os.getpid(), signal.SIGHUP)
    ignore_signals()
    for number in ENDING:
        os.kill(os.getpid(), number)
