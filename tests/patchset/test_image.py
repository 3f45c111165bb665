"""Patches of one image: cropped pixel for pixel, which of them are useful, and random samples of them."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.image import KEY_LIMIT, ReservoirSample, boxes_of, crop_patch, is_inferior, is_useful, random_key
from bpr_cli.patchset.matching import AnnotatedMask, MatchedMask
from bpr_cli.patchset.record import VOID, PatchSample
from bpr_cli.patchset.settings import PatchSetSettings


def world(size, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    coarse, true, void = (rng.random(size) < 0.5 for _ in range(3))
    masks = [Mask.from_array(plane) for plane in (coarse, true, void)]
    return (
        image,
        coarse,
        np.where(true, 1, np.where(void, VOID, 0)),
        MatchedMask(AnnotatedMask(masks[0], 0), *masks[1:]),
    )


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(4, 12),
    st.integers(0, 6),
    st.integers(0, 2**32 - 1),
)
def test_patches_are_the_pixels_of_the_reflected_image(size, side, padding, seed):
    image, coarse, truth, matched = world(size, seed)
    settings = PatchSetSettings(patch_size=side, padding=padding)
    reach = side + padding + max(size)
    around = ((reach, reach), (reach, reach))
    for box in boxes_of(matched.coarse.mask, settings):
        x, y = box[0] - padding + reach, box[1] - padding + reach
        inside = slice(y, y + settings.side), slice(x, x + settings.side)
        sample = crop_patch(image, matched, box, settings)
        np.testing.assert_array_equal(sample.image, np.pad(image, (*around, (0, 0)), mode="reflect")[inside])
        np.testing.assert_array_equal(sample.coarse, np.pad(coarse, around, mode="reflect")[inside])
        np.testing.assert_array_equal(sample.truth, np.pad(truth, around, mode="reflect")[inside])


def test_the_truth_outweighs_void():
    everything = Mask.from_array(np.ones((20, 20), bool))
    image = np.zeros((20, 20, 3), np.uint8)
    settings = PatchSetSettings(patch_size=8, padding=2)
    sample = crop_patch(
        image, MatchedMask(AnnotatedMask(everything, 0), everything, everything), (4, 4, 12, 12), settings
    )
    assert (sample.truth == 1).all()


def test_a_whole_instance_is_resized_with_its_context_in_proportion():
    plane = np.zeros((120, 120), bool)
    plane[40:72, 44:76] = True
    mask = Mask.from_array(plane)
    settings = PatchSetSettings(patch_size=20, padding=5, scheme="instance")
    [box] = boxes_of(mask, settings)
    assert box == (40, 36, 80, 76)
    image = np.repeat(np.arange(120, dtype=np.uint8)[None, :, None], 120, axis=0).repeat(3, axis=2)
    sample = crop_patch(image, MatchedMask(AnnotatedMask(mask, 0), mask, mask), box, settings)
    # The box is twice the patch, so every pixel is the mean of two neighbours, from x = 30 on.
    assert sample.image.shape == (30, 30, 3)
    np.testing.assert_allclose(sample.image[7, :, 0], 30.5 + 2 * np.arange(30), atol=0.5)
    expected = cv2.resize(plane[26:86, 30:90].astype(np.uint8), (30, 30), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(sample.coarse, expected)


def sample_of(coarse, truth=None):
    coarse = coarse.astype(np.uint8)
    image = np.zeros((*coarse.shape, 3), np.uint8)
    return PatchSample(image, coarse, coarse if truth is None else truth)


@pytest.mark.parametrize("padding", [0, 3])
def test_a_patch_with_one_class_but_for_its_rim_and_context_is_inferior(padding):
    side = 8 + 2 * padding
    inner, rim = (padding + 1, padding + 1), (padding, padding + 3)
    for value in (False, True):
        for pixel, inferior in ((inner, False), (rim, True), ((0, 0), True)):
            coarse = np.full((side, side), value)
            coarse[pixel] = not value
            assert is_inferior(sample_of(coarse), padding) == inferior


def test_inferior_patches_are_of_use_for_instances_or_when_asked_for():
    inferior = sample_of(np.zeros((16, 16)))
    settings = PatchSetSettings(patch_size=8, padding=4)
    assert not is_useful(inferior, settings, of_map=True)
    assert is_useful(inferior, settings, of_map=False)
    assert is_useful(inferior, PatchSetSettings(patch_size=8, padding=4, keep_inferior=True), of_map=True)


def test_a_patch_of_which_nothing_is_known_is_of_no_use():
    truth = np.full((16, 16), VOID, np.uint8)
    settings = PatchSetSettings(patch_size=8, padding=4)
    assert not is_useful(sample_of(np.eye(16), truth), settings, of_map=False)
    truth[3, 3] = 0
    assert is_useful(sample_of(np.eye(16), truth), settings, of_map=False)


keys = st.lists(st.integers(0, KEY_LIMIT - 1), unique=True, max_size=60)


@given(keys, st.integers(1, 70))
def test_the_smallest_keys_are_drawn(offered, count):
    draw = ReservoirSample(count)
    for key in offered:
        draw.offer(key)
    assert sorted(key for key in offered if key <= draw.limit) == sorted(offered)[:count]


@given(keys, st.integers(1, 70))
def test_a_key_that_is_turned_down_is_never_drawn(offered, count):
    draw = ReservoirSample(count)
    turned_down = {key for key in offered if not draw.offer(key)}
    assert turned_down.isdisjoint(sorted(offered)[:count])


@given(keys)
def test_all_are_drawn_where_no_number_is_given(offered):
    draw = ReservoirSample(None)
    assert all(draw.offer(key) for key in offered)
    assert all(key <= draw.limit for key in offered)


def test_keys_depend_on_the_parts_and_are_spread_evenly():
    assert random_key(0, "a", 1) == random_key(0, "a", 1)
    assert len({random_key(0, "a", 1), random_key(0, "a1"), random_key(1, "a", 1), random_key(0, "b", 1)}) == 4
    below = sum(random_key("image", number) < KEY_LIMIT // 4 for number in range(4000))
    assert 900 < below < 1100
