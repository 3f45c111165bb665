"""Refinement of masks of every quality, the truth included: what it gains, what it harms, and what it costs.

    python tests/benchmarks/peers.py DATA [--method NAME ...] [--only SET ...] [--limit N] [--half first|second]
                                          [--tune N] [--json FILE]

DATA holds ``objects``, ``cutouts``, ``emoji3d``, ``clipart``, ``tiles``, ``cracks`` and ``cells`` as the weights' model
card describes them. A method is the name or file of weights, ``grabcut``, ``matting`` (package ``pymatting``), or a
salient-object network as ``u2netp=FILE`` or ``isnet=FILE`` (ONNX files, package ``onnxruntime``), used where it agrees
with the mask. Peers change a band along the boundary, whose width is chosen for every kind of masks by the gains of IoU
and F on ``--tune`` images of the train part. IoU and boundary F (1 px) are means in percent. ``lost``
is the share of masks that lose more than a point of IoU. ``edges`` are borders of patches that show: straight runs,
horizontal or vertical, of 12 and more boundary pixels that lie more than 2 px from the coarse and the true
boundary, in 1,000 pixels of refined boundary, and the share of masks with any.

Halves serve to choose settings on one and to report the other: of ``objects`` by video, else every other image.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from peer_methods import Refine, candidates
from pycocotools import mask as coco_mask
from quality import new_table, number, spread
from rich.console import Console

from bpr_cli.evaluation.boundary import boundary_f, iou
from bpr_cli.formats.images import read_image
from bpr_cli.patches.boxes import grow
from bpr_cli.typing import BoolArray, ByteArray

TRUTH = "truth"

PREDICTIONS: dict[str, tuple[str, ...]] = {
    "objects": (TRUTH, "u2netp", "esp", "yolo", "dice", "yolov8n-int8-320", "deeplab-mnv2-q"),
    "cutouts": (TRUTH, "u2netp", "yolov8n-int8-320", "deeplab-mnv2-q"),
    "emoji3d": (TRUTH, "u2netp"),
    "clipart": (TRUTH, "u2netp"),
    "tiles": (TRUTH, "residual4"),
    "cracks": (TRUTH, "blackhat2"),
    "cells": (TRUTH, "otsu"),
}
"""The coarse masks of every set."""

FIRST_VIDEOS = ("bus", "mallard")
"""The videos of ``objects`` in the first half."""

CELL_SURROUNDINGS, MOST_CELLS, MATCHED = 80, 24, 0.5
"""Cells are refined one by one, in a window of so many pixels around each, the first ones of an image. A coarse cell is
compared with the true one that it overlaps by more than this IoU."""

RUN, NEAR = 12, np.ones((5, 5), np.uint8)
"""Shortest straight run in pixels, and the neighbourhood in which a boundary is the same."""


@dataclass(frozen=True)
class Case:
    """A coarse mask with its image and true mask: uint8, (H, W, 3), and bool, (H, W)."""

    group: tuple[str, str]
    first_half: bool
    image: ByteArray
    coarse: BoolArray
    truth: BoolArray


@dataclass(frozen=True)
class Score:
    """What a method makes of one mask; IoU and F in percent, before and after."""

    iou: tuple[float, float]
    f: tuple[float, float]
    edges: int
    boundary: int
    seconds: float

    @property
    def is_lost(self) -> bool:
        """Whether the mask lost more than a point of IoU."""
        return self.iou[1] < self.iou[0] - 1


@dataclass(frozen=True)
class Row:
    """The means of a method over the masks of one kind."""

    set: str
    masks: str
    method: str
    count: int
    coarse_iou: float
    iou: float
    coarse_f: float
    f: float
    lost: float
    edges: float
    with_edges: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--method", nargs="*", default=["fast"], metavar="NAME")
    parser.add_argument("--only", nargs="*", default=[*PREDICTIONS], metavar="SET", help="sets, or sets/predictions")
    parser.add_argument("--limit", type=int, help="so many images of every set, evenly spread")
    parser.add_argument("--half", choices=("first", "second"))
    parser.add_argument("--tune", type=int, default=8, metavar="N", help="images of the train part for each choice")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    arguments = parser.parse_args()
    refiners = {name: candidates(name) for name in arguments.method}
    chosen = {name: tuned(found, arguments) for name, found in refiners.items()}
    scores: dict[tuple[tuple[str, str], str], list[Score]] = defaultdict(list)
    for case in cases(arguments.data, arguments.only, arguments.limit):
        if arguments.half is None or case.first_half == (arguments.half == "first"):
            for name, refine in chosen.items():
                scores[case.group, name].append(scored(case, refine[case.group]))
    rows = [summed(*group, method, found) for (group, method), found in scores.items()]
    show(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")


def tuned(refiners: Sequence[Refine], given: argparse.Namespace) -> dict[tuple[str, str], Refine]:
    """The best of a method's choices for every kind of masks, by the mean of IoU and F on images of the train part."""
    kinds = [(name, each) for name, found in PREDICTIONS.items() for each in found]
    best = dict.fromkeys(kinds, refiners[0])
    if len(refiners) == 1:
        return best
    found: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for case in cases(given.data, given.only, given.tune, "train"):
        results = [scored(case, refine) for refine in refiners]
        found[case.group].append([result.iou[1] + result.f[1] for result in results])
    return best | {kind: refiners[int(np.mean(gains, axis=0).argmax())] for kind, gains in found.items()}


