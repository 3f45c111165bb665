"""What all worker processes have in common: they end with the main process, and their deaths are put into words."""

from __future__ import annotations

import os
import signal
from multiprocessing import parent_process, resource_tracker
from multiprocessing.process import BaseProcess
from threading import Thread


def start_shielded(process: BaseProcess) -> None:
    """Start a process that Ctrl-C never reaches, not even while it imports; a terminal sends it to all processes."""
    if not hasattr(signal, "pthread_sigmask"):  # as on Windows
        process.start()
        return
    resource_tracker.ensure_running()  # its start, which is a part of the first one's, lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # processes inherit it
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


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
