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
from bpr_cli.patches.boxes import SCORES, BoundaryPixels, Boxes, union
from bpr_cli.patches.crop import resize
from bpr_cli.typing import BoolArray, Box, ByteArray, FloatArray, IntArray, LabelArray, Size

CERTAIN = 255
"""Probability 1."""

FULL_WEIGHT = 16
"""Weight of a patch inside its rim. Whole numbers, so that sums do not depend on their order."""

REACH = 2
"""Width in pixels of the strip along the outer sides of all patches where a change is taken to go on beyond them."""

_NEAR = np.ones((2 * REACH + 1, 2 * REACH + 1), dtype=np.uint8)


@dataclass(frozen=True)
class ProbabilityField:
    """Averaged foreground probability of one mask, in a window around all its patches.

    Attributes:
        box: the window; lies inside the image.
        total: int32, (h, w), weighted sum of the probabilities of all patches at a pixel, in units of 1/255.
        weight: int32, (h, w), sum of the weights of the patches that cover a pixel; 0 where there is none.
    """

    box: Box
    total: LabelArray
    weight: LabelArray

    def foreground(self, coarse: BoolArray) -> BoolArray:
        """Threshold the average at one half where there are patches; elsewhere copy ``coarse``, bool (h, w)."""
        return np.where(self.weight > 0, 2 * self.total > CERTAIN * self.weight, coarse)

    def probability(self) -> tuple[FloatArray, BoolArray]:
        """The average, float32 (h, w), 0..1, and where there are patches, bool (h, w)."""
        return (self.total / np.maximum(self.weight * CERTAIN, 1)).astype(np.float32), self.weight > 0


def rim_weights(side: int, rim: int) -> LabelArray:
    """The weight of each pixel of a patch: it falls from ``FULL_WEIGHT`` to 1 over the outer ``2 * rim`` pixels.

    At its sides a patch sees least. Where its weight falls to nothing there, it cannot leave a straight edge.

    Args:
        side: side of the patch with its rim in pixels.
        rim: width of the rim in pixels; 0 for equal weights of 1.

    Returns:
        int32, (side, side).

    Example:
        >>> rim_weights(4, 1)[1].tolist()
        [4, 12, 12, 4]
    """
    if rim == 0:
        return np.ones((side, side), dtype=np.int32)
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    ramp = np.ceil(FULL_WEIGHT * np.minimum(distance / (2 * rim), 1)).astype(np.int32)
    weights: LabelArray = np.minimum.outer(ramp, ramp)
    return weights


def average(boxes: Boxes, probabilities: ByteArray, frame: Box, rim: int = 0) -> ProbabilityField:
    """Average the probabilities of overlapping patches per pixel.

    Args:
        boxes: int64, (P, 4), squares of one size that touch the frame; parts outside it are cut off.
        probabilities: uint8, (P, S, S), foreground probability in units of 1/255. If S is not the side of the boxes,
            patches are resized bilinearly with half-pixel centres.
        frame: the image, or a part of it.
        rim: part of every side of the boxes where their weight falls, in pixels; see ``rim_weights``.
    """
    if len(boxes) == 0:
        nothing = np.zeros((0, 0), dtype=np.int32)
        return ProbabilityField(EMPTY_BOX, nothing, nothing)
    x0, y0 = np.maximum(boxes[:, :2].min(axis=0), frame[:2]).tolist()
    x1, y1 = np.minimum(boxes[:, 2:].max(axis=0), frame[2:]).tolist()
    # np.zeros, unlike zeros_like, takes no memory for pixels that no patch touches.
    total, weight = (np.zeros((y1 - y0, x1 - x0), dtype=np.int32) for _ in range(2))
    weights = rim_weights(int(boxes[0, 2] - boxes[0, 0]), rim)
    for box, patch in zip(boxes.tolist(), probabilities, strict=True):
        left, top = max(x0 - box[0], 0), max(y0 - box[1], 0)
        rows, columns = slice(box[1] + top - y0, box[3] - y0), slice(box[0] + left - x0, box[2] - x0)
        height, width = total[rows, columns].shape
        inside = np.s_[top : top + height, left : left + width]
        total[rows, columns] += resize(patch, box[2] - box[0], cv2.INTER_LINEAR)[inside] * weights[inside]
        weight[rows, columns] += weights[inside]
    return ProbabilityField((x0, y0, x1, y1), total, weight)


