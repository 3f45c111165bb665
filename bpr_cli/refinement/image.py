"""The two stages around the network: cut an image's predictions into patches, and paste decided patches back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask, Prediction
from bpr_cli.masks.runs import values_of
from bpr_cli.patches.boundary import boundary_pixels, grow
from bpr_cli.patches.boxes import NO_BOXES, Boxes, boxes_along, side_of
from bpr_cli.patches.crop import Patches, crop, padding_around
from bpr_cli.patches.paste import RefinedLabel, average, fuse, reassemble
from bpr_cli.refinement.bounds import Bounded, Bounds, bound
from bpr_cli.refinement.changes import changes_of
from bpr_cli.refinement.core import NO_CORE, keep_core
from bpr_cli.refinement.passes import Pass
from bpr_cli.typing import Box, Size


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
class Origin:
    """What an image's predictions were before the first round, and what has been done to them since.

    Attributes:
        prediction: the coarse one.
        boundary_length: of all its segments, in pixels.
        patches: number of patches cut so far.
    """

    prediction: Prediction
    boundary_length: float
    patches: int


@dataclass(frozen=True)
class CutImage:
    """An image's predictions with the boxes of all patches.

    Patches are many times as large as the image they are cut from, so they are cut out only a batch at a time.

    Attributes:
        image: uint8, (H, W, 3), RGB.
        origin: before the first round.
        prediction: what was cut.
        segments: the masks; for a label map one a label, in the order of ``labels``.
        labels: the label of each segment of a label map, else empty.
        how: places and sizes of the patches.
    """

    image: NDArray[np.uint8]
    origin: Origin
    prediction: Prediction
    segments: tuple[Segment, ...]
    labels: tuple[int, ...]
    how: Pass

    def __len__(self) -> int:
        """P, the number of patches."""
        return sum(len(segment.boxes) for segment in self.segments)

    @property
    def patches(self) -> Patches:
        """All patches, those of all segments one after the other."""
        patches = Patches.empty(len(self), self.how.input_size)
        self.crop_into(patches, 0)
        return patches

    def crop_into(self, patches: Patches, start: int) -> None:
        """Fill ``patches`` with as many of this image's, from number ``start`` on."""
        filled = 0
        for segment in self.segments:
            boxes = segment.boxes[start : start + len(patches) - filled]
            crop_segment(patches[filled : filled + len(boxes)], self.image, replace(segment, boxes=boxes), self.how)
            filled += len(boxes)
            start = max(start - len(segment.boxes), 0)


@dataclass(frozen=True)
class RefinementStats:
    """How far refinement moved the boundaries of some segments, as sums over them.

    Attributes:
        segments: number of segments.
        patches: number of patches.
        changed: pixels that changed side; in a label map each counts twice, for the label it leaves and the one it
            joins.
        boundary_length: length of the coarse boundaries in pixels.
        kept_coarse: number of segments that keep their coarse masks because of a bound.
        area: of the coarse masks, in pixels.
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
    def pixels(self) -> float:
        """Mean distance the boundary moved, in pixels: changed area over boundary length."""
        return self.changed / self.boundary_length if self.boundary_length else 0.0

    @property
    def area_change(self) -> float:
        """How much the areas grew or shrank, as a fraction of the coarse area.

        It is the mean over segments, weighted by their areas, of what ``Bounds.max_area_change`` bounds.
        """
        return self.resized / self.area if self.area else 0.0

    def __add__(self, other: RefinementStats) -> RefinementStats:
        return RefinementStats(
            self.segments + other.segments,
            self.patches + other.patches,
            self.changed + other.changed,
            self.boundary_length + other.boundary_length,
            self.kept_coarse + other.kept_coarse,
            self.area + other.area,
            self.resized + other.resized,
        )


@dataclass(frozen=True)
class PastedImage:
    """What one image has become.

    Attributes:
        cut_image: the image with its coarse prediction.
        bounded: the refined prediction within its bounds.
    """

    cut_image: CutImage
    bounded: Bounded

    @property
    def prediction(self) -> Prediction:
        """The refined prediction."""
        return self.bounded.prediction

    @property
    def movement(self) -> RefinementStats:
        """What all rounds up to this one did to the image's segments; counted anew each time it is asked for."""
        origin = self.cut_image.origin
        changes = changes_of(origin.prediction, self.prediction)
        return RefinementStats(
            segments=len(self.cut_image.segments),
            patches=origin.patches,
            changed=int((changes.lost + changes.gained).sum()),
            boundary_length=origin.boundary_length,
            kept_coarse=self.bounded.kept,
            area=int(changes.area.sum()),
            resized=int(changes.resized.sum()),
        )


def cut(image: NDArray[np.uint8], prediction: Prediction, how: Pass, origin: Origin | None = None) -> CutImage:
    """Cut patches along all boundaries of one image's predictions.

    Args:
        image: uint8, (H, W, 3), RGB.
        prediction: masks or label map of the same size.
        how: places and sizes of the patches.
        origin: what the round before started from; None in the first round.

    Raises:
        BprError: image and prediction differ in size.
    """
    check_sizes(prediction, (image.shape[0], image.shape[1]))
    labels = labels_of(prediction)
    segments = find_segments(prediction, labels, how)
    origin = origin or Origin(prediction, sum(segment.boundary_length for segment in segments), 0)
    cut_image = CutImage(image, origin, prediction, segments, labels, how)
    return replace(cut_image, origin=replace(origin, patches=origin.patches + len(cut_image)))


