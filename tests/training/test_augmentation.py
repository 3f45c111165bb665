"""Augmentation: planes stay aligned, nothing is made up, and every draw depends on the generator alone."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.patchset.record import VOID, PatchSample
from bpr_cli.training import photometric
from bpr_cli.training.augmentation import (
    Augmentation,
    PatchSizes,
    centre,
    composite,
    pasted,
    shifted,
    vary_coarse,
    vary_crop,
)
from bpr_cli.training.settings import CoarseSettings, GeometrySettings, ImageSettings
from tests.patches.drawn import cropped
from tests.training.toy_data import TOY, disc, small_recipe, still, toy

NONE = GeometrySettings(flip=0, flip_vertical=0, zoom=0, zoom_range=(1, 1), shift=0)
WILD = GeometrySettings(flip=0.5, flip_vertical=0.5, zoom=0.8, zoom_range=(0.6, 1.6), shift=12)
PHOTO = np.random.default_rng(1).integers(0, 256, (24, 24, 3), np.uint8)


def coordinates(side: int) -> PatchSample:
    """A patch whose every pixel says where it is, in all planes."""
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    return PatchSample(np.stack([rows, columns, rows], axis=2), rows, columns)


def test_without_chances_the_centre_is_cropped():
    cut = vary_crop(coordinates(40), 24, NONE, np.random.default_rng(0))
    np.testing.assert_array_equal(cut.coarse[:, 0], np.arange(8, 32))
    np.testing.assert_array_equal(cut.truth[0], np.arange(8, 32))


@pytest.mark.parametrize(("flip", "flip_vertical"), [(1, 0), (0, 1), (1, 1)])
def test_flips(flip, flip_vertical):
    settings = replace(NONE, flip=flip, flip_vertical=flip_vertical)
    cut = vary_crop(coordinates(24), 24, settings, np.random.default_rng(0))
    forth, back = np.arange(24), np.arange(24)[::-1]
    np.testing.assert_array_equal(cut.truth[5], back if flip else forth)
    np.testing.assert_array_equal(cut.coarse[:, 5], back if flip_vertical else forth)
    np.testing.assert_array_equal(cut.image[..., 1], cut.truth)


def test_shifts_reach_what_is_stored_and_no_further():
    firsts = [vary_crop(coordinates(40), 24, replace(NONE, shift=99), np.random.default_rng(i)) for i in range(300)]
    corners = {int(cut.coarse[0, 0]) for cut in firsts}
    assert corners == set(range(17))
    narrow = [vary_crop(coordinates(40), 24, replace(NONE, shift=2), np.random.default_rng(i)) for i in range(100)]
    assert {int(cut.truth[0, 0]) for cut in narrow} == {6, 7, 8, 9, 10}


@given(seed=st.integers(0, 10_000), stored=st.integers(24, 60).map(lambda half: 2 * half))
def test_zooms_keep_planes_aligned_and_inside(seed, stored):
    side = 48
    cut = vary_crop(coordinates(stored), side, WILD, np.random.default_rng(seed))
    assert cut.coarse.shape == cut.truth.shape == cut.image.shape[:2] == (side, side)
    for plane, image, axis in ((cut.coarse, cut.image[..., 0], 0), (cut.truth, cut.image[..., 1], 1)):
        places = plane.astype(int).take(0, axis=1 - axis)
        # A line: steps of one size, in one direction, within the stored patch.
        steps = np.diff(places)
        assert len(set(np.sign(steps)) - {0}) == 1
        assert np.ptp(steps) <= 1
        assert np.abs(image.astype(int) - plane).max() <= 1


@pytest.mark.parametrize("zoom", [0.8, 2.0])
def test_a_zoom_keeps_the_centre_and_has_half_pixel_centres(zoom):
    settings = replace(NONE, zoom=1, zoom_range=(zoom, zoom))
    cut = vary_crop(coordinates(60), 40, settings, np.random.default_rng(0))
    expected = (np.arange(40) + 0.5 - 20) / zoom + 30 - 0.5
    assert np.abs(cut.image[..., 1][0] - expected).max() <= 0.5 + 1e-3
    assert np.abs(cut.truth[0] - expected).max() <= 0.5 + 1e-3


def test_zooming_out_stops_at_what_is_stored():
    settings = replace(NONE, zoom=1, zoom_range=(0.5, 0.5))
    cut = vary_crop(coordinates(50), 40, settings, np.random.default_rng(0))
    assert (cut.truth.min(), cut.truth.max()) in {(0, 49), (1, 49), (0, 48), (1, 48)}


KINDS = [entry.name for entry in fields(ImageSettings)]
CHANGES = {name: ImageSettings(**{**dict.fromkeys(KINDS, 0.0), name: 1.0}) for name in KINDS}


@pytest.mark.parametrize("name", CHANGES)
def test_changes_of_the_image(name):
    before = PHOTO.copy()
    results = [photometric.vary_image(PHOTO, CHANGES[name], np.random.default_rng(seed)) for seed in range(20)]
    np.testing.assert_array_equal(PHOTO, before)
    assert all(result.shape == PHOTO.shape and result.dtype == np.uint8 for result in results)
    assert len({result.tobytes() for result in results}) > {"swap_channels": 4, "negative": 0}.get(name, 15)
    again = photometric.vary_image(PHOTO, CHANGES[name], np.random.default_rng(7))
    np.testing.assert_array_equal(again, results[7])


def test_the_negative():
    np.testing.assert_array_equal(photometric.vary_image(PHOTO, CHANGES["negative"], np.random.default_rng(0)), ~PHOTO)


@pytest.mark.parametrize("chance", [0, 1])
def test_a_certain_exchange_of_colours_draws_only_their_order(chance):
    orders = [np.random.default_rng(seed).permutation(3) for seed in range(5)]
    for seed, order in enumerate(orders):
        expected = abs(255 * chance - PHOTO[..., order].astype(int))
        np.testing.assert_array_equal(photometric.exchanged(PHOTO, 1, chance, np.random.default_rng(seed)), expected)


def test_no_change_of_the_image_without_chances():
    settings = replace(CHANGES["blur"], blur=0)
    assert photometric.vary_image(PHOTO, settings, np.random.default_rng(0)) is PHOTO


def test_the_distortion_has_the_ranges_of_mmsegmentation():
    """On a grey image hue and saturation do nothing; brightness adds up to 32, contrast multiplies by 0.5 to 1.5."""
    grey = np.full((4, 4, 3), 100, np.uint8)
    found = [int(photometric.distort(grey, np.random.default_rng(seed))[0, 0, 0]) for seed in range(2000)]
    assert 0.22 < np.mean([value == 100 for value in found]) < 0.30  # a quarter is left alone
    assert 34 <= min(found) <= 40
    assert 190 <= max(found) <= 198
    alone = [value for value in found if 68 <= value <= 132]
    assert len(set(alone)) > 60


def test_hues_turn_and_stay_saturated():
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 200
    turned = np.array([photometric.distort(red, np.random.default_rng(seed))[0, 0] for seed in range(300)])
    hues = cv2.cvtColor(turned[None], cv2.COLOR_RGB2HSV)[0, :, 0]
    away = np.minimum(hues, 180 - hues)
    # Where contrast is cut off, hues turn a little further.
    assert 14 <= np.quantile(away, 0.95) <= 18
    assert 0.4 < np.mean(away > 0) < 0.6


def test_a_gamma_curve_against_its_formula():
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    for gamma in (0.45, 1, 2.4):
        expected = [int(255 * (value / 255) ** gamma + 1e-9) for value in range(256)]
        np.testing.assert_array_equal(photometric.curve(ramp, gamma)[..., 1].ravel(), expected)


def test_darkened_images_keep_their_colours():
    plain = np.full((4, 4, 3), (200, 100, 40), np.uint8)
    found = np.array(
        [photometric.vary_image(plain, CHANGES["darken"], np.random.default_rng(seed))[0, 0] for seed in range(300)]
    ).astype(int)
    assert (found[:, 0].min(), found[:, 0].max()) == pytest.approx((30, 160), abs=4)
    assert np.abs(found[:, 0] - 2 * found[:, 1]).max() <= 2


def test_light_keeps_its_colour_within_limits_and_leaves_a_part_unlit():
    """Each value is the old one, or one between it and the light's: e^-0.9 to e^0.6 times a tint of 8 %."""
    plain = np.full((128, 128, 3), 100, np.uint8)
    found = [photometric.relit(plain, np.random.default_rng(seed)) for seed in range(60)]
    values = np.array(found).astype(int)
    assert values.min() >= 100 * np.exp(-0.9) * 0.92 - 1
    assert values.max() <= 100 * np.exp(0.6) * 1.08
    assert values.min() < 60
    assert values.max() > 140
    assert np.mean([(each == 100).any() for each in found]) > 0.8


