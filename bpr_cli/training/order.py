"""In what order patches come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ORDERING = 2
"""What random numbers are drawn for, beside the purposes in ``held_out`` and ``batches``: each has its own stream."""


class Order:
    """An endless sequence of patches: every epoch in another order, and every patch once an epoch.

    What stands at a position depends on sizes and seed alone, so a training can go on anywhere in it.
    """

    def __init__(self, sizes: Sequence[int], balance: Literal["patches", "sets"], seed: int) -> None:
        """Make the order.

        Args:
            sizes: number of patches of each part.
            balance: ``patches`` shuffles all parts together; with ``sets`` the parts take turns, each shuffled alone.
            seed: of the shuffling.
        """
        self._ends = np.cumsum(sizes)
        self._streams = [int(self._ends[-1])] if balance == "patches" else list(sizes)
        self._balance = balance
        self._seed = seed
        self._shuffled: dict[int, tuple[int, NDArray[np.int64]]] = {}

    def at(self, position: int) -> tuple[int, int]:
        """The part and the index in it of the patch at a position, counted from 0."""
        turn, stream = divmod(position, len(self._streams))
        return self._place(stream, self._draw(stream, turn))

    def any(self, random: np.random.Generator) -> tuple[int, int]:
        """The part and the index in it of some patch, drawn with the same balance but apart from the sequence."""
        stream = int(random.integers(len(self._streams)))
        return self._place(stream, int(random.integers(self._streams[stream])))

    def _place(self, stream: int, drawn: int) -> tuple[int, int]:
        """The part and the index in it of the patch of that number in a stream."""
        if self._balance == "sets":
            return stream, drawn
        part = int(np.searchsorted(self._ends, drawn, side="right"))
        return part, drawn - (int(self._ends[part - 1]) if part else 0)

    def _draw(self, stream: int, turn: int) -> int:
        epoch, index = divmod(turn, self._streams[stream])
        kept = self._shuffled.get(stream)
        if kept is None or kept[0] != epoch:
            random = np.random.default_rng([self._seed, ORDERING, stream, epoch])
            kept = self._shuffled[stream] = (epoch, random.permutation(self._streams[stream]))
        return int(kept[1][index])
