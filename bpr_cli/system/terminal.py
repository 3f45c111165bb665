"""Messages and progress of a running command: a progress bar, or plain lines if there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bpr_cli.errors import printable

PLAIN_INTERVAL = 5.0
"""Seconds between progress lines when standard error is not a terminal."""


class Advance(Protocol):
    """Advances a progress display by one item."""

    def __call__(self, remark: str = "", resumed: bool = False) -> None:
        """Count an item.

        Args:
            remark: shown beside the count until the next item.
            resumed: whether an earlier process did the item; then it says nothing about the pace of this one.
        """


def silent(remark: str = "", resumed: bool = False) -> None:
    """Show nothing."""


class Pace:
    """Counts items, and measures how long an item takes.

    The first one comes late: the network starts up, and items wait for each other to fill its batches. So time is
    taken from the first one on, and nothing is said until that has lasted as long as the first one took.

    Attributes:
        done: number of items that are done.
        total: number of all items.
    """

    def __init__(self, total: int, unit: str, done: int) -> None:
        self.done, self.total, self._unit = done, total, unit
        self._worked = 0
        self._began = self._first = time.monotonic()

    def count(self, resumed: bool) -> None:
        """Count an item; see ``Advance``."""
        self.done += 1
        self._worked += not resumed
        if not self._worked:
            self._began = time.monotonic()
        if self._worked <= 1:
            self._first = time.monotonic()

    def __str__(self) -> str:
        """The pace and the time left, such as ``2.5 images/s, 12 s left``; empty before it is known."""
        since_first = time.monotonic() - self._first
        if self._worked < 2 or since_first < self._first - self._began:
            return ""
        seconds = max(since_first, 1e-9) / (self._worked - 1)
        pace = f"{1 / seconds:.1f} {self._unit}s/s" if seconds < 1 else f"{seconds:.1f} s/{self._unit}"
        return f"{pace}, {seconds * (self.total - self.done):.0f} s left"


def message_console() -> Console:
    """A rich console on standard error, without markup and emoji, because messages contain file names."""
    return _console(stderr=True)


def result_console() -> Console:
    """A rich console on standard output, without markup and emoji, because results contain file names."""
    return _console(stderr=False)


def _console(stderr: bool) -> Console:
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


def tell(wanted: bool, message: str) -> None:
    """Print a line on standard error, if messages are wanted."""
    if wanted:
        message_console().print(printable(message))


@contextmanager
def show_progress(wanted: bool, title: str, total: int, unit: str = "image", done: int = 0) -> Iterator[Advance]:
    """Show progress: a bar on a terminal or in a notebook, a line on standard error every few seconds elsewhere.

    Args:
        wanted: whether to show anything.
        title: name of the task.
        total: number of items.
        unit: noun for an item.
        done: number of items that were already done.
    """
    console = message_console()
    if not wanted:
        yield silent
    elif "ipykernel" in sys.modules:
        with _notebook_bar(title, total, unit, done) as advance:
            yield advance
    elif console.is_interactive:
        with _bar(console, title, Pace(total, unit, done)) as advance:
            yield advance
    else:
        yield _lines(console, title, Pace(total, unit, done))


@contextmanager
def _notebook_bar(title: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    from tqdm.auto import tqdm  # noqa: PLC0415 - in notebooks only, where rich redraws nothing

    with tqdm(desc=title, total=total, initial=done, unit=f" {unit}s") as bar:

        def advance(remark: str = "", resumed: bool = False) -> None:
            bar.initial += resumed  # tqdm leaves these out of its pace
            bar.set_postfix_str(remark, refresh=False)
            bar.update()

        yield advance


@contextmanager
def _bar(console: Console, title: str, pace: Pace) -> Iterator[Advance]:
    said = (TextColumn("{task.fields[pace]}", style="progress.data.speed"), TextColumn("{task.fields[remark]}"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *said)
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=pace.total, completed=pace.done, pace="", remark="")

        def advance(remark: str = "", resumed: bool = False) -> None:
            pace.count(resumed)
            bar.update(task, completed=pace.done, pace=str(pace), remark=remark)

        yield advance


def _lines(console: Console, title: str, pace: Pace) -> Advance:
    """Print progress as a line every few seconds and at the end."""
    shown = time.monotonic()

    def advance(remark: str = "", resumed: bool = False) -> None:
        nonlocal shown
        pace.count(resumed)
        if time.monotonic() - shown >= PLAIN_INTERVAL or pace.done >= pace.total:
            shown = time.monotonic()
            console.print(", ".join(filter(None, [f"{title} {pace.done}/{pace.total}", str(pace), remark])))

    return advance
