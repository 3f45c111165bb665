"""Geometry of the report's charts: where points and lines go in an SVG drawing; templates turn it into marks.

Both axes of every chart run from 0 to 100 percent.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bpr_cli.evaluation.report.model import Curve, SegmentPair

LEFT, RIGHT, TOP, BOTTOM = 44.0, 12.0, 12.0, 40.0
"""Room around the plotting area: for the labels of the axes, and half a mark."""
STEP = 0.5
"""Points are drawn on a grid of so many percent, which keeps the file small where there are many."""
MARKED = 40
"""So many of the largest changes are marks of their own, with a title."""
UNCHANGED = 0.05
"""A smaller change, in percentage points, would be shown as 0.0."""
DOT_WIDTHS = ((1, 3.5), (3, 5.0), (10, 7.0))
"""Diameter of a dot that stands for at least so many segments."""


@dataclass(frozen=True)
class Frame:
    """The plotting area of a chart.

    Attributes:
        width: of the area, in SVG units.
        height: of the area.
    """

    width: float
    height: float

    @property
    def view_box(self) -> str:
        """The whole drawing with the labels of its axes."""
        return f"0 0 {self.width + LEFT + RIGHT:g} {self.height + TOP + BOTTOM:g}"

    def x(self, percent: float) -> float:
        """Where a percentage is from left to right."""
        return round(LEFT + self.width * percent / 100, 2)

    def y(self, percent: float) -> float:
        """Where a percentage is from top to bottom; 0 is at the bottom."""
        return round(TOP + self.height * (1 - percent / 100), 2)


@dataclass(frozen=True)
class Dots:
    """Points of one colour and diameter, drawn as one path.

    Attributes:
        direction: ``gain``, ``loss`` or ``same``.
        width: diameter.
        path: SVG path data.
    """

    direction: str
    width: float
    path: str


@dataclass(frozen=True)
class Mark:
    """A point with a title: one of the largest changes."""

    x: float
    y: float
    direction: str
    pair: SegmentPair


@dataclass(frozen=True)
class Tally:
    """How many things gained, lost or stayed, and the median of their changes in percentage points."""

    gained: int
    lost: int
    same: int
    median: float

    @property
    def all(self) -> int:
        """How many there are."""
        return self.gained + self.lost + self.same


@dataclass(frozen=True)
class Scatter:
    """IoU of segments before (to the right) and after (upwards)."""

    frame: Frame
    dots: tuple[Dots, ...]
    marks: tuple[Mark, ...]
    tally: Tally


@dataclass(frozen=True)
class CurveChart:
    """Precision over recall: path data of the predictions, and of the baseline, empty without one."""

    name: str
    frame: Frame
    value: str
    baseline: str
    precision: float
    baseline_precision: float | None


def direction(change: float | None) -> str:
    """``gain``, ``loss``, or ``same`` for a change that would be shown as 0.0, or for none."""
    if change is None or math.isnan(change) or abs(change) < UNCHANGED:
        return "same"
    return "gain" if change > 0 else "loss"


def tally(changes: Sequence[float]) -> Tally:
    """Count the directions of at least one change."""
    counts = Counter(direction(change) for change in changes)
    ordered = sorted(changes)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return Tally(counts["gain"], counts["loss"], counts["same"], middle)


def scatter_of(pairs: Sequence[SegmentPair]) -> Scatter | None:
    """The scatter of all pairs whose figures are numbers; None when there is none."""
    known = [pair for pair in pairs if math.isfinite(pair.before) and math.isfinite(pair.after)]
    if not known:
        return None
    frame = Frame(400.0, 400.0)
    largest = sorted(known, key=lambda pair: -abs(pair.after - pair.before))[:MARKED]
    marks = tuple(
        Mark(frame.x(pair.before), frame.y(pair.after), direction(pair.after - pair.before), pair) for pair in largest
    )
    return Scatter(frame, _dots(known, frame), marks, tally([pair.after - pair.before for pair in known]))


def charts_of(curves: Sequence[Curve]) -> tuple[CurveChart, ...]:
    """A chart for every curve."""
    return tuple(_chart_of(curve) for curve in curves)


def _chart_of(curve: Curve) -> CurveChart:
    frame = Frame(230.0, 170.0)
    baseline = "" if curve.baseline is None else _line(frame, curve.recall, curve.baseline)
    before = None if curve.baseline is None else _mean(curve.baseline)
    return CurveChart(
        curve.name, frame, _line(frame, curve.recall, curve.precision), baseline, _mean(curve.precision), before
    )


def _dots(pairs: Sequence[SegmentPair], frame: Frame) -> tuple[Dots, ...]:
    """Points on a grid, one path for every direction and diameter, the rare directions on top."""
    places = Counter((_snap(pair.before), _snap(pair.after), direction(pair.after - pair.before)) for pair in pairs)
    paths: dict[tuple[str, float], list[str]] = {}
    for (before, after, way), count in sorted(places.items()):
        width = max(width for least, width in DOT_WIDTHS if count >= least)
        # A line of no length with round ends is a dot.
        paths.setdefault((way, width), []).append(f"M{frame.x(before):g} {frame.y(after):g}h0")
    order = sorted(paths, key=lambda key: -sum(len(path) for kind, path in paths.items() if kind[0] == key[0]))
    return tuple(Dots(way, width, "".join(paths[way, width])) for way, width in order)


def _snap(percent: float) -> float:
    return min(max(round(percent / STEP) * STEP, 0.0), 100.0)


def _line(frame: Frame, recall: Sequence[float], precision: Sequence[float]) -> str:
    """Path through the points, broken where a figure is missing."""
    path, broken = [], True
    for x, y in zip(recall, precision, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            broken = True
            continue
        path.append(f"{'M' if broken else 'L'}{frame.x(x):g} {frame.y(y):g}")
        broken = False
    return "".join(path)


def _mean(figures: Sequence[float]) -> float:
    """Mean of the figures that are there; NaN when none is."""
    known = [figure for figure in figures if math.isfinite(figure)]
    return sum(known) / len(known) if known else math.nan
