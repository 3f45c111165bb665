"""The refinement of one image.

1. ``ImagePass.begin``: the segments of the prediction get boxes along their boundaries.
2. ``fill_batches`` takes patches there, of many images at a time, and the network predicts their foreground.
3. ``ImagePass.refine``: probabilities are pasted back, masks keep their interior, and segments that changed too much
   get their coarse pixels back.
4. ``ImagePass.next``: another pass refines the result of this one. After the last pass, ``ImagePass.stats`` sums up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from bpr_cli.masks.masks import Prediction
from bpr_cli.patches.crop import Patches, crop
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.segments import Outline, Refined, Segments, segments_of
from bpr_cli.refinement.settings import PassSettings
from bpr_cli.typing import ByteArray

Key = TypeVar("Key")


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


def fill_batches(images: Iterable[tuple[Key, ImagePass]], size: int) -> Iterator[PatchBatch[Key]]:
    """Fill batches with the patches of successive images; only the last batch may have fewer than ``size`` patches.

    An image without patches does not wait for a batch to fill: an empty batch of its own completes it.
    """
    batch, room = PatchBatch[Key](), size
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
                    batch, room = PatchBatch[Key](), size
    if batch.ranges:
        yield batch


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

    @cached_property
    def ranges(self) -> list[tuple[Outline, int, int]]:
        """The order of the patches: outline, first box and last box (exclusive); strip by strip in a large map."""
        strips = self.segments.strips
        if not strips:
            return [(each, 0, len(each.boxes)) for each in self.outlines]
        return [(each, each.begun(top), each.begun(bottom)) for top, bottom in strips for each in self.outlines]

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
