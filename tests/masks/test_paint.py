"""Few colours for many segments: those that touch differ, and a segment has one colour in all maps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bpr_cli.masks.drawing import FILLS
from bpr_cli.masks.paint import paint, painted, touching


def test_touching_segments_are_painted_differently():
    # Eight by eight blocks on some background, numbered in a random order.
    numbers = np.random.default_rng(5).permutation(70)[:64].reshape(8, 8)
    labels = np.where(numbers > 60, 0, numbers).astype(np.int32).repeat(6, axis=0).repeat(6, axis=1)
    pairs = touching(labels)
    colours = paint(pairs, int(labels.max()))
    assert all(colours[a] != colours[b] for a, b in pairs if a != b)
    assert set(np.unique(colours)) <= set(range(len(FILLS) + 1))
    assert colours[0] == 0
    assert all(colours[number] for number in np.unique(labels) if number)


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 5)))
def test_segments_that_touch_are_those_of_neighbouring_pixels(segments):
    expected = {(int(value), int(value)) for value in segments.ravel() if value}
    height, width = segments.shape
    for y, x in np.ndindex(height, width):
        for other in ((y + 1, x), (y, x + 1)):
            if other[0] < height and other[1] < width and segments[y, x] and segments[other]:
                expected.add(tuple(sorted((int(segments[y, x]), int(segments[other])))))
    assert touching(segments) == expected


def test_a_segment_has_one_colour_in_all_maps():
    first = np.array([[1, 1, 2, 0], [3, 3, 2, 4]], dtype=np.int32)
    second = np.array([[1, 2, 2, 4], [3, 1, 2, 4]], dtype=np.int32)
    colours = painted(first, second)
    found = {
        (int(a), int(b))
        for maps in zip((first, second), colours, strict=True)
        for a, b in zip(*map(np.ravel, maps), strict=True)
    }
    assert len(found) == 5
    assert (0, 0) in found
