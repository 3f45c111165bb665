"""Which pixels of a stored patch the network is shown, and how large."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.patches.crop import resize
from bpr_cli.patchset.record import PatchSample


@dataclass(frozen=True)
class Sizes:
    """Sides in pixels.

    Attributes:
        patch_size: side S of the box that is written back.
        padding: context around it that is fed.
        input_size: side T of the network's input.
    """

    patch_size: int
    padding: int
    input_size: int

    @property
    def side(self) -> int:
        """Patch with context, in image pixels."""
        return self.patch_size + 2 * self.padding

    @property
    def ring(self) -> int:
        """Width of the context in pixels of the network's input."""
        return round(self.padding * self.input_size / self.side)


def centre(sample: PatchSample, side: int) -> PatchSample:
    """The middle ``side`` pixels of a patch, which has as many or more."""
    start = (sample.coarse.shape[0] - side) // 2
    inner = slice(start, start + side)
    return PatchSample(sample.image[inner, inner], sample.coarse[inner, inner], sample.truth[inner, inner])


def resized(sample: PatchSample, input_size: int) -> PatchSample:
    """The patch as the network is shown it, made by the very functions that ``bpr refine`` cuts patches with."""
    return PatchSample(
        resize(sample.image, input_size, cv2.INTER_LINEAR),
        resize(sample.coarse, input_size, cv2.INTER_NEAREST_EXACT),
        resize(sample.truth, input_size, cv2.INTER_NEAREST_EXACT),
    )


def contiguous(sample: PatchSample) -> PatchSample:
    """The patch in memory of its own shape, for what cannot read views."""
    return PatchSample(*(np.ascontiguousarray(plane) for plane in (sample.image, sample.coarse, sample.truth)))
