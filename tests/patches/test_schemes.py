"""The schemes besides dense: a fixed grid, and one box per mask."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boundary import boundary_pixels
from bpr_cli.patches.boxes import boxes_along, dense_boxes
from tests.patches.drawn import planes

SIDES = st.sampled_from([1, 2, 3, 5, 8, 16, 64])


def along(plane: np.ndarray, scheme: str, side: int = 4) -> list[tuple[int, ...]]:
    mask = Mask.from_array(plane)
    boxes = boxes_along(mask, boundary_pixels(mask), scheme, side, 0.25)
    assert boxes.dtype == np.int64
    assert boxes.shape == (len(boxes), 4)
    return list(map(tuple, boxes.tolist()))


def inside(starts: list[int], side: int, length: int) -> list[int]:
    return [max(0, min(start, length - side)) for start in starts]


@given(planes(), SIDES)
def test_the_grid_is_every_cell_with_a_boundary_pixel(plane, side):
    pixels = boundary_pixels(Mask.from_array(plane))
    places = set(zip(pixels.x.tolist(), pixels.y.tolist(), strict=True))
    height, width = plane.shape
    expected = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            if any((x, y) in places for x in range(left, left + side) for y in range(top, top + side)):
                (y,), (x,) = inside([top], side, height), inside([left], side, width)
                expected.append((x, y, x + side, y + side))
    assert along(plane, "grid", side) == expected


@given(planes(), SIDES)
def test_every_boundary_pixel_lies_in_a_box_of_the_grid(plane, side):
    pixels = boundary_pixels(Mask.from_array(plane))
    boxes = along(plane, "grid", side)
    for x, y in zip(pixels.x.tolist(), pixels.y.tolist(), strict=True):
        assert any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes)


@given(planes())
def test_the_box_of_an_instance_is_a_square_around_all_of_it(plane):
    assume(len(boundary_pixels(Mask.from_array(plane))))
    [(x0, y0, x1, y1)] = along(plane, "instance")
    rows, columns = np.nonzero(plane)
    assert x0 <= columns.min()
    assert columns.max() < x1
    assert y0 <= rows.min()
    assert rows.max() < y1
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    assert x1 - x0 == y1 - y0 == math.ceil(1.25 * longer)
    height, width = plane.shape
    assert x0 >= 0
    assert x1 <= width or x0 == 0
    assert y0 >= 0
    assert y1 <= height or y0 == 0


def test_the_box_of_an_instance_is_centred_where_there_is_room():
    plane = np.zeros((60, 60), bool)
    plane[20:28, 30:46] = True
    assert along(plane, "instance") == [(28, 14, 48, 34)]


@pytest.mark.parametrize("scheme", ["dense", "grid", "instance"])
@pytest.mark.parametrize("value", [True, False])
def test_a_mask_without_boundary_has_no_box(scheme, value):
    assert along(np.full((9, 7), value), scheme) == []


@given(planes())
def test_the_dense_scheme_is_that_of_dense_boxes(plane):
    pixels = boundary_pixels(Mask.from_array(plane))
    assert along(plane, "dense") == list(map(tuple, dense_boxes(pixels, plane.shape, 4, 0.25).tolist()))


def test_an_unknown_scheme_is_answered_with_the_known_ones():
    with pytest.raises(BprError, match="scheme is 'sparse'; expected one of dense, grid, instance"):
        along(np.eye(5, dtype=bool), "sparse")
