"""The report as one HTML file that needs no network and no other files, and is readable without JavaScript."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bpr_cli.errors import BprError, printable
from bpr_cli.evaluation.report.charts import Tally, direction, line, mean, scatter_of, tally
from bpr_cli.evaluation.report.model import ImageScore, Layers, Metric, Report, Row
from bpr_cli.evaluation.report.overlays import Comparison, compare_layers

TEMPLATES = Path(__file__).parent / "templates"
DASH = "–"
MINUS = "−"
TASKS = {
    "instance": "Instance segmentation",
    "semantic": "Semantic segmentation",
    "panoptic": "Panoptic segmentation",
    "binary": "Binary masks",
}
DOTS = {"semantic": "one class in one image", "binary": "the mask of one image"}
"""Name of a dot of the scatter plot by task, if it is not a segment."""
WIDE = 4
"""Largest number of metrics whose table fits a screen with three columns for each."""
LOWEST = 6
"""Number of images shown without a baseline."""

ReadLayers = Callable[[ImageScore], Layers]
"""Reads the layers that the overlays of one image are drawn from."""


@dataclass(frozen=True)
class Card:
    """One image of the report.

    Attributes:
        score: its score.
        comparison: its pictures, or None without pictures.
        problem: the reason why the pictures are missing; empty if none were requested.
    """

    score: ImageScore
    comparison: Comparison | None
    problem: str = ""


@dataclass(frozen=True)
class Gallery:
    """Images that are shown together under one title."""

    key: str
    title: str
    cards: tuple[Card, ...]


def render_html(report: Report, read_layers: ReadLayers | None = None) -> str:
    """The report as the text of one HTML file.

    Args:
        report: the report to show.
        read_layers: reads the layers of one image. Without it, or if it raises ``BprError``, images are listed without
            pictures.
    """
    style, script = (_text(name) for name in ("report.css", "report.js"))
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            title=TASKS.get(report.task, report.task),
            galleries=galleries_of(report, read_layers),
            tally=_tally_of(report),
            scatter=scatter_of(report.pairs),
            dot=DOTS.get(report.task, "one ground-truth segment"),
            headroom=_headroom(report),
            class_headroom=_class_headroom(report),
            style=Markup(style),
            script=Markup(script),
            script_digest=Markup(_source_digest(script)),
        )
    )


def galleries_of(report: Report, read_layers: ReadLayers | None) -> tuple[Gallery, ...]:
    """The images to show: those with the largest gains and losses, or, without a baseline, the lowest scores."""
    if report.has_baseline:
        chosen = [("gains", "Largest gains", report.gains), ("losses", "Largest losses", report.losses)]
    else:
        scored = [each for each in report.scores if each.score is not None and math.isfinite(each.score)]
        lowest = sorted(scored, key=lambda each: each.score if each.score is not None else 0.0)[:LOWEST]
        chosen = [("lowest", "Lowest scores", tuple(lowest))]
    return tuple(
        Gallery(key, title, tuple(_card(score, report.task, read_layers) for score in scores))
        for key, title, scores in chosen
        if scores
    )


def _card(score: ImageScore, task: str, read_layers: ReadLayers | None) -> Card:
    """The card of an image, with its pictures if they can be drawn."""
    if read_layers is None:
        return Card(score, None)
    try:
        return Card(score, compare_layers(read_layers(score), task))
    except BprError as error:
        return Card(score, None, str(error))


def _tally_of(report: Report) -> Tally | None:
    """Numbers of images that gained and lost; None without a baseline."""
    gains = [score.gain for score in report.scores]
    known = [gain for gain in gains if gain is not None and math.isfinite(gain)]
    return tally(known) if known else None


def _headroom(report: Report) -> tuple[Row, ...]:
    """The oracle as a table: one row per metric of the summary, with its upper bound at each distance."""
    by_figure = zip(*(oracle.metrics for oracle in report.oracle), strict=True)
    return tuple(_at_distances(same[0].name, same, report) for same in by_figure)


def _class_headroom(report: Report) -> tuple[Row, ...]:
    """The oracle as a table with one row per class, for the first metric; empty with fewer than two classes."""
    by_class = zip(*(oracle.classes for oracle in report.oracle), strict=True)
    rows = tuple(_at_distances(same[0].name, [row.metrics[0] for row in same], report) for same in by_class)
    return rows if len(rows) > 1 else ()


def _at_distances(name: str, metrics: Sequence[Metric], report: Report) -> Row:
    within = (f"correct within {oracle.distance} px" for oracle in report.oracle)
    return Row(name, tuple(replace(metric, name=each) for each, metric in zip(within, metrics, strict=True)))


def columns_of(rows: Sequence[Row], has_baseline: bool) -> tuple[str, ...]:
    """The columns of each metric; ``before`` is left out if there are many metrics."""
    if not has_baseline:
        return ("value",)
    return ("before", "after", "diff.") if len(rows[0].metrics) <= WIDE else ("after", "diff.")


def _environment() -> Environment:
    """The template environment, which escapes all values."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters |= {
        "columns": columns_of,
        "direction": direction,
        "figure": figure_text,
        "line": line,
        "mean": mean,
        "setting": setting,
        "signed": signed_text,
    }
    return environment


def _shown(value: object) -> object:
    """Put text from outside on one line without control characters; leave markup of the templates unchanged."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def figure_text(value: float | None) -> str:
    """A metric with one decimal, or a dash."""
    return DASH if value is None or not math.isfinite(value) else _decimal(value)


def signed_text(change: float | None) -> str:
    """A change with its sign, or a dash."""
    if change is None or not math.isfinite(change):
        return DASH
    return ("+" if direction(change) == "gain" else "") + _decimal(change)


def _decimal(value: float) -> str:
    """One decimal and a real minus sign, never a negative zero."""
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", MINUS)


def setting(value: Any) -> str:  # noqa: ANN401
    """The value of a setting as text."""
    if value is None or value == "":
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {setting(part)}" for key, part in value.items()) or DASH
    if isinstance(value, Sequence | frozenset | set) and not isinstance(value, str):
        return ", ".join(setting(part) for part in value) or DASH
    return str(value)


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _source_digest(script: str) -> str:
    """The digest by which the content security policy allows the script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
