"""Messages and progress of a running command: a progress bar, or plain lines if there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from bpr_cli.errors import printable

PLAIN_INTERVAL = 5.0
"""Seconds between progress lines when standard error is not a terminal."""


class Advance(Protocol):
    """Advances a progress display by one item."""

    def __call__(self, remark: str = "") -> None:
        """Count an item; ``remark`` is shown beside the count until the next item."""


class RateColumn(ProgressColumn):
    """Items per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Show the recent speed, or nothing before it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self._unit}/s" if speed else "", style="progress.data.speed")


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
def show_progress(wanted: bool, title: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Advance]:
    """Show progress: a bar on a terminal or in a notebook, a line on standard error every few seconds elsewhere.

    Args:
        wanted: whether to show anything.
        title: name of the task.
        total: number of items.
        unit: noun for the items, in the plural.
        done: number of items that were already done.
    """
    if not wanted:
        yield lambda remark="": None  # noqa: ARG005
        return
    console = message_console()
    if "ipykernel" in sys.modules:
        from tqdm.auto import tqdm  # noqa: PLC0415 - in notebooks only, where rich redraws nothing

        with tqdm(desc=title, total=total, initial=done, unit=f" {unit}") as bar:

            def advance(remark: str = "") -> None:
                bar.set_postfix_str(remark, refresh=False)
                bar.update()

            yield advance
    elif console.is_interactive:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(unit))
        remark_column = TextColumn("{task.fields[remark]}")
        with Progress(*columns, TimeRemainingColumn(), remark_column, console=console) as bar:
            task = bar.add_task(title, total=total, completed=done, remark="")
            yield lambda remark="": bar.update(task, advance=1, remark=remark)
    else:
        yield _lines(console.print, title, total, unit, done)


def _lines(say: Callable[[str], None], title: str, total: int, unit: str, done: int) -> Advance:
    """Print progress as a line every few seconds and at the end."""
    began = shown = time.monotonic()
    before = done

    def advance(remark: str = "") -> None:
        nonlocal done, shown
        done += 1
        now = time.monotonic()
        if now - shown < PLAIN_INTERVAL and done < total:
            return
        shown = now
        rate = (done - before) / max(now - began, 1e-9)
        parts = [f"{title} {done}/{total}", f"{rate:.1f} {unit}/s", f"{(total - done) / rate:.0f} s left"]
        say(", ".join([*parts, remark] if remark else parts))

    return advance
