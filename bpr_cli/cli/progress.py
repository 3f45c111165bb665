"""Progress over items: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from bpr_cli.cli.console import Advance

PLAIN_INTERVAL = 5.0
"""Seconds between progress lines where there is no terminal."""


class RateColumn(ProgressColumn):
    """Items per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Show the speed of the last seconds, or nothing before it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} {self._unit}/s" if speed else "", style="progress.data.speed")


@contextmanager
def progress_bar(console: Console, title: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    """A bar that is redrawn in place."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(unit))
    remark = TextColumn("{task.fields[remark]}")
    with Progress(*columns, TimeRemainingColumn(), remark, console=console) as bar:
        task = bar.add_task(title, total=total, completed=done, remark="")
        yield lambda remark="": bar.update(task, advance=1, remark=remark)


def progress_lines(say: Callable[[str], None], title: str, total: int, unit: str, done: int) -> Advance:
    """Lines of text, every few seconds and at the end."""
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
