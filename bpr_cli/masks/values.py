"""What a mask is: one rule for files and arrays, which tells binary masks, soft masks and label maps apart.

1. Booleans, or 0 and one other value, whatever it is: a binary mask; also 1, 255 or 65535 alone.
2. 0, one other value, and a value known as void: unclear, because it may be a mask with void pixels, a mask with soft
   edges or a map of two classes.
3. Whole numbers that change gradually between 0 and 255, or 0 and 65535, and fractions from 0 to 1: a soft mask. Pixels
   above one half of the range are foreground.
4. Whole numbers that change at nearly every pixel, as in a gray photograph, or that lie only close to 0 and close to
   full, as in a noisy mask: unclear.
5. Other whole numbers: a label map.

Several files are decided together, from the sum of their ``MaskValues``. Callers ask ``kind`` first, and refuse what is
unclear with ``describe`` and the way to say what it is; ``foreground`` then gives the mask.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import join_names
from bpr_cli.masks.gradual import Transitions, outer_tenths
from bpr_cli.masks.runs import values_of
from bpr_cli.typing import BoolArray

BYTE, WORD = 255, 65535
"""Largest values of 8 and 16 bits: certain foreground in soft masks, often void in label maps."""

HALF = 0.5
"""The default threshold of soft masks, as a fraction of their range."""


class MaskKind(str, Enum):
    """What the values of an array stand for."""

    BINARY = "binary"
    SOFT = "soft"
    LABELS = "labels"
    UNCLEAR = "unclear"


@dataclass(frozen=True)
class Foreground:
    """Which pixels of masks are foreground.

    Attributes:
        threshold: pixels above this fraction of the range are foreground, from 0 to below 1; with 0 every value but 0
            is foreground, as in binary masks.
        full: the largest value of the range: 255, 65535, or 1 for fractions; for 8-bit arrays never above 255.
    """

    threshold: float = 0.0
    full: int = BYTE

    @property
    def is_binary(self) -> bool:
        """Whether every value but 0 is foreground."""
        return self.threshold == 0

    def full_of(self, array: NDArray[Any]) -> int:
        """The largest value of the range of an array."""
        return min(self.full, BYTE) if array.dtype == np.uint8 else self.full

    def of(self, array: NDArray[Any]) -> BoolArray:
        """The foreground of a mask: bool, of the same shape.

        >>> Foreground(0.5).of(np.array([0, 127, 128, 255], np.uint8)).tolist()
        [False, False, True, True]
        """
        foreground: BoolArray = array != 0 if self.is_binary else array > self.threshold * self.full_of(array)
        return foreground


@dataclass(frozen=True)
class MaskValues:
    """The values of one or several arrays, as far as the rule needs them; ``+`` takes several together.

    Attributes:
        present: all values of whole numbers; of fractions, the smallest and the largest.
        transitions: how values change from pixel to pixel; empty where the values alone decide.
        binary: whether every array by itself holds 0 and at most one other value.
        fractions: whether some values are no whole numbers.
        finite: whether all values are finite.
    """

    present: frozenset[float] = frozenset()
    transitions: Transitions = field(default_factory=Transitions)
    binary: bool = True
    fractions: bool = False
    finite: bool = True

    @classmethod
    def of(cls, array: NDArray[Any]) -> MaskValues:
        """The values of an array, (H, W), of booleans, integers or floats.

        >>> MaskValues.of(np.array([[0, 7], [7, 0]])).kind().value
        'binary'
        >>> MaskValues.of(np.array([[0.0, 0.2], [0.9, 1.0]])).kind().value
        'soft'
        """
        if array.dtype.kind == "f":
            if not np.isfinite(array).all():
                return cls(binary=False, finite=False)
            if np.any(array != np.rint(array)):
                return cls(frozenset([float(array.min()), float(array.max())]), binary=False, fractions=True)
            array = array.astype(np.int64)
        numbers = array.astype(np.uint8) if array.dtype.kind == "b" else array
        present = frozenset(values_of(numbers).tolist())
        values = cls(present, binary=len(present - {0}) <= 1)
        return replace(values, transitions=Transitions.of(numbers, values.full)) if values._could_be_soft else values

    def __add__(self, other: MaskValues) -> MaskValues:
        return MaskValues(
            self.present | other.present,
            self.transitions + other.transitions,
            self.binary and other.binary,
            self.fractions or other.fractions,
            self.finite and other.finite,
        )

    @property
    def full(self) -> int:
        """The largest value of the range, if these are soft masks: 1, 255 or 65535."""
        return 1 if self.fractions else BYTE if max(self.present, default=0) <= BYTE else WORD

    def kind(self, void: Collection[int] = (BYTE,)) -> MaskKind:
        """What the values stand for; see the rule above.

        Args:
            void: values known as void, in addition to 65535.
        """
        if not self.finite:
            return MaskKind.UNCLEAR
        if self.fractions:
            return MaskKind.SOFT if min(self.present) >= 0 and max(self.present) <= 1 else MaskKind.UNCLEAR
        if self._are_binary:
            return MaskKind.BINARY
        if self._with_void(void):
            return MaskKind.UNCLEAR
        if self.transitions.are_soft:
            return MaskKind.SOFT if max(self.present) > HALF * self.full else MaskKind.UNCLEAR
        unclear = self.transitions.may_be_soft or self.transitions.are_photographs
        return MaskKind.UNCLEAR if unclear else MaskKind.LABELS

    def foreground(self, threshold: float | None = None) -> Foreground:
        """Which pixels are foreground if these are masks; of binary ones, all but 0.

        Args:
            threshold: threshold of soft masks, as a fraction of their range; None for one half.
        """
        return Foreground(0.0 if self.binary else HALF if threshold is None else threshold, self.full)

    def describe(self) -> str:
        """The values in words, for messages that begin with "holds"."""
        ordered = sorted(self.present)
        if not self.finite:
            return "values that are no numbers (NaN or infinite)"
        if self.fractions:
            return f"values from {ordered[0]:g} to {ordered[-1]:g}"
        if len(ordered) > 5:
            return f"{len(ordered)} values from {ordered[0]:g} to {ordered[-1]:g}"
        return f"the values {join_names((f'{value:g}' for value in ordered), limit=5)}"

    @property
    def _are_binary(self) -> bool:
        """Whether these are 0 and one other value; without any 0, only the usual values of masks."""
        return self.binary and len(self.present - {0}) <= 1 and (0 in self.present or self.present <= {1, BYTE, WORD})

    def _with_void(self, void: Collection[int]) -> bool:
        """Whether these are 0, one other value, and void."""
        return 0 in self.present and len(self.present) == 3 and bool(self.present & {WORD, *void})

    @property
    def _could_be_soft(self) -> bool:
        """Whether these may be the values of a soft mask: some lie in between, or several close to full."""
        low, high = outer_tenths(self.full)
        ends = [sum(value <= low for value in self.present), sum(value >= high for value in self.present)]
        between = len(self.present) > sum(ends)
        in_range = min(self.present, default=0) >= 0 and max(self.present, default=0) <= WORD
        return in_range and len(self.present) > 3 and (between or (ends[0] > 0 and ends[1] > 1))
