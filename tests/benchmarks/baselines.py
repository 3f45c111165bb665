"""Refinement without learning on the files of ``quality.py``: GrabCut, guided filter and dense CRF, compared with BPR.

    python tests/benchmarks/baselines.py DATA [--weights NAME] [--only SET ...] [--methods NAME ...] [--limit N]
                                              [--tune-images N] [--json FILE]

The parameters of a method are chosen for each kind of data (objects, street, cells) by the sum of the gains of IoU and
boundary F on a seeded choice of images of the train part; nothing is tuned on ``dice``, which takes those of objects.
Then the val part is refined once. IoU, boundary F and AP are gains in points: over all non-empty masks of ``objects``
(AP of ``yolo``), over the matched masks of ``cells``; mIoU and AF of ``street``. Seconds are CPU seconds of one image,
without reading and writing; for BPR, with them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from classical import DenseCrf, GrabCut, GuidedFilter, Method, refine
from quality import SOURCES, Figures, Source, measure, new_table, number, refine_and_measure, spread
from rich.console import Console

from bpr_cli import Refiner, RefineSettings
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.images import read_image

METHODS: dict[str, list[Method]] = {
    "GrabCut": [GrabCut(band, iterations) for band in (3, 6, 12, 20) for iterations in (1, 3)],
    "guided filter": [GuidedFilter(radius, eps) for radius in (2, 4, 8, 16, 24) for eps in (1e-4, 1e-3, 1e-2)],
    "dense CRF": [
        DenseCrf(band, 16, colour, weight) for band in (4, 8, 16) for colour in (4, 8, 16) for weight in (4, 12, 36)
    ],
}
"""The grid of every method."""

TUNED_ON = {"objects": ("yolo", "esp"), "street": ("street",), "cells": ("cells",)}
"""The sets whose train part chooses the parameters for a kind of data."""

USED_FOR = {"yolo": "objects", "esp": "objects", "dice": "objects", "street": "street", "cells": "cells"}

COLUMNS = {
    "yolo": ("mean IoU", "boundary F", "AP"),
    "esp": ("mean IoU", "boundary F", None),
    "dice": ("mean IoU", "boundary F", None),
    "street": ("mIoU", "AF", None),
    "cells": ("matched IoU", "matched boundary F", "AP"),
}
"""The figures of every set that stand for IoU, boundary F and AP."""


@dataclass(frozen=True)
class Row:
    """A line of the table: gains in points, and seconds an image."""

    set: str
    method: str
    parameters: str
    iou: float | None
    boundary_f: float | None
    ap: float | None
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", help="refine with these weights too")
    parser.add_argument("--only", nargs="*", choices=[*USED_FOR], default=[*USED_FOR], metavar="SET")
    parser.add_argument("--methods", nargs="*", choices=[*METHODS], default=[*METHODS], metavar="NAME")
    parser.add_argument("--limit", type=int, help="so many images of every val set, evenly spread")
    parser.add_argument("--tune-images", type=int, default=8, help="images of every train set to choose parameters on")
    parser.add_argument("--json", type=Path, help="write all lines to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    cv2.setRNGSeed(0)
    sources = [source for source in SOURCES if source.name in arguments.only]
    rows = []
    for name in arguments.methods:
        chosen = tune_all(METHODS[name], sources, arguments.data, arguments.tune_images)
        for source in sources:
            method = chosen[USED_FOR[source.name]]
            rows.append(run(name, method, source, arguments.data, arguments.limit))
            Console(stderr=True).print(rows[-1], highlight=False)
    if arguments.weights:
        refiner = Refiner(RefineSettings(weights=arguments.weights))
        rows += [run_bpr(source, arguments.data, refiner, arguments.limit) for source in sources]
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def tune_all(grid: Sequence[Method], sources: Sequence[Source], data: Path, images: int) -> dict[str, Method]:
    """The best parameters for every kind of data among the sources."""
    kinds = dict.fromkeys(USED_FOR[source.name] for source in sources)
    return {kind: tune(grid, kind, data, images) for kind in kinds}


def tune(grid: Sequence[Method], kind: str, data: Path, images: int) -> Method:
    """The parameters that gain most on some images of the train part."""
    sources = [train_part(source) for source in SOURCES if source.name in TUNED_ON[kind]]

    def score(method: Method) -> float:
        gains = [gains_of(source, tried(method, source, data, images)) for source in sources]
        return sum((overlap or 0) + (boundary or 0) for overlap, boundary, _ in gains)

    return max(grid, key=score)


def train_part(source: Source) -> Source:
    paths = {name: getattr(source, name) for name in ("predictions", "images", "truth", "image_info")}
    return replace(source, **{name: path and path.replace("val", "train") for name, path in paths.items()})


def tried(method: Method, source: Source, data: Path, images: int) -> Figures:
    """Figures of a method on a seeded choice of images."""
    predictions = source.open(data)
    predictions.items = choose(predictions.items, images)
    return refine_all(method, predictions, source, data, part=True)[0]


def choose(items: Sequence[Any], count: int) -> list[Any]:
    places = np.random.default_rng(0).permutation(len(items))[:count]
    return [items[place] for place in sorted(places)]


def refine_all(
    method: Method, predictions: PredictionSet, source: Source, data: Path, part: bool
) -> tuple[Figures, float]:
    """Refine the items of a set to files; their figures, and seconds an image."""
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / Path(source.predictions).stem
        writer = predictions.writer(out)
        records: dict[int, bytes] = {}
        for item in predictions.items:
            image, coarse = read_image(item.image), predictions.read(item)
            began = time.process_time()
            refined = refine(method, image, coarse)
            seconds += time.process_time() - began
            records.update(writer.write(item, refined).records)
        writer.close(sorted(records.items()))
        return measure(source, data, out, part), seconds / len(predictions.items)


def run(name: str, method: Method, source: Source, data: Path, limit: int | None) -> Row:
    """A method on the val part."""
    predictions = source.open(data)
    predictions.items = spread(predictions.items, limit)
    figures, seconds = refine_all(method, predictions, source, data, part=limit is not None)
    parameters = ", ".join(f"{field} {value:g}" for field, value in asdict(method).items())
    return Row(source.name, name, parameters, *gains_of(source, figures), seconds)


def run_bpr(source: Source, data: Path, refiner: Refiner, limit: int | None) -> Row:
    """The program itself on the val part."""
    refined = refine_and_measure(source, data, refiner, limit)
    gains = gains_of(source, refined.figures)
    return Row(source.name, "BPR", refiner.settings.weights, *gains, refined.cpu_seconds / refined.images)


def gains_of(source: Source, figures: Figures) -> tuple[float | None, float | None, float | None]:
    """Gains of IoU, boundary F and AP, in points."""
    gains = {change.name: change.gain for change in figures.changes}
    overlap, boundary, precision = (column and gains[column] for column in COLUMNS[source.name])
    return overlap, boundary, precision


def show(rows: Sequence[Row]) -> None:
    table = new_table("gains", "set", "method", "parameters", "IoU", "boundary F", "AP", "seconds an image")
    order = [*USED_FOR]
    for row in sorted(rows, key=lambda row: order.index(row.set)):
        gains = [number(value, "+.2f") for value in (row.iou, row.boundary_f, row.ap)]
        table.add_row(row.set, row.method, row.parameters, *gains, number(row.seconds))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
