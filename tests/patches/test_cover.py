"""The scheme that covers a boundary with few boxes, against the greedy method done the long way."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boundary import BoundaryPixels, boundary_pixels
from bpr_cli.patches.boxes import cover_boxes, dense_boxes
from bpr_cli.patches.cover import cover
from tests.patches.drawn import planes

SIDES = st.sampled_from([1, 2, 5, 8, 12, 24, 30])

Corner = tuple[int, int]


def pixels_of(plane: np.ndarray) -> BoundaryPixels:
    return boundary_pixels(Mask.from_array(plane))


def places(pixels: BoundaryPixels) -> list[Corner]:
    return list(zip(pixels.x.tolist(), pixels.y.tolist(), strict=True))


def worth(pixel: Corner, corner: Corner, side: int) -> int:
    """1 at the edge of a box, 1 more a pixel further in, up to a sixth of the side; 0 outside."""
    inside = [place - start for place, start in zip(pixel, corner, strict=True)]
    depth = min(min(place + 1, side - place) for place in inside)
    return min(max(depth, 0), max(1, side // 6))


def covered_the_long_way(pixels: list[Corner], side: int) -> list[Corner]:
    """Try every box of the lattice anew for every choice."""
    left, top = (min(place[axis] for place in pixels) - side for axis in (0, 1))
    right, bottom = (max(place[axis] for place in pixels) for axis in (0, 1))
    step, full = max(1, side // 8), max(1, side // 6)
    lattice = [(x, y) for y in range(top, bottom + 2, step) for x in range(left, right + 2, step)]
    worths = {corner: [worth(pixel, corner, side) for pixel in pixels] for corner in lattice}
    seen = [0] * len(pixels)
    chosen: list[Corner] = []
    while True:
        added = {c: sum(max(w - s, 0) for w, s in zip(worths[c], seen, strict=True)) for c in lattice}
        best = max(lattice, key=lambda corner: added[corner])
        if added[best] == 0 or (chosen and added[best] < 0.75 * side * full):
            return chosen
        chosen.append(best)
        seen = [max(pair) for pair in zip(worths[best], seen, strict=True)]


@given(planes(12), SIDES)
def test_boxes_are_those_of_the_greedy_method(plane, side):
    pixels = pixels_of(plane)
    assume(len(pixels))
    expected = covered_the_long_way(places(pixels), side)
    assert cover(pixels, side).tolist() == [[x, y, x + side, y + side] for x, y in expected]


@given(planes(), SIDES)
def test_boxes_lie_inside_and_hold_a_boundary_pixel_each(plane, side):
    pixels = pixels_of(plane)
    boxes = cover_boxes(pixels, plane.shape, side)
    assert boxes.dtype == np.int64
    assert (len(boxes) > 0) == (len(pixels) > 0)
    for x0, y0, x1, y1 in boxes.tolist():
        assert (x1 - x0, y1 - y0) == (side, side)
        assert 0 <= x0 <= max(plane.shape[1] - side, 0)
        assert 0 <= y0 <= max(plane.shape[0] - side, 0)
        assert any(x0 <= x < x1 and y0 <= y < y1 for x, y in places(pixels))


@given(planes(12), st.integers(0, 30), st.integers(0, 30))
def test_boxes_move_with_the_mask(plane, right, down):
    frame = np.zeros((80, 80), bool)
    frame[1 : 1 + plane.shape[0], 1 : 1 + plane.shape[1]] = plane
    moved = np.roll(frame, (down, right), axis=(0, 1))
    expected = cover(pixels_of(frame), 24) + np.array([right, down, right, down])
    assert cover(pixels_of(moved), 24).tolist() == expected.tolist()


def test_a_small_mask_gets_one_box_with_room_around_it():
    plane = np.zeros((100, 100), bool)
    plane[40:60, 30:50] = True
    [(x0, y0, x1, y1)] = cover_boxes(pixels_of(plane), plane.shape, 48).tolist()
    assert x0 + 7 <= 29
    assert y0 + 7 <= 39
    assert x1 - 7 > 50
    assert y1 - 7 > 60


def test_a_long_boundary_is_covered_with_fewer_boxes_than_by_suppression():
    y, x = np.mgrid[:400, :400]
    plane = (x - 200) ** 2 + (y - 200) ** 2 < 150**2
    pixels = pixels_of(plane)
    few, dense = cover_boxes(pixels, plane.shape, 48), dense_boxes(pixels, plane.shape, 48, 0.25)
    assert len(few) < 0.75 * len(dense)
    bare = [p for p in places(pixels) if not any(b[0] <= p[0] < b[2] and b[1] <= p[1] < b[3] for b in few.tolist())]
    assert len(bare) < 0.05 * len(pixels)


@pytest.mark.parametrize("side", [1, 64])
def test_a_single_pixel_gets_a_box(side):
    plane = np.zeros((3, 3), bool)
    plane[1, 1] = True
    assert len(cover_boxes(pixels_of(plane), plane.shape, side)) >= 1