def cases(data: Path, only: Sequence[str], limit: int | None, part: str = "val") -> Iterator[Case]:
    """All coarse masks of the train or the val part that are not empty."""
    for name, predictions in PREDICTIONS.items():
        wanted = [each for each in predictions if name in only or f"{name}/{each}" in only]
        if wanted:
            yield from (cell_cases if name == "cells" else mask_cases)(data / name, wanted, limit, part)


def mask_cases(data: Path, predictions: Sequence[str], limit: int | None, part: str) -> Iterator[Case]:
    """The cases of a set of binary masks."""
    paths = sorted((data / "masks" / part).glob("*.png"))
    images = {path.stem: path for path in (data / "images" / part).glob("*")}
    yolo = best_masks(data, part) if "yolo" in predictions else {}
    for place, path in spread(list(enumerate(paths)), limit):
        stem = path.stem
        truth, image = read_mask(path), read_image(images[stem])
        first = stem.startswith(FIRST_VIDEOS) if data.name == "objects" else place % 2 == 0
        for kind in predictions:
            predicted = data / "predictions" / kind / part / f"{stem}.png"
            if kind == TRUTH:
                coarse = truth
            elif kind == "yolo":
                coarse = yolo.get(stem, np.zeros_like(truth))
            else:
                coarse = read_mask(predicted) if predicted.exists() else np.zeros_like(truth)
            if coarse.any():
                yield Case((data.name, kind), first, image, coarse, truth)


def best_masks(data: Path, part: str) -> dict[str, BoolArray]:
    """The most confident COCO result for every image, by its stem."""
    stems = {each["id"]: Path(each["file_name"]).stem for each in truth_of(data, part)["images"]}
    records = json.loads((data / f"predictions/yolo/{part}.segm.json").read_text())
    records.sort(key=lambda record: record["score"])
    return {stems[record["image_id"]]: coco_mask.decode(record["segmentation"]) > 0 for record in records}


def cell_cases(data: Path, predictions: Sequence[str], limit: int | None, part: str) -> Iterator[Case]:
    """The cases of the cells, each in a window of its own."""
    truth = truth_of(data, part)
    by_image: dict[str, dict[int, list[BoolArray]]] = {kind: defaultdict(list) for kind in (TRUTH, "otsu")}
    for record in truth["annotations"]:
        by_image[TRUTH][record["image_id"]].append(coco_mask.decode(record["segmentation"]) > 0)
    for record in json.loads((data / f"predictions/otsu/{part}.segm.json").read_text()):
        by_image["otsu"][record["image_id"]].append(coco_mask.decode(record["segmentation"]) > 0)
    for place, entry in spread(list(enumerate(truth["images"])), limit):
        image = read_image(data / "images" / part / entry["file_name"])
        for kind in predictions:
            for true in by_image[TRUTH][entry["id"]][:MOST_CELLS]:
                coarse = max(by_image[kind][entry["id"]], key=lambda mask: iou(mask, true), default=true)
                if iou(coarse, true) > MATCHED:
                    x, y, width, height = cv2.boundingRect((coarse | true).astype(np.uint8))
                    x0, y0, x1, y1 = grow((x, y, x + width, y + height), CELL_SURROUNDINGS, true.shape)
                    window = np.s_[y0:y1, x0:x1]
                    view = np.ascontiguousarray(image[window])
                    yield Case((data.name, kind), place % 2 == 0, view, coarse[window], true[window])