def find_segments(prediction: Prediction, labels: tuple[int, ...], how: Pass) -> tuple[Segment, ...]:
    """The masks with the boxes along their boundaries; of a label map, those of its ``labels``."""
    if isinstance(prediction, LabelMap):
        masks = masks_of(prediction, labels)
        return tuple(make_segment(mask, how, how.patch_size, takes_part(mask, [], how)) for mask in masks)
    boxes = [mask.box for mask in prediction if mask.box != EMPTY_BOX]
    return tuple(
        make_segment(mask, how, how.side_along(mask.area), takes_part(mask, boxes, how)) for mask in prediction
    )


def labels_of(prediction: Prediction) -> tuple[int, ...]:
    """The labels to refine, ascending; masks have none."""
    if not isinstance(prediction, LabelMap):
        return ()
    return tuple(label for label in values_of(prediction.labels).tolist() if label not in prediction.void)


def masks_of(label_map: LabelMap, labels: tuple[int, ...]) -> tuple[Mask, ...]:
    """The pixels of each label as a mask."""
    return tuple(Mask.from_array(label_map.labels == label) for label in labels)


def check_sizes(prediction: Prediction, image: Size) -> None:
    """Refuse masks or a label map that do not belong to an image of a size, (H, W)."""
    for plane in (prediction,) if isinstance(prediction, LabelMap) else prediction:
        check_size(plane.size, image)


def check_size(size: Size, image: Size) -> None:
    """Refuse a mask or label map of ``size`` (H, W) that does not belong to an image of another one."""
    height, width = image
    if size != image:
        raise BprError(
            f"the image is {width} x {height} pixels but the mask {size[1]} x {size[0]}; "
            "give the image the prediction was made for, at its full resolution"
        )


def takes_part(mask: Mask, others: list[Box], how: Pass) -> bool:
    """Whether a round may refine a segment; the last one refines all.

    Before it, patches may be larger than what they are to show. A segment smaller than a patch is easily lost to its
    surroundings, and one beside other objects easily grows into them, unless, in a label map, these hold against it.

    Args:
        mask: the segment.
        others: bounding boxes of all masks of the image that do not compete for pixels, its own among them.
        how: the round.
    """
    if not how.preliminary:
        return True
    x0, y0, x1, y1 = grow(mask.box, how.patch_size // 2, mask.size)
    near = sum(box[0] < x1 and x0 < box[2] and box[1] < y1 and y0 < box[3] for box in others)
    return mask.area >= how.patch_size**2 and near <= 1


def make_segment(mask: Mask, how: Pass, side: int, taking_part: bool) -> Segment:
    """Find the boundary of a mask and the boxes of a side along it; one that takes no part in the round has none."""
    pixels = boundary_pixels(mask)
    if not taking_part:
        return Segment(mask, NO_BOXES, len(pixels) / 2)
    boxes = boxes_along(mask, pixels, how.scheme, side, how.nms_threshold)
    return Segment(mask, boxes, len(pixels) / 2)


def crop_segment(patches: Patches, image: NDArray[np.uint8], segment: Segment, how: Pass) -> None:
    """Fill patches with the boxes of a segment, with context in proportion to their size."""
    padding = padding_around(side_of(segment.boxes, how.patch_size), how.patch_size, how.padding)
    crop(image, segment.mask, segment.boxes, padding, patches)


def paste(
    cut_image: CutImage,
    probabilities: NDArray[np.uint8],
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
    core: float = NO_CORE,
) -> PastedImage:
    """Make the refined prediction from decided patches, within the bounds around what was before the first round.

    Args:
        cut_image: what ``cut`` gave.
        probabilities: uint8, (P, S, S), foreground probability of every patch in units of 1/255; S need not be the
            side of the boxes.
        bounds: what segments must have in common with their coarse masks.
        core: how deep inside a mask the pixels lie that it keeps, see ``keep_core``. Labels hold against one another
            by themselves.
    """
    refined = with_core(cut_image.origin.prediction, pasted(cut_image, probabilities), core)
    return PastedImage(cut_image, bound(cut_image.origin.prediction, refined, bounds))


def pasted(cut_image: CutImage, probabilities: NDArray[np.uint8]) -> Prediction:
    """The refined prediction, however far it went; see ``paste``."""
    ends = np.cumsum([len(segment.boxes) for segment in cut_image.segments])
    decided = np.split(probabilities, ends[:-1]) if len(ends) else []
    if isinstance(cut_image.prediction, LabelMap):
        return paste_labels(cut_image, cut_image.prediction, decided)
    coarse = cut_image.segments
    return tuple(reassemble(each.mask, each.boxes, part) for each, part in zip(coarse, decided, strict=True))


def paste_labels(cut_image: CutImage, coarse: LabelMap, decided: list[NDArray[np.uint8]]) -> LabelMap:
    """Let the refined labels compete for the pixels."""
    entries = (
        RefinedLabel(label, average(segment.boxes, part, coarse.size))
        for label, segment, part in zip(cut_image.labels, cut_image.segments, decided, strict=True)
    )
    return fuse(coarse, entries)


def with_core(coarse: Prediction, refined: Prediction, core: float) -> Prediction:
    """The refined prediction; masks with the cores that they had before the first round."""
    if isinstance(coarse, LabelMap) or isinstance(refined, LabelMap):
        return refined
    return tuple(keep_core(before, after, core) for before, after in zip(coarse, refined, strict=True))
