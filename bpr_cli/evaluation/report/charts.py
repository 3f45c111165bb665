"""Content of the report's charts as SVG paths in percent; the templates draw axes and marks.

Both axes of every chart run from 0 to 100 percent. In the paths, y points downwards from 100, as in SVG.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bpr_cli.evaluation.report.model import SegmentPair

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
    largest = sorted(known, key=lambda pair: -abs(pair.after - pair.before))[:MARKED]
    return Scatter(_dots(known), tuple(largest), tally([pair.after - pair.before for pair in known]))


def _dots(pairs: Sequence[SegmentPair]) -> tuple[Dots, ...]:
    """Dots on a grid: one path for each direction and diameter, with the rarest direction on top."""
    places = Counter((_snap(pair.before), _snap(pair.after), direction(pair.after - pair.before)) for pair in pairs)
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