def reassemble(coarse: Mask, boxes: Boxes, probabilities: ByteArray, rim: int = 0) -> Mask:
    """Make the refined mask: averaged patches thresholded at one half, and the coarse mask where no patch lies.

    A mask that would lose all its pixels stays unrefined, because refinement must not remove segments.

    Args:
        coarse: mask that the patches were cropped from; a soft mask also takes the averages as its values.
        boxes: int64, (P, 4), squares of one size.
        probabilities: uint8, (P, S, S), foreground probability in units of 1/255.
        rim: see ``average``.

    Example:
        >>> mask = Mask.from_array(np.eye(4, dtype=bool))
        >>> certain = np.full((1, 2, 2), 255, dtype=np.uint8)
        >>> reassemble(mask, np.array([[0, 0, 2, 2]]), certain).to_array().astype(int).tolist()
        [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    """
    if len(boxes) == 0:
        return coarse
    frame = union(covered_by(boxes, coarse.size), coarse.box)
    refined = coarse.window(frame)
    for top, bottom in strips_along(boxes, coarse.size):
        field = average_of_rows(boxes, probabilities, (top, bottom), coarse.size, rim)
        x0, y0, x1, y1 = field.box
        inside = refined[y0 - frame[1] : y1 - frame[1], x0 - frame[0] : x1 - frame[0]]
        inside[...] = field.foreground(inside)
    mask = Mask.from_array(refined, (frame[0], frame[1]), coarse.size)
    if mask.box == EMPTY_BOX:
        return coarse
    if isinstance(coarse, SoftMask):
        for rows in strips_along(boxes, coarse.size):
            field = average_of_rows(boxes, probabilities, rows, coarse.size, rim)
            coarse = coarse.predicted(mask, field.box, *field.probability())
        return coarse
    return mask


def covered_by(boxes: Boxes, size: Size) -> Box:
    """The part of an image of ``size`` (H, W) around all boxes, at least one."""
    low, high = np.maximum(boxes[:, :2].min(axis=0), 0), np.minimum(boxes[:, 2:].max(axis=0), size[::-1])
    (x0, y0), (x1, y1) = low.tolist(), high.tolist()
    return x0, y0, x1, y1


def strips_along(boxes: Boxes, size: Size) -> list[tuple[int, int]]:
    """First and last rows (exclusive) of strips around all boxes: an average takes many times the memory of a mask."""
    x0, y0, x1, y1 = covered_by(boxes, size)
    return [(y0 + top, y0 + bottom) for top, bottom in strips_of((y1 - y0, x1 - x0))]


def average_of_rows(
    boxes: Boxes, probabilities: ByteArray, rows: tuple[int, int], size: Size, rim: int
) -> ProbabilityField:
    """The average in the rows from the first to the last (exclusive) of an image of ``size`` (H, W)."""
    reaching = np.flatnonzero((boxes[:, 1] < rows[1]) & (boxes[:, 3] > rows[0]))
    return average(boxes[reaching], probabilities[reaching], (0, rows[0], size[1], rows[1]), rim)


