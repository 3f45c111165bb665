"""Boundary pixels, and the boxes along them."""

import math

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boxes import (
    boundary_pixels,
    boundary_score,
    boxes_along,
    dense_boxes,
    grow,
    move_inside,
    suppress,
    union,
    unique_boxes,
)
from tests.patches.drawn import THRESHOLDS, planes


def score_by_counting(plane: np.ndarray) -> np.ndarray:
    """min(n, 9 - n) by a plain loop; what lies outside repeats the edge."""
    height, width = plane.shape
    out = np.zeros(plane.shape, np.uint8)
    for y in range(height):
        for x in range(width):
            n = 0
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    n += int(plane[min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)])
            out[y, x] = min(n, 9 - n)
    return out


@given(planes())
@example(np.eye(5, dtype=bool))
@example(np.ones((1, 1), bool))
def test_score_equals_counting(plane):
    score = boundary_score(plane)
    assert score.dtype == np.uint8
    np.testing.assert_array_equal(score, score_by_counting(plane))


@given(planes())
@example(np.pad(np.ones((1, 1), bool), 4))
def test_pixels_are_those_of_the_full_frame_best_first_then_in_raster_order(plane):
    score = score_by_counting(plane)
    expected = sorted((-int(score[y, x]), y, x) for y, x in zip(*np.nonzero(score), strict=True))
    found = boundary_pixels(Mask.from_array(plane))
    assert len(found) == len(expected)
    assert list(zip((-found.score.astype(int)).tolist(), found.y.tolist(), found.x.tolist(), strict=True)) == expected


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_an_array_without_pixels_has_no_boundary(shape):
    assert boundary_score(np.zeros(shape, bool)).shape == shape


def test_views_with_strides_score_like_their_copies():
    plane = np.random.default_rng(1).random((12, 14)) < 0.5
    for view in (plane[::2, ::3], plane[::-1], plane[:, ::-1], plane.T):
        np.testing.assert_array_equal(boundary_score(view), score_by_counting(view))


def test_the_frame_is_no_boundary():
    plane = np.zeros((6, 6), bool)
    plane[:, :3] = True
    score = boundary_score(plane)
    assert set(np.nonzero(score)[1].tolist()) == {2, 3}
    assert not boundary_score(np.ones((6, 6), bool)).any()


def test_grow_stops_at_the_frame():
    assert grow((2, 3, 4, 5), 2, (6, 20)) == (0, 1, 6, 6)
    assert grow((0, 0, 20, 6), 3, (6, 20)) == (0, 0, 20, 6)


PATCH_SIZES = st.sampled_from([1, 2, 3, 4, 5, 8, 9, 16, 64])


def iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    tall = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - wide * tall
    return wide * tall / union


def greedy(boxes: list[tuple[int, ...]], threshold: float) -> list[tuple[int, ...]]:
    """Textbook non-maximum suppression of boxes in descending score."""
    kept: list[tuple[int, ...]] = []
    for box in boxes:
        if all(iou(box, other) <= threshold for other in kept):
            kept.append(box)
    return kept


def moved(box: tuple[int, ...], size: tuple[int, int]) -> tuple[int, ...]:
    """Push a box pixel by pixel until it is inside, or starts at 0 where the image is too small."""
    x0, y0, x1, y1 = box
    while x1 > size[1]:
        x0, x1 = x0 - 1, x1 - 1
    while x0 < 0:
        x0, x1 = x0 + 1, x1 + 1
    while y1 > size[0]:
        y0, y1 = y0 - 1, y1 - 1
    while y0 < 0:
        y0, y1 = y0 + 1, y1 + 1
    return x0, y0, x1, y1


def centred(plane: np.ndarray, side: int) -> list[tuple[int, ...]]:
    """Boxes around the boundary pixels, best first; even sides have the pixel right below the middle."""
    pixels = boundary_pixels(Mask.from_array(plane))
    starts = zip((pixels.x - side // 2).tolist(), (pixels.y - side // 2).tolist(), strict=True)
    return [(x, y, x + side, y + side) for x, y in starts]


@given(planes(), PATCH_SIZES, THRESHOLDS)
@example(np.pad(np.ones((1, 1), bool), 9), 4, 0.0)
def test_suppression_equals_textbook_nms(plane, side, threshold):
    kept = suppress(boundary_pixels(Mask.from_array(plane)), side, threshold)
    assert list(map(tuple, kept.tolist())) == greedy(centred(plane, side), threshold)


@given(planes(), PATCH_SIZES, st.floats(0, 1))
def test_suppression_equals_textbook_nms_at_any_threshold(plane, side, threshold):
    kept = suppress(boundary_pixels(Mask.from_array(plane)), side, threshold)
    assert list(map(tuple, kept.tolist())) == greedy(centred(plane, side), threshold)


@given(planes(), PATCH_SIZES, THRESHOLDS)
def test_dense_boxes_are_the_suppressed_ones_moved_inside_each_once(plane, side, threshold):
    found = dense_boxes(boundary_pixels(Mask.from_array(plane)), plane.shape, side, threshold)
    expected = dict.fromkeys(moved(box, plane.shape) for box in greedy(centred(plane, side), threshold))
    assert found.shape == (len(expected), 4)
    assert found.dtype == np.int64
    assert list(map(tuple, found.tolist())) == list(expected)


@given(planes(), PATCH_SIZES, THRESHOLDS)
def test_from_one_half_on_every_boundary_pixel_lies_under_a_box(plane, side, threshold):
    """Two squares whose IoU exceeds one half each hold the other's centre, so no boundary pixel is left uncovered."""
    pixels = boundary_pixels(Mask.from_array(plane))
    boxes = dense_boxes(pixels, plane.shape, side, threshold)
    assert (len(boxes) > 0) == (len(pixels) > 0)
    if threshold >= 0.5:
        for x, y in zip(pixels.x, pixels.y, strict=True):
            assert any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes)


def is_under(x: int, y: int, boxes: list[tuple[int, ...]]) -> bool:
    return any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes)


