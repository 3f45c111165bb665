"""Putting re-decided patches back: averages, refined masks and the contest of labels (BPR, Sect. 3.1 and 3.3).

Probabilities travel as uint8 in units of 1/255. That keeps them small, and sums of integers do not depend on
the order or batching of the patches, so neither do results.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask
from bpr_cli.masks.runs import values_of
from bpr_cli.patches.boxes import Boxes, side_of
from bpr_cli.typing import Box, Size

CERTAIN = 255


def to_box_size(probabilities: NDArray[np.uint8], boxes: Boxes) -> NDArray[np.uint8]:
    """Resize the probabilities of patches, uint8 (P, S, S), to the side of their boxes: bilinear, half-pixel centres.

    Args:
        probabilities: in units of 1/255.
        boxes: int64, (P, 4), squares of one size.
    """
    side = side_of(boxes, probabilities.shape[-1])
    if side == probabilities.shape[-1]:
        return probabilities
    return np.stack([cv2.resize(patch, (side, side), interpolation=cv2.INTER_LINEAR) for patch in probabilities])


@dataclass(frozen=True)
class ProbabilityField:
    """Averaged foreground probability of one mask, in a window around all its patches.

    Attributes:
        box: the window, inside the image.
        total: int32, (h, w), sum of the probabilities of all patches over a pixel, in units of 1/255.
        count: int32, (h, w), number of patches over a pixel.
    """

    box: Box
    total: NDArray[np.int32]
    count: NDArray[np.int32]

    def foreground(self, coarse: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Decide the window: average above one half where patches are, ``coarse`` (h, w) elsewhere."""
        return np.where(self.count > 0, 2 * self.total > CERTAIN * self.count, coarse)


def average(boxes: Boxes, probabilities: NDArray[np.uint8], size: Size) -> ProbabilityField:
    """Average the probabilities of overlapping patches per pixel.

    Args:
        boxes: int64, (P, 4), squares of side S; what hangs over the frame is cut off.
        probabilities: uint8, (P, S, S), foreground probability in units of 1/255.
        size: (H, W) of the image.
    """
    if len(boxes) == 0:
        nothing = np.zeros((0, 0), dtype=np.int32)
        return ProbabilityField(EMPTY_BOX, nothing, nothing)
    x0, y0 = boxes[:, :2].min(axis=0).tolist()
    x1, y1 = np.minimum(boxes[:, 2:].max(axis=0), [size[1], size[0]]).tolist()
    # Twice zeros: unlike zeros_like, it takes no memory for what no patch touches.
    total, count = (np.zeros((y1 - y0, x1 - x0), dtype=np.int32) for _ in range(2))
    for box, probability in zip(boxes.tolist(), probabilities, strict=True):
        rows, columns = slice(box[1] - y0, box[3] - y0), slice(box[0] - x0, box[2] - x0)
        height, width = total[rows, columns].shape
        total[rows, columns] += probability[:height, :width]
        count[rows, columns] += 1
    return ProbabilityField((x0, y0, x1, y1), total, count)


def reassemble(coarse: Mask, boxes: Boxes, probabilities: NDArray[np.uint8]) -> Mask:
    """Make the refined mask: averaged patches above one half, the coarse mask where no patch lies.

    A mask whose every pixel would be lost stays as it was: refinement moves boundaries and removes no segment.

    Args:
        coarse: the mask the patches were cut from.
        boxes: int64, (P, 4).
        probabilities: uint8, (P, S, S), in units of 1/255.
    """
    if len(boxes) == 0:
        return coarse
    field = average(boxes, probabilities, coarse.size)
    frame = union(field.box, coarse.box)
    decided = coarse.window(frame)
    x0, y0, x1, y1 = field.box
    inside = decided[y0 - frame[1] : y1 - frame[1], x0 - frame[0] : x1 - frame[0]]
    inside[...] = field.foreground(inside)
    refined = Mask.from_array(decided, (frame[0], frame[1]), coarse.size)
    return refined if refined.box != EMPTY_BOX else coarse


def union(first: Box, second: Box) -> Box:
    """The smallest box that holds both; an empty box adds nothing."""
    if EMPTY_BOX in (first, second):
        return second if first == EMPTY_BOX else first
    return min(first[0], second[0]), min(first[1], second[1]), max(first[2], second[2]), max(first[3], second[3])


@dataclass(frozen=True)
class RefinedLabel:
    """The averaged probabilities of one label of a label map."""

    label: int
    field: ProbabilityField


def fuse(coarse: LabelMap, refined: Iterable[RefinedLabel]) -> LabelMap:
    """Let the labels compete: every pixel takes the most confident one, ties keep the coarse label (Sect. 3.3).

    A label is as confident as its averaged probability where it has patches, and elsewhere 1 on its coarse
    pixels and 0 on others. Void pixels take no part. A label that would lose its last pixel keeps its coarse ones.
    Between equally confident labels that are not the coarse one, the earlier entry wins.

    Args:
        coarse: the label map the patches were cut from.
        refined: at most one entry a label; labels without an entry count as unrefined.
    """
    labels = coarse.labels.copy()
    before, after = coarse.labels.ravel(), labels.ravel()
    contested = ~np.isin(before, list(coarse.void))
    claims = [_claim(entry, coarse.size[1], contested) for entry in refined]
    best = np.ones(before.size, dtype=np.float32)
    for claim in claims:
        own = before[claim.pixels] == claim.label
        best[claim.pixels[own]] = claim.confidence[own]
    for claim in claims:
        wins = claim.confidence > best[claim.pixels]
        after[claim.pixels[wins]] = claim.label
        best[claim.pixels[wins]] = claim.confidence[wins]
    _restore_vanished(after, before)
    return LabelMap(labels, coarse.void)


@dataclass(frozen=True)
class _Claim:
    """What a label says of the contested pixels under its patches; of all others it has nothing new to say.

    Attributes:
        label: who claims.
        pixels: int64, (N,), places in the flattened map.
        confidence: float32, (N,), averaged probability, 0..1.
    """

    label: int
    pixels: NDArray[np.int64]
    confidence: NDArray[np.float32]


def _claim(entry: RefinedLabel, width: int, contested: NDArray[np.bool_]) -> _Claim:
    """The claim of a label in a map of ``width`` columns; ``contested`` (H * W) is false where nobody may claim."""
    x0, y0, x1, _ = entry.field.box
    total, count = entry.field.total.ravel(), entry.field.count.ravel()
    covered = np.flatnonzero(count != 0)
    rows = covered // max(x1 - x0, 1)
    pixels = covered + rows * (width - (x1 - x0)) + (y0 * width + x0)
    allowed = contested[pixels]
    pixels, covered = pixels[allowed], covered[allowed]
    return _Claim(entry.label, pixels, (total[covered] / (count[covered] * CERTAIN)).astype(np.float32))


def _restore_vanished(labels: NDArray[np.int32], coarse: NDArray[np.int32]) -> None:
    """Bring back labels without any pixel, both maps flattened."""
    # A label may live on only where another is restored, so look again until none is missing.
    while (vanished := np.setdiff1d(coarse[labels != coarse], values_of(labels))).size:
        restored = np.isin(coarse, vanished)
        labels[restored] = coarse[restored]
