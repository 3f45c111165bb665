"""Which patches train and which validate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.patchset.record import PatchSample
from bpr_cli.patchset.store import PatchSet

HOLDING_OUT, CHOOSING = 0, 1
"""What random numbers are drawn for, beside the purposes in ``order`` and ``batches``: each has its own stream."""


@dataclass(frozen=True)
class Part:
    """Some patches of a set.

    Attributes:
        patches: the set.
        places: int64, (P,), where in it they are.
    """

    patches: PatchSet
    places: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> PatchSample:
        return self.patches[int(self.places[index])]


def whole(patches: PatchSet) -> Part:
    """All patches of a set."""
    return Part(patches, np.arange(len(patches)))


def hold_out(sets: Sequence[PatchSet], share: float, seed: int) -> tuple[list[Part], list[Part]]:
    """Split sets by image, so that no image both trains and validates.

    Images of one name (without folder and ending) are taken for the same image in all sets, as several models' masks
    of one image may be spread over them.

    Args:
        sets: one or more.
        share: of the images that are held out, above 0 and below 1; at least one image.
        seed: which ones.

    Returns:
        The parts that train and those that validate, in the order of the sets; without empty ones.

    Raises:
        BprError: all patches are of one image.
    """
    names = [[PurePath(item.name).stem for item in patches.items] for patches in sets]
    images = sorted({name for each in names for name in each})
    if len(images) < 2:
        raise BprError("all patches are of one image, so none can be held out; give patches of others as --validation")
    count = min(max(1, round(share * len(images))), len(images) - 1)
    drawn = np.random.default_rng([seed, HOLDING_OUT]).permutation(len(images))[:count]
    held = {images[index] for index in drawn}
    training, validation = [], []
    for patches, each in zip(sets, names, strict=True):
        is_held = np.array([name in held for name in each], dtype=bool)[patches.item_numbers]
        training.append(Part(patches, np.flatnonzero(~is_held)))
        validation.append(Part(patches, np.flatnonzero(is_held)))
    return [part for part in training if len(part)], [part for part in validation if len(part)]


def some_of(parts: Sequence[Part], count: int, seed: int) -> list[Part]:
    """At most ``count`` patches, drawn from all parts alike, in their order."""
    total = sum(map(len, parts))
    if total <= count:
        return list(parts)
    drawn = np.sort(np.random.default_rng([seed, CHOOSING]).permutation(total)[:count])
    ends = np.cumsum([0, *map(len, parts)])
    chosen = [
        Part(part.patches, part.places[drawn[(drawn >= start) & (drawn < end)] - start])
        for part, start, end in zip(parts, ends, ends[1:], strict=False)
    ]
    return [part for part in chosen if len(part)]
