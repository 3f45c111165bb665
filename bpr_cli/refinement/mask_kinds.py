"""What the masks of Python programs stand for: masks, probabilities or logits; and several masks in one argument."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.soft import SoftMask
from bpr_cli.masks.values import BYTE, HALF, WORD, Foreground, MaskKind, MaskValues
from bpr_cli.refinement.arrays import Plane, as_array, as_given, unusable
from bpr_cli.settings import Settings, checked
from bpr_cli.typing import BoolArray

Kind = Literal["mask", "probabilities", "logits"]

_SEVERAL = "several masks: a list, a generator or a stack (N, H, W)"
_SINGLE = (str, os.PathLike, Mapping, Image.Image)
"""Types that are never several masks, though some can be iterated."""
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
    """

    kind: Kind | None = None
    threshold: Annotated[float, Meta(gt=0, lt=1)] = HALF
    soft: bool = False


@dataclass(frozen=True)
class GivenMask:
    """A mask that was read, and the way back to what was given.

    Attributes:
        plane: its values.
        mask: its foreground; a ``SoftMask`` if the result is soft.
        full: value of refined foreground; None where the values of the mask are kept.
    """

    plane: Plane
    mask: Mask
    full: int | None

    @classmethod
    def read(cls, given: object, name: str, how: MaskSettings) -> GivenMask:
        """Read one mask.

        Raises:
            BprError: it does not hold one number per pixel, or its numbers are not what ``how`` says.
        """
        plane = Plane.of(given, name)
        foreground, full = _READERS[how.kind](plane, how.threshold)
        mask = _soft_mask(plane, foreground, full, how) if how.soft else Mask.from_array(foreground)
        return cls(plane, mask, full)

    def back(self, refined: Mask) -> Any:  # noqa: ANN401 - the kind that was given
        """The refined mask in the kind that was given."""
        return as_given(self.shaped(refined), self.plane.given)

    def shaped(self, refined: Mask) -> NDArray[Any]:
        """The refined mask with the shape, type and range of what was given."""
        foreground, values = refined.to_array(), self.plane.values
        if isinstance(refined, SoftMask):
            scaled = refined.values / refined.full if values.dtype.kind == "f" else refined.values
            return self.plane.shaped(scaled.astype(values.dtype))
        if self.full is None:
            return self.plane.shaped(like(foreground, values))
        return self.plane.shaped((foreground * self.full).astype(values.dtype))


@dataclass(frozen=True)
class GivenMasks:
    """Several masks that were read from one argument.

    Attributes:
        masks: the masks.
        stack: the array of a stack, (N, H, W); None for a list.
        given: the argument.
    """

    masks: list[GivenMask]
    stack: NDArray[Any] | None
    given: object

    @classmethod
    def read(cls, given: object, how: MaskSettings) -> GivenMasks:
        """Read a list, a generator or a stack.

        Raises:
            BprError: it is none of these, or see ``GivenMask.read``.
        """
        stack = as_array(given, "masks") if isinstance(given, np.ndarray | Tensor) else None
        if stack is None and isinstance(given, Iterable) and not isinstance(given, _SINGLE):
            parts = list(given)
        elif stack is not None and stack.ndim in (3, 4):
            parts = list(stack)
        else:
            raise unusable(given, "masks", _SEVERAL)
        masks = [GivenMask.read(part, f"masks[{index}]", how) for index, part in enumerate(parts)]
        return cls(masks, stack, given)

    def back(self, refined: tuple[Mask, ...]) -> Any:  # noqa: ANN401 - the kind that was given
        """The refined masks: a stack of the kind that was given, or a list with the kind of each mask."""
        pairs = zip(self.masks, refined, strict=True)
        if self.stack is None:
            return [given.back(mask) for given, mask in pairs]
        out = np.empty_like(self.stack)
        for part, (given, mask) in zip(out, pairs, strict=True):
            part[...] = given.shaped(mask)
        return as_given(out, self.given)


def _by_rule(plane: Plane, threshold: float) -> tuple[BoolArray, int | None]:
    """The foreground of a mask, and its value in the result; see ``GivenMask``."""
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
        stacklevel=4,
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


def labels_of(given: object) -> Plane:
    """Read a label map.

    Raises:
        BprError: it does not hold one integer of at most 32 bits per pixel.
    """
    plane = Plane.of(given, "labels")
    if plane.values.dtype.kind not in "iu":
        raise unusable(given, "labels", "integers")
    limits, lowest, highest = np.iinfo(np.int32), int(plane.values.min()), int(plane.values.max())
    if lowest < limits.min or highest > limits.max:
        raise BprError(f"labels holds labels from {lowest} to {highest}; expected 32-bit integers")
    return plane


def ignored_labels(given: object) -> frozenset[int]:
    """The labels of the argument ``ignore``: one number or several.

    Raises:
        BprError: it is neither.
    """
    plain = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(plain, int):
        plain = (plain,)
    elif isinstance(plain, Iterable) and not isinstance(plain, str):
        plain = tuple(plain)
    ignored: frozenset[int] = checked("ignore", plain, frozenset[int])
    return ignored
