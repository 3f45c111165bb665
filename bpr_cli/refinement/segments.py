"""The segments of a prediction: their boxes along boundaries, and how predicted patches are pasted back into them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, LabelMask, Mask, Prediction, check_size
from bpr_cli.masks.runs import strips_of
from bpr_cli.masks.soft import SoftMask
from bpr_cli.patches.boxes import dense_boxes
from bpr_cli.patches.paste import FusedMap, Fusion, RefinedLabel, average, reassemble
from bpr_cli.refinement.context import context_mask
from bpr_cli.refinement.judgement import Judgement, judge_changes
from bpr_cli.refinement.labels import judge_labels, label_masks, labels_at, open_label_ends
from bpr_cli.refinement.limits import (
    Changes,
    Limits,
    hardly_moved,
    keep_interior,
    label_changes,
    limit_labels,
    limit_masks,
    mask_changes,
    without_cut_changes,
    without_specks,
)
from bpr_cli.refinement.outline import FEWEST_ENDS, Outline
from bpr_cli.refinement.settings import PassSettings
from bpr_cli.typing import ByteArray, Size

Refined = TypeVar("Refined", tuple[Mask, ...], LabelMap)


@dataclass(frozen=True)
class RefinedSegments(Generic[Refined]):
    """A refined prediction within the limits.

    Attributes:
        prediction: the prediction.
        kept_coarse: number of segments that the limits of the user kept coarse.
        likely_ious: likely IoU of every segment with the truth before and after; () without a judge.
    """

    prediction: Refined
    kept_coarse: int
    likely_ious: tuple[tuple[float, float], ...] = ()


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
    def limit(
        self, refined: Refined, outlines: tuple[Outline, ...], limits: Limits, image: ByteArray
    ) -> RefinedSegments[Refined]:
        """Apply the limits to a refined prediction.

        Args:
            refined: the refined prediction.
            outlines: the segments of the pass that refined it, in the order of these.
            limits: the limits.
            image: uint8, (H, W, 3), RGB.
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
        return tuple(
            context_mask(mask, each) if each.whole else reassemble(mask, each.boxes, each.probabilities(), each.rim)
            for mask, each in pairs
        )

    def limit(
        self, refined: tuple[Mask, ...], outlines: tuple[Outline, ...], limits: Limits, image: ByteArray
    ) -> RefinedSegments[tuple[Mask, ...]]:
        """Take back wrong changes, interiors, specks and masks that hardly moved, then apply the limits."""
        trios = zip(self.prediction, refined, outlines, strict=True)
        settled = [_settled(before, after, each, limits, image) for before, after, each in trios]
        limited, kept_coarse = limit_masks(self.prediction, tuple(each.mask for each in settled), limits)
        masks = tuple(map(_with_values, limited, refined, self.prediction))
        ious = tuple((each.before, each.after) for each in settled) if limits.judges else ()
        return RefinedSegments(masks, kept_coarse, ious)

    def changes(self, refined: tuple[Mask, ...]) -> Changes:
        """The changes of the masks, in their order."""
        return mask_changes(self.prediction, refined)


def _settled(coarse: Mask, refined: Mask, outline: Outline, limits: Limits, image: ByteArray) -> Judgement:
    """What remains of the changes of one mask."""
    if refined is coarse:  # no patch lies on it
        likely = 1.0 if coarse.area else 0.0  # of a mask without pixels, nothing can be right
        return Judgement(coarse, likely, likely)
    judged = judge_changes(image, coarse, refined, outline, limits.judges) if limits.judges else Judgement(refined)
    if judged.mask is coarse:
        return judged
    complete = keep_interior(coarse, judged.mask, limits.core)
    take_back = limits.whole_changes and not outline.whole and not outline.follows
    whole = without_cut_changes(coarse, complete, outline.boxes, outline.scale) if take_back else complete
    clean = without_specks(coarse, whole, limits.min_part * outline.scale**2)
    still = hardly_moved(coarse, clean, limits.min_movement * outline.scale, outline.length)
    return replace(judged, mask=coarse, after=judged.before) if still else replace(judged, mask=clean)


def _with_values(limited: Mask, refined: Mask, coarse: Mask) -> Mask:
    """Give a limited mask the values of the refined one, if they are soft; a mask that came back keeps its own."""
    if limited is coarse:
        return coarse
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
        """Bytes of the map, the refined map with its probability, and what places boxes or fuses labels."""
        return 3 * self.prediction.labels.nbytes + self.prediction.labels.size

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

    def followed(self, outlines: tuple[Outline, ...], how: PassSettings) -> tuple[Outline, ...]:
        """Add boxes where labels change up to the outer sides of their boxes, for all labels that change there.

        Not in a map of several strips: their patches are forgotten as soon as they are pasted.
        """
        if self.strips or not any(each.follows for each in outlines):
            return outlines
        before, after = self.prediction.labels, self.paste(outlines).labels
        pairs = [*zip(self.masks, outlines, strict=True)]
        ends = open_label_ends(before, after, {mask.label: each.boxes for mask, each in pairs})
        if len(ends) < FEWEST_ENDS:
            return tuple(replace(each, follows=False) for each in outlines)
        boxes = dense_boxes(ends, self.prediction.size, how.patch_size, how.nms_threshold, how.rim)
        numbers = labels_at(ends, boxes, before, after)
        refined = {mask.label: mask for mask in label_masks(LabelMap(after, self.prediction.void))}
        return tuple(
            each.with_boxes(boxes[numbers[mask.label]], refined[mask.label]) if mask.label in numbers else each
            for mask, each in pairs
        )

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

    def limit(
        self,
        refined: LabelMap,
        outlines: tuple[Outline, ...],
        limits: Limits,
        image: ByteArray,
    ) -> RefinedSegments[LabelMap]:
        """Take back wrong changes, keep a map that hardly moved, else apply the limits."""
        scale = max((each.scale for each in outlines), default=1.0)
        ious: tuple[tuple[float, float], ...] = ()
        if limits.map_judge and isinstance(refined, FusedMap):
            refined, ious = judge_labels(image, self.prediction, refined, scale, limits.map_judge)
        refined = LabelMap(refined.labels, refined.void)  # its probability has served
        if limits.min_movement:
            least = limits.min_movement * scale * sum(each.length for each in outlines)
            if self.changes(refined).moved.sum() < least:
                return RefinedSegments(self.prediction, 0, tuple((before, before) for before, _ in ious))
        return RefinedSegments(*limit_labels(self.prediction, refined, limits), ious)

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