def test_saturation_moves_colours_from_grey():
    plain = np.full((2, 2, 3), (150, 90, 60), np.uint8)
    np.testing.assert_array_equal(photometric.saturated(plain, 0), np.full((2, 2, 3), 100))
    np.testing.assert_array_equal(photometric.saturated(plain, 1), plain)
    np.testing.assert_array_equal(photometric.saturated(plain, 1.5)[0, 0], (175, 85, 40))


def test_compression_keeps_the_colours():
    plain = np.full((16, 16, 3), (200, 60, 20), np.uint8)
    assert np.abs(photometric.compress(plain, 90).astype(int) - plain).max() <= 4


def test_recolouring_is_linear_and_keeps_grey_grey_but_for_the_white_balance():
    ramp = np.repeat(np.arange(60, 180, dtype=np.uint8)[:, None, None], 3, axis=2)
    for seed in range(10):
        found = photometric.recolour(ramp, np.random.default_rng(seed)).astype(int)
        inside = (found > 0).all(axis=(1, 2)) & (found < 255).all(axis=(1, 2))
        assert np.ptp(np.diff(found[inside, 0], axis=0), axis=0).max() <= 1


TRUTH = toy(3).truth
COARSE = toy(3).coarse


def chances(**given: float) -> CoarseSettings:
    return CoarseSettings(**{"shift": 0, "morph": 0, "wobble": 0, "truth": 0, **given})


