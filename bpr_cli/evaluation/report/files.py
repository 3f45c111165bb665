"""The files of a report: ``report.json``, ``report.csv`` and ``report.html``, each written completely or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from bpr_cli.errors import BprError, with_urls
from bpr_cli.evaluation.report.layers import Layers
from bpr_cli.evaluation.report.model import ImageScore, Metric, Report
from bpr_cli.system.paths import write_bytes

COLUMNS = ("table", "row", "kind", "figure", "value", "baseline", "difference", "unit")


def write_report(report: Report, out: Path, layers: Callable[[ImageScore], Layers] | None = None) -> list[Path]:
    """Write the files of a report into a folder, created if missing.

    Args:
        report: the report to write.
        out: the folder.
        layers: reads the layers that the pictures of an image are drawn from; None for no pictures.

    Returns:
        Paths of the written files.

    Raises:
        BprError: a file cannot be written.
    """
    # Jinja2 is needed for the HTML file only.
    from bpr_cli.evaluation.report.html import render_html  # noqa: PLC0415

    contents = {
        out / "report.json": with_urls(json.dumps(report.to_json(), indent=2)).encode() + b"\n",
        out / "report.csv": with_urls(to_csv(report)).encode("utf-8", "surrogateescape"),
        # File names may contain bytes without an encoding; this escapes those that are left in the text.
        out / "report.html": with_urls(render_html(report, layers)).encode("utf-8", "backslashreplace"),
    }
    for path in contents:
        if path.is_dir():
            raise BprError(f"{path} is a folder, expected none or a file of an earlier report; give another --out")
    for path, content in contents.items():
        write_bytes(path, content)
    return list(contents)


def to_csv(report: Report) -> str:
    """All metrics as comma-separated values, one metric per line."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table, row, kind, metric in _lines(report):
        # In oracle rows, the difference is measured from the predictions.
        values = ("" if value is None else repr(value) for value in (metric.value, metric.baseline, metric.difference))
        writer.writerow((table, row, kind, metric.name, *values, metric.unit))
    return stream.getvalue()


def _lines(report: Report) -> Iterator[tuple[str, str, str, Metric]]:
    """Table, row, kind and metric of all tables and images; segments and curves are left out."""
    yield from (("summary", "all", "", metric) for metric in report.summary)
    tables = {
        "groups": report.groups,
        "sizes": report.sizes,
        "classes": report.classes,
        "class_sizes": report.class_sizes,
        "tolerances": report.tolerances,
    }
    for table, rows in tables.items():
        yield from ((table, row.name, row.kind, metric) for row in rows for metric in row.metrics)
    for oracle in report.oracle:
        within = f"{oracle.distance} px"
        yield from (("oracle", within, "", metric) for metric in oracle.metrics)
        for table, rows in {"groups": oracle.groups, "sizes": oracle.sizes, "classes": oracle.classes}.items():
            lines = ((f"{row.name}, {within}", row.kind, metric) for row in rows for metric in row.metrics)
            yield from ((f"oracle {table}", *line) for line in lines)
    for score in report.scores:
        yield "images", score.name, "", Metric("mean IoU of segments", score.score, score.baseline_score)
