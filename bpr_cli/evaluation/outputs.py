"""The files of a report: ``report.json``, ``report.csv`` and ``report.html``, each written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.evaluation.report import Figure, ImageScore, Layers, Report
from bpr_cli.system.paths import write_bytes

COLUMNS = ("table", "row", "kind", "figure", "value", "baseline", "difference", "unit")


def write_report(report: Report, out: Path, layers: Callable[[ImageScore], Layers] | None = None) -> list[Path]:
    """Write the files of a report into a folder, made when missing.

    Args:
        report: what is written.
        out: the folder.
        layers: reads what pictures are drawn from.

    Returns:
        The files.

    Raises:
        BprError: a file cannot be written.
    """
    # Jinja2 is needed for this file only.
    from bpr_cli.evaluation.html import render_html  # noqa: PLC0415

    contents = {
        out / "report.json": json.dumps(report.to_json(), indent=2).encode() + b"\n",
        out / "report.csv": to_csv(report).encode("utf-8", "surrogateescape"),
        # Names of files may hold what no encoding has; it is escaped in the text, and this catches what is left.
        out / "report.html": render_html(report, layers).encode("utf-8", "backslashreplace"),
    }
    for path in contents:
        if path.is_dir():
            raise BprError(f"{path} is a folder, expected none or a file of an earlier report; give another --out")
    for path, content in contents.items():
        write_bytes(path, content)
    return list(contents)


def to_csv(report: Report) -> str:
    """All figures as lines of comma-separated values, one figure a line."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table, row, kind, figure in _lines(report):
        # The difference is to the predictions themselves in the oracle's rows, and empty without a baseline.
        values = ("" if value is None else repr(value) for value in (figure.value, figure.baseline, figure.difference))
        writer.writerow((table, row, kind, figure.name, *values, figure.unit))
    return stream.getvalue()


def _lines(report: Report) -> Iterator[tuple[str, str, str, Figure]]:
    """Table, row, kind and figure of everything but single segments."""
    yield from (("summary", "all", "", figure) for figure in report.summary)
    tables = {
        "groups": report.groups,
        "sizes": report.sizes,
        "classes": report.classes,
        "class_sizes": report.class_sizes,
    }
    for table, rows in tables.items():
        yield from ((table, row.name, row.kind, figure) for row in rows for figure in row.figures)
    for oracle in report.oracle:
        within = f"{oracle.distance} px"
        yield from (("oracle", within, "", figure) for figure in oracle.figures)
        for table, rows in {"groups": oracle.groups, "sizes": oracle.sizes, "classes": oracle.classes}.items():
            lines = ((f"{row.name}, {within}", row.kind, figure) for row in rows for figure in row.figures)
            yield from ((f"oracle {table}", *line) for line in lines)
    for score in report.scores:
        yield "images", score.name, "", Figure("mean IoU of segments", score.score, score.baseline_score)
