"""Speed of the instance metrics beside the tools they agree with, on the same files.

    python tests/benchmarks/instance_metrics.py DATA [--frames N]

DATA holds ``objects``, ``coco``, ``cells`` and ``speed``: COCO ground truth and results. Each row reads both files and
computes AP and boundary AP; ours computes AF as well. The reference is pycocotools, with boundaries made as
boundary-iou-api makes them: every mask decoded, eroded on the full frame, and encoded again.

The last two rows are the Cityscapes evaluation of N generated frames of 1024 x 2048 pixels with some 20 instances and
25 predictions, beside the script of cityscapesscripts: on files, most of which is decoding PNG files on both sides, and
the same without the time that either side's decoding takes alone.

Times are seconds of processor time in one process without threads; the difference is the largest over all figures.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rich.console import Console
from rich.table import Table

from bpr_cli.evaluate.instance import (
    CocoSettings,
    ScoredMask,
    TruthMask,
    cityscapes_figures,
    coco_figures,
    update_frame,
    update_image,
)
from bpr_cli.evaluate.instance.cityscapes import CLASSES
from bpr_cli.formats import rle
from bpr_cli.formats.png import read_gray
from bpr_cli.masks import Mask

SETS = {
    "objects": ("instances_val.json", "predictions/yolo/val.segm.json"),
    "coco": ("instances.json", "predictions/yolo/yolo.segm.json"),
    "cells": ("instances_val.json", "predictions/otsu/val.segm.json"),
    "speed": ("instances.json", "coarse.segm.json"),
}


class NaiveBoundaryEval(COCOeval):
    """COCOeval on the smaller of mask IoU and boundary IoU."""

    def computeIoU(self, image, category):  # noqa: N802 (pycocotools' name)
        by_mask = super().computeIoU(image, category)
        truths, found = self._gts[image, category], self._dts[image, category]
        if not truths or not found:
            return by_mask
        ranked = sorted(found, key=lambda ann: -ann["score"])[: self.params.maxDets[-1]]
        bands = [[ann["boundary"] for ann in anns] for anns in (ranked, truths)]
        by_band = coco_mask.iou(*bands, [0] * len(truths))
        crowd = np.array([bool(ann["iscrowd"]) for ann in truths])
        return np.where(crowd, by_mask, np.minimum(by_mask, by_band))


def naive_band(mask):
    height, width = mask.shape
    steps = max(1, round(0.02 * float(np.hypot(height, width))))
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    return mask - cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=steps)[1:-1, 1:-1]


def run_reference(truth_file, results_file):
    """Mean precision of every threshold and size, -1 where there is none, for AP and boundary AP."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_file))
        results = truth.loadRes(str(results_file))
        for coco in (truth, results):
            for annotation in coco.anns.values():
                annotation["boundary"] = coco_mask.encode(np.asfortranarray(naive_band(coco.annToMask(annotation))))
        figures = []
        for kind in (COCOeval, NaiveBoundaryEval):
            evaluator = kind(truth, results, "segm")
            evaluator.evaluate()
            evaluator.accumulate()
            figures.append(evaluator.eval["precision"][..., -1])
    return np.stack(figures)


def run_ours(truth_file, results_file):
    truth, results = json.loads(truth_file.read_text()), json.loads(results_file.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    chosen = CocoSettings(tuple(sorted(category["id"] for category in truth["categories"])))
    by_image = defaultdict(lambda: ([], []))
    for result in results:
        by_image[result["image_id"]][0].append(result)
    for annotation in truth["annotations"]:
        by_image[annotation["image_id"]][1].append(annotation)
    records = []
    for image, (found, true) in by_image.items():
        predictions = [scored(result, sizes[image]) for result in found]
        truths = [true_mask(annotation, sizes[image]) for annotation in true]
        records.append(update_image(image, predictions, truths, chosen))
    figures = coco_figures(records, chosen)
    return np.stack([figures.mask.precision, figures.boundary.precision])


def scored(result, size):
    area = result["bbox"][2] * result["bbox"][3] if "bbox" in result else None
    return ScoredMask(rle.decode(result["segmentation"], size), result["category_id"], result["score"], area)


def true_mask(annotation, size):
    mask = rle.decode(annotation["segmentation"], size)
    return TruthMask(mask, annotation["category_id"], bool(annotation["iscrowd"]), annotation["area"])


def result_lines(files):
    """Mask file, label and score of every prediction of a measured class, by frame."""
    for truth, results in files:
        lines = [line.split() for line in Path(results).read_text().splitlines()]
        folder = Path(results).parent
        yield (
            truth,
            [(folder / name, int(label), float(score)) for name, label, score in lines if int(label) in CLASSES],
        )


def read_cityscapes(files):
    return [
        (truth, [(read_gray(mask), label, score) for mask, label, score in predictions], read_gray(Path(truth)))
        for truth, predictions in result_lines(files)
    ]


def read_as_official(files):
    """What the official script decodes: the ground truth twice, then every mask."""
    for truth, predictions in result_lines(files):
        for _ in range(2):
            np.array(Image.open(truth))
        for mask, _, _ in predictions:
            np.array(Image.open(mask).convert("L"))


def measure_cityscapes(frames):
    records = []
    for name, predictions, ids in frames:
        segments = [ScoredMask(Mask.from_array(mask), label, score) for mask, label, score in predictions]
        records.append(update_frame(name, segments, ids))
    return cityscapes_figures(records).precision


def cityscapes_rows(number):
    sys.path.append(str(Path(__file__).resolve().parents[1] / "evaluate/instance"))
    from cityscapes_cases import draw_frame, run_official, write_frame

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        drawn = [draw_frame(rng, (1024, 2048), instances=20, predictions=25) for _ in range(number)]
        files = [write_frame(Path(folder), n, frame) for n, frame in enumerate(drawn)]
        frames, reading = timed(read_cityscapes, files)
        ours, measuring = timed(measure_cityscapes, frames)
        _, their_reading = timed(read_as_official, files)
        result, whole = timed(run_official, files, patch)
    theirs = np.array(result["resultApMatrix"])[0]
    title = f"cityscapes, {number} frames"
    return {
        title: (ours, theirs, reading + measuring, whole),
        f"{title}, decoded": (ours, theirs, measuring, whole - their_reading),
    }


def timed(run, *arguments):
    start = time.process_time()
    return run(*arguments), time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=6)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = {}
    for name, (truth, results) in SETS.items():
        files = options.data / name / truth, options.data / name / results
        (ours, our_time), (theirs, their_time) = timed(run_ours, *files), timed(run_reference, *files)
        rows[name] = ours, theirs, our_time, their_time
    rows |= cityscapes_rows(options.frames)
    table = Table("set", "ours, s", "reference, s", "ratio", "largest difference")
    for name, (ours, theirs, our_time, their_time) in rows.items():
        apart = np.nanmax(np.abs(ours - theirs))
        table.add_row(name, f"{our_time:.2f}", f"{their_time:.2f}", f"{their_time / our_time:.1f}", f"{apart:.1e}")
    Console().print(table)


if __name__ == "__main__":
    main()
