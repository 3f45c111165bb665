"""Batches of patches, filled from many images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from bpr_cli.patches.crop import Patches, crop
from bpr_cli.refinement.image import ImagePass
from bpr_cli.refinement.segments import Outline
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
