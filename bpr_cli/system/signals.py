"""Stops the program on Ctrl-C or SIGTERM, at once or after the current step. A second signal always acts at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

_IMPORTING = "<frozen importlib._bootstrap>"
"""File name that Python gives to the code of its import system."""

Handlers = Mapping[signal.Signals, Any]
"""The handler of each signal."""


class Stopped(SystemExit):
    """Raised in the main thread when a signal asks the program to stop.

    Attributes:
        signal: the signal.
        code: exit code that shells use for a program stopped by this signal.
    """

    code: int

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


@dataclass
class StopRequest:
    """A request to stop, set by a signal.

    Attributes:
        signal: number of the signal; 0 for none.
    """

    signal: int = 0


@contextmanager
def stopping(advice: str) -> Iterator[None]:
    """Raise ``Stopped`` on the first signal; a second one ends the process, even during clean-up.

    Args:
        advice: text on how to resume, printed to standard error after clean-up.
    """
    before = _handlers()

    def stop(number: int, frame: FrameType | None) -> None:
        _handle(dict.fromkeys(before, signal.SIG_DFL))
        stopped = Stopped(number)
        if _is_importing(frame):
            # Extension modules crash or raise other errors when their import is interrupted. During imports there is
            # nothing to clean up but a lock file, which holds nobody up, so the process may exit at once.
            _say(stopped, advice)
            os._exit(stopped.code)
        raise stopped

    with _handled_by(stop, before):
        try:
            yield
        except Stopped as stopped:
            _say(stopped, advice)
            raise
        except RuntimeError as error:
            # A wait that a signal ends before it has its lock again lets Python release a lock that nobody holds.
            if not isinstance(error.__context__, Stopped):
                raise
            _say(error.__context__, advice)
            raise error.__context__ from None


@contextmanager
def noting_signals() -> Iterator[StopRequest]:
    """Record the first signal without acting on it; a second one goes to the previous handler."""
    before = _handlers()
    request = StopRequest()

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = number
        _handle(before)

    with _handled_by(note, before):
        yield request


def end_quietly() -> None:
    """Let Ctrl-C end this process without a traceback, even while Python starts or exits."""
    _handle({number: signal.SIG_DFL for number, found in _handlers().items() if found is signal.default_int_handler})


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None], before: Handlers) -> Iterator[None]:
    _handle(dict.fromkeys(before, handler))
    try:
        yield
    finally:
        _handle(before)


def _handlers() -> Handlers:
    """Current handlers of the signals that may be handled; empty outside the main thread.

    Signals that this process ignores stay ignored, as in background jobs of a shell.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in found.items() if handler not in (None, signal.SIG_IGN)}


def _handle(handlers: Handlers) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether the main thread is importing a module."""
    while frame is not None and frame.f_code.co_filename != _IMPORTING:
        frame = frame.f_back
    return frame is not None


def _say(stopped: Stopped, advice: str) -> None:
    if sys.stderr:
        name = "Ctrl-C" if stopped.signal is signal.SIGINT else stopped.signal.name
        sys.stderr.write(f"stopped by {name}; {advice}\n")
        sys.stderr.flush()