def truth_of(data: Path, part: str) -> dict[str, list[dict]]:
    return json.loads((data / f"instances_{part}.json").read_text())


def read_mask(path: Path) -> BoolArray:
    """Read a mask of 0 and any other value."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    return mask > mask.max() / 2


def scored(case: Case, refine: Refine) -> Score:
    """Refine one mask and measure it."""
    began = time.process_time()
    refined = refine(case.image, case.coarse)
    seconds = time.process_time() - began
    both = case.coarse, refined
    edges, boundary = box_edges(case.coarse, refined, case.truth)
    overlap, contour = (tuple(100 * of(each, case.truth) for each in both) for of in (iou, boundary_f))
    return Score(overlap, contour, edges, boundary, seconds)


def box_edges(coarse: BoolArray, refined: BoolArray, truth: BoolArray) -> tuple[int, int]:
    """Pixels of straight boundary that refinement has made up, and pixels of refined boundary."""
    straight = sum(np.count_nonzero(lines) for lines in new_straight_lines(refined, coarse, truth))
    return straight, boundary_length(refined)


def new_straight_lines(mask: BoolArray, *known: BoolArray) -> tuple[ByteArray, ByteArray]:
    """The pixels of long horizontal and of long vertical boundaries that no known mask has there."""
    near = np.zeros(mask.shape, np.uint8)
    for each in known:
        for lines in boundary_lines(each):
            near |= lines
    free = cv2.dilate(near, NEAR) == 0
    horizontal, vertical = boundary_lines(mask)
    return long_runs(horizontal & free, (1, RUN)), long_runs(vertical & free, (RUN, 1))


def boundary_length(mask: BoolArray) -> int:
    """Number of boundary pixels of a mask."""
    horizontal, vertical = boundary_lines(mask)
    return int(np.count_nonzero(horizontal | vertical))


def boundary_lines(mask: BoolArray) -> tuple[ByteArray, ByteArray]:
    """Pixels above a horizontal and left of a vertical boundary: uint8, (H, W), 0 and 1."""
    horizontal, vertical = np.zeros((2, *mask.shape), np.uint8)
    horizontal[:-1], vertical[:, :-1] = mask[1:] ^ mask[:-1], mask[:, 1:] ^ mask[:, :-1]
    return horizontal, vertical


def long_runs(lines: ByteArray, shape: tuple[int, int]) -> ByteArray:
    """The pixels of runs at least as long as ``shape``."""
    kernel = np.ones(shape, np.uint8)
    return cv2.dilate(cv2.erode(lines, kernel, borderValue=0), kernel, borderValue=0)


def summed(name: str, masks: str, method: str, scores: Sequence[Score]) -> Row:
    """The means of scores."""
    overlaps, contours = (np.mean([getattr(score, each) for score in scores], axis=0) for each in ("iou", "f"))
    lost, with_edges = (100 * np.mean([each(score) for score in scores]) for each in (lambda s: s.is_lost, has_edges))
    boundary = max(1, sum(score.boundary for score in scores))
    edges = 1000 * sum(score.edges for score in scores) / boundary
    seconds = sum(score.seconds for score in scores)
    found = (overlaps[0], overlaps[1], contours[0], contours[1], lost, edges, with_edges, seconds)
    return Row(name, masks, method, len(scores), *map(float, found))


def has_edges(score: Score) -> bool:
    return score.edges > 0


def show(rows: Sequence[Row]) -> None:
    figures = ("IoU", "refined", "F", "refined", "lost", "edges", "with edges", "CPU s")
    table = new_table("means", "set", "masks", "method", "masks", *figures)
    for row in rows:
        figures = [number(value, ".1f") for value in list(asdict(row).values())[4:]]
        table.add_row(row.set, row.masks, row.method, str(row.count), *figures)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
