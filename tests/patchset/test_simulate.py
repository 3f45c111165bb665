"""Simulated coarse masks: alike for equal generators, and like masks of models in their faults."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.simulate import (
    blobs,
    low_resolution,
    mask_head,
    polygon,
    simulate,
    simulate_labels,
    thickness,
    wobble,
)
from tests.formats.format_builders import disc

FAULTS = [blobs, low_resolution, mask_head, polygon, thickness, wobble]
SIZE = (120, 160)
TRUTH = Mask.from_array(disc(SIZE, (60, 70), 35))


def rng(seed):
    return np.random.default_rng(seed)


@given(st.integers(0, 2**32 - 1))
def test_equal_generators_give_equal_masks(seed):
    first, second = simulate(TRUTH, rng(seed)), simulate(TRUTH, rng(seed))
    assert first.box == second.box
    np.testing.assert_array_equal(first.crop, second.crop)


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_masks_of_every_kind_and_size_are_simulated(height, width, seed, share):
    truth = Mask.from_array(rng(seed).random((height, width)) < share)
    coarse = simulate(truth, rng(seed))
    assert coarse.size == truth.size
    assert coarse.to_array().shape == (height, width)


def test_an_empty_mask_stays_empty():
    assert simulate(Mask.from_array(np.zeros(SIZE)), rng(0)).area == 0


def test_masks_differ_and_resemble_the_truth():
    masks = [simulate(TRUTH, rng(seed)) for seed in range(60)]
    assert len({mask.crop.tobytes() for mask in masks}) > 55
    found = [mask.iou(TRUTH) for mask in masks]
    assert 0.8 < np.median(found) < 0.99
    assert min(found) > 0.4


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_moves_the_boundary_and_keeps_most_of_the_mask(fault):
    soft = TRUTH.to_array().astype(np.float32)
    for seed in range(10):
        before = soft.copy()
        found = fault(soft, rng(seed))
        np.testing.assert_array_equal(soft, before)
        assert found.dtype == np.float32
        assert found.shape == SIZE
        assert set(np.unique(found)) <= {0, 1}
        changed = np.count_nonzero((found > 0.5) != (soft > 0.5)) / TRUTH.area
        assert 0 < changed < 0.6


def test_the_mask_head_cannot_draw_what_is_finer_than_its_grid():
    comb = np.zeros((280, 280), np.float32)
    comb[20:260, 20:260] = 1
    comb[20:140, 24:260:8] = 0
    comb[20:140, 25:260:8] = 0
    found = mask_head(comb, rng(1)) > 0.5
    teeth = found[60:110, 60:220]
    assert teeth.mean() > 0.9


def test_blobs_are_added_as_well_as_taken_away():
    soft = TRUTH.to_array().astype(np.float32)
    changes = [np.sign(blobs(soft, rng(seed)) - soft) for seed in range(20)]
    assert any((change > 0).any() for change in changes)
    assert any((change < 0).any() for change in changes)


def test_nothing_is_drawn_far_from_the_mask():
    far = np.ones(SIZE, bool)
    far[60 - 35 - 25 : 60 + 35 + 25, 70 - 35 - 25 : 70 + 35 + 25] = False
    for seed in range(40):
        assert not (simulate(TRUTH, rng(seed)).to_array() & far).any()


def test_a_coarse_label_map_has_labels_of_the_truth_only_and_differs_along_its_boundaries():
    labels = np.where(disc(SIZE, (60, 70), 35), 7, 3).astype(np.int32)
    labels[100:] = 1009
    coarse = simulate_labels(labels, rng(0))
    assert coarse.dtype == np.int32
    assert set(np.unique(coarse)) == {3, 7, 1009}
    assert 0.9 < (coarse == labels).mean() < 0.999
    np.testing.assert_array_equal(coarse, simulate_labels(labels, rng(0)))
    uniform = np.full((33, 47), 5, np.int32)
    np.testing.assert_array_equal(simulate_labels(uniform, rng(0)), uniform)
