"""Being asked to stop by Ctrl-C or SIGTERM: at once, or when the step at hand is done; a second signal always acts."""

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
"""Where Python says that the code of its import system comes from."""

Handlers = Mapping[signal.Signals, Any]
"""What is done about each signal."""


class Stopped(SystemExit):
    """Raised where the program is when it is asked to stop.

    Attributes:
        signal: that asked for it.
        code: exit code that shells give to a program stopped by this signal.
    """

    code: int

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number)


@dataclass
class StopRequest:
    """Whether to stop.

    Attributes:
        signal: number of the signal that asked for it, 0 for none.
    """

    signal: int = 0


@contextmanager
def stopping(advice: str) -> Iterator[None]:
    """Raise ``Stopped`` on the first signal; a second one ends the process, however long tidying up takes.

    Args:
        advice: how to go on, said on standard error once all is tidied up.
    """
    before = _handlers()

    def stop(number: int, frame: FrameType | None) -> None:
        _handle(dict.fromkeys(before, signal.SIG_DFL))
        stopped = Stopped(number)
        if _is_importing(frame):
            # Extension modules crash, or report something else, when they are interrupted while they are loaded. Then
            # there is nothing to tidy up either.
            _say(stopped, advice)
            os._exit(stopped.code)
        raise stopped

    with _handled_by(stop, before):
        try:
            yield
        except Stopped as stopped:
            _say(stopped, advice)
            raise


@contextmanager
def noting_signals() -> Iterator[StopRequest]:
    """Take note of the first signal; a second one acts at once, as it did before."""
    before = _handlers()
    request = StopRequest()

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = number
        _handle(before)

    with _handled_by(note, before):
        yield request


def end_quietly() -> None:
    """Let Ctrl-C end this process without the traceback that Python shows, also while it starts and ends."""
    _handle({number: signal.SIG_DFL for number, found in _handlers().items() if found is signal.default_int_handler})


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None], before: Handlers) -> Iterator[None]:
    _handle(dict.fromkeys(before, handler))
    try:
        yield
    finally:
        _handle(before)


def _handlers() -> Handlers:
    """What is done about signals now; without those that must stay as they are.

    Those are signals that this process was told to ignore, as shells tell their background jobs, and all where signals
    cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    found = {number: signal.getsignal(number) for number in SIGNALS}
    return {number: handler for number, handler in found.items() if handler not in (None, signal.SIG_IGN)}


def _handle(handlers: Handlers) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported where the main thread is."""
    while frame is not None and frame.f_code.co_filename != _IMPORTING:
        frame = frame.f_back
    return frame is not None


def _say(stopped: Stopped, advice: str) -> None:
    if sys.stderr:
        sys.stderr.write(f"stopped by {stopped.signal.name}; {advice}\n")
        sys.stderr.flush()
