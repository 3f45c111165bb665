"""The segments of a prediction: their boxes along boundaries, and how predicted patches are pasted back into them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, AnyMask, LabelMap, LabelMask, Mask, Prediction, check_size
from bpr_cli.masks.runs import Runs, strips_of, weigh
from bpr_cli.masks.soft import SoftMask
from bpr_cli.patches.boxes import (
    NO_BOXES,
    Boxes,
    boundary_pixels,
    boxes_along,
    grow,
    move_inside,
    side_of,
    suppress,
    unique_boxes,
    widened,
)
from bpr_cli.patches.crop import padding_around
from bpr_cli.patches.paste import Fusion, RefinedLabel, average, open_ends, reassemble, union
from bpr_cli.refinement.limits import (
    Changes,
    Limits,
    hardly_moved,
    keep_interior,
    label_changes,
    limit_labels,
    limit_masks,
    mask_changes,
    without_specks,
)
from bpr_cli.refinement.settings import PassSettings
from bpr_cli.typing import Box, ByteArray, Size

Refined = TypeVar("Refined", tuple[Mask, ...], LabelMap)

FEWEST_ENDS = 4
"""Pixels at the sides of the patches from which on a change is followed."""

LEAST_ENLARGEMENT = 1.5
"""Masks whose patches would grow by less are not refined in a pass of their own."""


@dataclass
class Outline:
    """One segment with the boxes along its boundary.

    Attributes:
        mask: what the network sees of the segment in the boxes that are not predicted yet.
        boxes: int64, (P, 4), squares of one size, with their rim; they may reach outside the image.
        padding: context around each box in pixels.
        rim: part of every side of the boxes that overlaps their neighbours, in pixels; see ``paste.rim_weights``.
        scale: side of the boxes without their rim over the patch size of the weights.
        follows: whether more boxes may follow a change: not beside other objects, into which it could grow, nor
            once a change has stopped.
        length: length of the boundary in pixels: half the number of boundary pixels, which lie on both sides of it.
        predicted: foreground probabilities of the boxes so far, in order: uint8, (p, S, S) each, in units of 1/255.
            S may differ from the side of the boxes.
        forgotten: number of boxes, the first ones, whose probabilities are pasted and no longer kept.
    """

    mask: AnyMask
    boxes: Boxes
    padding: int
    rim: int
    scale: float
    follows: bool
    length: float
    predicted: list[ByteArray] = field(default_factory=list)
    forgotten: int = 0

    @property
    def known(self) -> int:
        """Number of boxes, the first ones, that are predicted."""
        return self.forgotten + sum(map(len, self.predicted))

    @classmethod
    def find(cls, mask: AnyMask, how: PassSettings, side: int, neighbours: list[Box]) -> Outline:
        """Find the boundary of a mask and place boxes of ``side`` pixels along it; none if the pass skips the mask."""
        pixels = boundary_pixels(mask)
        boxes = NO_BOXES
        if takes_part(mask, side, neighbours, how):
            boxes = boxes_along(mask, pixels, how.scheme, side, how.nms_threshold)
        side = side_of(boxes, how.patch_size)
        padding, rim = (padding_around(side, how.patch_size, each) for each in (how.padding, how.rim))
        follows = how.follow and is_alone(mask, side, neighbours)
        return cls(mask, widened(boxes, rim), padding - rim, rim, side / how.patch_size, follows, len(pixels) / 2)

    def followed(self, coarse: Mask, how: PassSettings) -> Outline:
        """Add boxes where a change reaches the outer sides of all boxes, unless it is tiny.

        Args:
            coarse: the segment before this pass.
            how: the settings of the pass.
        """
        if not self.follows or not len(self.boxes):
            return self
        probabilities = self.probabilities()
        ends = open_ends(coarse, self.boxes, probabilities, self.rim)
        if len(ends) < FEWEST_ENDS:
            return replace(self, follows=False)
        side = side_of(self.boxes, 0) - 2 * self.rim
        added = widened(unique_boxes(move_inside(suppress(ends, side, how.nms_threshold), coarse.size)), self.rim)
        refined = reassemble(coarse, self.boxes, probabilities, self.rim)
        return replace(self, mask=refined, boxes=np.concatenate([self.boxes, added]), predicted=[probabilities])

    def probabilities(self) -> ByteArray:
        """Foreground probabilities of all boxes that are not forgotten: uint8, (P, S, S), in units of 1/255."""
        return np.concatenate(self.predicted) if self.predicted else np.zeros((0, 1, 1), dtype=np.uint8)

    def begun(self, row: int) -> int:
        """Number of boxes, the first ones, that begin above a row of the image; boxes must be sorted by first row."""
        return int(np.searchsorted(np.maximum(self.boxes[:, 1], 0), row))

    def ended(self, row: int) -> int:
        """Number of boxes, the first ones, that end above a row; boxes must be sorted by their first row."""
        return int(np.searchsorted(self.boxes[:, 3], row, "right"))

    def forget(self, count: int) -> None:
        """Drop the probabilities of the first ``count`` boxes."""
        if count > self.forgotten:
            self.predicted[:] = [self.probabilities()[count - self.forgotten :].copy()]
            self.forgotten = count


def takes_part(mask: AnyMask, side: int, neighbours: list[Box], how: PassSettings) -> bool:
    """Whether a pass may refine a segment; the last pass refines all.

    Earlier passes have larger patches. A segment smaller than a patch is easily lost to its surroundings there, and one
    beside other objects easily grows into them, unless the two compete for pixels.

    Args:
        mask: the segment.
        side: side of the boxes along it in pixels.
        neighbours: bounding boxes of all masks of the image that do not compete for pixels, including its own.
        how: the settings of the pass.
    """
    if not how.preliminary:
        return True
    if how.view and side < LEAST_ENLARGEMENT * how.patch_size:
        return False
    side = max(side, how.patch_size)
    return mask.area >= side**2 and is_alone(mask, side // 2, neighbours)


def is_alone(mask: AnyMask, reach: int, neighbours: list[Box]) -> bool:
    """Whether no bounding box but its own lies within ``reach`` pixels of that of a segment."""
    x0, y0, x1, y1 = grow(mask.box, reach, mask.size)
    return sum(box[0] < x1 and x0 < box[2] and box[1] < y1 and y0 < box[3] for box in neighbours) <= 1


class Segments(ABC, Generic[Refined]):
    """What a model predicted for one image, as segments to refine.

    Attributes:
        prediction: masks that may overlap, or a map whose labels compete for pixels.
    """

    def __init__(self, prediction: Refined) -> None:
        self.prediction: Refined = prediction

    @property
    def map_bytes(self) -> int:
        """Memory in bytes that refinement needs for maps of the entire image."""
        return 0

    @property
    @abstractmethod
    def sizes(self) -> list[Size]:
        """(H, W) of every mask, or of the map."""

    @property
    def strips(self) -> list[tuple[int, int]]:
        """Rows, first and last (exclusive), whose patches are predicted one strip after the other; [] for no strips."""
        return []

    @abstractmethod
    def outlines(self, how: PassSettings) -> tuple[Outline, ...]:
        """Every segment with the boxes that a pass places along its boundary."""

    def followed(self, outlines: tuple[Outline, ...], how: PassSettings) -> tuple[Outline, ...]:  # noqa: ARG002
        """The segments with further boxes where changes go on beyond their boxes; the same where none is needed."""
        return outlines

    def paste_ready(self, outlines: tuple[Outline, ...]) -> None:
        """Paste the strips whose patches are all predicted, except the last, and forget patches that no other needs."""

    @abstractmethod
    def paste(self, outlines: tuple[Outline, ...]) -> Refined:
        """The prediction with the predicted patches pasted back."""

    @abstractmethod
    def limit(self, refined: Refined, outlines: tuple[Outline, ...], limits: Limits) -> tuple[Refined, int]:
        """Apply the limits to a refined prediction.

        Args:
            refined: the refined prediction.
            outlines: the segments of the pass that refined it, in the order of these.
            limits: the limits.

        Returns:
            The prediction within the limits, and the number of segments that the limits of the user kept coarse.
        """

    @abstractmethod
    def changes(self, refined: Refined) -> Changes:
        """How the pixels of every segment changed."""


class MaskSegments(Segments[tuple[Mask, ...]]):
    """Independent masks: each is refined on its own."""

    @property
    def sizes(self) -> list[Size]:
        """(H, W) of every mask."""
        return [mask.size for mask in self.prediction]

    def outlines(self, how: PassSettings) -> tuple[Outline, ...]:
        """Place boxes along every mask; small masks get smaller boxes."""
        boxes = [mask.box for mask in self.prediction if mask.box != EMPTY_BOX]
        sides = (how.side_along(mask.area, max(mask.crop.shape)) for mask in self.prediction)
        pairs = zip(self.prediction, sides, strict=True)
        return tuple(Outline.find(mask, how, side, boxes) for mask, side in pairs)

    def followed(self, outlines: tuple[Outline, ...], how: PassSettings) -> tuple[Outline, ...]:
        """Add boxes where changes reach the outer sides of all boxes of a mask."""
        pairs = zip(self.prediction, outlines, strict=True)
        return tuple(each.followed(mask, how) for mask, each in pairs)

    def paste(self, outlines: tuple[Outline, ...]) -> tuple[Mask, ...]:
        """Average the probabilities of overlapping boxes, and threshold them (Sect. 3.1)."""
        pairs = zip(self.prediction, outlines, strict=True)
        return tuple(reassemble(mask, each.boxes, each.probabilities(), each.rim) for mask, each in pairs)

    def limit(
        self, refined: tuple[Mask, ...], outlines: tuple[Outline, ...], limits: Limits
    ) -> tuple[tuple[Mask, ...], int]:
        """Restore the interior of every mask, drop specks, keep masks that hardly moved, then apply the limits."""
        trios = zip(self.prediction, refined, outlines, strict=True)
        settled = tuple(_settled(before, after, each, limits) for before, after, each in trios)
        limited, kept_coarse = limit_masks(self.prediction, settled, limits)
        return tuple(map(_with_values, limited, refined, self.prediction)), kept_coarse

    def changes(self, refined: tuple[Mask, ...]) -> Changes:
        """The changes of the masks, in their order."""
        return mask_changes(self.prediction, refined)


def _settled(coarse: Mask, refined: Mask, outline: Outline, limits: Limits) -> Mask:
    """What remains of the change of one mask."""
    if refined is coarse:  # no patch lies on it
        return coarse
    complete = keep_interior(coarse, refined, limits.core)
    clean = without_specks(coarse, complete, limits.min_part * outline.scale**2)
    still = hardly_moved(coarse, clean, limits.min_movement * outline.scale, outline.length)
    return coarse if still else clean


def _with_values(limited: Mask, refined: Mask, coarse: Mask) -> Mask:
    """Give a limited mask the values of the refined one, if they are soft."""
    if isinstance(refined, SoftMask) and isinstance(coarse, SoftMask):
        return refined.limited(limited, coarse)
    return limited


class LabelSegments(Segments[LabelMap]):
    """The labels of a map, except void ones: they compete for every pixel.

    A large map is refined in strips, so that only the patches of one strip wait until they are pasted.
    """

    def __init__(self, prediction: LabelMap) -> None:
        super().__init__(prediction)
        self._fusion: Fusion | None = None

    @property
    def map_bytes(self) -> int:
        """Bytes of the map, the refined map, and what places boxes or fuses labels."""
        return 3 * self.prediction.labels.nbytes

    @property
    def sizes(self) -> list[Size]:
        """(H, W) of the map."""
        return [self.prediction.size]

    @property
    def strips(self) -> list[tuple[int, int]]:
        """The strips of the map; [] if it is a single one."""
        strips = strips_of(self.prediction.size)
        return strips if len(strips) > 1 else []

    @cached_property
    def masks(self) -> tuple[LabelMask, ...]:
        """The masks of the labels to refine, by ascending label."""
        return tuple(mask for mask in label_masks(self.prediction) if mask.label not in self.prediction.void)

    def outlines(self, how: PassSettings) -> tuple[Outline, ...]:
        """Place boxes of one size along every label; labels may touch, because they compete for pixels."""
        outlines = tuple(Outline.find(mask, how, how.patch_size, []) for mask in self.masks)
        if self.strips:
            for each in outlines:
                each.boxes = each.boxes[np.argsort(each.boxes[:, 1], kind="stable")]
        return outlines

    def paste_ready(self, outlines: tuple[Outline, ...]) -> None:
        """Fuse the strips whose patches are all predicted, except the last."""
        for _, bottom in self.strips[:-1]:
            fusion = self._fusion = self._fusion or Fusion(self.prediction)
            if any(each.known < each.begun(bottom) for each in outlines):
                return
            if bottom > fusion.row:
                fusion.advance(bottom, self._refined(outlines, fusion.row, bottom))
                for each in outlines:
                    each.forget(each.ended(bottom))

    def _refined(self, outlines: tuple[Outline, ...], top: int, bottom: int) -> Iterator[RefinedLabel]:
        """The averages of the patches in some rows, label by label."""
        frame = (0, top, self.prediction.size[1], bottom)
        for mask, each in zip(self.masks, outlines, strict=True):
            boxes = each.boxes[each.forgotten :]
            if self.strips:
                boxes = boxes[: each.begun(bottom) - each.forgotten]
            yield RefinedLabel(mask.label, average(boxes, each.probabilities()[: len(boxes)], frame, each.rim))

    def paste(self, outlines: tuple[Outline, ...]) -> LabelMap:
        """Give every pixel the most confident label (Sect. 3.3)."""
        fusion, self._fusion = self._fusion or Fusion(self.prediction), None
        bottom = self.prediction.size[0]
        fusion.advance(bottom, self._refined(outlines, fusion.row, bottom))
        return fusion.finish()

    def limit(self, refined: LabelMap, outlines: tuple[Outline, ...], limits: Limits) -> tuple[LabelMap, int]:
        """Keep a map that hardly moved, else apply the limits; labels keep no interior, as they compete for pixels."""
        if limits.min_movement:
            changes = self.changes(refined)
            least = limits.min_movement * max((each.scale for each in outlines), default=1)
            if changes.moved.sum() < least * sum(each.length for each in outlines):
                return self.prediction, 0
        return limit_labels(self.prediction, refined, limits)

    def changes(self, refined: LabelMap) -> Changes:
        """The changes of the labels, in ascending order."""
        return label_changes(self.prediction, refined)


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


def segments_of(prediction: Prediction, image: Size) -> Segments[Any]:
    """The segments of a prediction for an image of size (H, W).

    Raises:
        BprError: the prediction and the image differ in size.
    """
    segments = LabelSegments(prediction) if isinstance(prediction, LabelMap) else MaskSegments(prediction)
    for size in segments.sizes:
        check_size(size, image)
    return segments
