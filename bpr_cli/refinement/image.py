"""The refinement of one image.

1. ``ImagePass.begin``: the segments of the prediction get boxes along their boundaries.
2. ``batches.py`` crops patches there, and the network predicts their foreground.
3. ``ImagePass.refine``: probabilities are pasted back, masks keep their interior, and segments that changed too much
   get their coarse pixels back.
4. ``ImagePass.next``: another pass refines the result of this one. After the last pass, ``ImagePass.stats`` sums up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask, Prediction, check_size
from bpr_cli.masks.runs import values_of
from bpr_cli.patches.boundary import boundary_pixels, grow
from bpr_cli.patches.boxes import NO_BOXES, Boxes, boxes_along, side_of
from bpr_cli.patches.crop import padding_around
from bpr_cli.patches.paste import RefinedLabel, average, fuse, reassemble
from bpr_cli.refinement.limits import (
    Changes,
    Limits,
    keep_interior,
    label_changes,
    limit_labels,
    limit_masks,
    mask_changes,
)
from bpr_cli.refinement.settings import PassSettings
from bpr_cli.typing import Box, ByteArray, Size

Refined = TypeVar("Refined", tuple[Mask, ...], LabelMap)


@dataclass(frozen=True)
class Outline:
    """One segment with the boxes along its boundary.

    Attributes:
        mask: the segment.
        boxes: int64, (P, 4), squares of one size.
        padding: context around each box in pixels.
        length: length of the boundary in pixels: half the number of boundary pixels, which lie on both sides of it.
        predicted: foreground probabilities of the boxes so far, in order: uint8, (p, S, S) each, in units of 1/255.
            S may differ from the side of the boxes.
    """

    mask: Mask
    boxes: Boxes
    padding: int
    length: float
    predicted: list[ByteArray] = field(default_factory=list)

    @classmethod
    def find(cls, mask: Mask, how: PassSettings, side: int, neighbours: list[Box]) -> Outline:
        """Find the boundary of a mask and place boxes of ``side`` pixels along it; none if the pass skips the mask."""
        pixels = boundary_pixels(mask)
        boxes = NO_BOXES
        if takes_part(mask, neighbours, how):
            boxes = boxes_along(mask, pixels, how.scheme, side, how.nms_threshold)
        padding = padding_around(side_of(boxes, how.patch_size), how.patch_size, how.padding)
        return cls(mask, boxes, padding, len(pixels) / 2)

    def probabilities(self) -> ByteArray:
        """Foreground probabilities of all boxes: uint8, (P, S, S), in units of 1/255."""
        return np.concatenate(self.predicted) if self.predicted else np.zeros((0, 1, 1), dtype=np.uint8)


def takes_part(mask: Mask, neighbours: list[Box], how: PassSettings) -> bool:
    """Whether a pass may refine a segment; the last pass refines all.

    Earlier passes have larger patches. A segment smaller than a patch is easily lost to its surroundings there, and one
    beside other objects easily grows into them, unless the two compete for pixels.

    Args:
        mask: the segment.
        neighbours: bounding boxes of all masks of the image that do not compete for pixels, including its own.
        how: the settings of the pass.
    """
    if not how.preliminary:
        return True
    x0, y0, x1, y1 = grow(mask.box, how.patch_size // 2, mask.size)
    near = sum(box[0] < x1 and x0 < box[2] and box[1] < y1 and y0 < box[3] for box in neighbours)
    return mask.area >= how.patch_size**2 and near <= 1


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

    @abstractmethod
    def outlines(self, how: PassSettings) -> tuple[Outline, ...]:
        """Every segment with the boxes that a pass places along its boundary."""

    @abstractmethod
    def paste(self, outlines: tuple[Outline, ...]) -> Refined:
        """The prediction with the predicted patches pasted back."""

    @abstractmethod
    def limit(self, refined: Refined, limits: Limits) -> tuple[Refined, int]:
        """Apply the limits to a refined prediction; also returns the number of segments that stay coarse."""

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
        return tuple(Outline.find(mask, how, how.side_along(mask.area), boxes) for mask in self.prediction)

    def paste(self, outlines: tuple[Outline, ...]) -> tuple[Mask, ...]:
        """Average the probabilities of overlapping boxes, and threshold them (Sect. 3.1)."""
        return tuple(reassemble(each.mask, each.boxes, each.probabilities()) for each in outlines)

    def limit(self, refined: tuple[Mask, ...], limits: Limits) -> tuple[tuple[Mask, ...], int]:
        """Restore the interior of every mask, then apply the limits."""
        pairs = zip(self.prediction, refined, strict=True)
        complete = tuple(keep_interior(before, after, limits.core) for before, after in pairs)
        return limit_masks(self.prediction, complete, limits)

    def changes(self, refined: tuple[Mask, ...]) -> Changes:
        """The changes of the masks, in their order."""
        return mask_changes(self.prediction, refined)


class LabelSegments(Segments[LabelMap]):
    """The labels of a map, except void ones: they compete for every pixel."""

    @property
    def map_bytes(self) -> int:
        """Bytes of the map, the refined map, and the confidence of every pixel while labels compete."""
        return 3 * self.prediction.labels.nbytes

    @property
    def sizes(self) -> list[Size]:
        """(H, W) of the map."""
        return [self.prediction.size]

    @cached_property
    def labels(self) -> tuple[int, ...]:
        """The labels to refine, ascending."""
        return tuple(each for each in values_of(self.prediction.labels).tolist() if each not in self.prediction.void)

    def outlines(self, how: PassSettings) -> tuple[Outline, ...]:
        """Place boxes of one size along every label; labels may touch, because they compete for pixels."""
        masks = (Mask.from_array(self.prediction.labels == label) for label in self.labels)
        return tuple(Outline.find(mask, how, how.patch_size, []) for mask in masks)

    def paste(self, outlines: tuple[Outline, ...]) -> LabelMap:
        """Give every pixel the most confident label (Sect. 3.3)."""
        size = self.prediction.size
        refined = (
            RefinedLabel(label, average(each.boxes, each.probabilities(), size))
            for label, each in zip(self.labels, outlines, strict=True)
        )
        return fuse(self.prediction, refined)

    def limit(self, refined: LabelMap, limits: Limits) -> tuple[LabelMap, int]:
        """Apply the limits; labels keep no interior, because they compete for pixels."""
        return limit_labels(self.prediction, refined, limits)

    def changes(self, refined: LabelMap) -> Changes:
        """The changes of the labels, in ascending order."""
        return label_changes(self.prediction, refined)


def segments_of(prediction: Prediction, image: Size) -> Segments[Any]:
    """The segments of a prediction for an image of size (H, W).

    Raises:
        BprError: the prediction and the image differ in size.
    """
    segments = LabelSegments(prediction) if isinstance(prediction, LabelMap) else MaskSegments(prediction)
    for size in segments.sizes:
        check_size(size, image)
    return segments


@dataclass(frozen=True)
class RefinedImage(Generic[Refined]):
    """A refined prediction, and the number of segments that the limits kept coarse."""

    prediction: Refined
    kept_coarse: int


@dataclass(frozen=True)
class ImagePass:
    """One pass over one image.

    Patches need many times the memory of the image. Only their boxes are kept; batches are cropped one at a time.

    Attributes:
        image: uint8, (H, W, 3), RGB.
        coarse: the segments before the first pass.
        segments: the segments that this pass refines.
        outlines: these segments with the boxes along their boundaries.
        length: total length of the coarse boundaries in pixels.
        patches: number of patches in this pass and all earlier ones.
    """

    image: ByteArray
    coarse: Segments[Any]
    segments: Segments[Any]
    outlines: tuple[Outline, ...]
    length: float
    patches: int

    @classmethod
    def begin(cls, image: ByteArray, prediction: Prediction, how: PassSettings) -> ImagePass:
        """The first pass over the prediction for an image, uint8 (H, W, 3), RGB.

        Raises:
            BprError: image and prediction differ in size.
        """
        coarse = segments_of(prediction, (image.shape[0], image.shape[1]))
        outlines = coarse.outlines(how)
        length = sum(each.length for each in outlines)
        return cls(image, coarse, coarse, outlines, length, _count(outlines))

    def next(self, refined: Prediction, how: PassSettings) -> ImagePass:
        """The next pass, which refines the result of this one."""
        segments = type(self.segments)(refined)
        outlines = segments.outlines(how)
        return ImagePass(self.image, self.coarse, segments, outlines, self.length, self.patches + _count(outlines))

    def __len__(self) -> int:
        """P, the number of patches of this pass."""
        return _count(self.outlines)

    def refine(self, limits: Limits) -> RefinedImage[Any]:
        """Paste all predicted patches and apply the limits; the network must have predicted every patch."""
        return RefinedImage(*self.coarse.limit(self.segments.paste(self.outlines), limits))

    def stats(self, refined: RefinedImage[Any]) -> RefinementStats:
        """Statistics of all passes up to this one."""
        changes = self.coarse.changes(refined.prediction)
        return RefinementStats(
            segments=len(self.outlines),
            patches=self.patches,
            changed=int((changes.lost + changes.gained).sum()),
            boundary_length=self.length,
            kept_coarse=refined.kept_coarse,
            area=int(changes.area.sum()),
            resized=int(changes.resized.sum()),
        )


def _count(outlines: tuple[Outline, ...]) -> int:
    return sum(len(each.boxes) for each in outlines)


@dataclass(frozen=True)
class RefinementStats:
    """How refinement changed some segments, as sums over them.

    Attributes:
        segments: number of segments.
        patches: number of patches.
        changed: pixels that changed side; in a label map each counts twice, for the label it leaves and the one it
            joins.
        boundary_length: length of the coarse boundaries in pixels.
        kept_coarse: number of segments that the limits left unrefined.
        area: of the coarse segments, in pixels.
        resized: pixels by which the areas grew or shrank: what one segment gains and another loses adds up.
    """

    segments: int = 0
    patches: int = 0
    changed: int = 0
    boundary_length: float = 0.0
    kept_coarse: int = 0
    area: int = 0
    resized: int = 0

    @property
    def displacement(self) -> float:
        """Mean distance that the boundaries moved, in pixels: changed area over boundary length."""
        return self.changed / self.boundary_length if self.boundary_length else 0.0

    @property
    def area_change(self) -> float:
        """How much the areas grew or shrank, as a fraction of the coarse area."""
        return self.resized / self.area if self.area else 0.0

    def __add__(self, other: RefinementStats) -> RefinementStats:
        return RefinementStats(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))
