"""Generated sets of instances, and the reference tools run on them."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, replace

import cv2
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpr_cli.evaluation.instances import ScoredMask, TruthMask
from bpr_cli.masks.masks import Mask

CATEGORIES = (1, 3, 7)
AREAS = (None, 0.0, 1024.0, 1025.0, 5000.0, 9216.0, 20000.0, 2e10)


@dataclass(frozen=True)
class Case:
    """Segments of every image, by key, and the limit on predictions."""

    predictions: dict[int, list[ScoredMask]]
    truths: dict[int, list[TruthMask]]
    sizes: dict[int, tuple[int, int]]
    max_detections: int


def shapes_in(size):
    """Masks of one size: rectangles, so that overlaps are large, thin ones among them, or any pixels."""
    height, width = size

    @st.composite
    def rectangle(draw):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        array = np.zeros(size, dtype=bool)
        array[y : draw(st.integers(y, height)), x : draw(st.integers(x, width))] = True
        return array

    return rectangle() | hnp.arrays(bool, size)


@st.composite
def predicted(draw, truths, size):
    """A prediction: a true mask as it is or with some pixels changed, or anything."""
    category = draw(st.sampled_from((*CATEGORIES, 9)))
    array = draw(shapes_in(size))
    if truths and draw(st.integers(0, 3)):
        origin = draw(st.sampled_from(truths))
        category, array = origin.category, origin.mask.to_array().copy()
        for y, x in draw(st.lists(st.tuples(st.integers(0, size[0] - 1), st.integers(0, size[1] - 1)), max_size=4)):
            array[y, x] ^= True
    score = draw(st.sampled_from((0.1, 0.5, 0.5, 0.9, 1.0, 0.25)))
    return ScoredMask(Mask.from_array(array), category, score, draw(st.sampled_from(AREAS)))


@st.composite
def true_mask(draw, size):
    mask = Mask.from_array(draw(shapes_in(size)))
    crowd, ignore = draw(st.sampled_from(((False, False),) * 5 + ((True, False), (False, True))))
    return TruthMask(mask, draw(st.sampled_from(CATEGORIES)), crowd, draw(st.sampled_from(AREAS)), ignore)


@st.composite
def cases(draw):
    predictions, truths, sizes = {}, {}, {}
    for image in range(draw(st.integers(0, 3))):
        size = draw(st.sampled_from([(1, 1), (1, 7), (6, 5), (12, 17), (30, 61)]))
        truths[image] = draw(st.lists(true_mask(size), max_size=4))
        found = draw(st.lists(predicted(truths[image], size), max_size=5))
        twice = draw(st.integers(0, len(found)))
        predictions[image] = found + [replace(segment, score=segment.score / 2) for segment in found[:twice]]
        sizes[image] = size
    return Case(predictions, truths, sizes, draw(st.sampled_from([1, 2, 100])))


def full_frame_band(mask, ratio=0.02):
    """The band as the reference defines it: the padded frame eroded by a 3 x 3 square, step by step."""
    height, width = mask.shape
    steps = max(1, int(round(ratio * np.sqrt(height**2 + width**2))))  # noqa: RUF046 (as the reference has it)
    padded = np.pad(mask.astype(np.uint8), 1)
    for _ in range(steps):
        padded = cv2.erode(padded, np.ones((3, 3), np.uint8))
    return mask.astype(np.uint8) - padded[1 : height + 1, 1 : width + 1]


def encode(array):
    return coco_mask.encode(np.asfortranarray(array.astype(np.uint8)))


class ReferenceEval(COCOeval):
    """pycocotools, with the two differences of boundary-iou-api: boundaries, and an ignore flag that is kept."""

    def __init__(self, truth, results, boundary, ratio=0.02):
        super().__init__(truth, results, "segm")
        self.boundary, self.ratio = boundary, ratio

    def _prepare(self):
        kept = {ann["id"]: ann.get("ignore", 0) for ann in self.cocoGt.dataset["annotations"]}
        super()._prepare()
        for anns in self._gts.values():
            for ann in anns:
                ann["ignore"] = int(bool(kept[ann["id"]] or ann["iscrowd"]))

    def computeIoU(self, image, category):  # noqa: N802 (pycocotools' name)
        by_mask = super().computeIoU(image, category)
        truths, found = self._gts[image, category], self._dts[image, category]
        if not self.boundary or not len(truths) or not len(found):
            return by_mask
        ranked = sorted(found, key=lambda ann: -ann["score"])[: self.params.maxDets[-1]]
        bands = [
            [encode(full_frame_band(coco_mask.decode(ann["segmentation"]), self.ratio)) for ann in anns]
            for anns in (ranked, truths)
        ]
        by_band = coco_mask.iou(*bands, [0] * len(truths))
        crowd = np.array([bool(ann["iscrowd"]) for ann in truths])
        return np.where(crowd, by_mask, np.minimum(by_mask, by_band))


def coco_of(annotations, sizes):
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image, "height": size[0], "width": size[1]} for image, size in sizes.items()],
        "categories": [{"id": category, "name": str(category)} for category in CATEGORIES],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def annotations_of(segments):
    """Annotations with ids from 1 on: pycocotools takes an id of 0 for no match."""
    annotations = []
    for image, found in segments.items():
        for segment in found:
            annotation = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": segment.category,
                "segmentation": encode(segment.mask.to_array()),
                "area": segment.sorting_area,
                "iscrowd": 0,
            }
            if isinstance(segment, ScoredMask):
                annotation["score"] = segment.score
            else:
                annotation |= {"iscrowd": int(segment.crowd), "ignore": int(segment.ignore)}
            annotations.append(annotation)
    return annotations


def reference(case, boundary=False):
    """pycocotools' evaluation of a case, accumulated."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco_of(annotations_of(case.truths), case.sizes)
        results = coco_of(annotations_of(case.predictions), case.sizes)
        evaluator = ReferenceEval(truth, results, boundary)
        evaluator.params.maxDets = [case.max_detections]
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator
