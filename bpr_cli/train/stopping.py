"""Being asked to stop: Ctrl-C and SIGTERM are taken note of, and obeyed when the step at hand is done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class StopRequest:
    """Whether to stop.

    Attributes:
        signal: number of the signal that asked for it, 0 for none.
    """

    signal: int = 0


@contextmanager
def noting_signals() -> Iterator[StopRequest]:
    """Take note of the first signal; a second one acts at once, as it did before."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():  # where signals cannot be handled
        yield request
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = number
        restore()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
