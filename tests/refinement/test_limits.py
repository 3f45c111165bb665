"""Limits to what refinement may change, by their definitions: on changes of area, on IoU, and on the interior."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.refinement.limits import (
    Changes,
    Limits,
    hardly_moved,
    keep_interior,
    label_changes,
    limit_labels,
    limit_masks,
    mask_changes,
    straight_cuts,
    without_cut_changes,
    without_specks,
)
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.weights.files import load_weights, save_weights
from tests.inference.engines import blob, picture

VOID = frozenset({255})
VOIDS = frozenset({255, -1})


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
    assert listed(mask_changes(*pair)) == by_hand(before, after)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_labels_that_are_not_void_ascending(height, width, seed, share):
    random = np.random.default_rng(seed)
    before = random.choice([-7, 0, 3, 70_000, 255, -1], (height, width)).astype(np.int32)
    known = sorted(set(before.flat) - VOIDS)
    after = before.copy()
    moved = ~np.isin(before, list(VOIDS)) & (random.random(before.shape) < share)
    after[moved] = random.choice(known or [255], int(moved.sum()))
    changes = label_changes(LabelMap(before, VOIDS), LabelMap(after, VOIDS))
    assert listed(changes) == by_hand([before == label for label in known], [after == label for label in known])
    # What one label loses another gains.
    assert changes.lost.sum() == changes.gained.sum() == (before != after).sum()


def test_areas_that_grow_and_shrink_do_not_make_up_for_each_other():
    changes = Changes(*(np.array(each, np.int64) for each in ([10, 10, 10], [3, 0, 2], [0, 3, 2])))
    assert changes.resized.tolist() == [3, 3, 0]


def within(before: np.ndarray, after: np.ndarray, limits: Limits) -> bool:
    """Whether a mask keeps the limits, by their definition."""
    if before.any() and not after.any():
        return False
    change = abs(int(after.sum()) - int(before.sum()))
    if limits.max_area_change is not None and change > limits.max_area_change * before.sum():
        return False
    union = (before | after).sum()
    return limits.min_iou is None or not union or (before & after).sum() >= limits.min_iou * union


@st.composite
def some_limits(draw) -> Limits:
    """At least one limit."""
    change = draw(st.none() | st.sampled_from([0.0, 0.25, 0.5, 1.0, 4.0]))
    needed = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    return Limits(change, draw(needed if change is None else st.none() | needed))


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


@given(pairs_of_maps(), some_limits())
@settings(max_examples=300)
def test_every_label_is_within_the_limits_or_as_it_was(pair, limits):
    coarse, refined = pair
    before = refined.copy()
    limited, kept = limit_labels(LabelMap(coarse, VOID), LabelMap(refined, VOID), limits)
    out = limited.labels
    np.testing.assert_array_equal(refined, before)
    assert (out.dtype, limited.void) == (np.int32, VOID)
    assert set(out.flat) == set(coarse.flat)
    assert ((out == refined) | (out == coarse)).all()
    for label in np.unique(coarse):
        assert within(coarse == label, out == label, limits)
    beyond = sum(not within(coarse == label, refined == label, limits) for label in np.unique(coarse))
    assert (kept > 0) == (beyond > 0)
    assert beyond <= kept <= sum(np.array_equal(coarse == label, out == label) for label in np.unique(coarse))
    if not beyond:
        np.testing.assert_array_equal(out, refined)


@given(pairs_of_maps(), some_limits())
@settings(max_examples=100)
def test_masks_are_limited_each_by_itself(pair, limits):
    coarse, refined = pair
    labels = [-4, 0, 7, 255, 70_000]
    masks = [tuple(Mask.from_array(plane == label) for label in labels) for plane in (coarse, refined)]
    limited, restored = limit_masks(*masks, limits)
    kept = 0
    for label, mask in zip(labels, limited, strict=True):
        inside = within(coarse == label, refined == label, limits)
        kept += not inside
        np.testing.assert_array_equal(mask.to_array(), (refined if inside else coarse) == label)
    assert restored == kept


def test_exactly_on_the_limit_is_within_it():
    coarse, refined = np.zeros((2, 10, 10), bool)
    coarse[:, :4], refined[:, :6] = True, True
    masks = (Mask.from_array(coarse),), (Mask.from_array(refined),)
    assert limit_masks(*masks, Limits(0.5))[1] == 0
    assert limit_masks(*masks, Limits(0.499))[1] == 1
    assert limit_masks(*masks, Limits(min_iou=0.6666))[1] == 0
    assert limit_masks(*masks, Limits(min_iou=0.6667))[1] == 1


def test_labels_that_suffer_from_what_is_taken_back_get_theirs_back_too():
    """7 exceeds the limit and takes back the only pixel that 3 lived on; 9 alone stays within it."""
    coarse = np.array([[3, 7, 7, 7, 7, 9, 9, 9, 9, 9]], np.int32)
    refined = np.array([[9, 3, 9, 9, 7, 9, 9, 9, 9, 9]], np.int32)
    limited, kept = limit_labels(LabelMap(coarse, VOID), LabelMap(refined, VOID), Limits(max_area_change=0.7))
    np.testing.assert_array_equal(limited.labels, coarse)
    assert kept == 2


def test_without_limits_nothing_is_taken_back():
    masks = (Mask.from_array(blob((9, 9))),), (Mask.from_array(~blob((9, 9))),)
    assert limit_masks(*masks, Limits()) == (masks[1], 0)


@pytest.mark.parametrize("scales", [None, (2.0, 1.0)])
@pytest.mark.parametrize("setting", [{"max_area_change": 0.02}, {"min_iou_with_coarse": 0.97}])
def test_the_refiner_holds_to_the_limits_in_all_passes(make_refiner, scales, setting):
    """Against the masks before the first pass."""
    size = (60, 70)
    masks = [blob(size, seed) for seed in range(4)]
    free, limited = (make_refiner(scales=scales, **chosen) for chosen in ({}, setting))
    limits = Limits(setting.get("max_area_change"), setting.get("min_iou_with_coarse"))
    image = picture(size)
    assert not all(map(within, masks, free.refine_masks(image, masks), [limits] * 4))
    assert all(map(within, masks, limited.refine_masks(image, masks), [limits] * 4))
    labels = sum((number + 1) * mask for number, mask in enumerate(masks))
    out = limited.refine_labels(image, labels)
    assert all(within(labels == label, out == label, limits) for label in np.unique(labels))


def interior_of(coarse: np.ndarray, depth: float) -> np.ndarray:
    """The interior by its definition: the distance to every other pixel, all around the frame too."""
    framed = np.pad(coarse, 1)
    others, core = np.argwhere(~framed), np.zeros_like(framed)
    for place in np.argwhere(framed):
        core[tuple(place)] = math.sqrt(((others - place) ** 2).sum(1).min()) > depth * math.sqrt(coarse.sum())
    return core[1:-1, 1:-1]


@st.composite
def pairs_of_masks(draw) -> tuple[np.ndarray, np.ndarray]:
    """A mask, and what might have become of it, at any place in the frame and possibly beside it."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    coarse = random.random(size) < draw(st.sampled_from([0, 0.5, 0.9, 0.97, 1]))
    return coarse, random.random(size) < draw(st.sampled_from([0, 0.1, 0.5, 0.9]))


