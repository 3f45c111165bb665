"""What speaks for and against each change that refinement makes to a mask, and for all of them, in numbers for judges.

A change is a connected group of pixels (by their sides) that all join the mask or all leave it. Some evidence
describes the whole mask, because changes to a mask that fits the image are rarely right; some describes the change.
All sums are of whole numbers, so that they do not depend on their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce

import cv2
import numpy as np

from bpr_cli.patches.paste import CERTAIN
from bpr_cli.typing import BoolArray, ByteArray, DoubleArray, IntArray, LabelArray

MARGIN = 10
"""Pixels around both masks that a window must show, where the image has them."""

NEIGHBOURHOOD = 3
"""Pixels by which a contour is moved inwards and outwards, to compare the contrast there with that on it."""

SMOOTHING = 7
"""Side in pixels of the square whose majority smooths a mask."""

DISTANCES, BACKWARD_DISTANCES = (1, 2, 4, 8), (2, 8)
"""Distances in pixels at which a part of one boundary counts as far from the other one."""

PAIR_SIDES = ((np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:, :], np.s_[:-1, :]))
"""Right and left pixels of all pairs of neighbours, and lower and upper ones."""


@dataclass(frozen=True)
class ChangedMask:
    """A mask before and after refinement, in a window of the image with a margin of ``MARGIN`` pixels.

    Attributes:
        image: uint8, (h, w, 3), RGB.
        coarse: the mask before, bool, (h, w), with foreground.
        refined: the mask after, bool, (h, w).
        probability: uint8, (h, w), foreground probability in units of 1/255; 0 or 255 where no patch lies.
        scale: side of the patches along it over the patch size of the weights.
        factor: how many times smaller this is than the image.
    """

    image: ByteArray
    coarse: BoolArray
    refined: BoolArray
    probability: ByteArray
    scale: float
    factor: int = 1

    def reduced(self, factor: int) -> ChangedMask:
        """The same in a picture smaller by ``factor``, with the pixels of which the masks cover more than half."""
        planes = (self.image, self.coarse * np.uint8(CERTAIN), self.refined * np.uint8(CERTAIN), self.probability)
        image, coarse, refined, probability = (means(plane, factor) for plane in planes)
        return ChangedMask(image, coarse > CERTAIN // 2, refined > CERTAIN // 2, probability, self.scale, factor)

    @cached_property
    def changes(self) -> LabelArray:
        """The changes, numbered from 1, first those that join the mask: int32, (h, w), 0 where nothing changed."""
        joined, joining = cv2.connectedComponents((self.refined & ~self.coarse).view(np.uint8), connectivity=4)
        _, leaving = cv2.connectedComponents((self.coarse & ~self.refined).view(np.uint8), connectivity=4)
        changes: LabelArray = np.where(leaving > 0, leaving + (joined - 1), joining)
        return changes

    @cached_property
    def places(self) -> IntArray:
        """Flat indices of the changed pixels."""
        return np.flatnonzero(self.changes)

    @cached_property
    def areas(self) -> IntArray:
        """Areas of the N changes in pixels, int64, (N,)."""
        areas: IntArray = np.bincount(self.changes.ravel()[self.places])[1:].astype(np.int64)
        return areas

    @cached_property
    def joins(self) -> BoolArray:
        """Which changes join the mask: bool, (N,)."""
        first = np.zeros(len(self.areas), dtype=bool)
        first[self.changes.ravel()[self.places] - 1] = self.refined.ravel()[self.places]
        return first

    @cached_property
    def certainty(self) -> ByteArray:
        """How sure the network is of each pixel: uint8, (h, w), 255 for the probabilities 0 and 1."""
        certainty: ByteArray = np.abs(2 * self.probability.astype(np.int16) - CERTAIN).astype(np.uint8)
        return certainty

    @cached_property
    def contrast(self) -> tuple[ByteArray, ByteArray]:
        """Largest difference of a channel between neighbours: uint8, (h, w - 1) across, and (h - 1, w) down."""
        pairs = ((self.image[first], self.image[second]) for first, second in PAIR_SIDES)
        differences = (np.maximum(one, other) - np.minimum(one, other) for one, other in pairs)
        # Channel by channel: NumPy is many times slower at the largest of three neighbouring numbers.
        across, down = (reduce(np.maximum, np.moveaxis(each, 2, 0)) for each in differences)
        return across, down

    def sums(self, values: ByteArray) -> DoubleArray:
        """Sum of the values, (h, w), in each change: float64, (N,)."""
        found, weights = (plane.ravel()[self.places] for plane in (self.changes, values))
        return np.bincount(found, weights.astype(np.float64), len(self.areas) + 1)[1:].astype(np.float64)

    def beside(self, mask: BoolArray) -> tuple[DoubleArray, DoubleArray]:
        """Length of the contour of a mask beside each change, and its contrast summed up: float64, (N,) each."""
        length, total = np.zeros((2, len(self.areas) + 1))
        for (first, second), contrast in zip(PAIR_SIDES, self.contrast, strict=True):
            crossed = mask[first] != mask[second]
            for side in (first, second):
                found = self.changes[side][crossed]
                length += np.bincount(found, minlength=len(length))
                total += np.bincount(found, contrast[crossed], len(length))
        return length[1:], total[1:]

    def evidence(self) -> DoubleArray:
        """The evidence on each change: float64, (N, ``EVIDENCE``)."""
        of_changes = self.of_changes()
        return np.concatenate([np.tile(self.of_mask(), (len(of_changes), 1)), of_changes], axis=1)

    def of_mask(self) -> DoubleArray:
        """Evidence on the whole mask: how far it moved, how sure the network is, how both masks fit the image."""
        before, after = boundary(self.coarse), boundary(self.refined)
        length, length_after = np.maximum([np.count_nonzero(before), np.count_nonzero(after)], 1).tolist()
        found = [2 * self.areas.sum() / length / self.scale]
        found += [far(before, after, distance) / length for distance in DISTANCES]
        found += [far(after, before, distance) / length_after for distance in BACKWARD_DISTANCES]
        for edge, pixels in ((after, length_after), (before, length)):
            found.append(self.certainty[edge].sum(dtype=np.int64) / pixels / CERTAIN)
        profiles = [self._profile(mask) for mask in (self.coarse, self.refined)]
        found += [np.log((on + 1) / (beside + 1)) for on, beside in profiles]
        found += [np.log(on + 1) for on, _ in profiles]
        for mask, pixels in ((self.coarse, length), (self.refined, length_after)):
            found.append(2 * np.count_nonzero(smoothed(mask) != mask) / pixels / self.scale)
        found += [np.log(np.count_nonzero(self.coarse)), length_after / length, np.log(self.scale)]
        return np.array(found, dtype=np.float64)

    def _profile(self, mask: BoolArray) -> tuple[float, float]:
        """Mean contrast across the contour of a mask, and across those beside it, inside and outside."""
        element = np.ones((2 * NEIGHBOURHOOD + 1,) * 2, np.uint8)
        inner = cv2.erode(mask.view(np.uint8), element, borderType=cv2.BORDER_REPLICATE)
        outer = cv2.dilate(mask.view(np.uint8), element)
        on, inside, outside = (self._mean_contrast(each) for each in (mask, inner > 0, outer > 0))
        return on, (inside + outside) / 2

    def _mean_contrast(self, mask: BoolArray) -> float:
        total = count = 0
        for (first, second), contrast in zip(PAIR_SIDES, self.contrast, strict=True):
            crossed = mask[first] != mask[second]
            total += int(contrast[crossed].sum(dtype=np.int64))
            count += np.count_nonzero(crossed)
        return total / max(count, 1)

    def of_changes(self) -> DoubleArray:
        """Evidence on each change: its size, how sure the network is, and the contrast at its old and new contour."""
        old, new = (self.beside(mask) for mask in (self.coarse, self.refined))
        contrasts = [np.log(total / np.maximum(length, 1) + 1) for length, total in (old, new)]
        both = np.maximum(old[0] + new[0], 1)
        columns = [
            np.log(self.areas / self.scale**2),
            2 * self.areas / both / self.scale,
            self.sums(self.certainty) / CERTAIN / self.areas,
            self.joins,
            *contrasts,
            old[0] / both,
        ]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class MaskChanges:
    """The N changes of a mask, as judges see them.

    Attributes:
        evidence: float64, (N, ``EVIDENCE``).
        areas: areas in pixels, (N,).
        joins: which ones join the mask, bool, (N,).
        common: number of pixels that the mask has before and after.
        area: number of pixels that it has before.
    """

    evidence: DoubleArray
    areas: IntArray
    joins: BoolArray
    common: int
    area: int

    @classmethod
    def of(cls, changed: ChangedMask) -> MaskChanges:
        """What is known of the changes of a mask."""
        common, area = (int(np.count_nonzero(each)) for each in (changed.coarse & changed.refined, changed.coarse))
        return cls(changed.evidence(), changed.areas, changed.joins, common, area)

    def likely_iou(self, chances: DoubleArray, applied: BoolArray) -> float:
        """Expected intersection over expected union with the truth of a mask, if the truth differs only in the changes.

        Args:
            chances: how likely each change is right, (N,).
            applied: the changes that the mask has, bool, (N,).
        """
        inside = self.joins == applied  # the pixels of the change are in the mask
        true = np.where(self.joins, chances, 1 - chances)  # and are likely to be in the true one
        intersection = self.common + float((self.areas * true)[inside].sum())
        union_area = self.common + float((self.areas * np.where(inside, 1, true)).sum())
        return float(intersection / union_area)

    def likely_ious(self, chances: DoubleArray, kept: BoolArray) -> tuple[float, float]:
        """The likely IoU of the mask with none of the changes, and with those that stay; see ``likely_iou``."""
        before, after = (self.likely_iou(chances, applied) for applied in (np.zeros_like(kept), kept))
        return before, after

    def on_all(self, chances: DoubleArray, kept: BoolArray, before: float, after: float) -> DoubleArray:
        """The evidence on the changes that stay together, for the final judge: float64, (``EVIDENCE_ON_ALL``,).

        Args:
            chances: how likely each change is right, (N,).
            kept: those that stay, bool, (N,), one at least.
            before: likely IoU of the mask without them, 0..1.
            after: that with them.
        """
        total, side = self.areas.sum(), np.sqrt(self.area)
        found = [
            np.log(max(after - before, SMALLEST_GAIN)),
            before,
            (self.areas * chances)[kept].sum() / self.areas[kept].sum(),
            (self.areas * chances).sum() / total,
            (self.areas * chances * (1 - chances)).sum() / total,
            np.log(self.areas[kept].sum() / side),
            np.log(total / side),
        ]
        means_of_all = (self.areas[:, None] * self.evidence).sum(axis=0) / total
        return np.concatenate([found, means_of_all])


OF_MASK = 18
"""Number of values that describe a mask."""

EVIDENCE = OF_MASK + 7
"""Number of values that describe a change: those of its mask and its own."""

EVIDENCE_ON_ALL = 7 + EVIDENCE
"""Number of values that describe the changes of a mask together."""

SMALLEST_GAIN = 0.0001
"""Likely gain of IoU below which its logarithm falls no further."""


def means(plane: ByteArray, factor: int) -> ByteArray:
    """Means of the squares of side ``factor`` of a plane, (h, w, ...), rounded down; the last pixels are repeated."""
    height, width = plane.shape[:2]
    full = cv2.copyMakeBorder(plane, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    rows = full.reshape(-1, factor, *full.shape[1:]).sum(axis=1, dtype=np.uint32)
    squares = rows.reshape(len(rows), -1, factor, *full.shape[2:]).sum(axis=2)
    found: ByteArray = (squares // factor**2).astype(np.uint8)
    return found


def boundary(mask: BoolArray) -> BoolArray:
    """The pixels on both sides of the boundary of a mask: bool, (h, w)."""
    element, plane = np.ones((3, 3), np.uint8), mask.view(np.uint8)
    found: BoolArray = cv2.dilate(plane, element) != cv2.erode(plane, element, borderType=cv2.BORDER_REPLICATE)
    return found


def far(edge: BoolArray, other: BoolArray, distance: int) -> int:
    """Number of pixels of one boundary that are farther than ``distance`` from the other one, by rows and columns."""
    reached = cv2.dilate(other.view(np.uint8), np.ones((2 * distance + 1,) * 2, np.uint8))
    return int(np.count_nonzero(edge & (reached == 0)))


def smoothed(mask: BoolArray) -> BoolArray:
    """What most pixels are in the square of side ``SMOOTHING`` around each pixel of a mask: bool, (h, w)."""
    counts = cv2.boxFilter(
        mask.view(np.uint8), cv2.CV_16U, (SMOOTHING, SMOOTHING), normalize=False, borderType=cv2.BORDER_REPLICATE
    )
    most: BoolArray = counts > SMOOTHING**2 // 2
    return most
