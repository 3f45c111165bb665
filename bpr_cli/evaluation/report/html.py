"""The report as one HTML file that needs no network and no other files, and is readable without JavaScript.

Its charts are SVG paths; both axes run from 0 to 100 percent, and y points downwards from 100, as in SVG.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bpr_cli.errors import printable
from bpr_cli.evaluation.report.galleries import ReadLayers, galleries_of
from bpr_cli.evaluation.report.model import Metric, Report, Row, SegmentPair
from bpr_cli.evaluation.report.segments import ERROR_COLOURS, extreme_pairs
from bpr_cli.masks.drawing import Colour

STEP = 0.5
"""Grid spacing of the dots in percent, which keeps the file small."""
MARKED = 40
"""Number of largest changes drawn as separate marks with a title."""
UNCHANGED = 0.05
"""Smallest change in percentage points that is not shown as 0.0."""
DOT_WIDTHS = ((1, 3.5), (3, 5.0), (10, 7.0))
"""Diameter of a dot in pixels by the smallest number of segments it stands for."""


@dataclass(frozen=True)
class Tally:
    """Numbers of scores that gained, lost or stayed the same, and the median change in percentage points."""

    gained: int
    lost: int
    same: int
    median: float

    @property
    def all(self) -> int:
        """Number of scores."""
        return self.gained + self.lost + self.same


@dataclass(frozen=True)
class Dots:
    """All dots of one direction (``gain``, ``loss`` or ``same``) and diameter, drawn as one path."""

    direction: str
    width: float
    path: str


@dataclass(frozen=True)
class Scatter:
    """Scatter plot of the IoU of segments: before on the x axis, after on the y axis.

    Attributes:
        dots: dots of all segments.
        largest: segments with the largest changes.
        tally: counts of the changes.
    """

    dots: tuple[Dots, ...]
    largest: tuple[SegmentPair, ...]
    tally: Tally


def direction(change: float | None) -> str:
    """``gain`` or ``loss``; ``same`` for None and for a change that is shown as 0.0."""
    if change is None or math.isnan(change) or abs(change) < UNCHANGED:
        return "same"
    return "gain" if change > 0 else "loss"


def tally(changes: Sequence[float]) -> Tally:
    """Count the directions of one or more changes."""
    counts = Counter(direction(change) for change in changes)
    ordered = sorted(changes)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return Tally(counts["gain"], counts["loss"], counts["same"], middle)


def scatter_of(pairs: Sequence[SegmentPair]) -> Scatter | None:
    """The scatter plot of all pairs with a defined IoU; None without such a pair."""
    known = [pair for pair in pairs if math.isfinite(pair.before) and math.isfinite(pair.after)]
    if not known:
        return None
    ranked = sorted(known, key=lambda pair: -abs(pair.change))
    # Those with pictures first: the largest losses may be smaller than many gains.
    largest = dict.fromkeys([*extreme_pairs(known, 1), *extreme_pairs(known, -1), *ranked])
    return Scatter(_dots(known), tuple(largest)[:MARKED], tally([pair.change for pair in known]))


def _dots(pairs: Sequence[SegmentPair]) -> tuple[Dots, ...]:
    """Dots on a grid: one path for each direction and diameter, with the rarest direction on top."""
    places = Counter((_snap(pair.before), _snap(pair.after), direction(pair.change)) for pair in pairs)
    paths: dict[tuple[str, float], list[str]] = {}
    for (before, after, way), count in sorted(places.items()):
        width = max(width for least, width in DOT_WIDTHS if count >= least)
        # A line of length 0 with round ends is a dot.
        paths.setdefault((way, width), []).append(f"M{before:g} {100 - after:g}h0")
    order = sorted(paths, key=lambda key: -sum(len(path) for kind, path in paths.items() if kind[0] == key[0]))
    return tuple(Dots(way, width, "".join(paths[way, width])) for way, width in order)


def _snap(percent: float) -> float:
    return min(max(round(percent / STEP) * STEP, 0.0), 100.0)


def line(recall: Sequence[float], precision: Sequence[float]) -> str:
    """Path through the points of a curve, broken where a value is missing."""
    path, command = "", "M"
    for x, y in zip(recall, precision, strict=True):
        if math.isfinite(x) and math.isfinite(y):
            path += f"{command}{round(x, 2):g} {round(100 - y, 2):g}"
            command = "L"
        else:
            command = "M"
    return path


def mean(values: Sequence[float]) -> float:
    """Mean of the defined values; NaN if none is defined."""
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


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


def render_html(report: Report, read_layers: ReadLayers | None = None) -> str:
    """The report as the text of one HTML file.

    Args:
        report: the report to show.
        read_layers: reads the layers of one image; see ``galleries_of``.
    """
    style, script = _text("report.css"), _text("slider.js") + _text("report.js")
    galleries = galleries_of(report, read_layers)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            title=TASKS.get(report.task, report.task),
            galleries=galleries,
            tally=_tally_of(report),
            scatter=scatter_of(report.pairs),
            dot=DOTS.get(report.task, "one ground-truth segment"),
            error_colours=ERROR_COLOURS,
            headroom=_headroom(report),
            class_headroom=_class_headroom(report),
            style=Markup(style),
            script=Markup(script),
            script_digest=Markup(source_digest(script)),
        )
    )


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
        "css": css_colour,
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


def css_colour(colour: Colour) -> Markup:
    """A colour as CSS writes it."""
    return Markup("rgb({} {} {})").format(*colour)


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


def source_digest(script: str) -> str:
    """The digest by which the content security policy allows the script."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
