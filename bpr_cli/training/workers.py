"""The processes that prepare batches: their start, and the error when one of them dies."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import TracebackType

import cv2

from bpr_cli.errors import BprError

DYING = 1.0
"""Seconds to wait for the exit code of a worker after an error that its death may have caused."""


@contextmanager
def starting_workers() -> Iterator[None]:
    """Start workers without what they must not inherit.

    OpenCV's threads: a worker that is forked inherits the record of them but not the threads, and would wait for them
    forever. And Ctrl-C, which a terminal sends to all processes: the main process decides whether to stop,
    and a worker that is only about to start has no other way to ignore it.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with _interrupts_held():
            yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block SIGINT, so that processes started meanwhile never see it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(_number: int) -> None:
    """Set up a worker: one thread, and Ctrl-C and error messages are left to the main process."""
    cv2.setNumThreads(1)
    sys.excepthook = _silent_when_deserted
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _silent_when_deserted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show no traceback of a broken connection: the main process has ended and reported why.

    It may break in the thread that hands batches over, whose errors multiprocessing shows by this hook.
    """
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


@contextmanager
def reporting_deaths(workers: Sequence[BaseProcess]) -> Iterator[None]:
    """Report the death of a worker in one line; PyTorch raises different errors, wherever the program is.

    Raises:
        BprError: a worker has died.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        # Connections of a worker break before the system reports its end: first the sentinel, then the exit code.
        broken = wait([worker.sentinel for worker in workers], DYING)
        for worker in workers:
            if worker.sentinel in broken:
                worker.join(DYING)
        code = next((worker.exitcode for worker in workers if worker.exitcode), 0)
        if not code:
            raise
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        why = ", as systems do when memory runs out" if code == -getattr(signal, "SIGKILL", 0) else ""
        raise BprError(
            f"a worker that prepares batches {how}{why}; give the same command again, with fewer --workers, to go on "
            "from the last saved step"
        ) from error
