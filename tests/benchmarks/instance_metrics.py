"""Speed of `bpr evaluate` on instances, compared with the official tools on the same files, from files to metrics.

    python tests/benchmarks/instance_metrics.py DATA [--frames N] [--workers W]

DATA holds ``objects``, ``coco``, ``cells`` and ``speed``: COCO ground truth and results. The reference is pycocotools
for AP and boundary AP, with boundaries made as boundary-iou-api makes them: every mask decoded, eroded on the full
frame, and encoded again. Ours is the whole evaluation: AP, boundary AP, AF, the score of every image, and digests.

The last rows are the Cityscapes evaluation of N generated frames of 1024 x 2048 pixels with some 20 instances and 25
predictions, their masks written by OpenCV and by Pillow, beside the script of cityscapesscripts.

Times are seconds: of the processors, which other work on the machine hardly changes, and by the clock, with W workers
on our side. The difference is the largest over all figures.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import io
import shutil
import sys
import tempfile
import time
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

from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.evaluation.settings import EvaluateSettings

ROUNDS = 3
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


def run_ours(truth, predictions, workers):
    """The report of a whole evaluation."""
    return evaluate(predictions, truth, settings=EvaluateSettings(workers=workers))


def apart_from_coco(report, reference):
    """The largest difference to the means of the reference's precision."""
    precision = [np.where(part > -1, part, np.nan) for part in reference]
    expected = {"AP": precision[0], "AP50": precision[0][:1], "AP75": precision[0][5:6]}
    expected |= {"boundary AP": precision[1], "boundary AP50": precision[1][:1]}
    values = {figure.name: figure.value for figure in report.summary}
    return max(abs(values[name] / 100 - np.nanmean(part[..., 0])) for name, part in expected.items())


def cityscapes_rows(number, workers):
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from tests.evaluation.cityscapes_cases import draw_frame, run_official, write_frame

    rng = np.random.default_rng(0)
    drawn = [draw_frame(rng, (1024, 2048), instances=20, predictions=25) for _ in range(number)]
    rows = {}
    for writer in ("OpenCV", "Pillow"):
        with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            folders = Path(name, "truth"), Path(name, "predictions")
            for folder in folders:
                folder.mkdir()
            files = [write_frame(folders[1], n, frame) for n, frame in enumerate(drawn)]
            truths = [Path(shutil.move(truth, folders[0])) for truth, _ in files]
            if writer == "Pillow":
                for path in folders[1].glob("*.png"):
                    Image.open(path).save(path)
            results = [results for _, results in files]
            official = functools.partial(run_official, list(zip(map(str, truths), results, strict=True)), patch)
            report, ours = timed(run_ours, *folders, workers)
            result, theirs = timed(official)
            value = next(figure.value for figure in report.summary if figure.name == "AP")
            apart = abs(value / 100 - result["averages"]["allAp"])
            rows[f"cityscapes, {number} frames by {writer}"] = ours, theirs, apart
    return rows


def timed(run, *arguments):
    """The result, and the best seconds of a few runs: of the processors, and by the clock."""
    taken = []
    for _ in range(ROUNDS):
        start = time.process_time(), time.perf_counter()
        result = run(*arguments)
        taken.append((time.process_time() - start[0], time.perf_counter() - start[1]))
    return result, tuple(map(min, zip(*taken, strict=True)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--workers", type=int, default=EvaluateSettings().worker_count)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = {}
    for name, (truth, results) in SETS.items():
        files = options.data / name / truth, options.data / name / results
        (report, ours), (precision, theirs) = timed(run_ours, *files, options.workers), timed(run_reference, *files)
        rows[name] = ours, theirs, apart_from_coco(report, precision)
    rows |= cityscapes_rows(options.frames, options.workers)
    table = Table("set", "processors: ours / reference", "ratio", "clock: ours / reference", "ratio", "difference")
    for name, (ours, theirs, apart) in rows.items():
        cells = []
        for mine, other in zip(ours, theirs, strict=True):
            cells += [f"{mine:.2f} / {other:.2f}", f"{other / mine:.1f}"]
        table.add_row(name, *cells, f"{apart:.1e}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
