"""Shows the scores of an evaluation report as terminal tables."""

from __future__ import annotations

from collections.abc import Sequence

from bpr_cli.cli.console import Console
from bpr_cli.evaluation.report.model import Metric, OracleRow, Report, Row


def show_report(console: Console, report: Report) -> None:
    """Print the summary, groups, sizes, classes, oracle upper bound and notes of a report."""
    images = f"{report.images} {'image' if report.images == 1 else 'images'}"
    failed = f", {len(report.failures)} left out" if report.failures else ""
    console.table(f"{report.task}: {images}{failed}, scores in percent", *summary_table(report))
    note = ", percent (in brackets: change from the baseline)" if report.has_baseline else ", percent"
    for title, rows in (("by group", report.groups), ("by size", report.sizes)):
        if rows:
            console.table(f"{title}{note}", *rows_table(rows))
    defined = [row for row in report.classes if any(metric.value is not None for metric in row.metrics)]
    if defined:
        hidden = len(report.classes) - len(defined)
        left_out = f"; {hidden} of {len(report.classes)} classes have no figures" if hidden else ""
        console.table(f"by class{note}{left_out}", *rows_table(defined))
    if report.oracle:
        title = (
            "oracle upper bound: scores if all pixels that close to the predicted boundary were correct, percent (gain)"
        )
        console.table(title, *oracle_table(report.oracle))
    for note in report.notes:
        console.note(note)


def summary_table(report: Report) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows of the summary: each score before and after with the difference, or the scores alone."""
    if not report.has_baseline:
        return ("", "value"), [(metric.name, number(metric.value)) for metric in report.summary]
    rows = [
        (metric.name, number(metric.baseline), number(metric.value), signed(metric.difference))
        for metric in report.summary
    ]
    return ("", "before", "after", "difference"), rows


def rows_table(rows: Sequence[Row]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows of a table of scores."""
    columns = ("", *(metric.name for metric in rows[0].metrics))
    return columns, [(row.name, *(cell(metric) for metric in row.metrics)) for row in rows]


def oracle_table(rows: Sequence[OracleRow]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows of the oracle: each score now, then with all pixels within each distance correct."""
    columns = ("correct within", "0 px", *(f"{row.distance} px" for row in rows))
    by_metric = zip(*(row.metrics for row in rows), strict=True)
    return columns, [(same[0].name, number(same[0].baseline), *map(cell, same)) for same in by_metric]


def cell(metric: Metric) -> str:
    """A score, with its difference if there is a baseline."""
    change = metric.difference
    return number(metric.value) if change is None else f"{number(metric.value)} ({signed(change)})"


def number(value: float | None) -> str:
    """A percentage, or a dash for None."""
    return "-" if value is None else f"{value:.1f}"


def signed(value: float | None) -> str:
    """A difference with its sign, never a negative zero, or a dash for None."""
    return "-" if value is None else f"{round(value, 1) + 0.0:+.1f}"
