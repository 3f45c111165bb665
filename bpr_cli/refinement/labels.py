"""The labels of a map as masks, and the judgement on how refinement changed them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, LabelMask
from bpr_cli.masks.runs import Runs, strips_of, values_of, weigh
from bpr_cli.patches.boxes import SCORES, BoundaryPixels, Boxes, cover, grow, union
from bpr_cli.patches.paste import REACH, FusedMap, covered_by, outer_sides, restore_vanished
from bpr_cli.refinement.evidence import EVIDENCE, MARGIN, OF_MASK, ChangedMask
from bpr_cli.typing import BoolArray, Box, ByteArray, DoubleArray, FloatArray, IntArray, LabelArray
from bpr_cli.weights.judge import Judge

EVIDENCE_OF_LABELS = OF_MASK + EVIDENCE
"""Number of values that describe a change of a label: those of all labels of the map, of the label, and its own."""


def label_masks(prediction: LabelMap) -> list[LabelMask]:
    """The masks of all labels of a map, void ones too, by ascending label."""
    labels, boxes, areas = prediction.labels, dict[int, Box](), dict[int, int]()
    for top, bottom in strips_of(prediction.size):
        runs = Runs.of(labels[top:bottom])
        found, numbers = np.unique(runs.values[0], return_inverse=True)
        sums = weigh(numbers, runs.lengths, len(found))
        shifted = runs.boxes(numbers, len(found)) + np.array([0, top, 0, top])
        for label, box, area in zip(found.tolist(), shifted.tolist(), sums.tolist(), strict=True):
            boxes[label] = union(boxes.get(label, EMPTY_BOX), tuple(box))
            areas[label] = areas.get(label, 0) + area
    return [LabelMask(labels, label, boxes[label], areas[label]) for label in sorted(boxes)]


def open_label_ends(coarse: LabelArray, refined: LabelArray, boxes_of: Mapping[int, Boxes]) -> BoundaryPixels:
    """Pixels where labels change up to the outer sides of all patches of one of them, and may change beyond.

    The border of the image is no such side.

    Args:
        coarse: the labels before refinement, int32, (H, W).
        refined: the labels after, int32, (H, W).
        boxes_of: the boxes of every label, int64, (P, 4).

    Returns:
        The pixels in raster order, all of the best score.
    """
    size, ends = (coarse.shape[0], coarse.shape[1]), np.zeros(coarse.shape, dtype=bool)
    for label, boxes in boxes_of.items():
        x0, y0, x1, y1 = grow(covered_by(boxes, size), REACH, size) if len(boxes) else EMPTY_BOX
        before, after = coarse[y0:y1, x0:x1], refined[y0:y1, x0:x1]
        changed = (before != after) & ((before == label) | (after == label))
        if changed.any():
            ends[y0:y1, x0:x1] |= changed & outer_sides(cover(boxes, (x0, y0, x1, y1)))
    y, x = (each.astype(np.int32) for each in np.nonzero(ends))
    return BoundaryPixels(x, y, np.full(len(x), SCORES[0], dtype=np.uint8))


def labels_at(ends: BoundaryPixels, boxes: Boxes, coarse: LabelArray, refined: LabelArray) -> dict[int, list[int]]:
    """The labels before and after of pixels that changed, each with the numbers of the boxes, (P, 4), around them."""
    found = dict[int, list[int]]()
    for number, (x0, y0, x1, y1) in enumerate(boxes.tolist()):
        inside = (ends.x >= x0) & (ends.x < x1) & (ends.y >= y0) & (ends.y < y1)
        places = ends.y[inside], ends.x[inside]
        for label in np.union1d(coarse[places], refined[places]).tolist():
            found.setdefault(label, []).append(number)
    return found


@dataclass(frozen=True)
class ChangedMap:
    """A label map, or a strip of one, before and after refinement.

    Attributes:
        image: uint8, (H, W, 3), RGB.
        coarse: the labels before, int32, (H, W).
        refined: the labels after, int32, (H, W).
        probability: of the refined labels, uint8, (H, W), in units of 1/255.
        scale: side of the patches over the patch size of the weights.
    """

    image: ByteArray
    coarse: LabelArray
    refined: LabelArray
    probability: ByteArray
    scale: float

    def losers(self) -> list[tuple[Box, ChangedMask]]:
        """The labels that lost pixels, each in its window."""
        size = self.coarse.shape[0], self.coarse.shape[1]
        before, after = (label_masks(LabelMap(labels, frozenset())) for labels in (self.coarse, self.refined))
        boxes = {mask.label: mask.box for mask in after}
        lost = set(values_of(self.coarse[self.coarse != self.refined]).tolist())
        windows = [
            (mask.label, grow(union(mask.box, boxes.get(mask.label, EMPTY_BOX)), MARGIN, size))
            for mask in before
            if mask.label in lost
        ]
        return [(box, self._in_window(label, box)) for label, box in windows]

    def _in_window(self, label: int, box: Box) -> ChangedMask:
        x0, y0, x1, y1 = box
        window = np.s_[y0:y1, x0:x1]
        image, probability = (np.ascontiguousarray(plane[window]) for plane in (self.image, self.probability))
        return ChangedMask(image, self.coarse[window] == label, self.refined[window] == label, probability, self.scale)

    def losses(self) -> Iterator[tuple[Box, LabelArray, DoubleArray]]:
        """What labels lost: a window, its changes by number, and the evidence, (N, ``EVIDENCE_OF_LABELS``).

        Every changed pixel leaves one label, so that losses hold each of them once. Changes that join a label have
        the number 0. Evidence on the map is the mean over the labels that lost pixels, weighted by the sides of squares
        of their areas.
        """
        losers = self.losers()
        if not losers:
            return
        sides = [np.sqrt(np.count_nonzero(changed.coarse)) for _, changed in losers]
        of_masks = [changed.of_mask() for _, changed in losers]
        overall = np.average(of_masks, axis=0, weights=sides)
        for (box, changed), of_mask in zip(losers, of_masks, strict=True):
            leaves = ~changed.joins
            numbers = np.concatenate([[0], np.where(leaves, np.cumsum(leaves), 0)]).astype(np.int32)
            own = changed.of_changes()[leaves]
            shared = np.tile(np.concatenate([overall, of_mask]), (len(own), 1))
            yield box, numbers[changed.changes], np.concatenate([shared, own], axis=1)

    def chances(self, judge: Judge) -> FloatArray:
        """How likely the refined label of every pixel is right: float32, (H, W), 0..1; 1 where it did not change."""
        chances = np.ones(self.coarse.shape, dtype=np.float32)
        for (x0, y0, x1, y1), numbers, evidence in self.losses():
            found = np.concatenate([[1.0], judge.chances(evidence)]).astype(np.float32)
            window = chances[y0:y1, x0:x1]
            np.copyto(window, found[numbers], where=numbers > 0)
        return chances


def judge_labels(
    image: ByteArray, coarse: LabelMap, refined: FusedMap, scale: float, judge: Judge
) -> tuple[LabelMap, tuple[tuple[float, float], ...]]:
    """Keep the changes of a label map that are likely to be right, and take back the others; strip by strip.

    Args:
        image: uint8, (H, W, 3), RGB.
        coarse: the map before refinement.
        refined: the refined map.
        scale: see ``ChangedMap``.
        judge: judge of label maps.

    Returns:
        The map, and the likely IoU of every label with the truth, before and after, by ascending label, void ones left
        out.
    """
    labels = np.setdiff1d(values_of(coarse.labels), list(coarse.void))
    judged, sums = refined.labels.copy(), np.zeros((2, 2, len(labels)))
    for top, bottom in strips_of(coarse.size):
        rows = np.s_[top:bottom]
        changed = ChangedMap(image[rows], coarse.labels[rows], refined.labels[rows], refined.probability[rows], scale)
        chances = changed.chances(judge)
        kept = chances > 0.5
        np.copyto(judged[rows], changed.coarse, where=~kept)
        sums += likely_overlaps(changed, labels, chances, kept)
    restore_vanished(judged, coarse.labels)
    ious = sums[:, 0] / np.maximum(sums[:, 1], 1e-9)
    return LabelMap(judged, coarse.void), tuple(zip(*ious.tolist(), strict=True))


def likely_overlaps(changed: ChangedMap, labels: LabelArray, chances: FloatArray, kept: BoolArray) -> DoubleArray:
    """Expected intersection and union of labels with the truth, if the truth differs only in the changes.

    Args:
        changed: the map.
        labels: the L labels, ascending.
        chances: how likely each refined label is right, (H, W).
        kept: which changes the map has, bool, (H, W).

    Returns:
        float64, (2, 2, L): before and with the kept changes; intersection and union.
    """
    known = np.isin(changed.coarse, labels)
    before, after = (np.searchsorted(labels, plane[known]) for plane in (changed.coarse, changed.refined))
    right, moved = chances[known].astype(np.float64), before != after

    def total(places: IntArray, weights: DoubleArray) -> DoubleArray:
        return np.bincount(places, weights, len(labels)).astype(np.float64)

    def overlaps(applied: BoolArray) -> list[DoubleArray]:
        """A pixel that moved is truly of its new label by ``right``, else of its old one."""
        now = np.where(applied, after, before)
        true = np.where(moved, np.where(applied, right, 1 - right), 1.0)
        other = np.where(applied, before, after)
        return [total(now, true), total(now, np.ones_like(true)) + total(other, np.where(moved, 1 - true, 0.0))]

    return np.array([overlaps(np.zeros_like(moved)), overlaps(kept[known])])
