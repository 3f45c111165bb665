from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bpr_cli.demo.degrade import low_resolution_labels, mask_head
from bpr_cli.evaluation.boundary import boundary_f, iou


def low_resolution(mask, rng):
    return low_resolution_labels(mask.astype(np.int32), rng) > 0


DEGRADATIONS = (mask_head, low_resolution)


def disc(size=(200, 260), centre=(100, 130), radius=60):
    y, x = np.mgrid[: size[0], : size[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


@pytest.mark.parametrize("degrade", DEGRADATIONS)
def test_a_degraded_mask_is_close_but_its_boundary_is_astray(degrade):
    truth = disc()
    coarse = [degrade(truth, np.random.default_rng(seed)) for seed in range(8)]
    assert 0.85 < np.mean([iou(mask, truth) for mask in coarse]) < 0.98
    assert 0.1 < np.mean([boundary_f(mask, truth) for mask in coarse]) < 0.8
    assert len({mask.tobytes() for mask in coarse}) == len(coarse)


@pytest.mark.parametrize("degrade", DEGRADATIONS)
def test_errors_do_not_shift_the_mask_to_one_side(degrade):
    truth = disc()
    centres = [np.argwhere(degrade(truth, np.random.default_rng(seed))).mean(axis=0) for seed in range(40)]
    assert np.mean(centres, axis=0) == pytest.approx([100, 130], abs=1.0)


@pytest.mark.parametrize("degrade", DEGRADATIONS)
def test_the_same_generator_state_gives_the_same_mask(degrade):
    assert np.array_equal(*(degrade(disc(), np.random.default_rng(5)) for _ in range(2)))


@settings(max_examples=60, deadline=None)
@given(
    mask=st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda shape: hnp.arrays(bool, shape)),
    degrade=st.sampled_from(DEGRADATIONS),
    seed=st.integers(0, 99),
)
def test_any_mask_gives_a_mask_of_its_size(mask, degrade, seed):
    coarse = degrade(mask, np.random.default_rng(seed))
    assert coarse.dtype == bool
    assert coarse.shape == mask.shape
    if not mask.any():
        assert not coarse.any()


def test_degraded_labels_are_labels_of_the_truth(demo):
    for case in demo.cases:
        assert case.labels.dtype == case.segment_ids.dtype == np.int32
        assert set(np.unique(case.labels)) <= set(np.unique(case.true_labels))
        assert set(np.unique(case.segment_ids)) <= set(np.unique(case.true_segment_ids))


def test_a_label_map_of_one_label_stays_as_it_is():
    labels = np.full((33, 47), 7, dtype=np.int64)
    assert np.array_equal(low_resolution_labels(labels, np.random.default_rng(0)), labels)
