"""Sides of patches that show in refined masks and label maps.

    python tests/benchmarks/patch_sides.py DATA [--weights NAME] [--set FIELD=VALUE ...] [--only SET ...] [--limit N]

DATA and SET are those of ``quality.py``. ``straight`` are the straight boundaries of ``peers.py`` that the coarse
segment does not have, in 1,000 pixels of refined boundary; poles, walls and signs of the images are straight as well.
Those ``at sides`` lie within 3 px of the outer sides of all patches of their segment, beyond which the network has not
seen it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np
from peers import boundary_length, new_straight_lines
from quality import SOURCES, TARGETS, Source, add_settings, new_table, number, refine_settings, spread
from rich.console import Console

from bpr_cli import Refiner
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.patches.boxes import Boxes, cover
from bpr_cli.refinement.image import ImagePass
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.pipeline import refine_predictions
from bpr_cli.refinement.segments import RefinedSegments
from bpr_cli.typing import BoolArray

NEAR_SIDE = np.ones((7, 7), np.uint8)
"""Neighbourhood in which a boundary lies at the side of a patch."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_settings(parser)
    parser.add_argument("--only", nargs="*", choices=[*TARGETS], default=[*TARGETS], metavar="SET")
    parser.add_argument("--limit", type=int, help="so many images of every set, evenly spread")
    arguments = parser.parse_args()
    refiner = Refiner(refine_settings(arguments))
    table = new_table("straight boundaries", "set", "segments", "straight", "at sides", "segments with sides")
    for source in SOURCES:
        if source.name in arguments.only:
            found = np.array([*measured(source, arguments.data, refiner, arguments.limit)])
            boundary, straight, at_sides = found.sum(axis=0)
            shares = [number(1000 * count / boundary) for count in (straight, at_sides)]
            with_sides = number(100 * np.mean(found[:, 2] > 0), ".1f") + " %"
            table.add_row(source.name, str(len(found)), *shares, with_sides)
    Console(width=110).print(table)


def measured(source: Source, data: Path, refiner: Refiner, limit: int | None) -> Iterator[tuple[int, int, int]]:
    """Refine a set; of each segment the boundary, its straight part, and that at the sides of patches, in pixels."""
    predictions = source.open(data)
    predictions.items = spread(predictions.items, limit)
    last_passes: dict[int, tuple[ImagePass, Prediction]] = {}
    refine = ImagePass.refine

    def remembered(image: ImagePass, limits: Limits) -> RefinedSegments[Any]:
        refined = refine(image, limits)
        last_passes[id(image.coarse)] = image, refined.prediction
        return refined

    with patch.object(ImagePass, "refine", remembered), tempfile.TemporaryDirectory() as folder:
        refine_predictions(refiner, predictions, predictions.writer(Path(folder) / "out"))
    for image, refined in last_passes.values():
        for before, after, boxes in segments(image, refined):
            straight = new_straight_lines(after, before)
            sides = cv2.dilate(1 - cover(boxes, (0, 0, after.shape[1], after.shape[0])), NEAR_SIDE)
            at_sides = sum(np.count_nonzero(lines & sides) for lines in straight)
            yield boundary_length(after), sum(map(np.count_nonzero, straight)), at_sides


def segments(image: ImagePass, refined: Prediction) -> Iterator[tuple[BoolArray, BoolArray, Boxes]]:
    """Each segment of the last pass over an image before and after refinement, with its patches."""
    coarse = image.coarse.prediction
    if isinstance(refined, LabelMap):
        for each in image.outlines:
            yield coarse.labels == each.mask.label, refined.labels == each.mask.label, each.boxes
    else:
        for before, after, each in zip(coarse, refined, image.outlines, strict=True):
            yield before.to_array(), after.to_array(), each.boxes


if __name__ == "__main__":
    main()
