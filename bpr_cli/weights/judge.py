"""The judge of weights: a small network that says how likely a change of a mask is right.

A refinement network sees a patch at a time and cannot know whether the mask that it is given fits its image elsewhere.
The judge weighs evidence on the whole mask and on each change, which ``refinement/evidence.py`` gathers. Its numbers
are a part of the card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.typing import DoubleArray

LARGEST = 4.0
"""Standard deviations from the mean at which evidence is cut off, so that an odd mask cannot decide by one value."""

DECIMALS = 4
"""Decimals of the numbers in a card."""


@dataclass(frozen=True, eq=False)
class Judge:
    """Two layers with a tanh between them, and a sigmoid.

    Attributes:
        centre: mean of each of the D values of evidence, (D,).
        spread: their standard deviations, (D,), above 0.
        first: weights of the first layer, (D, H).
        first_offset: (H,).
        second: weights of the second layer, (H,).
        second_offset: (1,).
    """

    centre: DoubleArray
    spread: DoubleArray
    first: DoubleArray
    first_offset: DoubleArray
    second: DoubleArray
    second_offset: DoubleArray

    @classmethod
    def of(cls, numbers: Sequence[float], inputs: int) -> Judge:
        """The judge from the numbers of a card.

        Args:
            numbers: its arrays in their order, flattened.
            inputs: D, the number of values of evidence.

        Raises:
            BprError: the count of the numbers fits no judge of so many inputs.
        """
        hidden, rest = divmod(len(numbers) - 2 * inputs - 1, inputs + 2)
        if rest or hidden < 1:
            raise BprError(
                f"the judge of the weights has {len(numbers)} numbers, which fit no judge of {inputs} inputs; use the "
                "version of bpr that made these weights"
            )
        shapes = [(inputs,), (inputs,), (inputs, hidden), (hidden,), (hidden,), (1,)]
        ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
        parts = np.split(np.array(numbers, dtype=np.float64), ends)
        return cls(*(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))

    def numbers(self) -> tuple[float, ...]:
        """What ``of`` reads, rounded to ``DECIMALS``."""
        arrays = (self.centre, self.spread, self.first, self.first_offset, self.second, self.second_offset)
        return tuple(np.concatenate([each.ravel() for each in arrays]).round(DECIMALS).tolist())

    def chances(self, evidence: NDArray[np.floating]) -> DoubleArray:
        """How likely the pixels of each change are right.

        Args:
            evidence: (N, D).

        Returns:
            float64, (N,), 0..1.

        Example:
            >>> judge = Judge.of([0, 1, 2, 0, 1, 0], inputs=1)
            >>> judge.chances(np.array([[-1.0], [0.0], [1.0]])).round(3).tolist()
            [0.276, 0.5, 0.724]
        """
        scaled = np.clip((evidence - self.centre) / self.spread, -LARGEST, LARGEST)
        found: DoubleArray = np.tanh(scaled @ self.first + self.first_offset) @ self.second + self.second_offset
        return 1 / (1 + np.exp(-found))
