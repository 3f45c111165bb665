from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.evaluation.boundary import boundary_band, boundary_f, boundary_map
from bpr_cli.evaluation.label_boundary import Contours, label_band, label_boundary_f
from tests.evaluation.label_cases import brute_band, label_pairs


@settings(max_examples=150)
@given(pair=label_pairs([0, 1, 2, 3]), tolerance=st.sampled_from([0.0, 1.0, 2.5]))
def test_boundary_f_of_a_map_is_that_of_its_masks(pair, tolerance):
    codes, truth = pair
    expected = [boundary_f(codes == k, truth == k, tolerance) for k in range(3)]
    assert label_boundary_f(codes, truth, 3, [tolerance])[0] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50)
@given(pair=label_pairs([*range(20)]), tolerances=st.lists(st.sampled_from([0.0, 1.0, 2.0, 2.5, 5.0]), min_size=1))
def test_several_tolerances_and_many_classes_at_once(pair, tolerances):
    codes, truth = pair
    expected = [[boundary_f(codes == k, truth == k, each) for k in range(19)] for each in tolerances]
    np.testing.assert_allclose(label_boundary_f(codes, truth, 19, tolerances), expected, atol=1e-12)


@settings(max_examples=100)
@given(pair=label_pairs([0, 1, 2]))
def test_contours_are_the_boundary_maps_of_the_masks(pair):
    contours = Contours.of(pair[0], 2)
    for number in range(2):
        x, y = contours.of_class(number)
        drawn = np.zeros(pair[0].shape, dtype=int)
        np.add.at(drawn, (y, x), 1)
        assert np.array_equal(drawn, boundary_map(pair[0] == number))


@settings(max_examples=100)
@given(pair=label_pairs([0, 3, 70000], largest=5), width=st.integers(1, 4))
def test_the_band_of_a_map_is_that_of_all_its_masks(pair, width):
    labels = pair[0]
    band = label_band(labels, width)
    for label in np.unique(labels):
        expected = brute_band(labels == label, width)
        assert np.array_equal(band & (labels == label), expected)
        assert np.array_equal(boundary_band(labels == label, width), expected)


def test_a_thin_line_is_all_band_and_the_frame_is_band_too():
    labels = np.zeros((9, 9), dtype=np.uint8)
    labels[:, 4] = 1
    band = label_band(labels, 1)
    assert band[:, 4].all()
    assert np.argwhere(~band[1:-1, 1:-1]).shape == (7 * 4, 2)
    assert band[0].all()
    assert band[:, -1].all()