def open_ends(coarse: Mask, boxes: Boxes, probabilities: ByteArray, rim: int) -> BoundaryPixels:
    """Pixels where a change of a mask reaches the outer sides of all its patches, and may go on beyond them.

    The border of the image is no such side.

    Args:
        coarse: the mask before refinement.
        boxes: int64, (P, 4), squares of one size, at least one.
        probabilities: uint8, (P, S, S), foreground probability in units of 1/255.
        rim: see ``average``.

    Returns:
        The pixels in raster order, all of the best score.
    """
    height, width = coarse.size
    ends = np.zeros((2, 0), dtype=np.int32)
    for top, bottom in strips_along(boxes, coarse.size):
        rows = max(0, top - REACH), min(height, bottom + REACH)
        field = average_of_rows(boxes, probabilities, rows, coarse.size, rim)
        x0, y0, x1, y1 = field.box
        before = coarse.window(field.box)
        # Outside of the window there are no patches, except in other strips.
        above, below, left, right = (REACH * inside for inside in (y0 > 0, y1 < height, x0 > 0, x1 < width))
        covered = (field.weight > 0).view(np.uint8)
        framed = np.pad(covered, ((above, below), (left, right)))
        sides = outer_sides(framed)[above : above + y1 - y0, left : left + x1 - x0]
        y, x = np.nonzero(sides & (field.foreground(before) != before))
        own = (y + y0 >= top) & (y + y0 < bottom)
        ends = np.concatenate([ends, np.stack([x[own] + x0, y[own] + y0]).astype(np.int32)], axis=1)
    return BoundaryPixels(ends[0], ends[1], np.full(ends.shape[1], SCORES[0], dtype=np.uint8))


def outer_sides(covered: ByteArray) -> BoolArray:
    """The pixels with 1 within ``REACH`` pixels of such with 0, bool, (h, w); ``covered`` is 0 or 1, uint8, (h, w)."""
    sides: BoolArray = covered != cv2.erode(covered, _NEAR, borderType=cv2.BORDER_REPLICATE)
    return sides


@dataclass(frozen=True)
class RefinedLabel:
    """The averaged probability of one label of a label map."""

    label: int
    field: ProbabilityField


@dataclass(frozen=True)
class FusedMap(LabelMap):
    """A refined label map that knows how probable its labels are.

    Attributes:
        probability: of the label of every pixel: uint8, (H, W), in units of 1/255; ``CERTAIN`` where no patch lies.
    """

    probability: ByteArray


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
        self._probability = np.full(coarse.size, CERTAIN, dtype=np.uint8)
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
        self._probability[self.row : row].reshape(-1)[:] = np.rint(CERTAIN * np.maximum(own, best))
        self.row = row

    def finish(self) -> FusedMap:
        """The refined map, once all rows are fused."""
        restore_vanished(self._labels, self._coarse.labels)
        return FusedMap(self._labels, self._coarse.void, self._probability)


def _claim(field: ProbabilityField, top: int, width: int, contested: BoolArray) -> tuple[IntArray, FloatArray]:
    """The pixels that the patches of a label cover, except void ones, and the average probability of each, 0..1.

    Pixels are indices into the flattened rows from ``top`` on of a map of ``width`` columns; ``contested`` is False on
    the void ones.
    """
    x0, y0, x1, _ = field.box
    total, weight = field.total.ravel(), field.weight.ravel()
    covered = np.flatnonzero(weight != 0)
    rows = covered // max(x1 - x0, 1)
    pixels = covered + rows * (width - (x1 - x0)) + ((y0 - top) * width + x0)
    allowed = contested[pixels]
    pixels, covered = pixels[allowed], covered[allowed]
    return pixels, (total[covered] / (weight[covered] * CERTAIN)).astype(np.float32)


def restore_vanished(labels: LabelArray, coarse: LabelArray) -> None:
    """Give labels that lost all their pixels their coarse pixels back, in place."""
    known = values_of(coarse)
    # Restoring a label may take the last pixels of another one, so repeat until none is missing.
    while (vanished := np.setdiff1d(known, values_of(labels))).size:
        for top, bottom in strips_of((labels.shape[0], labels.shape[1])):
            restored = np.isin(coarse[top:bottom], vanished)
            np.copyto(labels[top:bottom], coarse[top:bottom], where=restored)
