"""Drawing: outlines lie on boundaries, and the busiest places hold what was marked."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bpr_cli.masks.drawing import BEFORE, busiest_places, draw_segments


def test_the_frame_of_the_image_is_not_outlined():
    image = np.full((40, 60, 3), 90, dtype=np.uint8)
    full = draw_segments(image, [np.ones((40, 60), dtype=bool)], BEFORE, (120, 80))
    assert np.ptp(full.reshape(-1, 3), axis=0).tolist() == [0, 0, 0]


def test_the_outline_lies_on_the_boundary():
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    mask = np.zeros((40, 60), dtype=bool)
    mask[:, 20:] = True
    drawn = draw_segments(image, [mask], BEFORE, (240, 160))
    columns = np.flatnonzero((drawn == BEFORE).all(axis=2).all(axis=0))
    assert columns.tolist() == [79, 80]


def test_places_are_where_most_changed():
    changed = np.zeros((100, 100), dtype=bool)
    changed[70:76, 20:26] = True
    changed[10:14, 80:84] = True
    first, second = busiest_places(changed, 20, 5)
    assert first == (13, 63, 33, 83)
    assert second == (72, 2, 92, 22)


@given(
    changed=st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(lambda shape: hnp.arrays(bool, shape)),
    side=st.integers(1, 12),
    count=st.integers(0, 4),
)
def test_places_lie_inside_hold_a_change_and_do_not_overlap(changed, side, count):
    places = busiest_places(changed, side, count)
    side = min(side, *changed.shape)
    assert len(places) <= count
    assert bool(places) == bool(changed.any() and count)
    covered = np.zeros(changed.shape, dtype=int)
    for x0, y0, x1, y1 in places:
        assert (x1 - x0, y1 - y0) == (side, side)
        assert changed[y0:y1, x0:x1].any()
        covered[y0:y1, x0:x1] += 1
    assert covered.max(initial=0) <= 1
