"""What the values of masks in Python programs stand for: masks, probabilities or logits."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.soft import SoftMask
from bpr_cli.masks.values import BYTE, HALF, WORD, Foreground, MaskKind, MaskValues
from bpr_cli.refinement.arrays import Plane, unusable
from bpr_cli.settings import Settings
from bpr_cli.typing import BoolArray

Kind = Literal["mask", "probabilities", "logits"]

_FULL = {np.dtype(np.uint8): BYTE, np.dtype(np.uint16): WORD}
"""Certain foreground in probabilities of whole numbers."""


@dataclass(frozen=True)
class MaskSettings(Settings):
    """How masks are read.

    Attributes:
        kind: ``mask``: every value but 0 is foreground. ``probabilities``: from 0 to 1, or 8 or 16 bits of their
            largest value. ``logits``: of any size. None: by the rule of ``masks/values.py``; but fractions are refused,
            because only the caller knows whether they are probabilities or logits.
        threshold: probability above which pixels are foreground; masks do not use it.
        soft: whether refined masks are probabilities.
        return_details: whether ``MaskDetails`` come with refined masks.
    """

    kind: Kind | None = None
    threshold: Annotated[float, Meta(gt=0, lt=1)] = HALF
    soft: bool = False
    return_details: bool = False


def read_mask(plane: Plane, how: MaskSettings) -> tuple[Mask, int | None]:
    """The foreground of a plane, and the value of refined foreground; None where the values of the plane are kept.

    The mask is a ``SoftMask`` if probabilities are wanted.

    Raises:
        BprError: the numbers are not what ``how`` says.
    """
    foreground, full = _READERS[how.kind](plane, how.threshold)
    if how.soft:
        return _soft_mask(plane, foreground, full, how), full
    if how.return_details:
        return SoftMask.with_foreground(foreground, foreground * WORD, HALF * WORD, WORD), full
    return Mask.from_array(foreground), full


def _by_rule(plane: Plane, threshold: float) -> tuple[BoolArray, int | None]:
    """The foreground of a mask, and its value in the result; see ``read_mask``."""
    if plane.values.dtype == np.bool_:
        return plane.values, None
    values = MaskValues.of(plane.values)
    kind = values.kind()
    if kind is MaskKind.BINARY or not values.finite:
        return _as_mask(plane, threshold)
    if kind is not MaskKind.SOFT or values.fractions:
        raise BprError(
            f"{plane.name} holds {values.describe()}; expected a mask of 0 and one other value. Say what it is: "
            'kind="mask" (every value but 0 is foreground), kind="probabilities" or kind="logits"; '
            "a label map goes to refine_labels"
        )
    foreground = values.foreground(threshold)
    warnings.warn(
        f"{plane.name} holds {values.describe()} and is taken for a soft mask: pixels above "
        f'{foreground.threshold * foreground.full:g} are foreground; kind="probabilities" says so without this warning',
        stacklevel=5,
    )
    return foreground.of(plane.values), foreground.full


def _as_mask(plane: Plane, _: float) -> tuple[BoolArray, int | None]:
    """All pixels but 0; see ``_by_rule`` for the result, here and below."""
    if not np.isfinite(plane.values).all():
        raise _wrong_values(plane, "a mask of finite numbers")
    return plane.values != 0, None


def _as_probabilities(plane: Plane, threshold: float) -> tuple[BoolArray, int | None]:
    values = plane.values
    low, high = values.min(), values.max()
    if high <= 1:
        full: int | None = 1
    else:
        full = _FULL.get(values.dtype.newbyteorder("="))
    if full is None or not 0 <= low <= high <= full:
        raise _wrong_values(plane, "probabilities from 0 to 1, or of the type uint8 (0..255) or uint16 (0..65535)")
    return Foreground(threshold, full).of(values), full


def _as_logits(plane: Plane, threshold: float) -> tuple[BoolArray, int | None]:
    if np.isnan(plane.values).any():
        raise _wrong_values(plane, "logits")
    return plane.values > math.log(threshold / (1 - threshold)), 1


def _soft_mask(plane: Plane, foreground: BoolArray, full: int | None, how: MaskSettings) -> SoftMask:
    """The mask with its probabilities in units of 1/255 for uint8, else of 1/65535."""
    dtype = plane.values.dtype.newbyteorder("=")
    if dtype.kind != "f" and dtype not in _FULL:
        raise unusable(
            plane.given, plane.name, "floats, uint8 or uint16, which can hold the probabilities of soft=True"
        )
    probabilities: NDArray[Any]
    if how.kind == "logits":
        probabilities = (1 + np.tanh(plane.values.astype(np.float64) / 2)) / 2
    else:
        probabilities = foreground * 1.0 if full is None else plane.values.astype(np.float64) / full
    units = _FULL.get(dtype, WORD)
    threshold = (HALF if full is None else how.threshold) * units
    return SoftMask.with_foreground(foreground, np.rint(probabilities * units), threshold, units)


_READERS = {None: _by_rule, "mask": _as_mask, "probabilities": _as_probabilities, "logits": _as_logits}


def _wrong_values(plane: Plane, expected: str) -> BprError:
    values = MaskValues.of(plane.values).describe()
    return BprError(f"{plane.name} holds {values} of the type {plane.values.dtype}; expected {expected}")


def like(mask: BoolArray, original: NDArray[Any]) -> NDArray[Any]:
    """The mask with the dtype and the foreground values of ``original``; new foreground gets the largest of these."""
    out = np.zeros_like(original)
    np.copyto(out, original, where=mask)
    joined = mask & (original == 0)
    if joined.any():
        out[joined] = original[original != 0].max()
    return out


def checked_labels(plane: Plane) -> Plane:
    """The plane, if it holds labels.

    Raises:
        BprError: it does not hold one integer of at most 32 bits per pixel.
    """
    if plane.values.dtype.kind not in "iu":
        raise unusable(plane.given, plane.name, "integers")
    limits, lowest, highest = np.iinfo(np.int32), int(plane.values.min()), int(plane.values.max())
    if lowest < limits.min or highest > limits.max:
        raise BprError(f"{plane.name} holds labels from {lowest} to {highest}; expected 32-bit integers")
    return plane