@given(pairs_of_masks(), st.sampled_from([0, 0.1, 0.17, 0.2, 0.35, 0.5, 1]))
@settings(max_examples=200)
def test_the_interior_stays_and_nothing_else_changes(pair, depth):
    coarse, refined = pair
    kept = keep_interior(Mask.from_array(coarse), Mask.from_array(refined), depth)
    np.testing.assert_array_equal(kept.to_array(), refined | interior_of(coarse, depth))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 40), (7, 90)])
def test_at_a_depth_of_one_no_mask_has_an_interior(shape):
    assert not interior_of(np.ones(shape, bool), 1).any()
    empty = Mask.from_array(np.zeros(shape, bool))
    assert keep_interior(Mask.from_array(np.ones(shape, bool)), empty, 1) is empty


@pytest.mark.parametrize("scales", [None, (2.0, 1.0)])
def test_the_refiner_keeps_the_interior_of_masks_in_all_passes_and_none_of_labels(make_refiner, scales):
    size = (60, 70)
    masks = [blob(size, seed) for seed in range(4)]
    image, cores = picture(size), [interior_of(mask, 0.1) for mask in masks]
    free, keeping = (make_refiner(scales=scales, core=core) for core in (None, 0.1))
    assert any((core & ~mask).any() for core, mask in zip(cores, free.refine_masks(image, masks), strict=True))
    assert not any((core & ~mask).any() for core, mask in zip(cores, keeping.refine_masks(image, masks), strict=True))
    labels = sum((number + 1) * mask for number, mask in enumerate(masks))
    np.testing.assert_array_equal(keeping.refine_labels(image, labels), free.refine_labels(image, labels))


def test_weights_say_what_they_keep_and_a_setting_overrules_them(tmp_path, weights_of):
    plain = load_weights(str(weights_of("unet-s")))
    save_weights(tmp_path / "keeping.safetensors", plain.network, replace(plain.card, core=0.1))
    mask, image = blob((60, 70)), picture((60, 70))

    def refined(weights, core):
        refiner = Refiner(RefineSettings(weights=str(weights), device="cpu", core=core))
        return refiner.refine(image, mask)

    by_card, by_setting = refined(tmp_path / "keeping.safetensors", None), refined(weights_of("unet-s"), 0.1)
    np.testing.assert_array_equal(by_card, by_setting)
    without = refined(tmp_path / "keeping.safetensors", 1)
    np.testing.assert_array_equal(without, refined(weights_of("unet-s"), None))
    assert (by_card != without).any()


