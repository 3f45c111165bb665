"""The refinement of one image.

1. ``ImagePass.begin``: the segments of the prediction get boxes along their boundaries.
2. ``fill_batches`` takes patches there, of many images at a time, and the network predicts their foreground.
3. ``ImagePass.refine``: probabilities are pasted back, masks keep their interior, and segments that changed too much
   get their coarse pixels back.
4. ``ImagePass.followed``: before that, changes of masks that reach the sides of all patches get more patches.
5. ``ImagePass.next``: another pass refines the result of this one. After the last pass, ``ImagePass.stats`` sums up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

import numpy as np

from bpr_cli.masks.masks import Prediction
from bpr_cli.patches.crop import Patches, crop
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.outline import Outline
from bpr_cli.refinement.segments import RefinedSegments, Segments, segments_of
from bpr_cli.refinement.settings import PassSettings
from bpr_cli.typing import ByteArray

Key = TypeVar("Key")

FOLLOW_ROUNDS = 4
"""How often a pass may add patches where changes go on; nearly all changes stop by themselves before."""


@dataclass(frozen=True)
class PatchBatch(Generic[Key]):
    """Patches of one or several images that go through the network together.

    Attributes:
        ranges: consecutive ranges of boxes: image, outline, first box and last box (exclusive).
        completed: images whose patches are all predicted after this batch, with their keys.
    """

    ranges: list[tuple[ImagePass, Outline, int, int]] = field(default_factory=list)
    completed: list[tuple[Key, ImagePass]] = field(default_factory=list)

    def __len__(self) -> int:
        """P, the number of patches."""
        return sum(stop - start for _, _, start, stop in self.ranges)

    def crop(self, input_size: int) -> Patches:
        """The patches, of side ``input_size``."""
        patches, filled = Patches.empty(len(self), input_size), 0
        for image, outline, start, stop in self.ranges:
            out = patches[filled : filled + stop - start]
            crop(image.image, outline.mask, outline.boxes[start:stop], outline.padding, out)
            filled += stop - start
        return patches

    def hand_out(self, probabilities: ByteArray) -> None:
        """Append to every outline the probabilities of its boxes, uint8, (P, S, S), and paste completed strips."""
        given = 0
        for _, outline, start, stop in self.ranges:
            outline.predicted.append(probabilities[given : given + stop - start])
            given += stop - start
        for image in {id(image): image for image, *_ in self.ranges}.values():
            image.segments.paste_ready(image.outlines)


def fill_batches(
    images: Iterable[tuple[Key, ImagePass]], size: int, most_pixels: float = math.inf
) -> Iterator[PatchBatch[Key]]:
    """Fill batches with the patches of successive images; only the last batch may have fewer than ``size`` patches.

    An image without patches does not wait for a batch to fill: an empty batch of its own completes it. Nor do images
    wait that have ``most_pixels`` together, which would fill the memory.
    """
    batch, room, pixels = PatchBatch[Key](), size, 0
    for key, image in images:
        left = len(image)
        if not left:
            yield PatchBatch(completed=[(key, image)])
        for outline, begin, end in image.ranges:
            start = begin
            while start < end:
                stop = min(end, start + room)
                batch.ranges.append((image, outline, start, stop))
                left, room, start = left - (stop - start), room - (stop - start), stop
                if not left:
                    batch.completed.append((key, image))
                if not room:
                    yield batch
                    batch, room, pixels = PatchBatch[Key](), size, 0
        if batch.ranges and len(image):
            pixels += image.image.shape[0] * image.image.shape[1]
            if pixels >= most_pixels:
                yield batch
                batch, room, pixels = PatchBatch[Key](), size, 0
    if batch.ranges:
        yield batch


@dataclass(frozen=True)
class ImagePass:
    """One pass over one image.

    Patches need many times the memory of the image. Only their boxes are kept; batches are cropped one at a time.

    Attributes:
        image: uint8, (H, W, 3), RGB.
        coarse: the segments before the first pass.
        segments: the segments that this pass refines.
        outlines: these segments with the boxes along their boundaries.
        lengths: length of the coarse boundary of each segment in pixels.
        patches: number of patches in this pass and all earlier ones.
    """

    image: ByteArray
    coarse: Segments[Any]
    segments: Segments[Any]
    outlines: tuple[Outline, ...]
    lengths: tuple[float, ...]
    patches: int

    @classmethod
    def begin(cls, image: ByteArray, prediction: Prediction, how: PassSettings) -> ImagePass:
        """The first pass over the prediction for an image, uint8 (H, W, 3), RGB.

        Raises:
            BprError: image and prediction differ in size.
        """
        coarse = segments_of(prediction, (image.shape[0], image.shape[1]))
        outlines = coarse.outlines(how)
        return cls(image, coarse, coarse, outlines, tuple(each.length for each in outlines), _count(outlines))

    def next(self, how: PassSettings, limits: Limits) -> ImagePass:
        """The next pass, which refines the result of this one."""
        refined = self.refine(limits).prediction
        segments = type(self.segments)(refined)
        outlines = segments.outlines(how)
        return ImagePass(self.image, self.coarse, segments, outlines, self.lengths, self.patches + _count(outlines))

    def followed(self, how: PassSettings) -> ImagePass:
        """This pass, whose patches are all predicted, with more patches where changes go on beyond them."""
        outlines = self.segments.followed(self.outlines, how)
        added = _count(outlines) - _count(self.outlines)
        return replace(self, outlines=outlines, patches=self.patches + added)

    @cached_property
    def ranges(self) -> list[tuple[Outline, int, int]]:
        """The patches to predict: outline, first box and last box (exclusive); strip by strip in a large map."""
        strips = self.segments.strips
        if not strips:
            return [(each, each.known, len(each.boxes)) for each in self.outlines]
        return [
            (each, max(each.begun(top), each.known), max(each.begun(bottom), each.known))
            for top, bottom in strips
            for each in self.outlines
        ]

    def __len__(self) -> int:
        """P, the number of patches to predict."""
        return sum(last - first for _, first, last in self.ranges)

    def refine(self, limits: Limits) -> RefinedSegments[Any]:
        """Paste all predicted patches and apply the limits; the network must have predicted every patch."""
        return self.coarse.limit(self.segments.paste(self.outlines), self.outlines, limits, self.image)

    def stats(self, refined: RefinedSegments[Any]) -> RefinementStats:
        """Statistics of all passes up to this one."""
        changes = self.coarse.changes(refined.prediction)
        return RefinementStats(
            segments=len(self.outlines),
            patches=self.patches,
            changed=int(changes.moved.sum()),
            boundary_length=sum(self.lengths),
            kept_coarse=refined.kept_coarse,
            area=int(changes.area.sum()),
            resized=int(changes.resized.sum()),
            movements=tuple(np.round(changes.moved / np.maximum(self.lengths, 1), 3).tolist()),
            likely_ious=tuple((round(before, 4), round(after, 4)) for before, after in refined.likely_ious),
        )


def steps_after_first(passes: Sequence[PassSettings], limits: Limits) -> list[Step]:
    """What follows the patches of the first pass: further patches where changes go on, and the other passes.

    Each step begins when all patches before it are predicted. The judge waits for the last one.
    """
    steps: list[Step] = []
    for number, how in enumerate(passes):
        if number:
            steps.append(partial(ImagePass.next, how=how, limits=limits.unjudged))
        steps += [partial(ImagePass.followed, how=how)] * (FOLLOW_ROUNDS * how.follow)
    return steps


def _count(outlines: tuple[Outline, ...]) -> int:
    return sum(len(each.boxes) for each in outlines)


Step = Callable[[ImagePass], ImagePass]
"""Goes on with an image whose patches are all predicted."""


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
        movements: mean distance in pixels that the boundary of each segment moved: the pixels that changed side over
            the length of its coarse boundary. A sum of statistics has none.
        likely_ious: likely IoU of each segment with the truth, before and after, 0..1, as the judge of the weights sees
            it; () without a judge, and in a sum. Only what the network would change counts as wrong.
    """

    segments: int = 0
    patches: int = 0
    changed: int = 0
    boundary_length: float = 0.0
    kept_coarse: int = 0
    area: int = 0
    resized: int = 0
    movements: tuple[float, ...] = ()
    likely_ious: tuple[tuple[float, float], ...] = ()

    @classmethod
    def of(cls, noted: Mapping[str, Any]) -> RefinementStats:
        """The statistics from what a journal noted of them, where all sequences are lists."""
        pairs = tuple((before, after) for before, after in noted["likely_ious"])
        return cls(**{**noted, "movements": tuple(noted["movements"]), "likely_ious": pairs})

    @property
    def displacement(self) -> float:
        """Mean distance that the boundaries moved, in pixels: changed area over boundary length."""
        return self.changed / self.boundary_length if self.boundary_length else 0.0

    @property
    def furthest(self) -> float:
        """Mean distance in pixels that the boundary of the segment that moved furthest moved; 0 without segments."""
        return max(self.movements, default=0.0)

    @property
    def area_change(self) -> float:
        """How much the areas grew or shrank, as a fraction of the coarse area."""
        return self.resized / self.area if self.area else 0.0

    def __add__(self, other: RefinementStats) -> RefinementStats:
        return RefinementStats(*(getattr(self, name) + getattr(other, name) for name in ADDED))


ADDED = tuple(each.name for each in fields(RefinementStats) if each.name not in ("movements", "likely_ious"))
"""Names of the statistics that sums have."""
