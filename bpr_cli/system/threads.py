"""Maps functions over inputs in threads; results keep the order of the inputs."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

_AHEAD = 2
"""Calls in flight per worker."""

PIXELS_AT_ONCE = 2**27
"""Most pixels of the images that are in memory together in one stage of the work, unless one alone has more."""

Given = TypeVar("Given")
Done = TypeVar("Done")


def default_workers() -> int:
    """Default number of worker threads: one per core, at most 4, to limit the images held in memory."""
    return max(1, min(4, os.cpu_count() or 1))


def in_order(function: Callable[[Given], Done], given: Iterable[Given], workers: int) -> Iterator[Done]:
    """Like ``map``, but worker threads compute the results a few items ahead.

    Threads suffice, because NumPy, OpenCV and the decoders release the interpreter lock; unlike processes, they share
    open data.
    """
    if workers == 1:
        yield from map(function, given)
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - its logging slows help texts down

    pending: deque[Future[Done]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for one in given:
                pending.append(pool.submit(function, one))
                if len(pending) >= workers * _AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


class Budget:
    """Limits what threads hold together, such as pixels; what exceeds it by itself is held alone.

    >>> budget = Budget(100)
    >>> with budget.hold(60):  # another thread waits here if it asks for more than 40
    ...     pass

    Args:
        total: the limit.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Wait until ``amount`` fits beside what others hold, and hold it during the body of a ``with`` statement."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held or self._held + amount <= self._total)
            self._held += amount
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()


def one_ahead(function: Callable[[Given], Done], given: Iterable[Given]) -> Iterator[Done]:
    """Like ``map``, but a thread computes the next result while the caller uses the current one."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - as above

    with ThreadPoolExecutor(1) as pool:
        pending: Future[Done] | None = None
        for one in given:
            following = pool.submit(function, one)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()
