"""What work costs in a new process, which nothing before it has filled with modules, threads and memory."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What some work took: seconds, CPU seconds and at most megabytes of its process, not of those that it starts."""

    seconds: float
    cpu: float
    peak: float


def measured(work: Callable[..., object], *arguments: object) -> Cost:
    """The cost of a function of a module, with the modules that it imports."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, work, *arguments).result()


def _measure(work: Callable[..., object], *arguments: object) -> Cost:
    began = time.monotonic()
    work(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, _peak())


def _peak() -> float:
    """Megabytes. Linux only: getrusage would count what the process was started from, too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000
