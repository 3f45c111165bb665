"""The two stages around the network: cut an image's predictions into patches, and paste decided patches back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.masks import LabelMap, Mask, Prediction, Size
from bpr_cli.networks.card import WeightsCard
from bpr_cli.patches.boundary import boundary_pixels
from bpr_cli.patches.boxes import Boxes, dense_boxes
from bpr_cli.patches.crop import Patches, crop_patches
from bpr_cli.patches.reassemble import RefinedLabel, average, fuse, reassemble


@dataclass(frozen=True)
class Segment:
    """One mask of an image with the boxes along its boundary.

    Attributes:
        mask: the coarse mask.
        boxes: int64, (P, 4).
        boundary_length: length of the coarse boundary in pixels: half of the boundary pixels, which lie on both sides.
    """

    mask: Mask
    boxes: Boxes
    boundary_length: float


@dataclass(frozen=True)
class CutImage:
    """An image's predictions, cut into patches: those of all segments, one after the other.

    Attributes:
        prediction: what was cut.
        segments: the masks; for a label map one a label, in the order of ``labels``.
        labels: the label of each segment of a label map, else empty.
        patches: P patches.
    """

    prediction: Prediction
    segments: tuple[Segment, ...]
    labels: tuple[int, ...]
    patches: Patches


@dataclass(frozen=True)
class Movement:
    """How far refinement moved the boundaries of some segments.

    Attributes:
        segments: number of segments.
        patches: number of patches.
        changed: pixels that changed side, summed over segments.
        boundary_length: summed length of the coarse boundaries in pixels.
    """

    segments: int = 0
    patches: int = 0
    changed: int = 0
    boundary_length: float = 0.0

    @property
    def pixels(self) -> float:
        """Mean distance the boundary moved, in pixels: changed area over boundary length."""
        return self.changed / self.boundary_length if self.boundary_length else 0.0

    def __add__(self, other: Movement) -> Movement:
        return Movement(
            self.segments + other.segments,
            self.patches + other.patches,
            self.changed + other.changed,
            self.boundary_length + other.boundary_length,
        )


@dataclass(frozen=True)
class PastedImage:
    """The refined prediction of one image."""

    prediction: Prediction
    movement: Movement


def cut(image: NDArray[np.uint8], prediction: Prediction, card: WeightsCard, nms_threshold: float) -> CutImage:
    """Cut patches along all boundaries of one image's predictions.

    Args:
        image: uint8, (H, W, 3), RGB.
        prediction: masks or label map of the same size.
        card: the sizes the network wants.
        nms_threshold: overlap of patches, see ``RefineSettings``.

    Raises:
        BprError: image and prediction differ in size.
    """
    for plane in (prediction,) if isinstance(prediction, LabelMap) else prediction:
        check_size(image, plane.size)
    labels = labels_of(prediction) if isinstance(prediction, LabelMap) else ()
    masks = masks_of(prediction, labels) if isinstance(prediction, LabelMap) else prediction
    segments = tuple(make_segment(mask, card.patch_size, nms_threshold) for mask in masks)
    patches = [crop_patches(image, each.mask, each.boxes, card.padding, card.input_size) for each in segments]
    return CutImage(prediction, segments, labels, joined(patches, card.input_size))


def labels_of(label_map: LabelMap) -> tuple[int, ...]:
    """The labels to refine, ascending."""
    return tuple(label for label in np.unique(label_map.labels).tolist() if label not in label_map.void)


def masks_of(label_map: LabelMap, labels: tuple[int, ...]) -> tuple[Mask, ...]:
    """The pixels of each label as a mask."""
    return tuple(Mask.from_array(label_map.labels == label) for label in labels)


def check_size(image: NDArray[np.uint8], size: Size) -> None:
    """Refuse a mask or label map of ``size`` (H, W) that does not belong to the image."""
    height, width = image.shape[:2]
    if size != (height, width):
        raise BprError(
            f"the image is {width} x {height} pixels but the mask {size[1]} x {size[0]}; "
            "give the image the prediction was made for, at its full resolution"
        )


def make_segment(mask: Mask, patch_size: int, nms_threshold: float) -> Segment:
    """Find the boundary of a mask and the boxes along it."""
    pixels = boundary_pixels(mask)
    return Segment(mask, dense_boxes(pixels, mask.size, patch_size, nms_threshold), len(pixels) / 2)


def joined(parts: list[Patches], input_size: int) -> Patches:
    """Patches of several segments or images as one."""
    images = np.concatenate([np.zeros((0, input_size, input_size, 3), np.uint8), *(part.image for part in parts)])
    masks = np.concatenate([np.zeros((0, input_size, input_size), np.uint8), *(part.mask for part in parts)])
    return Patches(images, masks)


def paste(cut_image: CutImage, probabilities: NDArray[np.uint8]) -> PastedImage:
    """Make the refined prediction from decided patches.

    Args:
        cut_image: what ``cut`` gave.
        probabilities: uint8, (P, S, S), foreground probability of every patch in units of 1/255.
    """
    ends = np.cumsum([len(segment.boxes) for segment in cut_image.segments])
    decided = np.split(probabilities, ends[:-1]) if len(ends) else []
    if isinstance(cut_image.prediction, LabelMap):
        return paste_labels(cut_image, cut_image.prediction, decided)
    coarse = cut_image.segments
    refined = tuple(reassemble(each.mask, each.boxes, part) for each, part in zip(coarse, decided, strict=True))
    changed = sum(changed_pixels(each.mask, after) for each, after in zip(coarse, refined, strict=True))
    return PastedImage(refined, movement(cut_image, changed))


def paste_labels(cut_image: CutImage, coarse: LabelMap, decided: list[NDArray[np.uint8]]) -> PastedImage:
    """Let the refined labels compete for the pixels."""
    entries = (
        RefinedLabel(label, average(segment.boxes, part, coarse.size))
        for label, segment, part in zip(cut_image.labels, cut_image.segments, decided, strict=True)
    )
    refined = fuse(coarse, entries)
    # A pixel that changes its label changes side in two segments: the one it leaves and the one it joins.
    changed = 2 * int(np.count_nonzero(refined.labels != coarse.labels))
    return PastedImage(refined, movement(cut_image, changed))


def changed_pixels(coarse: Mask, refined: Mask) -> int:
    """Number of pixels that are foreground in just one of two masks of the same image."""
    return coarse.area + refined.area - 2 * coarse.shared_area(refined)


def movement(cut_image: CutImage, changed: int) -> Movement:
    """What a refinement that changed so many pixels did to an image's segments."""
    length = sum(segment.boundary_length for segment in cut_image.segments)
    return Movement(len(cut_image.segments), len(cut_image.patches), changed, length)
