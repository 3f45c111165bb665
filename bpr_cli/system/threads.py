"""Maps functions over inputs in threads; results keep the order of the inputs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

_AHEAD = 2
"""Calls in flight per worker."""

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
