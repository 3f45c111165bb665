import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.refinement.bounds import Bounds, bound
from tests.inference.engines import blob, picture

VOID = frozenset({255})


def within(before: np.ndarray, after: np.ndarray, bounds: Bounds) -> bool:
    """Whether a mask keeps the bounds, by their definition."""
    if before.any() and not after.any():
        return False
    change = abs(int(after.sum()) - int(before.sum()))
    if bounds.max_area_change is not None and change > bounds.max_area_change * before.sum():
        return False
    union = (before | after).sum()
    return bounds.min_iou is None or not union or (before & after).sum() >= bounds.min_iou * union


@st.composite
def some_bounds(draw) -> Bounds:
    """At least one bound."""
    change = draw(st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0, 4.0]))
    needed = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    return Bounds(change, draw(needed if change is None else st.none() | needed))


@st.composite
def pairs_of_maps(draw) -> tuple[np.ndarray, np.ndarray]:
    """A label map, and what might have become of it, even without some of its labels."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    labels = [-4, 0, 7, 255, 70_000][: draw(st.integers(1, 5))]
    coarse = random.choice(labels, size)
    drawn = random.choice([label for label in np.unique(coarse) if label != 255] or [255], size)
    refined = np.where((coarse == 255) | (random.random(size) < draw(st.floats(0, 1))), coarse, drawn)
    return coarse.astype(np.int32), refined.astype(np.int32)


@given(pairs_of_maps(), some_bounds())
@settings(max_examples=300)
def test_every_label_is_within_the_bounds_or_as_it_was(pair, bounds):
    coarse, refined = pair
    before = refined.copy()
    bounded = bound(LabelMap(coarse, VOID), LabelMap(refined, VOID), bounds)
    out = bounded.prediction.labels
    np.testing.assert_array_equal(refined, before)
    assert (out.dtype, bounded.prediction.void) == (np.int32, VOID)
    assert set(out.flat) == set(coarse.flat)
    assert ((out == refined) | (out == coarse)).all()
    for label in np.unique(coarse):
        assert within(coarse == label, out == label, bounds)
    beyond = sum(not within(coarse == label, refined == label, bounds) for label in np.unique(coarse))
    assert (bounded.kept > 0) == (beyond > 0)
    assert beyond <= bounded.kept <= sum(np.array_equal(coarse == label, out == label) for label in np.unique(coarse))
    if not beyond:
        np.testing.assert_array_equal(out, refined)


@given(pairs_of_maps(), some_bounds())
@settings(max_examples=100)
def test_masks_are_bound_each_for_itself(pair, bounds):
    coarse, refined = pair
    labels = [-4, 0, 7, 255, 70_000]
    masks = [tuple(Mask.from_array(plane == label) for label in labels) for plane in (coarse, refined)]
    bounded = bound(*masks, bounds)
    kept = 0
    for label, mask in zip(labels, bounded.prediction, strict=True):
        inside = within(coarse == label, refined == label, bounds)
        kept += not inside
        np.testing.assert_array_equal(mask.to_array(), (refined if inside else coarse) == label)
    assert bounded.kept == kept


def test_exactly_on_the_bound_is_within_it():
    coarse, refined = np.zeros((2, 10, 10), bool)
    coarse[:, :4], refined[:, :6] = True, True
    masks = (Mask.from_array(coarse),), (Mask.from_array(refined),)
    assert bound(*masks, Bounds(0.5)).kept == 0
    assert bound(*masks, Bounds(0.499)).kept == 1
    assert bound(*masks, Bounds(min_iou=0.6666)).kept == 0
    assert bound(*masks, Bounds(min_iou=0.6667)).kept == 1


def test_labels_that_suffer_from_what_is_taken_back_get_theirs_back_too():
    """7 goes beyond the bound and takes back the only pixel that 3 lived on; 9 alone stays within it."""
    coarse = np.array([[3, 7, 7, 7, 7, 9, 9, 9, 9, 9]], np.int32)
    refined = np.array([[9, 3, 9, 9, 7, 9, 9, 9, 9, 9]], np.int32)
    bounded = bound(LabelMap(coarse, VOID), LabelMap(refined, VOID), Bounds(max_area_change=0.7))
    np.testing.assert_array_equal(bounded.prediction.labels, coarse)
    assert bounded.kept == 2


def test_without_bounds_nothing_is_taken_back():
    masks = (Mask.from_array(blob((9, 9))),), (Mask.from_array(~blob((9, 9))),)
    bounded = bound(*masks, Bounds())
    assert (bounded.prediction, bounded.kept) == (masks[1], 0)


def test_masks_and_a_label_map_cannot_be_compared():
    with pytest.raises(TypeError):
        bound((), LabelMap(np.zeros((2, 2), np.int32), VOID), Bounds(0.5))


@pytest.mark.parametrize("scales", [None, (2.0, 1.0)])
@pytest.mark.parametrize("setting", [{"max_area_change": 0.02}, {"min_iou_with_coarse": 0.97}])
def test_the_refiner_holds_to_the_bounds_in_all_rounds(make_refiner, scales, setting):
    """Against the masks before the first round."""
    size = (60, 70)
    masks = [blob(size, seed) for seed in range(4)]
    free, bounded = (make_refiner(scales=scales, **chosen) for chosen in ({}, setting))
    bounds = Bounds(setting.get("max_area_change"), setting.get("min_iou_with_coarse"))
    image = picture(size)
    assert not all(map(within, masks, free.refine_masks(image, masks), [bounds] * 4))
    assert all(map(within, masks, bounded.refine_masks(image, masks), [bounds] * 4))
    labels = sum((number + 1) * mask for number, mask in enumerate(masks))
    out = bounded.refine_labels(image, labels)
    assert all(within(labels == label, out == label, bounds) for label in np.unique(labels))
