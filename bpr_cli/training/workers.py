"""The worker processes that prepare batches: their start, and what follows if one of them dies."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pickle import UnpicklingError
from types import TracebackType
from typing import TypeVar

import cv2

from bpr_cli.errors import BprError
from bpr_cli.system.signals import StopRequest
from bpr_cli.system.workers import end_with_main_process, how_it_ended

Batch = TypeVar("Batch")

DYING = 1.0
"""Seconds to wait for the exit code of a worker after an error that may come from its death."""


@contextmanager
def starting_workers() -> Iterator[None]:
    """Start workers without OpenCV threads and with Ctrl-C blocked; a death is noticed where a batch is awaited.

    A forked worker inherits OpenCV's record of its threads but not the threads themselves, and would wait for them
    forever. A terminal sends Ctrl-C to all processes, but only the main process decides whether to stop. While a worker
    is starting, it can ignore the signal in no other way.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with _signals_held():
            yield
    finally:
        cv2.setNumThreads(threads)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Block SIGINT, so that processes started meanwhile never receive it; and let their deaths interrupt nothing.

    PyTorch handles SIGCHLD by an error wherever the program is, such as in the middle of a step or of saving.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGCHLD])
    handler = signal.getsignal(signal.SIGCHLD) or signal.SIG_DFL
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():  # only there, handlers are set
            signal.signal(signal.SIGCHLD, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_worker(_number: int) -> None:
    """Set up a worker: it uses one thread, ends with the main process, and leaves Ctrl-C and error messages to it."""
    cv2.setNumThreads(1)
    # PyTorch's worker asks every few seconds whether its parent is still the one it started with. It does not notice a
    # main process that was killed before it first asked, and waits for the next batch forever.
    end_with_main_process()
    sys.excepthook = _silent_when_deserted
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _silent_when_deserted(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Suppress the traceback of a broken connection, because the main process has ended and reported the reason.

    The connection may break in the thread that sends batches, whose errors multiprocessing shows with this hook.
    """
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


@contextmanager
def reporting_deaths(workers: Sequence[BaseProcess]) -> Iterator[None]:
    """Report the death of a worker in one line; PyTorch raises different errors, depending on the moment.

    Raises:
        BprError: a worker has died.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:
        # The connections of a worker break before the system reports its end: wait for the sentinel and the exit code.
        broken = wait([worker.sentinel for worker in workers], DYING)
        for worker in workers:
            if worker.sentinel in broken:
                worker.join(DYING)
        code = next((worker.exitcode for worker in workers if worker.exitcode), 0)
        if not code:
            raise
        raise BprError(
            f"a worker that prepares batches {how_it_ended(code)}; give the same command again, with fewer --workers, "
            "to go on from the last saved step"
        ) from error


def until_stopped(batches: Iterable[Batch], workers: Sequence[BaseProcess], request: StopRequest) -> Iterator[Batch]:
    """Batches until a worker dies after a signal has asked to stop, as many programs send it to all processes at once.

    Raises:
        BprError: a worker has died of another cause.
    """
    try:
        with reporting_deaths(workers):
            yield from batches
    except BprError:
        if not request.signal:
            raise
