from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bpr_cli.evaluation.boundary import band_width, boundary_band
from bpr_cli.evaluation.instance.matching import NO_PARTNER, match
from bpr_cli.evaluation.instance.overlaps import iou, overlaps
from bpr_cli.masks.masks import Mask
from tests.evaluation.instance.instance_cases import encode, full_frame_band, shapes_in

sets = st.sampled_from([(1, 1), (5, 9), (20, 30)]).flatmap(
    lambda size: st.tuples(st.lists(shapes_in(size), max_size=4), st.lists(shapes_in(size), max_size=4))
)


@given(pair=sets, crowd=st.lists(st.booleans(), min_size=4, max_size=4), least=st.sampled_from([0.0, 0.5, 0.9]))
def test_overlaps_equal_pycocotools(pair, crowd, least):
    found, true = pair
    crowd = np.array(crowd[: len(true)], dtype=bool)
    ours = overlaps([Mask.from_array(m) for m in found], [Mask.from_array(m) for m in true], crowd, least)
    assert ours.shape == (len(found), len(true))
    if found and true:
        theirs = coco_mask.iou([encode(m) for m in found], [encode(m) for m in true], crowd.astype(int).tolist())
        needed = theirs >= max(least, 1e-9)
        assert np.array_equal(ours[needed], theirs[needed])
        assert (ours[~needed] < max(least, 1e-9)).all()


@given(pair=sets)
def test_intersection_and_iou_of_two_masks(pair):
    for first in pair[0]:
        for second in pair[1]:
            shared, either = np.count_nonzero(first & second), np.count_nonzero(first | second)
            masks = Mask.from_array(first), Mask.from_array(second)
            assert masks[0].shared_area(masks[1]) == shared
            assert iou(*masks) == (shared / either if shared else 0)


@given(array=st.sampled_from([(1, 1), (7, 40), (30, 61), (64, 64)]).flatmap(shapes_in), ratio=st.floats(0.001, 0.2))
def test_band_of_the_crop_equals_that_of_the_frame(array, ratio):
    mask = Mask.from_array(array)
    band = boundary_band(mask.crop, band_width(ratio, mask.size))
    assert np.array_equal(Mask(mask.size, mask.box, band).to_array(), full_frame_band(array, ratio) > 0)


def partners_of(overlap, crowd, ignored, threshold):
    flags = np.array(crowd, dtype=bool), np.array([ignored], dtype=bool)
    return match(np.array(overlap, dtype=float), *flags, (threshold,))[:, 0, 0].tolist()


def test_a_true_mask_is_found_once_and_the_last_of_equals_is_taken():
    assert partners_of([[0.8, 0.8], [0.9, 0.6], [0.7, 0.7]], [0, 0], [0, 0], 0.5) == [1, 0, NO_PARTNER]


def test_one_that_counts_goes_before_an_ignored_one():
    assert partners_of([[0.6, 0.9], [0.6, 0.9], [0.0, 0.9]], [0, 0], [0, 1], 0.5) == [0, 1, NO_PARTNER]


def test_a_crowd_is_never_used_up():
    assert partners_of([[0.9], [0.8]], [1], [1], 0.5) == [0, 0]


def test_a_threshold_of_one_can_be_met():
    assert partners_of([[1.0]], [0], [0], 1.0) == [0]
    assert partners_of([[0.999]], [0], [0], 1.0) == [NO_PARTNER]
