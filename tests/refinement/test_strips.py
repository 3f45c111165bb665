"""Large maps are refined strip by strip: with the same result, and in memory that does not grow with their labels."""

import tracemalloc
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.masks import runs
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.masks.runs import strips_of
from bpr_cli.patches.boxes import boundary_pixels
from bpr_cli.refinement.image import ImagePass, RefinementStats, fill_batches
from bpr_cli.refinement.labels import label_masks
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.settings import PassSettings
from tests.inference.engines import picture
from tests.patches.drawn import label_planes
from tests.refinement.test_image import scenes

SIDE, MARGIN = 8, 2
PASSES = (
    PassSettings(patch_size=2 * SIDE, min_patch_size=SIDE, padding=2 * MARGIN, input_size=12, nms_threshold=0.25),
    PassSettings(patch_size=SIDE, min_patch_size=SIDE, padding=MARGIN, input_size=12, nms_threshold=0.25),
)
"""Patches of the first pass are larger than most strips."""


def strips_of_pixels(count: int):
    return patch.object(runs, "STRIP_PIXELS", count)


def refined(image, coarse: LabelMap, limits: Limits, batch_size: int) -> tuple[np.ndarray, RefinementStats, int]:
    """The map after two passes whose network answers with the red of the image; also the most patches that waited."""
    most = 0
    current = ImagePass.begin(image, coarse, PASSES[0])
    for number, how in enumerate(PASSES):
        if number:
            current = current.next(how, limits)
        for batch in fill_batches([(None, current)], batch_size):
            patches = batch.crop(how.input_size)
            batch.hand_out(patches.image[:, MARGIN:-MARGIN, MARGIN:-MARGIN, 0])
            most = max(most, sum(len(outline.probabilities()) for outline in current.outlines if outline.predicted))
    result = current.refine(limits)
    return result.prediction.labels, current.stats(result), most


@given(scenes(), st.integers(1, 200), st.integers(1, 9), st.sampled_from([Limits(), Limits(max_area_change=0.5)]))
@settings(deadline=None, max_examples=50)
def test_strips_of_any_size_give_the_same_result(scene, pixels, batch_size, limits):
    image, coarse, _ = scene
    whole, whole_stats, _ = refined(image, coarse, limits, 1000)
    with strips_of_pixels(pixels):
        found, stats, _ = refined(image, coarse, limits, batch_size)
    np.testing.assert_array_equal(found, whole)
    assert stats == whole_stats


def test_only_the_patches_of_a_strip_wait():
    labels = np.random.default_rng(2).integers(0, 3, (100, 4)).astype(np.int32).repeat(8, axis=0).repeat(8, axis=1)
    image, coarse = picture(labels.shape), LabelMap(labels, frozenset())
    whole, _, all_patches = refined(image, coarse, Limits(), 4)
    with strips_of_pixels(40 * 32):
        found, _, most = refined(image, coarse, Limits(), 4)
    np.testing.assert_array_equal(found, whole)
    # Of 20 strips, at most two and the patches on their edges.
    assert most < all_patches / 6


@given(label_planes(), st.integers(1, 60))
def test_the_masks_of_labels_equal_those_of_full_frames(labels, pixels):
    with strips_of_pixels(pixels):
        found = label_masks(LabelMap(labels, frozenset({0})))
    assert [mask.label for mask in found] == np.unique(labels).tolist()
    for mask in found:
        expected = Mask.from_array(labels == mask.label)
        assert (mask.size, mask.box, mask.area) == (expected.size, expected.box, expected.area)
        window = (0, 0, labels.shape[1], labels.shape[0])
        np.testing.assert_array_equal(mask.window(window), expected.window(window))


@given(label_planes(), st.integers(1, 60))
def test_boundary_pixels_do_not_depend_on_strips(labels, pixels):
    mask = Mask.from_array(labels == labels[0, 0])
    whole = boundary_pixels(mask)
    with strips_of_pixels(pixels):
        found = boundary_pixels(mask)
    for name in ("x", "y", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 10_000))
def test_strips_hold_every_row_once(height, width, pixels):
    with strips_of_pixels(pixels):
        found = strips_of((height, width))
    assert [row for top, bottom in found for row in range(top, bottom)] == list(range(height))
    assert all((bottom - top) * width <= max(pixels, width) for top, bottom in found)


@pytest.mark.parametrize("labels", [5, 80])
def test_memory_does_not_grow_with_the_labels(labels):
    """Apart from the image and the map itself; each full-frame mask would take a byte a pixel."""
    random = np.random.default_rng(3)
    cells = random.integers(0, labels, (12, 12)).astype(np.int32)
    coarse = LabelMap(np.kron(cells, np.ones((64, 64), np.int32)), frozenset())
    image = picture(coarse.labels.shape)
    with strips_of_pixels(2**16):
        tracemalloc.start()
        refined(image, coarse, Limits(), 64)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 30 * coarse.labels.size
