"""What a mask is: one rule for files and arrays, which tells binary masks, soft masks and label maps apart.

1. Booleans, or 0 and one other value, whatever it is: a binary mask; also 1, 255 or 65535 alone. Of several files, some
   may hold 0 and 255, others 0 and 65535.
2. 0, one other value, and a value known as void: unclear, because it may be a mask with void pixels, a mask with soft
   edges or a map of two classes. So are files that each hold 0 and one other value, which in some is one known as void:
   they may be masks of several programs.
3. Whole numbers that change gradually between 0 and 255, or 0 and 65535, and fractions from 0 to 1: a soft mask. Pixels
   above one half of the range are foreground.
4. Whole numbers that change at nearly every pixel, as in a gray photograph, or that lie only close to 0 and close to
   full, as in a noisy mask: unclear.
5. Other whole numbers: a label map.

Several files are decided together, from the sum of their ``MaskValues``. Callers ask ``kind`` first, and refuse what is
unclear with ``describe`` and the way to say what it is; ``foreground`` then gives the mask.

Gradual: values in the outer tenths of the range are extreme; those between are middle values. In a soft mask most
pixels are extreme, and a middle value lies between a smaller and a larger neighbour or differs little from both. In a
label map a region may have any neighbours. JPEG compression leaves few middle values, but neighbours that differ a
little in both outer tenths.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import astuple, dataclass, field, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import join_names
from bpr_cli.masks.runs import values_of
from bpr_cli.typing import BoolArray

_LITTLE = 0.02
"""A difference below this share of the range is gradual."""
_BAND = 1 << 20
"""Pixels of a band of rows."""
_BANDS = 16
"""Bands of a large array that are looked at, evenly spaced."""

_SOFT, _SOFT_EXTREME = 0.7, 0.5
"""A soft mask has at least these shares of gradual changes and of extreme pixels."""
_BETWEEN = 0.75
"""With at least this share of runs between their neighbours, an array may be soft, or nested labels."""

_DIFFERING = 0.75
"""In a photograph, at least this share of the pixels of middle value have a neighbour of another value."""


def outer_tenths(full: int) -> tuple[float, float]:
    """Where the lowest tenth of the range from 0 to ``full`` ends, and where the highest begins."""
    return 0.1 * full, 0.9 * full


@dataclass(frozen=True)
class Transitions:
    """Counts of how values change; ``+`` adds the counts of several arrays.

    Attributes:
        pixels: pixels that were looked at.
        extreme: pixels with an extreme value.
        changing: pixels with a middle value and a neighbour of another value.
        gradual: those of them whose changes are gradual.
        low_noise: pairs of neighbours that differ within the lowest tenth.
        high_noise: pairs of neighbours that differ within the highest tenth.
        runs: runs of a middle value between two others in a row or column.
        between: those of them whose value lies between those of their neighbours.
    """

    pixels: int = 0
    extreme: int = 0
    changing: int = 0
    gradual: int = 0
    low_noise: int = 0
    high_noise: int = 0
    runs: int = 0
    between: int = 0

    @classmethod
    def of(cls, values: NDArray[np.integer], full: int) -> Transitions:
        """Count the changes of an array, (H, W), whose range is 0 to ``full``."""
        return sum((_count(band.astype(np.int32), full) for band in _bands(values)), cls())

    def __add__(self, other: Transitions) -> Transitions:
        return Transitions(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))

    @property
    def are_soft(self) -> bool:
        """Whether the values are those of soft masks."""
        return self._mostly_extreme and self._gradual_share >= _SOFT

    @property
    def may_be_soft(self) -> bool:
        """Whether the values may be those of soft masks, but also nested labels, or a picture.

        So may values of which all are extreme, some at either end: masks with noise.
        """
        nested = self.runs > 0 and self.between >= _BETWEEN * self.runs
        noisy = 0 < self.pixels == self.extreme
        return noisy or (nested and (self._mostly_extreme or self._gradual_share >= _SOFT))

    @property
    def are_photographs(self) -> bool:
        """Whether values change from nearly every pixel to the next, as in gray photographs."""
        middle = self.pixels - self.extreme
        return not self._mostly_extreme and self.changing >= _DIFFERING * middle

    @property
    def _mostly_extreme(self) -> bool:
        return self.extreme >= _SOFT_EXTREME * self.pixels

    @property
    def _gradual_share(self) -> float:
        noise = min(self.low_noise, self.high_noise)
        changing = self.changing + noise
        return (self.gradual + noise) / changing if changing else 0.0


def _bands(values: NDArray[np.integer]) -> Iterator[NDArray[np.integer]]:
    """The array in bands of rows; only some bands of a large array."""
    height, width = values.shape
    rows = max(3, _BAND // max(width, 1))
    starts = np.arange(0, height, rows)
    for start in starts[:: max(1, len(starts) // _BANDS)].tolist():
        yield values[start : start + rows]


def _count(values: NDArray[np.int32], full: int) -> Transitions:
    low, high = outer_tenths(full)
    middle = (values > low) & (values < high)
    changing, gradual = _changing(values, middle, _LITTLE * full)
    runs, between = np.add(_runs(values, low, high), _runs(np.ascontiguousarray(values.T), low, high)).tolist()
    return Transitions(
        pixels=values.size,
        extreme=int(values.size - np.count_nonzero(middle)),
        changing=changing,
        gradual=gradual,
        low_noise=_differing_pairs(values, values <= low),
        high_noise=_differing_pairs(values, values >= high),
        runs=runs,
        between=between,
    )


def _changing(values: NDArray[np.int32], middle: NDArray[np.bool_], little: float) -> tuple[int, int]:
    """Pixels, without those at the border, that change to a neighbour, and those of them that change gradually."""
    rows, columns = (np.flatnonzero(middle.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return 0, 0
    y0, y1 = max(int(rows[0]) - 1, 0), int(rows[-1]) + 2
    x0, x1 = max(int(columns[0]) - 1, 0), int(columns[-1]) + 2
    window, centre = values[y0:y1, x0:x1], middle[y0:y1, x0:x1][1:-1, 1:-1]
    here = window[1:-1, 1:-1][centre]
    left, right = (window[1:-1, where][centre] for where in (slice(None, -2), slice(2, None)))
    above, below = (window[where, 1:-1][centre] for where in (slice(None, -2), slice(2, None)))
    largest = np.max([np.abs(here - side) for side in (left, right, above, below)], axis=0)
    ramp = _is_between(left, here, right) | _is_between(above, here, below)
    return int(np.count_nonzero(largest)), int(np.count_nonzero((largest > 0) & (ramp | (largest <= little))))


def _runs(values: NDArray[np.int32], low: float, high: float) -> tuple[int, int]:
    """Runs of a middle value in the rows, between two others, and those between their neighbours in value."""
    starts = np.ones(values.shape, dtype=bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    row, run = np.nonzero(starts)[0], values[starts]
    before, here, after = run[:-2], run[1:-1], run[2:]
    inner = (row[:-2] == row[2:]) & (here > low) & (here < high)
    return int(np.count_nonzero(inner)), int(np.count_nonzero(inner & _is_between(before, here, after)))


def _is_between(first: NDArray[np.int32], middle: NDArray[np.int32], last: NDArray[np.int32]) -> NDArray[np.bool_]:
    return ((first < middle) & (middle < last)) | ((first > middle) & (middle > last))


def _differing_pairs(values: NDArray[np.int32], chosen: NDArray[np.bool_]) -> int:
    """Pairs of chosen neighbours with different values."""
    rows = (values[1:] != values[:-1]) & chosen[1:] & chosen[:-1]
    columns = (values[:, 1:] != values[:, :-1]) & chosen[:, 1:] & chosen[:, :-1]
    return int(np.count_nonzero(rows)) + int(np.count_nonzero(columns))


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
        others = self.present - {0}
        is_one = len(others) <= 1 and (0 in self.present or others <= {1, BYTE, WORD})
        return self.binary and (is_one or others == {BYTE, WORD})

    def _with_void(self, void: Collection[int]) -> bool:
        """Whether these are 0, one other value, and void; or whether every array is binary, some with void alone."""
        has_void, others = bool(self.present & {WORD, *void}), self.present - {0}
        one_and_void = 0 in self.present and len(others) == 2
        all_are_binary = self.binary and len(others) > 1
        return has_void and (one_and_void or all_are_binary)

    @property
    def _could_be_soft(self) -> bool:
        """Whether these may be the values of a soft mask: some lie in between, or several close to full."""
        low, high = outer_tenths(self.full)
        ends = [sum(value <= low for value in self.present), sum(value >= high for value in self.present)]
        between = len(self.present) > sum(ends)
        in_range = min(self.present, default=0) >= 0 and max(self.present, default=0) <= WORD
        return in_range and len(self.present) > 3 and (between or (ends[0] > 0 and ends[1] > 1))
