import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boundary import boundary_pixels
from bpr_cli.patches.boxes import dense_boxes, move_inside, suppress, unique_boxes
from tests.patches.drawn import THRESHOLDS, planes

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
def test_a_mask_without_boundary_has_no_box(plane):
    boxes = dense_boxes(boundary_pixels(Mask.from_array(plane)), plane.shape, 64, 0.25)
    assert boxes.shape == (0, 4)


def test_unique_boxes_keep_the_first_places():
    boxes = np.array([[5, 0, 9, 4], [0, 0, 4, 4], [5, 0, 9, 4], [1, 0, 5, 4]])
    assert unique_boxes(boxes).tolist() == [[5, 0, 9, 4], [0, 0, 4, 4], [1, 0, 5, 4]]
