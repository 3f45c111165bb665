"""Soft masks: the values that refinement replaces, and the foreground that stays theirs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.masks.soft import SoftMask
from bpr_cli.masks.values import Foreground

SIZE = (12, 16)
WINDOW = (3, 2, 11, 8)
ROWS, COLUMNS = slice(2, 8), slice(3, 11)


def soft_values(seed, dtype):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, SIZE).astype(dtype)


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.uint8, np.uint16]),
    st.sampled_from([0.02, 0.3, 0.5, 0.98, 127 / 255]),
)
def test_probabilities_replace_values_and_foreground_follows(seed, dtype, threshold):
    values, rng, full = soft_values(seed, dtype), np.random.default_rng(seed + 1), np.iinfo(dtype).max
    mask = SoftMask.of(values, Foreground(threshold, full))
    assert np.array_equal(mask.to_array(), values > threshold * full)

    probability, where = rng.random((6, 8)).astype(np.float32), rng.random((6, 8)) < 0.5
    foreground = mask.to_array()
    foreground[ROWS, COLUMNS][where] = probability[where] > 0.5
    refined = mask.predicted(Mask.from_array(foreground), WINDOW, probability, where)
    assert np.array_equal(refined.to_array(), foreground)
    assert np.array_equal(refined.values > threshold * full, foreground)
    untouched = np.ones(SIZE, bool)
    untouched[ROWS, COLUMNS] = ~where
    assert np.array_equal(refined.values[untouched], values[untouched])
    if threshold == 0.5:
        found = refined.values[ROWS, COLUMNS][where].astype(float)
        assert np.abs(found - probability[where] * full).max(initial=0) <= 1

    kept = foreground.copy()
    kept[4] = mask.to_array()[4]
    limited = refined.limited(Mask.from_array(kept), mask)
    assert np.array_equal(limited.to_array(), kept)
    assert np.array_equal(limited.values > threshold * full, kept)
    assert np.array_equal(limited.values[kept == foreground], refined.values[kept == foreground])


@pytest.mark.parametrize("probability", [0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.501])
def test_rounding_never_crosses_the_threshold(probability):
    mask = SoftMask.of(np.zeros((1, 1), np.uint8), Foreground(0.5))
    refined = Mask.from_array(np.array([[probability > 0.5]]))
    predicted = mask.predicted(refined, (0, 0, 1, 1), np.array([[probability]], np.float32), np.ones((1, 1), bool))
    assert (predicted.values[0, 0] > 127.5) == (probability > 0.5)


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_binary_masks_take_the_full_range(dtype, full):
    mask = SoftMask.of(np.array([[0, 1]], dtype), Foreground())
    assert mask.values.tolist() == [[0, full]]
    assert mask.to_array().tolist() == [[False, True]]
