"""Threads that each compute with PyTorch by themselves, on calls of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Thread
from typing import TypeVar

import torch

Given = TypeVar("Given")
Done = TypeVar("Done")

_STARTING = Lock()
"""Held while a thread changes PyTorch's number of threads, which is of the whole process for a moment."""


class Streams:
    """Like ``map``, but threads compute several calls at the same time, none of which uses further threads.

    PyTorch would rather split every operation between its threads. These wait for each other thousands of times a
    second, and spin meanwhile: beside other programs they spend most of their time so. The last bits of its results
    depend on their number, too.

        >>> list(Streams(2).map(lambda number: number * torch.get_num_threads(), [3, 4]))
        [3, 4]

    Several threads may use the same streams. PyTorch's number of threads elsewhere in the program stays as it is.

    Args:
        count: number of threads.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._start()

    def map(self, function: Callable[[Given], Done], given: Iterable[Given]) -> Iterator[Done]:
        """Results in the order of what is given; an error cancels the calls that have not begun."""
        if self._process != os.getpid():  # a forked process has none of the threads
            self._start()
        return self._threads.map(function, given)

    def _start(self) -> None:
        self._process = os.getpid()
        self._threads = ThreadPoolExecutor(self.count, "bpr-stream", initializer=_compute_alone)


def _compute_alone() -> None:
    """Let PyTorch compute in this thread without the help of others."""
    with _STARTING:
        threads = torch.get_num_threads()  # PyTorch takes the number for this thread now, and not at a later operation
        torch.set_num_threads(1)  # for this thread, and for all that start from now on
        others = Thread(target=torch.set_num_threads, args=(threads,))
        others.start()
        others.join()
