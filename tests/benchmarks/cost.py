"""Cost of refinement against what it gains: input size, overlap of patches and precision.

    python tests/benchmarks/cost.py DATA [--weights FILE ...] [--sizes T ...] [--overlaps T ...] [--precisions P ...]
                                         [--limit N] [--svg FILE]

DATA is that of ``quality.py``. Every combination refines the same images, only that patches are resized to T pixels,
overlap by another NMS threshold, or are computed in another precision. The first combination is what all others are
compared with: patches, CPU seconds, and the share of its gains that they keep, on average over the figures of
``FIGURES`` and the least one. The picture shows the average against the CPU seconds.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from quality import SOURCES, Refined, refine_and_measure
from rich.console import Console
from rich.table import Table

from bpr_cli import Refiner, RefineSettings
from bpr_cli.weights.files import load_weights, save_weights

FIGURES = {
    "yolo": ("AP", "matched boundary F"),
    "esp": ("mean IoU", "boundary F"),
    "dice": ("mean IoU", "boundary F"),
    "street": ("mIoU", "AF"),
    "cells": ("AP", "matched boundary F"),
}
"""The figures that are compared, by set."""

WIDTH, HEIGHT, MARGIN, LEGEND = 480, 300, 48, 200
"""Of the picture, in pixels; the legend stands to the right."""


@dataclass(frozen=True)
class Point:
    """What one combination takes and gains.

    Attributes:
        name: the combination.
        seconds: CPU seconds of all sets.
        patches: of all sets.
        gains: of the figures, in points.
    """

    name: str
    seconds: float
    patches: int
    gains: tuple[float, ...]

    def kept(self, first: Point) -> list[float]:
        """The share of every gain of another point that this one has."""
        return [own / other for own, other in zip(self.gains, first.gains, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", nargs="*", default=["fast"], help="shipped names or files")
    parser.add_argument("--sizes", nargs="*", type=int, default=[128, 96])
    parser.add_argument("--overlaps", nargs="*", type=float, default=[0.25, 0.05])
    parser.add_argument("--precisions", nargs="*", default=["float32", "int8"])
    parser.add_argument("--limit", type=int, help="so many images of every set, evenly spread")
    parser.add_argument("--svg", type=Path, help="write the picture to this file")
    given = parser.parse_args()
    points = []
    for chosen in product(given.weights, given.sizes, given.overlaps, given.precisions):
        points.append(measured(given.data, given.limit, *chosen))
        Console(stderr=True).print(f"{points[-1].name}: {points[-1].seconds:.0f} s", highlight=False)
    show(points)
    if given.svg:
        given.svg.write_text(picture(points))


def measured(data: Path, limit: int | None, weights: str, size: int, overlap: float, precision: str) -> Point:
    """Refine the sets by one combination."""
    loaded = load_weights(weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.safetensors"
        save_weights(path, loaded.network, replace(loaded.card, input_size=size, tensors_of=None))
        refiner = Refiner(RefineSettings(weights=str(path), nms_threshold=overlap, precision=precision, device="cpu"))
    found = [refine_and_measure(each, data, refiner, limit) for each in SOURCES if each.name in FIGURES]
    name = f"{Path(weights).stem}, {size} px, NMS {overlap:g}, {precision}"
    gains = tuple(gain for one in found for gain in gains_of(one))
    return Point(name, sum(one.cpu_seconds for one in found), sum(one.patches for one in found), gains)


def gains_of(refined: Refined) -> list[float]:
    """The gains of a set in the order of ``FIGURES``."""
    gains = {change.name: change.gain for change in refined.figures.changes}
    return [gains[name] or 0.0 for name in FIGURES[refined.name]]


def show(points: Sequence[Point]) -> None:
    """A table with a line for each point."""
    names = [f"{each} {figure}" for each, figures in FIGURES.items() for figure in figures]
    table = Table("weights, input, overlap, precision", "patches", "CPU", "kept", "least", *names)
    for point in points:
        kept = point.kept(points[0])
        shares = point.seconds / points[0].seconds, sum(kept) / len(kept), min(kept)
        table.add_row(point.name, str(point.patches), *(f"{each:.2f}" for each in (*shares, *point.gains)))
    Console(width=200).print(table)


def picture(points: Sequence[Point]) -> str:
    """The share of the gains against the share of the CPU seconds, as SVG."""
    kept = [100 * sum(shares) / len(shares) for shares in (point.kept(points[0]) for point in points)]
    cost = [100 * point.seconds / points[0].seconds for point in points]
    low, high = min(*kept, 90) // 5 * 5, max(kept) // 5 * 5 + 5
    across, up = (WIDTH - 2 * MARGIN) / 100, (HEIGHT - 2 * MARGIN) / (high - low)

    def place(seconds: float, gain: float) -> tuple[int, int]:
        return round(MARGIN + across * seconds), round(HEIGHT - MARGIN - up * (gain - low))

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + LEGEND} {HEIGHT}" font-family="sans-serif" '
        'font-size="11" fill="#333"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for share in range(0, 101, 25):
        x, y = place(share, low)
        lines.append(f'<path d="M{x} {MARGIN}V{y}" stroke="#ddd"/><text x="{x}" y="{y + 14}" text-anchor="middle">')
        lines.append(f"{share}</text>")
    for share in range(int(low), int(high) + 1, 5):
        x, y = place(0, share)
        lines.append(f'<path d="M{x} {y}H{WIDTH - MARGIN}" stroke="#ddd"/>')
        lines.append(f'<text x="{x - 4}" y="{y + 4}" text-anchor="end">{share}</text>')
    lines.append(f'<text x="{WIDTH // 2}" y="{HEIGHT - 10}" text-anchor="middle">CPU seconds, %</text>')
    lines.append(f'<text x="{MARGIN}" y="{MARGIN - 16}">gains kept, %</text>')
    for number, (point, seconds, gain) in enumerate(zip(points, cost, kept, strict=True), start=1):
        x, y = place(seconds, gain)
        lines.append(f'<circle cx="{x}" cy="{y}" r="4" fill="#2166ac"/>')
        # Points of about the same place are numbered on two sides.
        lines.append(f'<text x="{x + (10 if number % 2 else -10)}" y="{y + 4}" text-anchor="middle">{number}</text>')
        lines.append(f'<text x="{WIDTH - 24}" y="{MARGIN + 18 * number}">{number}: {point.name}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


if __name__ == "__main__":
    main()