def test_a_replaced_coarse_mask_is_the_ground_truth_outside_of_void():
    settings = chances(truth=1, shift=1, morph=1, wobble=1)
    found = vary_coarse(COARSE, TRUTH, settings, np.random.default_rng(0))
    np.testing.assert_array_equal(found[TRUTH != VOID], TRUTH[TRUTH != VOID])
    np.testing.assert_array_equal(found[TRUTH == VOID], COARSE[TRUTH == VOID])


@pytest.mark.parametrize("name", ["shift", "morph"])
def test_changes_of_the_coarse_mask_stay_near_it(name):
    near = cv2.dilate(COARSE, np.ones((17, 17), np.uint8))
    core = cv2.erode(COARSE, np.ones((17, 17), np.uint8))
    results = []
    for seed in range(40):
        found = vary_coarse(COARSE, TRUTH, chances(**{name: 1}), np.random.default_rng(seed))
        assert set(np.unique(found)) <= {0, 1}
        assert found.dtype == np.uint8
        assert not (found & (1 - near)).any()
        assert (found | (1 - core)).all()
        results.append(found.tobytes())
    assert len(set(results)) > 5


def test_wobbles_bend_the_boundary_by_up_to_several_pixels():
    """A half plane: how far its edge goes in every row; smooth from row to row, another way in every mask."""
    plane = np.zeros((160, 160), np.uint8)
    plane[:, :80] = 1
    chance, edges = chances(wobble=1), []
    for seed in range(80):
        found = vary_coarse(plane, plane, chance, np.random.default_rng(seed))
        assert found.dtype == np.uint8
        assert set(np.unique(found)) == {0, 1}
        edges.append(found.sum(1).astype(int) - 80)
    moves = np.abs(edges)
    assert 1 < np.median(moves.max(1)) < 8
    assert 8 < moves.max() < 25
    assert np.median(np.abs(np.diff(edges, axis=1)).mean(1)) < 0.5
    assert len({each.tobytes() for each in edges}) == 80


