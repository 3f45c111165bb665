import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.refinement.changes import Changes, changes_of
from tests.inference.engines import blob

VOID = frozenset({255, -1})


def by_hand(before: list[np.ndarray], after: list[np.ndarray]) -> list[list[int]]:
    """Area, lost and gained pixels of every pair of masks."""
    pairs = list(zip(before, after, strict=True))
    return [
        [int(one.sum()) for one, _ in pairs],
        [int((one & ~other).sum()) for one, other in pairs],
        [int((other & ~one).sum()) for one, other in pairs],
    ]


def listed(changes: Changes) -> list[list[int]]:
    assert {each.dtype for each in (changes.area, changes.lost, changes.gained)} == {np.dtype(np.int64)}
    return [changes.area.tolist(), changes.lost.tolist(), changes.gained.tolist()]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.integers(0, 4))
def test_masks_one_by_one(height, width, seed, count):
    random = np.random.default_rng(seed)
    before, after = random.random((2, count, height, width)) < random.random((2, count, 1, 1))
    pair = [tuple(Mask.from_array(plane) for plane in planes) for planes in (before, after)]
    assert listed(changes_of(*pair)) == by_hand(before, after)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_labels_that_are_not_void_ascending(height, width, seed, share):
    random = np.random.default_rng(seed)
    before = random.choice([-7, 0, 3, 70_000, 255, -1], (height, width)).astype(np.int32)
    known = sorted(set(before.flat) - VOID)
    after = before.copy()
    moved = ~np.isin(before, list(VOID)) & (random.random(before.shape) < share)
    after[moved] = random.choice(known or [255], int(moved.sum()))
    changes = changes_of(LabelMap(before, VOID), LabelMap(after, VOID))
    assert listed(changes) == by_hand([before == label for label in known], [after == label for label in known])
    # What one label loses another gains.
    assert changes.lost.sum() == changes.gained.sum() == (before != after).sum()


def test_areas_that_grow_and_shrink_do_not_make_up_for_each_other():
    changes = Changes(*(np.array(each, np.int64) for each in ([10, 10, 10], [3, 0, 2], [0, 3, 2])))
    assert changes.resized.tolist() == [3, 3, 0]


def test_masks_and_label_maps_are_not_compared():
    with pytest.raises(TypeError, match="no pixels to compare"):
        changes_of((Mask.from_array(blob((6, 6))),), LabelMap(np.zeros((6, 6), np.int32), VOID))
