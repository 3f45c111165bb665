"""Paste predicted patches back into masks and label maps (BPR, Sect. 3.1 and 3.3).

Probabilities are uint8 in units of 1/255. This saves memory, and integer sums make results independent of the order and
batching of patches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask
from bpr_cli.masks.runs import values_of
from bpr_cli.patches.boxes import Boxes
from bpr_cli.patches.crop import resize
from bpr_cli.typing import BoolArray, Box, ByteArray, FloatArray, IntArray, LabelArray, Size

CERTAIN = 255
"""Probability 1."""


@dataclass(frozen=True)
class ProbabilityField:
    """Averaged foreground probability of one mask, in a window around all its patches.

    Attributes:
        box: the window; lies inside the image.
        total: int32, (h, w), sum of the probabilities of all patches at a pixel, in units of 1/255.
        count: int32, (h, w), number of patches that cover a pixel.
    """

    box: Box
    total: LabelArray
    count: LabelArray

    def foreground(self, coarse: BoolArray) -> BoolArray:
        """Threshold the average at one half where there are patches; elsewhere copy ``coarse``, bool (h, w)."""
        return np.where(self.count > 0, 2 * self.total > CERTAIN * self.count, coarse)


def average(boxes: Boxes, probabilities: ByteArray, size: Size) -> ProbabilityField:
    """Average the probabilities of overlapping patches per pixel.

    Args:
        boxes: int64, (P, 4), squares of one size; parts outside the image are cut off.
        probabilities: uint8, (P, S, S), foreground probability in units of 1/255. If S is not the side of the boxes,
            patches are resized bilinearly with half-pixel centres.
        size: (H, W) of the image.
    """
    if len(boxes) == 0:
        nothing = np.zeros((0, 0), dtype=np.int32)
        return ProbabilityField(EMPTY_BOX, nothing, nothing)
    x0, y0 = boxes[:, :2].min(axis=0).tolist()
    x1, y1 = np.minimum(boxes[:, 2:].max(axis=0), [size[1], size[0]]).tolist()
    # np.zeros, unlike zeros_like, takes no memory for pixels that no patch touches.
    total, count = (np.zeros((y1 - y0, x1 - x0), dtype=np.int32) for _ in range(2))
    for box, patch in zip(boxes.tolist(), probabilities, strict=True):
        rows, columns = slice(box[1] - y0, box[3] - y0), slice(box[0] - x0, box[2] - x0)
        height, width = total[rows, columns].shape
        total[rows, columns] += resize(patch, box[2] - box[0], cv2.INTER_LINEAR)[:height, :width]
        count[rows, columns] += 1
    return ProbabilityField((x0, y0, x1, y1), total, count)


def reassemble(coarse: Mask, boxes: Boxes, probabilities: ByteArray) -> Mask:
    """Make the refined mask: averaged patches thresholded at one half, and the coarse mask where no patch lies.

    A mask that would lose all its pixels stays unrefined, because refinement must not remove segments.

    Args:
        coarse: mask that the patches were cropped from.
        boxes: int64, (P, 4), squares of one size.
        probabilities: uint8, (P, S, S), foreground probability in units of 1/255.

    Example:
        >>> mask = Mask.from_array(np.eye(4, dtype=bool))
        >>> certain = np.full((1, 2, 2), 255, dtype=np.uint8)
        >>> reassemble(mask, np.array([[0, 0, 2, 2]]), certain).to_array().astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    """
    if len(boxes) == 0:
        return coarse
    field = average(boxes, probabilities, coarse.size)
    frame = union(field.box, coarse.box)
    refined = coarse.window(frame)
    x0, y0, x1, y1 = field.box
    inside = refined[y0 - frame[1] : y1 - frame[1], x0 - frame[0] : x1 - frame[0]]
    inside[...] = field.foreground(inside)
    mask = Mask.from_array(refined, (frame[0], frame[1]), coarse.size)
    return mask if mask.box != EMPTY_BOX else coarse


def union(first: Box, second: Box) -> Box:
    """The smallest box that contains both boxes; an empty box adds nothing."""
    if EMPTY_BOX in (first, second):
        return second if first == EMPTY_BOX else first
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


@dataclass(frozen=True)
class RefinedLabel:
    """The averaged probability of one label of a label map."""

    label: int
    field: ProbabilityField


def fuse(coarse: LabelMap, refined: Iterable[RefinedLabel]) -> LabelMap:
    """Fuse the labels by arg-max, so that every pixel gets the most probable label (Sect. 3.3).

    The probability of a label is the average of its patches. Where it has none, it is 1 on the label's coarse pixels
    and 0 elsewhere. Ties keep the coarse label, or else go to the earlier entry. Void pixels stay void. A label that
    would lose its last pixel keeps its coarse pixels.

    Args:
        coarse: label map that the patches were cropped from.
        refined: at most one entry per label; labels without an entry stay unrefined.
    """
    labels = coarse.labels.copy()
    before, after = coarse.labels.ravel(), labels.ravel()
    contested = ~np.isin(before, list(coarse.void))
    claims = [_claim(entry, coarse.size[1], contested) for entry in refined]
    best = np.ones(before.size, dtype=np.float32)
    for claim in claims:
        own = before[claim.pixels] == claim.label
        best[claim.pixels[own]] = claim.probability[own]
    for claim in claims:
        wins = claim.probability > best[claim.pixels]
        after[claim.pixels[wins]] = claim.label
        best[claim.pixels[wins]] = claim.probability[wins]
    _restore_vanished(after, before)
    return LabelMap(labels, coarse.void)


@dataclass(frozen=True)
class _Claim:
    """The probability of one label on the pixels that its patches cover, except void pixels.

    Attributes:
        label: the label.
        pixels: int64, (N,), indices into the flattened map.
        probability: float32, (N,), average over patches, 0..1.
    """

    label: int
    pixels: IntArray
    probability: FloatArray


def _claim(entry: RefinedLabel, width: int, contested: BoolArray) -> _Claim:
    """The claim of a label in a map of ``width`` columns; ``contested``, bool (H * W), is False on void pixels."""
    x0, y0, x1, _ = entry.field.box
    total, count = entry.field.total.ravel(), entry.field.count.ravel()
    covered = np.flatnonzero(count != 0)
    rows = covered // max(x1 - x0, 1)
    pixels = covered + rows * (width - (x1 - x0)) + (y0 * width + x0)
    allowed = contested[pixels]
    pixels, covered = pixels[allowed], covered[allowed]
    return _Claim(entry.label, pixels, (total[covered] / (count[covered] * CERTAIN)).astype(np.float32))


def _restore_vanished(labels: LabelArray, coarse: LabelArray) -> None:
    """Give labels that lost all their pixels their coarse pixels back; both maps are flattened."""
    # Restoring a label may take the last pixels of another one, so repeat until none is missing.
    while (vanished := np.setdiff1d(coarse[labels != coarse], values_of(labels))).size:
        restored = np.isin(coarse, vanished)
        labels[restored] = coarse[restored]
