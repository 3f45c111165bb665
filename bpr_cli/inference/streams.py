"""Threads that each compute with PyTorch by themselves, on calls of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TypeVar

import torch

Given = TypeVar("Given")
Done = TypeVar("Done")

_STARTING = Lock()
"""Held while a thread changes PyTorch's number of threads, which is of the whole process for a moment."""


@dataclass(frozen=True)
class Streams:
    """Like ``map``, but threads compute several calls at the same time, none of which uses further threads.

    PyTorch would rather split every operation between its threads. These wait for each other thousands of times a
    second, and spin meanwhile: beside other programs they spend most of their time so. The last bits of its results
    depend on their number, too.

        >>> list(Streams(2).map(lambda number: number * torch.get_num_threads(), [3, 4]))
        [3, 4]

    Several threads may use the same streams. PyTorch's number of threads elsewhere in the program stays as it is.

    Attributes:
        count: number of threads.
    """

    count: int

    def map(self, function: Callable[[Given], Done], given: Iterable[Given]) -> Iterator[Done]:
        """Results in the order of what is given; an error cancels the calls that have not begun.

        The threads end with the last result, so that none is left behind, neither idle nor in a forked process.
        """
        with ThreadPoolExecutor(self.count, "bpr-stream", initializer=_compute_alone) as threads:
            yield from threads.map(function, given)


def _compute_alone() -> None:
    """Let PyTorch compute in this thread without the help of others."""
    with _STARTING:
        threads = torch.get_num_threads()  # PyTorch takes the number for this thread now, and not at a later operation
        torch.set_num_threads(1)  # for this thread, and for all that start from now on
        others = Thread(target=torch.set_num_threads, args=(threads,))
        others.start()
        others.join()
