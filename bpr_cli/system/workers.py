"""What all worker processes have in common: they end with the main process, and their deaths are put into words."""

from __future__ import annotations

import os
import signal
from multiprocessing import parent_process
from threading import Thread


def end_with_main_process() -> None:
    """Let this worker end when the main process does, even if that is killed."""
    Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    if main := parent_process():
        main.join()
        os._exit(1)


def how_it_ended(code: int) -> str:
    """What became of a process.

    >>> how_it_ended(3)
    'ended with exit code 3'

    Args:
        code: its exit code; negative for a signal.
    """
    why = ", as systems do when memory runs out" if code == -getattr(signal, "SIGKILL", 0) else ""
    return f"was killed by {signal.Signals(-code).name}{why}" if code < 0 else f"ended with exit code {code}"