@given(planes(), PATCH_SIZES, THRESHOLDS, st.integers(1, 5))
@example(np.pad(np.ones((60, 60), bool), 9), 8, 0.0, 1)
def test_with_a_rim_boxes_follow_where_boundary_pixels_are_left(plane, side, threshold, rim):
    """The textbook way is repeated with the pixels that lie in no box and no rim."""
    left, expected = centred(plane, side), list[tuple[int, ...]]()
    while left:
        expected += [moved(box, plane.shape) for box in greedy(left, threshold)]
        wide = [(x0 - rim, y0 - rim, x1 + rim, y1 + rim) for x0, y0, x1, y1 in expected]
        left = [box for box in left if not is_under(box[0] + side // 2, box[1] + side // 2, wide)]
    found = dense_boxes(boundary_pixels(Mask.from_array(plane)), plane.shape, side, threshold, rim)
    assert list(map(tuple, found.tolist())) == list(dict.fromkeys(expected))


def test_a_rim_closes_the_gaps_that_a_low_threshold_leaves():
    """A ring of which the last box would overlap the first one."""
    y, x = np.mgrid[:120, :120] - 60
    pixels = boundary_pixels(Mask.from_array(x**2 + y**2 < 43**2))
    gaps, none = (dense_boxes(pixels, (120, 120), 16, 0.0, rim) for rim in (0, 2))
    assert len(none) > len(gaps)
    for boxes, rim, covers in ((gaps, 2, False), (none, 2, True)):
        wide = [(x0 - rim, y0 - rim, x1 + rim, y1 + rim) for x0, y0, x1, y1 in boxes.tolist()]
        places = zip(pixels.x.tolist(), pixels.y.tolist(), strict=True)
        assert all(is_under(*place, wide) for place in places) == covers


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 12), st.integers(-15, 15), st.integers(-15, 15))
def test_move_inside_pushes_by_the_least(height, width, side, x, y):
    box = (x, y, x + side, y + side)
    assert tuple(move_inside(np.array([box]), (height, width))[0].tolist()) == moved(box, (height, width))


def test_boxes_reach_the_last_row_and_column():
    plane = np.zeros((20, 30), bool)
    plane[-1, -1] = True
    boxes = dense_boxes(boundary_pixels(Mask.from_array(plane)), plane.shape, 8, 0.25)
    assert boxes.tolist() == [[22, 12, 30, 20]]


@pytest.mark.parametrize("plane", [np.zeros((5, 7), bool), np.ones((5, 7), bool), np.ones((1, 1), bool)])
def test_a_mask_without_boundary_has_no_dense_box(plane):
    boxes = dense_boxes(boundary_pixels(Mask.from_array(plane)), plane.shape, 64, 0.25)
    assert boxes.shape == (0, 4)


def test_unique_boxes_keep_the_first_places():
    boxes = np.array([[5, 0, 9, 4], [0, 0, 4, 4], [5, 0, 9, 4], [1, 0, 5, 4]])
    assert unique_boxes(boxes).tolist() == [[5, 0, 9, 4], [0, 0, 4, 4], [1, 0, 5, 4]]


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


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 4), st.integers(1, 4)), max_size=2))
@example([(0, 0, 1, 1), (4, 4, 2, 2)])
def test_the_union_of_boxes_holds_both_and_no_more(drawn):
    boxes = [(x, y, x + w, y + h) for x, y, w, h in drawn] + [(0, 0, 0, 0)] * (2 - len(drawn))
    filled = [box for box in boxes if box != (0, 0, 0, 0)] or [(0, 0, 0, 0)]
    lows, highs = np.min(filled, axis=0), np.max(filled, axis=0)
    assert union(*boxes) == (*lows[:2], *highs[2:])