def test_a_shift_repeats_the_border():
    plane = np.zeros((5, 6), np.uint8)
    plane[:, :2] = 1
    np.testing.assert_array_equal(shifted(plane, 2, -1)[0], [1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(shifted(plane, -1, 3)[4], [1, 0, 0, 0, 0, 0])


def no_other(_: np.random.Generator) -> PatchSample:
    raise AssertionError("no second patch is needed")


@pytest.mark.parametrize(("padding", "input_size"), [(8, 32), (8, 64), (0, 32), (12, 64)])
def test_without_chances_the_input_equals_that_of_refinement(padding, input_size):
    """A stored patch is a window of an image: both ways lead to the same pixels."""
    sizes = PatchSizes(TOY.patch_size, padding, input_size)
    sample = toy(5)
    found = Augmentation(still(small_recipe()), sizes)(sample, no_other, np.random.default_rng(0))
    box = np.array([[12, 12, 28, 28]])
    expected = cropped(sample.image, sample.coarse > 0, box, padding, input_size)
    np.testing.assert_array_equal(found.image, expected.image[0])
    np.testing.assert_array_equal(found.coarse, expected.mask[0])


def test_all_changes_together_repeat():
    augmentation = Augmentation(small_recipe(composite=1), PatchSizes(16, 8, 32))

    def another(random: np.random.Generator) -> PatchSample:
        return toy(random.integers(99))

    first, second = (augmentation(toy(2), another, np.random.default_rng(9)) for _ in range(2))
    for name in ("image", "coarse", "truth"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert first.image.shape == (32, 32, 3)
    assert set(np.unique(first.truth)) <= {0, 1, VOID}


STILL = GeometrySettings(flip=0, flip_vertical=0, zoom=0, zoom_range=(1, 1), shift=0)
MOVING = GeometrySettings(flip=0.5, flip_vertical=0.5, zoom=0.5, zoom_range=(1, 2), shift=9)
SIZES = PatchSizes(TOY.patch_size, 8, 32)
SIDE = TOY.side
RED, BLUE, GREEN, WHITE = (200, 20, 20), (20, 20, 200), (20, 200, 20), (240, 240, 240)


def painted(truth: np.ndarray, inside, outside) -> PatchSample:
    image = np.where(truth[..., None] == 1, inside, outside).astype(np.uint8)
    return PatchSample(image, (truth == 1).astype(np.uint8), truth)


def ours() -> PatchSample:
    """A red disc on blue, with void below it."""
    truth = disc(SIDE, 20, 20, 9)
    truth[31:] = VOID
    return painted(truth, RED, BLUE)


def theirs() -> PatchSample:
    """A green disc on white that covers a part of the other one, and of its void."""
    truth = disc(SIDE, 26, 26, 9)
    truth[:, :2] = VOID
    return painted(truth, GREEN, WHITE)


def kinds() -> dict[str, PatchSample]:
    """A composite of each kind, told apart by whether any blue is left."""
    found = {}
    for seed in range(40):
        made = composite(ours(), theirs(), SIZES, STILL, np.random.default_rng(seed))
        kept = np.abs(made.image[2, -3].astype(int) - BLUE).max() < 3
        found["behind another" if kept else "before another background"] = made
    assert len(found) == 2
    return found


def test_an_object_in_front_of_another_background():
    made, own = kinds()["before another background"], ours()
    np.testing.assert_array_equal(made.truth, own.truth == 1)
    # Away from the seam: the other image, with the object that is in it, and the own object in front.
    near = cv2.dilate((own.truth == 1).astype(np.uint8), np.ones((9, 9), np.uint8)) == 1
    np.testing.assert_array_equal(made.image[~near], theirs().image[~near])
    core = cv2.erode((own.truth == 1).astype(np.uint8), np.ones((9, 9), np.uint8)) == 1
    assert core.any()
    assert (made.image[core][:, 0] > made.image[core][:, 1]).all()


def test_an_object_behind_another_one():
    made, own = kinds()["behind another"], ours()
    hidden = theirs().truth == 1
    for y, x in np.ndindex(SIDE, SIDE):
        assert made.truth[y, x] == (0 if hidden[y, x] else own.truth[y, x])
    near = cv2.dilate(hidden.astype(np.uint8), np.ones((9, 9), np.uint8)) == 1
    np.testing.assert_array_equal(made.image[~near], own.image[~near])
    core = cv2.erode(hidden.astype(np.uint8), np.ones((9, 9), np.uint8)) == 1
    assert (made.image[core][:, 1] > made.image[core][:, 0]).all()


def test_coarse_masks_follow_the_new_ground_truth():
    """They resemble it, and are hardly ever equal to it."""
    overlaps = []
    for seed in range(60):
        made = composite(toy(seed), toy(seed + 100), SIZES, MOVING, np.random.default_rng(seed))
        true = made.truth == 1
        overlaps.append(np.count_nonzero(true & (made.coarse == 1)) / np.count_nonzero(true | (made.coarse == 1)))
        assert set(np.unique(made.coarse)) <= {0, 1}
        assert made.coarse.dtype == made.truth.dtype == made.image.dtype == np.uint8
        assert made.coarse.shape == made.truth.shape == made.image.shape[:2] == (SIDE, SIDE)
    assert np.median(overlaps) > 0.7
    assert np.mean(np.array(overlaps) < 1) > 0.9


def test_there_is_always_a_boundary_to_refine():
    for seed in range(80):
        made = composite(toy(seed), toy(seed + 100), SIZES, MOVING, np.random.default_rng(seed))
        box = centre(made, SIZES.patch_size)
        assert (box.truth == 1).any()
        assert box.coarse.any()
        assert not box.coarse.all()


@pytest.mark.parametrize(("first", "second"), [(40, 32), (32, 40)])
def test_patches_with_different_context(first, second):
    made = composite(toy(1, first), toy(2, second), SIZES, STILL, np.random.default_rng(0))
    assert made.truth.shape == made.coarse.shape == made.image.shape[:2] == (32, 32)


def test_a_fully_occluded_object_is_left_unchanged():
    own = ours()
    cover = painted(np.ones((SIDE, SIDE), np.uint8), GREEN, WHITE)
    results = [composite(own, cover, SIZES, STILL, np.random.default_rng(seed)) for seed in range(20)]
    assert any(made is own for made in results)
    assert all(made is own or (made.truth == (own.truth == 1)).all() for made in results)


def test_composites_repeat_and_do_not_change_their_inputs():
    first, second = toy(1), toy(2)
    before = [plane.copy() for sample in (first, second) for plane in (sample.image, sample.coarse, sample.truth)]
    one, other = (composite(first, second, SIZES, MOVING, np.random.default_rng(4)) for _ in range(2))
    for name in ("image", "coarse", "truth"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    after = [plane for sample in (first, second) for plane in (sample.image, sample.coarse, sample.truth)]
    for plane, earlier in zip(after, before, strict=True):
        np.testing.assert_array_equal(plane, earlier)


@pytest.mark.parametrize("geometry", [replace(STILL, flip=1), replace(STILL, flip_vertical=1)])
def test_the_other_patch_is_varied(geometry):
    mirrored = composite(ours(), theirs(), SIZES, geometry, np.random.default_rng(3)).image
    still = composite(ours(), theirs(), SIZES, STILL, np.random.default_rng(3)).image
    assert (mirrored != still).any()


def test_seams_are_soft_and_colours_move_towards_the_background():
    """A straight edge: the mix goes from one side to the other within some pixels, and means only move towards it."""
    shape = np.zeros((20, 20), bool)
    shape[:, :10] = True
    front, behind = np.full((20, 20, 3), 200, np.uint8), np.full((20, 20, 3), 100, np.uint8)
    levels = []
    for seed in range(60):
        row = pasted(front, shape, behind, np.random.default_rng(seed))[10, :, 0].astype(int)
        assert (np.diff(row) <= 0).all()
        assert (row[15:] == 100).all()
        assert 100 < row[9] < row[0]
        levels.append(row[0])
    kept = np.array(levels) >= 199  # fractions are cut off
    assert 0.3 < kept.mean() < 0.7
    assert min(levels) >= 129
    assert max(np.array(levels)[~kept]) <= 180
