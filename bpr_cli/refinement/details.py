"""What the network made of a mask: probabilities, where the mask changed, and how sure the network is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bpr_cli.masks.masks import Mask
from bpr_cli.masks.soft import SoftMask
from bpr_cli.patches.boxes import boundary_pixels
from bpr_cli.typing import BoolArray, FloatArray


@dataclass(frozen=True)
class MaskDetails:
    """Details of one refined mask; ``Refiner.refine(..., return_details=True)`` returns them.

    Attributes:
        probabilities: foreground probability of every pixel, float32, (H, W), 0..1. Pixels above 0.5 are the refined
            mask. Near the boundary it is that of the network; elsewhere 1 or 0, or with ``soft`` what was given.
        changed: pixels that changed side, bool, (H, W).
        boundary_confidence: how sure the network is of the refined boundary, 0..1: the mean ``confidence`` of the
            pixels on both sides of it. A sharp boundary is close to 1, one that it guesses close to 0. None for a mask
            that is empty or fills the image, which has no boundary.
    """

    probabilities: FloatArray
    changed: BoolArray
    boundary_confidence: float | None

    @cached_property
    def confidence(self) -> FloatArray:
        """How sure every pixel is, float32, (H, W): 0 for the probability 0.5, 1 for the probabilities 0 and 1."""
        confidence: FloatArray = np.abs(2 * self.probabilities - 1)
        return confidence

    @classmethod
    def of(cls, coarse: Mask, refined: SoftMask) -> MaskDetails:
        """The details of a refined mask, whose values are probabilities."""
        ends = [0, refined.threshold, refined.full]
        probabilities = np.interp(refined.values, ends, [0, 0.5, 1]).astype(np.float32)
        pixels = boundary_pixels(refined)
        near = probabilities[pixels.y, pixels.x]
        sure = float(np.abs(2 * near - 1).mean()) if len(pixels) else None
        return cls(probabilities, coarse.to_array() != refined.to_array(), sure)

    def __repr__(self) -> str:
        height, width = self.changed.shape
        sure = "no boundary" if self.boundary_confidence is None else f"boundary {self.boundary_confidence:.0%} sure"
        return f"<MaskDetails: {width} x {height} pixels, {np.count_nonzero(self.changed)} changed, {sure}>"
