"""The table that the benchmarks of speed print, each alone or all together by ``speed.py``."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """Two things measured in one run.

    Attributes:
        what: name of the measurement of bpr.
        ours: result of bpr.
        beside: name of the comparison.
        theirs: result of the comparison.
        unit: unit of both results, or empty.
        asked: target in words.
        met: whether the target is met; None without a target.
    """

    what: str
    ours: float
    beside: str
    theirs: float
    unit: str
    asked: str = ""
    met: bool | None = None


def show(title: str, rows: Iterable[Row]) -> None:
    """Print the table, with the machine."""
    table = Table("", title=title, caption=machine(), caption_justify="left")
    for column in ("bpr", "beside", "", "ratio", "asked for"):
        table.add_column(column, justify="left" if column in ("beside", "asked for") else "right")
    for row in rows:
        verdict = {True: ": met", False: ": NOT met", None: ""}[row.met]
        amounts = [f"{shown(amount)} {row.unit}".strip() for amount in (row.ours, row.theirs)]
        ratio = f"{row.ours / row.theirs:.2f}" if row.theirs else ""
        table.add_row(row.what, amounts[0], row.beside, amounts[1], ratio, f"{row.asked}{verdict}")
    Console(width=150).print(table)


def shown(amount: float) -> str:
    """Three digits, more only before the point."""
    return f"{amount:.0f}" if amount >= 100 else f"{amount:.3g}"


def machine() -> str:
    """Processor, cores and PyTorch."""
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in _lines(cpuinfo) if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = names[0] if names else platform.processor()
    return f"{name}, {cores} in use of {os.cpu_count()} cores, PyTorch {torch.__version__}"


def _lines(path: Path) -> Sequence[str]:
    return path.read_text().splitlines() if path.is_file() else ()
