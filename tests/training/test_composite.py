"""Patches put together from two: what is seen, what is true of it, and what is predicted."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from bpr_cli.patchset.record import VOID, PatchSample
from bpr_cli.training.composite import composite, pasted
from bpr_cli.training.settings import GeometrySettings
from bpr_cli.training.sizes import Sizes, centre
from tests.training.train_cases import TOY, disc, toy

STILL = GeometrySettings(flip=0, flip_vertical=0, zoom=0, zoom_range=(1, 1), shift=0)
MOVING = GeometrySettings(flip=0.5, flip_vertical=0.5, zoom=0.5, zoom_range=(1, 2), shift=9)
SIZES = Sizes(TOY.patch_size, 8, 32)
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


def test_an_object_before_another_background():
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


def test_coarse_masks_follow_the_new_truth():
    """They resemble it, and hardly ever are it."""
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


def test_there_is_always_a_boundary_to_decide():
    for seed in range(80):
        made = composite(toy(seed), toy(seed + 100), SIZES, MOVING, np.random.default_rng(seed))
        box = centre(made, SIZES.patch_size)
        assert (box.truth == 1).any()
        assert box.coarse.any()
        assert not box.coarse.all()


@pytest.mark.parametrize(("first", "second"), [(40, 32), (32, 40)])
def test_patches_of_sets_with_unlike_context(first, second):
    made = composite(toy(1, first), toy(2, second), SIZES, STILL, np.random.default_rng(0))
    assert made.truth.shape == made.coarse.shape == made.image.shape[:2] == (32, 32)


def test_an_object_that_is_hidden_wholly_is_left_as_it_was():
    own = ours()
    cover = painted(np.ones((SIDE, SIDE), np.uint8), GREEN, WHITE)
    results = [composite(own, cover, SIZES, STILL, np.random.default_rng(seed)) for seed in range(20)]
    assert any(made is own for made in results)
    assert all(made is own or (made.truth == (own.truth == 1)).all() for made in results)


def test_composites_change_nothing_they_are_made_of_and_repeat():
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


def test_seams_are_soft_and_colours_come_nearer():
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
