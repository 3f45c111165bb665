"""Few colours for many segments: those that touch differ, so that pictures need one layer per colour, not per segment.

A segment map is int32, (H, W): 0 is background or void, any other number is a segment.
"""

from __future__ import annotations

import numpy as np

from bpr_cli.masks.drawing import FILLS
from bpr_cli.masks.runs import values_of
from bpr_cli.typing import LabelArray


def painted(*maps: LabelArray) -> list[LabelArray]:
    """Segment maps of one image with colours in place of segments: 0 for background, else 1 to ``len(FILLS)``.

    A number has the same colour in all maps. Numbers should be small, because there is a table of them.
    """
    colours = paint(set().union(*map(touching, maps)), max(int(each.max(initial=0)) for each in maps))
    return [colours[each] for each in maps]


def touching(segments: LabelArray) -> set[tuple[int, int]]:
    """Pairs of segments that share an edge, the lower number first; every segment is also paired with itself."""
    found = {(int(value), int(value)) for value in values_of(segments) if value}
    count = int(segments.max(initial=0)) + 1
    for first, second in ((segments[:, 1:], segments[:, :-1]), (segments[1:], segments[:-1])):
        edge = (first != second) & (first != 0) & (second != 0)
        low, high = np.minimum(first[edge], second[edge]), np.maximum(first[edge], second[edge])
        keys = np.unique(low.astype(np.int64) * count + high)
        found |= {divmod(key, count) for key in keys.tolist()}
    return found


def paint(pairs: set[tuple[int, int]], largest: int) -> LabelArray:
    """A colour, from 1, for every segment, and 0 for all other numbers: int32, (largest + 1,).

    Args:
        pairs: segments that touch, see ``touching``.
        largest: the largest segment.
    """
    neighbours: dict[int, set[int]] = {}
    for a, b in pairs:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    colours = np.zeros(largest + 1, dtype=np.int32)
    for turn, segment in enumerate(sorted(neighbours)):
        used = {int(colours[other]) for other in neighbours[segment]}
        # Starting at a different colour each time spreads the colours among segments that do not touch.
        free = [colour for colour in (1 + (turn + i) % len(FILLS) for i in range(len(FILLS))) if colour not in used]
        colours[segment] = free[0] if free else 1 + turn % len(FILLS)
    return colours
