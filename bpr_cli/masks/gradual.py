"""How the values of an array change from pixel to pixel: gradually, as in soft masks, or in steps, as in label maps.

Values in the outer tenths of the range are extreme; those between are middle values. In a soft mask most pixels are
extreme, and a middle value lies between a smaller and a larger neighbour or differs little from both. In a label map a
region may have any neighbours. JPEG compression leaves few middle values, but neighbours that differ a little in both
outer tenths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

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
