"""Filling of polygons, against the even-odd rule for each pixel."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.masks.polygons import fill_polygons


def inside(polygons, size):
    """Whether a ray from the centre of each pixel to the left crosses an odd number of sides."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    odd = np.zeros(size, dtype=bool)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
            spans = (y0 <= rows) != (y1 <= rows)
            with np.errstate(divide="ignore", invalid="ignore"):
                odd ^= spans & (x0 + (rows - y0) * (x1 - x0) / (y1 - y0) <= columns)
    return odd


coordinates = st.integers(-20, 60).map(lambda sixteenth: sixteenth / 4)
polygon = st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9)


@given(st.lists(polygon, max_size=3), st.integers(1, 12), st.integers(1, 12))
def test_pixels_are_those_whose_centres_lie_inside(polygons, height, width):
    found = fill_polygons([np.array(each, dtype=float) for each in polygons], (height, width))
    assert found.size == (height, width)
    assert np.array_equal(found.to_array(), inside(polygons, (height, width)))


def test_a_polygon_without_area_and_one_outside_are_empty():
    flat, outside = np.array([(1.0, 1.0), (5.0, 5.0), (3.0, 3.0)]), np.array([(9.0, 9.0), (20.0, 9.0), (9.0, 20.0)])
    assert fill_polygons([flat, outside], (8, 8)).area == 0


def test_zigzags_that_would_fill_the_memory_are_refused():
    zigzag = np.tile([(0.0, 0.0), (1.0, 20000.0)], (2000, 1))
    with pytest.raises(BprError, match="far more than an image of 4 x 20000 pixels has"):
        fill_polygons([zigzag], (20000, 4))
