"""The curves of a run as a picture: loss, IoU and boundary F by step, with those of the coarse masks."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from bpr_cli.system.paths import write_bytes
from bpr_cli.training.validate import PatchScores


def draw_curves(log: Path, out: Path, coarse: PatchScores) -> None:
    """Draw the log of a run as a PNG file.

    Args:
        log: ``log.csv`` of the run.
        out: the new picture; replaced if it exists.
        coarse: scores of the coarse masks of the validation patches, drawn as dashed lines.

    Raises:
        BprError: the picture cannot be written.
    """
    # Imported here because the import is slow. A figure without pyplot needs no display.
    from matplotlib.figure import Figure  # noqa: PLC0415

    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(*_points(rows, "loss"), color="#0b57a4")
    left.set(title="Training loss", xlabel="step")
    for name, title, colour, before in (
        ("validation_iou", "IoU", "#0b57a4", coarse.iou),
        ("validation_boundary_f", "boundary F, 1 px", "#b03a06", coarse.boundary_f),
    ):
        steps, scores = _points(rows, name)
        right.plot(steps, scores, "o-", markersize=3, color=colour, label=title)
        right.axhline(before, linestyle="--", linewidth=1, color=colour, label=f"{title}, coarse masks")
    right.set(title="Held-out patches (%)", xlabel="step")
    right.legend(fontsize="small")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_bytes(out, content.getvalue())


def _points(rows: list[dict[str, str]], name: str) -> tuple[list[int], list[float]]:
    """Steps and values of a column, where it has a value."""
    known = [row for row in rows if row.get(name)]
    return [int(row["step"]) for row in known], [float(row[name]) for row in known]