def parts_of(plane: np.ndarray, neighbours: list[tuple[int, int]]) -> list[set[tuple[int, int]]]:
    """The connected parts of a mask, by flooding."""
    left, parts = set(zip(*map(np.ndarray.tolist, np.nonzero(plane)), strict=True)), []
    while left:
        edge, part = [left.pop()], set()
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            near = {(y + down, x + right) for down, right in neighbours} & left
            left -= near
            edge += near
        parts.append(part)
    return parts


SIDES = [(0, 1), (0, -1), (1, 0), (-1, 0)]
CORNERS = [(1, 1), (1, -1), (-1, 1), (-1, -1)]


@given(st.integers(3, 14), st.integers(3, 14), st.integers(0, 2**32 - 1), st.integers(2, 9))
@settings(deadline=None)
def test_specks_are_those_that_the_coarse_mask_has_not(height, width, seed, least):
    random = np.random.default_rng(seed)
    before, after = random.random((2, height, width)) < random.random((2, 1, 1))
    expected = after.copy()
    for part in parts_of(after, SIDES + CORNERS):
        if len(part) < least and 2 * sum(before[place] for place in part) < len(part):
            for place in part:
                expected[place] = False
    for hole in parts_of(~expected, SIDES):
        if len(hole) < least and 2 * sum(~before[place] for place in hole) < len(hole):
            for place in hole:
                expected[place] = True
    found = without_specks(Mask.from_array(before), Mask.from_array(after), least)
    np.testing.assert_array_equal(found.to_array(), expected if expected.any() else after)


def test_a_mask_moved_by_its_change_over_its_length():
    coarse, moved = np.zeros((2, 20, 20), bool)
    coarse[:, :10], moved[:, :11] = True, True
    pair = Mask.from_array(coarse), Mask.from_array(moved)
    assert [hardly_moved(*pair, least, 20) for least in (0, 0.99, 1, 1.01)] == [False, False, False, True]


@pytest.mark.parametrize(("least", "kept"), [(0.0, False), (0.5, False), (50.0, True)])
def test_segments_that_hardly_move_come_back(make_refiner, least, kept):
    image, plane = picture((60, 70), 3), blob((60, 70), 3)
    refiner = make_refiner(min_movement=least)
    assert np.array_equal(refiner.refine(image, plane), plane) == kept
    labels = plane.astype(np.uint8)
    assert np.array_equal(refiner.refine_labels(image, labels), labels) == kept


def cuts_by_hand(before: np.ndarray, changed: np.ndarray, covered: np.ndarray, least: int) -> np.ndarray:
    """Walk along all lines between rows, and then between columns."""
    cuts = np.zeros_like(changed)
    for planes in ((before, changed, covered, cuts), (before.T, changed.T, covered.T, cuts.T)):
        for row in range(len(planes[0]) - 1):
            was, is_changed, is_covered = ([*zip(*plane[row : row + 2], strict=True)] for plane in planes[:3])
            ends = [
                one != other and inside != outside and coarse == beyond
                for (one, other), (inside, outside), (coarse, beyond) in zip(is_changed, is_covered, was, strict=True)
            ]
            for start in range(len(ends)):
                for stop in range(start + least, len(ends) + 1):
                    if all(ends[start:stop]):
                        planes[3][row : row + 2, start:stop] = True
    return cuts & changed


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_straight_cuts_one_by_one(height, width, least, seed):
    random = np.random.default_rng(seed)
    before, changed = random.random((2, height, width)) < [[[0.3]], [[0.9]]]
    covered = np.zeros((height, width), np.uint8)
    for y, x in random.integers(0, [height, width], (2, 2)):
        covered[y : y + 5, x : x + 5] = 1
    changed &= covered > 0
    expected = cuts_by_hand(before, changed, covered, least)
    np.testing.assert_array_equal(straight_cuts(before, changed, covered, least), expected)


@pytest.mark.parametrize(("height", "scale", "stays"), [(11, 1.0, True), (12, 1.0, False), (23, 2.0, True)])
@pytest.mark.parametrize("turned", [False, True])
def test_a_change_that_patches_cut_off_is_taken_back_if_that_shows(height, scale, stays, turned):
    """A mask grows to the side of the only patch on the right, and on the left by a part that ends inside of it."""
    coarse = np.zeros((60, 60), bool)
    coarse[10:40, 20:30] = True
    grown, inside = np.zeros((2, 60, 60), bool)
    grown[12 : 12 + height, 30:40], inside[20:24, 16:20] = True, True
    planes = [coarse, coarse | grown | inside, coarse | inside | (grown & stays)]
    before, after, expected = (Mask.from_array(np.ascontiguousarray(plane.T if turned else plane)) for plane in planes)
    boxes = np.array([[5, 0, 60, 40] if turned else [0, 5, 40, 60]])
    found = without_cut_changes(before, after, boxes, scale)
    np.testing.assert_array_equal(found.to_array(), expected.to_array())


def test_a_side_of_the_image_cuts_nothing_off():
    coarse = np.zeros((40, 40), bool)
    coarse[:, :10] = True
    whole = Mask.from_array(np.ones((40, 40), bool))
    assert without_cut_changes(Mask.from_array(coarse), whole, np.array([[-8, -8, 48, 48]]), 1.0) is whole
