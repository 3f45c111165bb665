"""Masks of photographs beside those of the same photographs enlarged: what is gained should not depend on resolution.

    python tests/benchmarks/enlarged.py DATA [--weights NAME] [--only SET ...] [--limit N] [--width W] [--json FILE]

DATA and SET are those of ``peers.py``. Images are enlarged to W pixels of width with cubic interpolation, and so are
the coarse and the true masks, which stay binary. IoU and boundary F are means in percent; the tolerance of F is 1 px of
the image as it was. Settings are the defaults.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from peers import Case, cases
from quality import new_table, number
from rich.console import Console

from bpr_cli import Refiner, RefineSettings
from bpr_cli.evaluation.boundary import boundary_f, iou
from bpr_cli.typing import BoolArray


@dataclass(frozen=True)
class Row:
    """IoU and F in percent of a coarse mask and of its refined ones, small and enlarged, and CPU seconds."""

    coarse_iou: float
    iou: float
    large_iou: float
    coarse_f: float
    f: float
    large_f: float
    seconds: float
    large_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default="fast", help="shipped name or file")
    kinds = ["objects/truth", "objects/esp", "objects/yolov8n-int8-320"]
    parser.add_argument("--only", nargs="*", default=kinds, metavar="SET", help="sets, or sets/predictions")
    parser.add_argument("--limit", type=int, default=6, help="so many images of every set, evenly spread")
    parser.add_argument("--width", type=int, default=6000, help="width of the enlarged images in pixels")
    parser.add_argument("--json", type=Path, help="write all masks to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    refiner = Refiner(RefineSettings(weights=arguments.weights, workers=1))
    rows: dict[str, list[Row]] = defaultdict(list)
    for case in cases(arguments.data, arguments.only, arguments.limit):
        rows["/".join(case.group)].append(compared(refiner, case, arguments.width / case.image.shape[1]))
    show(rows)
    if arguments.json:
        found = {name: [asdict(row) for row in each] for name, each in rows.items()}
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def compared(refiner: Refiner, case: Case, factor: float) -> Row:
    """Refine a mask as it is and enlarged."""
    large = enlarged(case, factor)
    refined, seconds = timed(refiner, case)
    large_refined, large_seconds = timed(refiner, large)
    masks = (case.coarse, case.truth, 1.0), (refined, case.truth, 1.0), (large_refined, large.truth, factor)
    overlaps = [100 * iou(mask, truth) for mask, truth, _ in masks]
    contours = [100 * boundary_f(mask, truth, tolerance) for mask, truth, tolerance in masks]
    return Row(*overlaps, *contours, seconds, large_seconds)


def enlarged(case: Case, factor: float) -> Case:
    """The case in an image larger by ``factor``."""

    def grown(mask: BoolArray) -> BoolArray:
        return resized(mask.astype(np.uint8) * 255) > 127

    def resized(plane: np.ndarray) -> np.ndarray:
        return cv2.resize(plane, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)

    return Case(case.group, case.first_half, resized(case.image), grown(case.coarse), grown(case.truth))


def timed(refiner: Refiner, case: Case) -> tuple[BoolArray, float]:
    """The refined mask, and the CPU seconds for it."""
    began = time.process_time()
    refined = refiner.refine(case.image, case.coarse)
    return refined, time.process_time() - began


def show(rows: dict[str, list[Row]]) -> None:
    figures = ("IoU", "small", "large", "F", "small", "large", "CPU s small", "large")
    table = new_table("means", "masks", "count", *figures)
    for name, each in rows.items():
        means = np.mean([[*asdict(row).values()] for row in each], axis=0)
        table.add_row(name, str(len(each)), *(number(value, ".1f") for value in means))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
