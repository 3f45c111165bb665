"""Patches sampled from whole images: chances, geometry, composites, and trainings on them."""

from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.networks.registry import NETWORKS
from bpr_cli.patchset.matching import AnnotatedMask, ImageMasks
from bpr_cli.patchset.record import VOID
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.store import PatchOrigin, PatchSetWriter
from bpr_cli.patchset.whole import encode_whole
from bpr_cli.training.augmentation import PatchSizes, View, draw_zoom, warped
from bpr_cli.training.data import PatchSubset, TrainBatch
from bpr_cli.training.recipe import load_recipe
from bpr_cli.training.sampling import ImageStream, MaskPool, simulated_mask, validation_patches
from bpr_cli.training.settings import ErrorSettings, SetSampling, TrainSettings
from bpr_cli.training.train import train
from tests.training.toy_data import disc, image_set, toy_set
from tests.training.trainers import TinyNorm

SIZES = PatchSizes(16, 8, 32)
SMALL = {
    "network": "tiny-norm",
    "input_size": 0,
    "padding": 8,
    "steps": 12,
    "batch_size": 4,
    "validate_every": 6,
    "sampling.patch_size": 16,
    "sampling.shift": 4,
}


def recipe_of(**changes):
    return load_recipe("images", {**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}})


@pytest.fixture
def subsets(tmp_path):
    names = [f"{video}_{frame:02}" for video in ("bear", "bus") for frame in range(3)]
    sets = image_set(tmp_path / "a", names), image_set(tmp_path / "b", ["x", "y"], (5,), first=50)
    return [PatchSubset.full(each) for each in sets]


@pytest.mark.parametrize(("groups", "sizes"), [("video", [6, 6]), ("category", [6, 6]), ("image", [2] * 6)])
def test_masks_are_grouped(groups, sizes, subsets):
    pool = MaskPool(subsets[0], SetSampling(groups=groups))
    assert sorted(map(len, pool.true)) == sizes
    assert sum(map(len, pool.predicted)) == 6


@pytest.mark.parametrize(("name", "is_exact"), [("a", False), ("b", True)])
def test_sets_that_are_not_named_are_sampled_like_the_others(name, is_exact, subsets):
    chances = {"a": 0.0, "b": 0.0, name: 1.0}
    named = {"sampling.sets.a.simulated": 1, "sampling.sets.a.chance": chances["a"]}
    others = {"sampling.others.simulated": 1, "sampling.others.exact": 1, "sampling.others.chance": chances["b"]}
    stream = ImageStream(subsets, load_recipe("images", SMALL | named | others), SIZES, 3)
    assert all((each.coarse == (each.truth == 1)).all() for each in map(stream.__getitem__, range(20))) == is_exact


