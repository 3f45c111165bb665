"""Soft masks: binary masks that remember the values they were thresholded from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import Mask
from bpr_cli.masks.values import HALF, Foreground
from bpr_cli.typing import BoolArray, Box, FloatArray


@dataclass(frozen=True)
class SoftMask(Mask):
    """A mask with its soft values, which refinement replaces near the boundary by the probabilities of the network.

    Values above the threshold are foreground, at all times.

    Attributes:
        values: uint8 or uint16, (H, W), from 0 to ``full``.
        threshold: values above it are foreground.
        full: value of certain foreground.
    """

    values: NDArray[np.uint8] | NDArray[np.uint16]
    threshold: float
    full: int

    @classmethod
    def of(cls, values: NDArray[np.uint8] | NDArray[np.uint16], foreground: Foreground) -> SoftMask:
        """The mask that a rule makes of the values of a file; the values of binary masks become 0 and 255 or 65535.

        >>> mask = SoftMask.of(np.array([[0, 100, 200]], np.uint8), Foreground(0.5))
        >>> mask.box, mask.values.tolist()
        ((2, 0, 3, 1), [[0, 100, 200]])
        """
        chosen = foreground.of(values)
        full, threshold = foreground.full_of(values), foreground.threshold
        if foreground.is_binary:
            full, threshold = int(np.iinfo(values.dtype).max), HALF
            values = (chosen * values.dtype.type(full)).astype(values.dtype)
        plain = Mask.from_array(chosen)
        return cls(plain.size, plain.box, plain.crop, values, threshold * full, full)

    @classmethod
    def with_foreground(
        cls, foreground: BoolArray, values: NDArray[np.generic], threshold: float, full: int
    ) -> SoftMask:
        """A mask of given foreground, whose values are moved where rounding took them to the wrong side.

        Args:
            foreground: bool, (H, W).
            values: (H, W), from 0 to ``full``.
            threshold: values above it are foreground.
            full: 255 or 65535.
        """
        plain = Mask.from_array(foreground)
        dtype = np.uint8 if full <= np.iinfo(np.uint8).max else np.uint16
        mask = cls(plain.size, plain.box, plain.crop, values.astype(dtype), threshold, full)
        return replace(mask, values=mask._on_side(mask.values, foreground).astype(dtype))

    def predicted(self, refined: Mask, box: Box, probability: FloatArray, where: BoolArray) -> SoftMask:
        """The refined mask with probabilities of the network in place of the values.

        A probability of one half becomes the threshold, so that the same pixels stay foreground.

        Args:
            refined: the mask whose foreground has probabilities above one half.
            box: window of the probabilities.
            probability: float32, (h, w), 0..1.
            where: bool, (h, w), where there are probabilities.
        """
        x0, y0, x1, y1 = box
        scaled = np.interp(probability[where], [0, 0.5, 1], [0, self.threshold, self.full])
        values = self.values.copy()
        values[y0:y1, x0:x1][where] = self._on_side(np.rint(scaled), refined.window(box)[where])
        return replace(self, box=refined.box, crop=refined.crop, values=values)

    def limited(self, kept: Mask, coarse: SoftMask) -> SoftMask:
        """This mask where it agrees with ``kept``, which limits made of it, and the coarse values elsewhere."""
        back = kept.to_array() != self.to_array()
        values = np.where(back, coarse.values, self.values) if back.any() else self.values
        return replace(self, box=kept.box, crop=kept.crop, values=values)

    def _on_side(self, values: NDArray[Any], foreground: BoolArray) -> NDArray[np.float64]:
        """The values, moved where rounding took them to the wrong side of the threshold."""
        least = np.floor(self.threshold) + 1
        sided: NDArray[np.float64] = np.where(foreground, np.maximum(values, least), np.minimum(values, least - 1))
        return sided
