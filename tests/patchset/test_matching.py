"""Which true mask a coarse one is compared with, against slow and obvious ways to find it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.matching import AnnotatedMask, ImageMasks, match_masks, merge_masks, void_for

SIZE = (12, 14)
NOTHING = Mask.from_array(np.zeros(SIZE, bool))


@st.composite
def planes(draw):
    """Rectangles, so that overlaps of every size occur; some are empty."""
    plane = np.zeros(SIZE, bool)
    top, left = draw(st.integers(0, 11)), draw(st.integers(0, 13))
    plane[top : top + draw(st.integers(0, 12)), left : left + draw(st.integers(0, 14))] = True
    return plane


@st.composite
def segments(draw, crowds=False, regions=False):
    found = []
    for index in range(draw(st.integers(0, 6))):
        crowd = crowds and draw(st.booleans())
        region = regions and draw(st.booleans())
        mask = Mask.from_array(draw(planes()))
        found.append(AnnotatedMask(mask, index, draw(st.sampled_from([1, 2, None])), crowd, region))
    return tuple(found)


def brute_iou(a, b):
    either = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / either if either else 0.0


@given(segments(), segments(crowds=True), planes(), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_the_highest_iou_of_the_category_wins_and_void_is_carried(coarse, true, void, min_iou):
    found = match_masks(ImageMasks(coarse, NOTHING), ImageMasks(true, Mask.from_array(void)), min_iou)
    expected = {}
    for segment in coarse:
        scores = [
            (brute_iou(segment.mask.to_array(), other.mask.to_array()), -place)
            for place, other in enumerate(true)
            if other.category == segment.category and not other.crowd
        ]
        if scores and max(scores)[0] > min_iou:
            expected[segment.index] = -max(scores)[1]
    assert [matched.coarse.index for matched in found] == list(expected)
    for matched in found:
        np.testing.assert_array_equal(matched.truth.to_array(), true[expected[matched.coarse.index]].mask.to_array())
        covered = void.copy()
        for other in true:
            if other.crowd and other.category == matched.coarse.category:
                covered |= other.mask.to_array()
        np.testing.assert_array_equal(matched.void.to_array(), covered)


@given(segments(), segments(crowds=True), st.sampled_from([0.5, 0.9]))
def test_a_region_is_compared_with_all_of_its_category(coarse, true, min_iou):
    regions = tuple(AnnotatedMask(segment.mask, segment.index, segment.category, region=True) for segment in coarse)
    found = match_masks(ImageMasks(regions, NOTHING), ImageMasks(true, NOTHING), min_iou)
    assert [matched.coarse for matched in found] == list(regions)
    for matched in found:
        expected = np.zeros(SIZE, bool)
        for other in true:
            if other.category == matched.coarse.category and not other.crowd:
                expected |= other.mask.to_array()
        np.testing.assert_array_equal(matched.truth.to_array(), expected)


def test_exactly_the_threshold_does_not_match():
    half, whole = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    half[:2, :2], whole[:2, :4] = True, True
    coarse = ImageMasks((AnnotatedMask(Mask.from_array(half), 0, 1),), NOTHING)
    truth = ImageMasks((AnnotatedMask(Mask.from_array(whole), 0, 1),), NOTHING)
    assert match_masks(coarse, truth, 0.5) == []
    assert len(match_masks(coarse, truth, 0.4999)) == 1


@given(st.lists(planes(), max_size=5))
def test_merged_masks_have_the_pixels_of_all(found):
    expected = np.any(found, axis=0) if found else np.zeros(SIZE, bool)
    mask = merge_masks([Mask.from_array(plane) for plane in found], SIZE)
    np.testing.assert_array_equal(mask.to_array(), expected)


@pytest.mark.parametrize(("category", "pixels"), [(1, 8), (2, 4)])
def test_only_crowds_of_the_own_category_are_void_for(category, pixels):
    void, crowd = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    void[0, :4], crowd[5, :4] = True, True
    truth = ImageMasks((AnnotatedMask(Mask.from_array(crowd), 0, 1, crowd=True),), Mask.from_array(void))
    assert void_for(truth, category).area == pixels