def test_patches_have_the_size_of_the_input_and_depend_on_seed_and_position_alone(subsets):
    stream = ImageStream(subsets, recipe_of(), SIZES, 3)
    backwards = ImageStream(subsets, recipe_of(), SIZES, 3)
    found = [stream[position] for position in range(30)]
    again = [backwards[position] for position in reversed(range(30))][::-1]
    for one, other in zip(found, again, strict=True):
        assert (one.image.shape, one.coarse.shape, one.truth.shape) == ((32, 32, 3), (32, 32), (32, 32))
        for name in ("image", "coarse", "truth"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert set(np.unique(one.coarse)) <= {0, 1}
        assert set(np.unique(one.truth)) <= {0, 1, VOID}
    assert len({sample.image.tobytes() for sample in found}) == 30
    other_seed = ImageStream(subsets, recipe_of(), SIZES, 4)
    assert not np.array_equal(found[0].image, other_seed[0].image)


def test_without_changes_a_patch_is_a_part_of_its_image(subsets):
    """Zoom 1, nothing simulated, nothing varied: the pixels of the image, of the coarse mask and of the truth."""
    still = {f"image.{name}": 0 for name in ("gamma", "darken", "blur", "noise", "jpeg", "light", "saturation")}
    still |= {"image.contrast": 0, "image.white_balance": 0, "image.swap_channels": 0}
    still |= {f"coarse.{name}": 0 for name in ("shift", "morph", "truth")}
    still |= {"geometry.flip": 0, "geometry.flip_vertical": 0}
    sampled = {"sampling.sets.a.simulated": 0, "sampling.sets.a.zooms": [[1, 1]], "sampling.shift": 3}
    stream = ImageStream(subsets[:1], load_recipe("images", {**SMALL, **still, **sampled}), SIZES, 0)
    pool = MaskPool(subsets[0], SetSampling())
    scenes = [pool.scene(place) for group in pool.predicted for place in group]
    for position in range(10):
        sample = stream[position]
        wide = [np.pad(scene.pixels, ((40, 40), (40, 40), (0, 0)), mode="reflect") for scene in scenes]
        found = [
            (scene, int(y), int(x))
            for scene, pixels in zip(scenes, wide, strict=True)
            for y, x in np.argwhere((pixels[:-31, :-31] == sample.image[0, 0]).all(2))
            if np.array_equal(pixels[y : y + 32, x : x + 32], sample.image)
        ]
        assert len(found) == 1
        scene, y, x = found[0]
        for plane, expected in ((sample.coarse, scene.pair.coarse.to_array()), (sample.truth, scene.pair.truth_plane)):
            whole = np.pad(expected.astype(np.uint8), 40, mode="reflect")
            np.testing.assert_array_equal(plane, whole[y : y + 32, x : x + 32])


def test_a_window_has_half_pixel_centres():
    """Enlarged twice, every pixel of the image is a square of four; a place is where four pixels meet."""
    plane = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    found = warped(plane, View((20, 20), 2.0), 16, cv2.INTER_NEAREST)
    np.testing.assert_array_equal(found, np.kron(plane[16:24, 16:24], np.ones((2, 2), np.uint8)))


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("interpolation", [cv2.INTER_NEAREST, cv2.INTER_LINEAR])
def test_a_window_turned_by_quarters(quarters, interpolation):
    plane = np.random.default_rng(1).integers(0, 256, (40, 40), np.uint8)
    found = warped(plane, View((21, 19), 1.0, quarters * np.pi / 2), 16, interpolation)
    np.testing.assert_array_equal(found, np.rot90(plane[11:27, 13:29], quarters))


@settings(max_examples=30, deadline=None)
@given(angle=st.floats(0, 6.3), zoom=st.sampled_from([0.25, 0.5, 1.0, 2.0]))
def test_a_turned_window_shows_a_half_plane_from_its_side(angle, zoom):
    """Of an image whose right half is set, the boundary passes through the centre, across the direction of the view."""
    plane = np.repeat(np.arange(400)[None] >= 200, 400, axis=0).astype(np.uint8)
    found = warped(plane, View((200, 200), zoom, angle), 64, cv2.INTER_NEAREST)
    y, x = np.indices((64, 64)) - 31.5
    right = x * np.cos(angle) - y * np.sin(angle)
    clear = np.abs(right) > 1
    np.testing.assert_array_equal(found[clear], right[clear] > 0)


def test_chances_of_zooms():
    settings = SetSampling(zooms=((1.0, 0.4), (0.5, 0.2)), zoom_range=(0.7, 2))
    random = np.random.default_rng(0)
    drawn = np.array([draw_zoom(settings, random) for _ in range(4000)])
    assert np.mean(drawn == 1) == pytest.approx(0.4, abs=0.03)
    assert np.mean(drawn == 0.5) == pytest.approx(0.2, abs=0.03)
    rest = np.log(drawn[(drawn != 1) & (drawn != 0.5)])
    assert (rest.min(), rest.max(), rest.mean()) == pytest.approx((np.log(0.7), np.log(2), np.log(1.4) / 2), abs=0.03)


def test_sets_are_sampled_by_their_chances(subsets, monkeypatch):
    recipe = recipe_of(sampling__sets__a__chance=3, sampling__sets__b__chance=1)
    stream = ImageStream(subsets, recipe, SIZES, 0)
    found: Counter[str] = Counter()
    pools = {id(pool): name for name, pool in stream._pools.items()}
    sample = stream._sample

    def counted(pool, simulated, random):
        made = sample(pool, simulated, random)
        found[pools[id(pool)]] += made is not None
        return made

    monkeypatch.setattr(stream, "_sample", counted)
    for position in range(400):
        stream[position]
    assert found["a"] / found.total() == pytest.approx(0.75, abs=0.07)


def test_simulated_masks_have_the_errors_that_are_asked_for():
    truth = disc(96, 48, 48, 25) == 1
    none = ErrorSettings(blobs=0, low_resolution=0, wobble=0, polygon=0)
    np.testing.assert_array_equal(simulated_mask(truth, none, np.random.default_rng(0)), truth)
    for name in ("blobs", "mask_head", "low_resolution", "wobble", "thickness", "polygon"):
        found = [simulated_mask(truth, replace(none, **{name: 1}), np.random.default_rng(seed)) for seed in range(8)]
        overlaps = [np.count_nonzero(each & truth) / np.count_nonzero(each | truth) for each in found]
        assert min(overlaps) < 1, name
        assert np.median(overlaps) > 0.6, name


def sampled(subsets, count=12, sizes=SIZES, **changes):
    """Samples of simulated masks of a set, without further changes of the masks."""
    changes = {f"sampling__sets__a__{name}": value for name, value in {"simulated": 1, **changes}.items()}
    stream = ImageStream(subsets[:1], recipe_of(coarse__truth=0, **changes), sizes, 0)
    return [stream[position] for position in range(count)]


def test_exact_masks_are_the_ground_truth(subsets):
    for sample in sampled(subsets, exact=1):
        np.testing.assert_array_equal(sample.coarse, sample.truth == 1)


def test_near_masks_are_about_two_pixels_off_at_most(subsets):
    """At a zoom of 1, no wrong pixel lies deep on its side of the true boundary."""
    wrong = []
    for sample in sampled(subsets, 30, near=1, zooms=[[1, 1]]):
        truth = (sample.truth == 1).astype(np.uint8)
        depth = cv2.distanceTransform(truth, cv2.DIST_L2, 3) + cv2.distanceTransform(1 - truth, cv2.DIST_L2, 3)
        wrong += depth[sample.coarse != truth].tolist()
    assert len(wrong) > 100
    assert np.mean(np.array(wrong) <= 2.5) > 0.95
    assert max(wrong) < 6


def test_masks_with_wrong_parts_are_right_elsewhere(subsets):
    agree = [np.mean(sample.coarse == (sample.truth == 1)) for sample in sampled(subsets, 30, parts=1)]
    assert min(agree) < 1
    assert np.median(agree) > 0.8


def test_whole_masks_are_shown_with_their_surroundings(subsets):
    """The discs are 23 pixels wide; a patch is 1.15 to 2.2 times as wide as its disc, at another zoom each."""
    areas = []
    for sample in sampled(subsets, 20, PatchSizes(48, 8, 64), exact=1, whole=1):
        assert (sample.truth == 1).sum() > 0
        areas.append(np.mean(sample.truth == 1))
    # the area of a disc in a square that is 1.15 to 2.2 times as wide
    assert min(areas) > 0.13
    assert max(areas) < 0.6
    assert max(areas) > 1.8 * min(areas)


def test_patches_shrink_by_averaging():
    """Of a fine chequerboard, an image becomes grey, and a mask stays a mask."""
    plane = (np.indices((400, 400)).sum(0) % 2).astype(np.uint8)
    grey = warped(plane * 255, View((200.3, 200.2), 0.125), 32, cv2.INTER_LINEAR)
    assert grey.shape == (32, 32)
    assert abs(int(grey.mean()) - 127) < 2
    assert grey.std() < 3
    assert set(np.unique(warped(plane, View((200.3, 200.2), 0.125), 32, cv2.INTER_NEAREST))) <= {0, 1}


def test_composites_show_other_images(subsets):
    """Behind or before the object are pixels of the other set, whose images are brighter here."""
    plain = recipe_of(sampling__sets__a__simulated=1, sampling__sets__a__chance=1, sampling__sets__b__chance=0)
    sets = {**plain.sampling.sets, "a": replace(plain.sampling.sets["a"], composite=1, paste_from={"b": 1})}
    mixed = replace(plain, sampling=replace(plain.sampling, sets=sets))
    streams = [ImageStream(subsets, recipe, SIZES, 0) for recipe in (plain, mixed)]
    differ = [not np.array_equal(*(stream[position].image for stream in streams)) for position in range(20)]
    assert sum(differ) > 15
    for position in range(20):
        assert (streams[1][position].coarse == 1).any()


def test_validation_patches_lie_along_the_coarse_masks(subsets):
    found = validation_patches(subsets[0], SIZES, 1000, 0)
    assert len(found) > 6
    for patch in found:
        assert patch.image.shape == (32, 32, 3)
        inner = patch.coarse[8:24, 8:24]
        assert inner.any()
        assert not inner.all()
    assert len(validation_patches(subsets[0], SIZES, 4, 0)) == 4


def settings_of(**changes) -> TrainSettings:
    return TrainSettings(recipe_of(), **{"workers": 0, "validation_share": 0.34, "name": "same", **changes})


@pytest.fixture(autouse=True)
def network(monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny-norm", TinyNorm)


def test_a_training_on_images_does_not_depend_on_workers_or_interruptions(subsets, tmp_path):
    paths = [subset.patches.path for subset in subsets]
    summary = train(paths, tmp_path / "straight", settings_of())
    assert (summary.stopped_at, summary.patches) == (12, 5)
    assert summary.coarse.patches > 4
    assert summary.settings["recipe.sampling.patch_size"] == 16
    train(paths, tmp_path / "workers", settings_of(workers=2))
    last = [(tmp_path / run / "last.safetensors").read_bytes() for run in ("straight", "workers")]
    assert last[0] == last[1]
    again = train(paths, tmp_path / "straight", settings_of())
    assert (again.started_at, again.stopped_at) == (12, 12)


def test_sets_of_patches_validate_a_training_on_images(subsets, tmp_path):
    held = toy_set(tmp_path / "held", 6, 2).path
    summary = train([subsets[0].patches.path], tmp_path / "run", settings_of(validation=(held,)))
    assert (summary.patches, summary.coarse.patches) == (6, 6)


@pytest.mark.slow
def test_the_recipe_of_the_shipped_weights_trains_their_network(tmp_path):
    paths = [
        image_set(tmp_path / name, [f"{name}_{n}" for n in range(3)]).path for name in ("objects", "street", "cells")
    ]
    recipe = load_recipe("fast-3", {"steps": 2, "batch_size": 4})
    summary = train(paths, tmp_path / "run", TrainSettings(recipe, workers=0))
    assert (summary.network, summary.stopped_at) == ("lite-unet", 2)


@pytest.mark.parametrize(
    ("recipe", "names", "said"),
    [
        ("modern", ["a"], "a holds whole images, but the recipe does not sample patches from images; "),
        ("images", ["patches"], "patches holds patches, but the recipe samples them from whole images; "),
        ("fast-4", ["a", "b"], "the recipe samples from a set blood, but the patch sets are a, b; "),
        ("fast", ["a", "b"], "the recipe samples from a set cells, but the patch sets are a, b; "),
        ("images", ["a", "other/a"], "two patch sets have the same folder name, by which recipes tell them apart; "),
    ],
)
def test_sets_that_do_not_fit_the_recipe(recipe, names, said, subsets, tmp_path):
    toy_set(tmp_path / "patches")
    image_set(tmp_path / "other/a", ["z", "w"])
    changes = {"steps": 3} if recipe == "modern" else SMALL
    settings = TrainSettings(load_recipe(recipe, {**changes, "network": "tiny-norm"}), workers=0, network="tiny-norm")
    with pytest.raises(BprError) as caught:
        train([tmp_path / name for name in names], tmp_path / "run", settings)
    assert said in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_masks_without_any_boundary_are_reported(tmp_path):
    writer = PatchSetWriter(tmp_path / "full", PatchSetSettings(scheme="image"))
    full, nothing = (Mask.from_array(np.full((40, 40), value)) for value in (1, 0))
    black, truth = np.zeros((40, 40, 3), np.uint8), ImageMasks((AnnotatedMask(full, 0, 1),), nothing)
    writer.add(encode_whole(black, truth, [], None), PatchOrigin("p", "a", None, None, (0, 0, 40, 40), 0))
    stream = ImageStream([PatchSubset.full(writer.close())], recipe_of(), SIZES, 0)
    with pytest.raises(BprError, match="none of 100 patches sampled from the set full shows a boundary"):
        stream[0]


def test_batches_stack(subsets):
    stream = ImageStream(subsets, recipe_of(), SIZES, 0)
    batch = TrainBatch.of([stream[position] for position in range(4)])
    assert tuple(batch.image.shape) == (4, 32, 32, 3)
