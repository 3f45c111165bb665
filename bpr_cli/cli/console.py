"""The one place that writes to the terminal: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import typer
from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bpr_cli.errors import BprError, printable

if TYPE_CHECKING:
    from bpr_cli.formats.base import Failure

SHOWN = 20
"""How many failures are told in full."""

PLAIN_INTERVAL = 5.0
"""Seconds between progress lines where there is no terminal."""


class Advance(Protocol):
    """Tells a progress display that one more item is done, and what is to be said of it."""

    def __call__(self, remark: str = "") -> None:
        """Count an item; ``remark`` stands beside the count until the next one."""


class RateColumn(ProgressColumn):
    """Items a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Show the speed of the last seconds, or nothing before it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self._unit}/s" if speed else "", style="progress.data.speed")


class Console:
    """Messages, tables and progress for people, and JSON for programs."""

    def __init__(self) -> None:
        # Texts hold names of the user's files, which rich must neither take for markup nor for emoji.
        self._messages = RichConsole(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

    def note(self, message: str) -> None:
        """Say something in passing."""
        self._messages.print(printable(message))

    def error(self, message: str) -> None:
        """Say what went wrong, in one line."""
        self._messages.print(Text.assemble(("error:", "bold red"), " ", printable(message)))

    def failures(self, failures: Sequence[Failure], elsewhere: str) -> None:
        """Say why items failed, a line each; of more than ``SHOWN`` how many are left, and what names them all."""
        for failure in failures[:SHOWN]:
            self.error(failure.reason)
        if len(failures) > SHOWN:
            self.error(f"and {len(failures) - SHOWN} more; {elsewhere}")

    def result(self, content: object) -> None:
        """Print a machine-readable result, the only thing that goes to standard output.

        Raises:
            BprError: standard output is a file that cannot be written.
        """
        try:
            # ASCII, as file names may hold what the encoding of standard output, or any encoding, does not.
            typer.echo(json.dumps(content, indent=2))
        except BrokenPipeError:  # nobody listens any more, of which Typer says nothing
            raise
        except OSError as error:
            with suppress(OSError):  # what is left in it must not be tried again, and fail again, at the very end
                sys.stdout.close()
            raise BprError(f"standard output cannot be written: {error.strerror or error}") from error

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table under its title; all columns but the first hold numbers."""
        # Not the title of the rich table, which would break a long path to the width of the columns.
        self._messages.print(Text(printable(title), "bold"))
        table = Table()
        for index, column in enumerate(columns):
            # Folded where the terminal is narrow: a number that is cut off would be another number.
            table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._messages.print(table)

    @contextmanager
    def progress(self, title: str, total: int, unit: str = "images", done: int = 0) -> Iterator[Advance]:
        """Show progress over ``total`` items: a bar on a terminal, a line now and then elsewhere.

        Args:
            title: what is being done.
            total: number of items.
            unit: what the items are.
            done: how many of them were done before.
        """
        if self._messages.is_interactive:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(unit))
            remark = TextColumn("{task.fields[remark]}")
            with Progress(*columns, TimeRemainingColumn(), remark, console=self._messages) as bar:
                task = bar.add_task(title, total=total, completed=done, remark="")
                yield lambda remark="": bar.update(task, advance=1, remark=remark)
        else:
            yield PlainProgress(self, title, total, unit, done)


class PlainProgress:
    """Progress as lines of text."""

    def __init__(self, console: Console, title: str, total: int, unit: str, done: int) -> None:
        self._console, self._title, self._total, self._unit = console, title, total, unit
        self._before = self._done = done
        self._began = self._shown = time.monotonic()

    def __call__(self, remark: str = "") -> None:
        """Count an item; every few seconds, and at the end, print a line."""
        self._done += 1
        now = time.monotonic()
        if now - self._shown < PLAIN_INTERVAL and self._done < self._total:
            return
        self._shown = now
        rate = (self._done - self._before) / max(now - self._began, 1e-9)
        left = (self._total - self._done) / rate
        parts = [f"{self._title} {self._done}/{self._total}", f"{rate:.1f} {self._unit}/s", f"{left:.0f} s left"]
        self._console.note(", ".join([*parts, remark] if remark else parts))
