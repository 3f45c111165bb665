"""Fewer patches for the same quality: the scheme ``cover`` beside the overlap's own curve (paper, Table 7).

    python tests/benchmarks/budget.py DATA [--weights NAME] [--set FIELD=VALUE ...] [--only SET ...] [--limit N]
                                           [--picture FILE]

DATA is that of ``quality.py``, and so are the figures. Every set is refined with the scheme ``dense`` at several
overlaps and once with ``cover``. Beside a figure of ``cover`` stands its share of the patches that ``dense`` takes for
the same figure, read off straight lines between the points of ``dense``, or its best point where it nowhere gets there.
A share below 1 is a gain.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from quality import SOURCES, Refined, add_settings, refine_and_measure, refine_settings
from rich.console import Console
from rich.table import Table

from bpr_cli import Refiner, RefineSettings

OVERLAPS = (0.0, 0.05, 0.15, 0.25, 0.4, 0.55)

FIGURES = {
    "yolo": ("matched boundary F", "matched IoU"),
    "esp": ("boundary F", "mean IoU"),
    "dice": ("boundary F", "mean IoU"),
    "street": ("AF", "mIoU"),
    "cells": ("matched boundary F", "matched IoU"),
}
"""The figure of the boundary and that of the area, of every set."""


@dataclass(frozen=True)
class Point:
    """What a selection of patches costs and gives; figures in percent."""

    name: str
    patches: int
    boundary: float
    area: float


@dataclass(frozen=True)
class Curves:
    """A set refined by either scheme; the points of ``dense`` with growing overlap."""

    name: str
    dense: tuple[Point, ...]
    cover: Point

    def share(self, figure: str) -> float:
        """Patches of ``cover`` over those that ``dense`` takes for the same ``boundary`` or ``area``."""
        reached = np.maximum.accumulate([getattr(point, figure) for point in self.dense])
        patches = [point.patches for point in self.dense]
        value = getattr(self.cover, figure)
        if value > reached[-1]:
            return self.cover.patches / patches[int(np.argmax(reached == reached[-1]))]
        rising = np.flatnonzero(np.diff(reached, prepend=-1) > 0)  # more patches that gave less are on no curve
        return float(self.cover.patches / np.interp(value, reached[rising], np.array(patches)[rising]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_settings(parser)
    parser.add_argument("--only", nargs="*", choices=[*FIGURES], default=[*FIGURES], metavar="SET")
    parser.add_argument("--limit", type=int, help="so many images of every set, evenly spread, for a quick look")
    parser.add_argument("--picture", type=Path, help="draw the curves to this file: PNG, SVG or PDF")
    arguments = parser.parse_args()
    settings = refine_settings(arguments)
    measured = [curves_of(name, arguments.data, settings, arguments.limit) for name in arguments.only]
    show(measured)
    if arguments.picture:
        draw(measured, arguments.picture)


def curves_of(name: str, data: Path, settings: RefineSettings, limit: int | None) -> Curves:
    """Refine one set with all selections."""
    source = next(source for source in SOURCES if source.name == name)

    def point(label: str, settings: RefineSettings) -> Point:
        return point_of(label, refine_and_measure(source, data, Refiner(settings), limit))

    dense = tuple(point(f"dense {overlap:g}", replace(settings, nms_threshold=overlap)) for overlap in OVERLAPS)
    cover = point("cover", replace(settings, scheme="cover"))
    Console(stderr=True).print(f"{name} done", highlight=False)
    return Curves(name, dense, cover)


def point_of(label: str, refined: Refined) -> Point:
    """The figures that are compared."""
    values = {change.name: change.refined for change in refined.figures.changes}
    boundary, area = (values[figure] for figure in FIGURES[refined.name])
    if boundary is None or area is None:
        raise SystemExit(f"{refined.name}: no mask to measure; take more images")
    return Point(label, refined.patches, boundary, area)


def show(measured: Sequence[Curves]) -> None:
    table = Table(title="quality against patches", title_justify="left")
    table.add_column("set")
    table.add_column("patches of")
    for column in ("patches", "boundary F", "share for it", "IoU", "share for it"):
        table.add_column(column, justify="right")
    for curves in measured:
        for point in (*curves.dense, curves.cover):
            shares = [f"{curves.share(figure):.2f}" if point is curves.cover else "" for figure in ("boundary", "area")]
            row = f"{point.boundary:.2f}", shares[0], f"{point.area:.2f}", shares[1]
            table.add_row(curves.name, point.name, str(point.patches), *row)
        table.add_section()
    Console(width=110).print(table)


def draw(measured: Sequence[Curves], path: Path) -> None:
    """Both figures of every set against the number of patches: a column a set."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(measured), 5.6), layout="constrained")
    plots = figure.subplots(2, len(measured), squeeze=False)
    for column, curves in zip(plots.T, measured, strict=True):
        for plot, name, title in zip(column, ("boundary", "area"), FIGURES[curves.name], strict=True):
            patches, values = zip(*((point.patches, getattr(point, name)) for point in curves.dense), strict=True)
            plot.plot(patches, values, "o-", color="0.5", label="dense, growing overlap")
            plot.plot(curves.cover.patches, getattr(curves.cover, name), "D", color="tab:red", label="cover")
            plot.set(title=f"{curves.name}: {title}", xlabel="patches", xlim=(0, None))
    plots[0, 0].legend(loc="lower right")
    figure.savefig(path)


if __name__ == "__main__":
    main()
