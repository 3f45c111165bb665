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
from bpr_cli.masks.runs import strips_of, values_of
from bpr_cli.masks.soft import SoftMask
from bpr_cli.patches.boxes import Boxes
from bpr_cli.patches.crop import resize
from bpr_cli.typing import BoolArray, Box, ByteArray, FloatArray, IntArray, LabelArray

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

    def probability(self) -> tuple[FloatArray, BoolArray]:
        """The average, float32 (h, w), 0..1, and where there are patches, bool (h, w)."""
        return (self.total / np.maximum(self.count * CERTAIN, 1)).astype(np.float32), self.count > 0


def average(boxes: Boxes, probabilities: ByteArray, frame: Box) -> ProbabilityField:
    """Average the probabilities of overlapping patches per pixel.

    Args:
        boxes: int64, (P, 4), squares of one size that touch the frame; parts outside it are cut off.
        probabilities: uint8, (P, S, S), foreground probability in units of 1/255. If S is not the side of the boxes,
            patches are resized bilinearly with half-pixel centres.
        frame: the image, or a part of it.
    """
    if len(boxes) == 0:
        nothing = np.zeros((0, 0), dtype=np.int32)
        return ProbabilityField(EMPTY_BOX, nothing, nothing)
    x0, y0 = np.maximum(boxes[:, :2].min(axis=0), frame[:2]).tolist()
    x1, y1 = np.minimum(boxes[:, 2:].max(axis=0), frame[2:]).tolist()
    # np.zeros, unlike zeros_like, takes no memory for pixels that no patch touches.
    total, count = (np.zeros((y1 - y0, x1 - x0), dtype=np.int32) for _ in range(2))
    for box, patch in zip(boxes.tolist(), probabilities, strict=True):
        left, top = max(x0 - box[0], 0), max(y0 - box[1], 0)
        rows, columns = slice(box[1] + top - y0, box[3] - y0), slice(box[0] + left - x0, box[2] - x0)
        height, width = total[rows, columns].shape
        resized = resize(patch, box[2] - box[0], cv2.INTER_LINEAR)
        total[rows, columns] += resized[top : top + height, left : left + width]
        count[rows, columns] += 1
    return ProbabilityField((x0, y0, x1, y1), total, count)


def reassemble(coarse: Mask, boxes: Boxes, probabilities: ByteArray) -> Mask:
    """Make the refined mask: averaged patches thresholded at one half, and the coarse mask where no patch lies.

    A mask that would lose all its pixels stays unrefined, because refinement must not remove segments.

    Args:
        coarse: mask that the patches were cropped from; a soft mask also takes the averages as its values.
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
    low, high = boxes[:, :2].min(axis=0), np.minimum(boxes[:, 2:].max(axis=0), coarse.size[::-1])
    covered = (*low.tolist(), *high.tolist())
    frame = union(covered, coarse.box)
    refined = coarse.window(frame)
    # Strips, because the average takes many times the memory of the mask.
    for top, bottom in strips_of((covered[3] - covered[1], covered[2] - covered[0])):
        rows = covered[0], covered[1] + top, covered[2], covered[1] + bottom
        reaching = np.flatnonzero((boxes[:, 1] < rows[3]) & (boxes[:, 3] > rows[1]))
        field = average(boxes[reaching], probabilities[reaching], rows)
        x0, y0, x1, y1 = field.box
        inside = refined[y0 - frame[1] : y1 - frame[1], x0 - frame[0] : x1 - frame[0]]
        inside[...] = field.foreground(inside)
    mask = Mask.from_array(refined, (frame[0], frame[1]), coarse.size)
    if mask.box == EMPTY_BOX:
        return coarse
    return coarse.predicted(mask, field.box, *field.probability()) if isinstance(coarse, SoftMask) else mask


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


class Fusion:
    """The fusion of the labels of a map by arg-max, so that every pixel gets the most probable label (Sect. 3.3).

    The probability of a label is the average of its patches. Where it has none, it is 1 on the label's coarse pixels
    and 0 elsewhere. Ties keep the coarse label, or else go to the earlier entry. Void pixels stay void. A label that
    would lose its last pixel keeps its coarse pixels.

    Rows are fused from top to bottom, any number at a time; the result does not depend on how many.

    Args:
        coarse: label map that the patches were cropped from.

    Attributes:
        row: the first row that is not yet fused.
    """

    def __init__(self, coarse: LabelMap) -> None:
        self._coarse = coarse
        self._labels = coarse.labels.copy()
        self.row = 0

    def advance(self, row: int, refined: Iterable[RefinedLabel]) -> None:
        """Fuse the rows from ``self.row`` up to ``row`` (exclusive).

        Args:
            row: up to the height of the map.
            refined: at most one entry per label, with a field inside of these rows; labels without an entry stay
                unrefined.
        """
        before, after = (labels[self.row : row].reshape(-1) for labels in (self._coarse.labels, self._labels))
        contested = ~np.isin(before, list(self._coarse.void))
        own, best = np.ones(before.size, dtype=np.float32), np.zeros(before.size, dtype=np.float32)
        challenger = np.zeros(before.size, dtype=np.int32)
        for entry in refined:
            pixels, probability = _claim(entry.field, self.row, self._coarse.size[1], contested)
            mine = before[pixels] == entry.label
            own[pixels[mine]] = probability[mine]
            better = ~mine & (probability > best[pixels])
            best[pixels[better]] = probability[better]
            challenger[pixels[better]] = entry.label
        np.copyto(after, challenger, where=best > own)
        self.row = row

    def finish(self) -> LabelMap:
        """The refined map, once all rows are fused."""
        _restore_vanished(self._labels, self._coarse.labels)
        return LabelMap(self._labels, self._coarse.void)


def _claim(field: ProbabilityField, top: int, width: int, contested: BoolArray) -> tuple[IntArray, FloatArray]:
    """The pixels that the patches of a label cover, except void ones, and the average probability of each, 0..1.

    Pixels are indices into the flattened rows from ``top`` on of a map of ``width`` columns; ``contested`` is False on
    the void ones.
    """
    x0, y0, x1, _ = field.box
    total, count = field.total.ravel(), field.count.ravel()
    covered = np.flatnonzero(count != 0)
    rows = covered // max(x1 - x0, 1)
    pixels = covered + rows * (width - (x1 - x0)) + ((y0 - top) * width + x0)
    allowed = contested[pixels]
    pixels, covered = pixels[allowed], covered[allowed]
    return pixels, (total[covered] / (count[covered] * CERTAIN)).astype(np.float32)


def _restore_vanished(labels: LabelArray, coarse: LabelArray) -> None:
    """Give labels that lost all their pixels their coarse pixels back, in place."""
    known = values_of(coarse)
    # Restoring a label may take the last pixels of another one, so repeat until none is missing.
    while (vanished := np.setdiff1d(known, values_of(labels))).size:
        for top, bottom in strips_of((labels.shape[0], labels.shape[1])):
            restored = np.isin(coarse[top:bottom], vanished)
            np.copyto(labels[top:bottom], coarse[top:bottom], where=restored)
