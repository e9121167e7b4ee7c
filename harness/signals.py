"""Signals that ask a command to end: each becomes an exception, so that what was begun is undone on the way out."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
RETRYING = (signal.SIGALRM,) if hasattr(signal, "SIGALRM") else ()
RETRY_S = 0.01
PATIENCE_S = 2.0  # after a signal: what was begun is being undone, and a hasty second one must not cut that short


class Interrupted(BaseException):
    """A signal asked for the end. No Exception: nothing that a model or a file does wrong may swallow it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


@contextmanager
def interruptible() -> Iterator[None]:
    """A block that a signal ends with Interrupted, and after which signals are ignored: the rest is short."""
    raise_on_signals()
    _gate.patient_until_s = 0.0
    hook, sys.unraisablehook = sys.unraisablehook, _catch_lost
    try:
        try:
            yield
        finally:
            ignore_signals()
            sys.unraisablehook = hook
    except Exception as error:  # while a library in C is imported, the exception comes out as another
        if _gate.received:
            raise Interrupted(_gate.received) from error
        raise


def raise_on_signals() -> None:
    """Have the signals raise Interrupted in the main thread, but for those that are ignored (nohup, say)."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def ignore_signals() -> None:
    """Let no further signal disturb the end that has begun."""
    for number in (*ENDING, *RETRYING):
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def hold_signals() -> Iterator[None]:
    """Put a signal off to the end of the block: for short ones that must not be left half done."""
    if threading.current_thread() is not threading.main_thread():  # signals never disturb the others
        yield
        return
    _gate.closed += 1
    try:
        yield
    finally:
        _gate.closed -= 1
        if not _gate.closed and _gate.waiting:
            number, _gate.waiting = _gate.waiting, 0
            _end(number)


class _Gate:
    """How many blocks hold signals back; the number of the signal that waits, and of the last one (0: none)."""

    closed = 0
    waiting = 0
    received = 0
    patient_until_s = 0.0


_gate = _Gate()


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if time.monotonic() >= _gate.patient_until_s:
        _receive(number)


def _receive(number: int) -> None:
    _gate.received = number
    if _gate.closed:
        _gate.waiting = number
    else:
        _end(number)


def _end(number: int) -> NoReturn:
    _gate.patient_until_s = time.monotonic() + PATIENCE_S
    raise Interrupted(number)


def _catch_lost(lost: "sys.UnraisableHookArgs") -> None:
    """Python drops what is raised in a destructor or a callback of the collector: raise it again a moment later."""
    if isinstance(lost.exc_value, Interrupted) and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, lambda *_: _receive(_gate.received))
        signal.setitimer(signal.ITIMER_REAL, RETRY_S)
    else:
        sys.__unraisablehook__(lost)
