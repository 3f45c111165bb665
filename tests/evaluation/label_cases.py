"""Generated label maps and slow, obvious ways to measure them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def label_pairs(labels, largest=9):
    """Two maps of one size: pixels at random, or blocks of up to 3 x 3 pixels with a few pixels of noise."""
    sides = st.integers(1, largest)
    shapes = st.one_of(st.just((1, 1)), st.tuples(st.just(1), sides), st.tuples(sides, sides))
    return st.tuples(shapes, st.integers(1, 3)).flatmap(
        lambda drawn: st.tuples(*[_maps(labels, *drawn) for _ in range(2)])
    )


def _maps(labels, shape, block):
    values = hnp.arrays(np.int32, shape, elements=st.sampled_from(labels))
    return values.map(lambda array: np.kron(array, np.ones((block, block), dtype=np.int32)))


def brute_band(mask, width):
    """Foreground pixels with background, or the outside, within ``width`` rows and columns."""
    height, breadth = mask.shape
    band = np.zeros(mask.shape, dtype=bool)
    for y, x in np.argwhere(mask):
        inside = y >= width and x >= width and y + width < height and x + width < breadth
        window = mask[max(y - width, 0) : y + width + 1, max(x - width, 0) : x + width + 1]
        band[y, x] = not (inside and window.all())
    return band


def brute_iou(first, second):
    both, either = 0, 0
    for one, other in zip(first.ravel(), second.ravel(), strict=True):
        both += bool(one and other)
        either += bool(one or other)
    return both / either if either else float("nan")
