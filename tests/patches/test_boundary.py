import numpy as np
import pytest
from hypothesis import example, given

from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boundary import boundary_pixels, boundary_score, grow
from tests.patches.drawn import planes


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
