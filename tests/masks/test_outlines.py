"""Outlines of masks: they enclose the same pixels, and lie nowhere too far off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.masks.outlines import bridged, outlines_of
from tests.formats.format_builders import disc, masks
from tests.masks.test_polygons import inside


def sides(polygon):
    return zip(polygon, np.roll(polygon, -1, axis=0), strict=True)


def area(polygon):
    """Signed area: positive if the polygon runs clockwise on the screen."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in sides(polygon)) / 2


def edges(plane):
    """The edges of pixels between foreground and background, as pairs of points."""
    padded = np.pad(plane, 1).astype(int)
    found = [((x, y), (x, y + 1)) for y, x in np.argwhere(np.diff(padded[1:-1], axis=1))]
    return found + [((x, y), (x + 1, y)) for y, x in np.argwhere(np.diff(padded[:, 1:-1], axis=0))]


def farthest(points, lines):
    """The largest distance of a point from the nearest line."""
    starts, ends = (np.array(each, dtype=float) for each in zip(*lines, strict=True))
    way, along = np.asarray(points)[:, None] - starts, ends - starts
    share = (np.sum(way * along, axis=2) / np.sum(along**2, axis=1)).clip(0, 1)
    return np.hypot(*(way - share[..., None] * along).transpose(2, 0, 1)).min(axis=1).max()


def along(lines):
    """Points on lines, from end to end."""
    return [np.add(start, np.subtract(end, start) * share) for start, end in lines for share in np.linspace(0, 1, 9)]


@given(masks(), st.sampled_from([0.0, 0.2, 0.5]))
def test_up_to_half_a_pixel_the_same_pixels_are_enclosed(plane, tolerance):
    found = outlines_of(Mask.from_array(plane), tolerance)
    assert np.array_equal(inside([each.tolist() for each in found], plane.shape), plane)
    if found:
        joined = np.round(bridged(found), 4)
        assert np.array_equal(inside([joined.tolist()], plane.shape), plane)


@given(masks(16), st.sampled_from([0.0, 0.3, 0.5, 2.0]))
def test_no_point_is_farther_off_than_the_tolerance(plane, tolerance):
    found = outlines_of(Mask.from_array(plane), tolerance)
    if found:
        lines = [line for polygon in found for line in sides(polygon)]
        assert farthest(along(lines), edges(plane)) <= tolerance + 1e-9
        assert farthest(along(edges(plane)), lines) <= tolerance + 1e-9


def test_stairs_become_slopes_and_corners_stay():
    rectangle = np.zeros((20, 30), dtype=bool)
    rectangle[4:15, 3:27] = True
    (outline,) = outlines_of(Mask.from_array(rectangle), 0.5)
    assert sorted(outline.tolist()) == [[3, 4], [3, 15], [27, 4], [27, 15]]
    (slope,) = outlines_of(Mask.from_array(np.tri(100, dtype=bool)), 0.5)
    assert len(slope) <= 5
    (circle,) = outlines_of(Mask.from_array(disc((200, 200), (100, 100), 80)), 0.5)
    assert len(circle) < 120


def test_parts_run_clockwise_and_holes_the_other_way():
    ring = disc((40, 40), (20, 20), 15) & ~disc((40, 40), (20, 20), 5)
    ring[0:3, 0:3] = True
    assert [np.sign(area(each)) for each in outlines_of(Mask.from_array(ring), 0.5)] == [1, 1, -1]


def test_pixels_that_touch_at_a_corner_are_one_part():
    found = outlines_of(Mask.from_array(np.eye(3, dtype=bool)), 0)
    assert len(found) == 1
    assert len(outlines_of(Mask.from_array(~np.eye(3, dtype=bool)), 0)) == 2


@pytest.mark.parametrize("tolerance", [0.5, 3.0, 100.0])
def test_nothing_is_left_out_however_large_the_tolerance(tolerance):
    plane = np.zeros((9, 9), dtype=bool)
    plane[1, 1] = plane[4:7, 4:7] = True
    assert [len(each) > 2 and area(each) > 0 for each in outlines_of(Mask.from_array(plane), tolerance)] == [True, True]


def test_an_empty_mask_has_no_outline():
    assert outlines_of(Mask.empty((5, 5)), 0.5) == []
