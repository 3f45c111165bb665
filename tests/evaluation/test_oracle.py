from __future__ import annotations

import operator
from functools import reduce

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.oracle import oracle_labels, oracle_mask
from bpr_cli.evaluation.semantic import SemanticEvaluator
from bpr_cli.evaluation.semantic_sums import semantic_sums
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.truth.label_sets import LabelSet
from tests.evaluation.label_cases import label_pairs

VOID = 255


def brute_distance(labels):
    """Distance from the predicted boundary, infinite where there is none."""
    height, width = labels.shape
    beside = [
        (y, x)
        for y in range(height)
        for x in range(width)
        for v, u in ((y, x + 1), (y + 1, x), (y, x - 1), (y - 1, x))
        if 0 <= v < height and 0 <= u < width and labels[v, u] != labels[y, x]
    ]
    distance = np.full(labels.shape, np.inf)
    for y, x in np.ndindex(labels.shape):
        distance[y, x] = 1 + min((np.hypot(y - v, x - u) for v, u in beside), default=np.inf)
    return distance


@settings(max_examples=100)
@given(pair=label_pairs([0, 1, VOID], largest=6), distance=st.sampled_from([0.5, 1, 2, 3, 4.5]))
def test_labels_near_the_predicted_boundary_are_the_true_ones(pair, distance):
    prediction, truth = pair
    right = (brute_distance(prediction) <= distance) & (truth != VOID)
    oracle = oracle_labels(prediction, truth, frozenset({VOID}), distance)
    assert np.array_equal(oracle, np.where(right, truth, prediction))
    assert oracle.dtype == prediction.dtype


@settings(max_examples=50)
@given(pair=label_pairs([0, 1], largest=6), distance=st.sampled_from([1, 3]))
def test_masks_are_label_maps_of_two_labels(pair, distance):
    prediction, truth = (labels.astype(bool) for labels in pair)
    expected = np.where(brute_distance(prediction) <= distance, truth, prediction)
    assert np.array_equal(oracle_mask(prediction, truth, distance), expected)


def test_a_prediction_without_boundary_stays_and_sizes_must_agree():
    plain, other = np.zeros((3, 4), dtype=np.uint8), np.ones((3, 4), dtype=np.uint8)
    assert np.array_equal(oracle_labels(plain, other, frozenset(), 10), plain)
    with pytest.raises(BprError, match="prediction is 4 x 3 pixels"):
        oracle_labels(plain, other.T, frozenset(), 1)


@pytest.mark.parametrize(("distance", "miou", "af"), [(1, 62.1, 47.7), (2, 67.3, 57.9), (3, 71.4, 65.0)])
def test_oracle_of_real_predictions(shared_fixtures, distance, miou, af):
    data, settings = shared_fixtures.parent / "data/street", EvaluateSettings()
    labels, sums = LabelSet("street", {label: str(label) for label in range(11)}, frozenset({VOID})), []
    for path in sorted((data / "labels/val").glob("*.png")):
        truth, prediction = (
            cv2.imread(str(file), cv2.IMREAD_UNCHANGED) for file in (path, data / "predictions/esp/val" / path.name)
        )
        near = oracle_labels(prediction, truth, frozenset({VOID}), distance)
        sums.append(semantic_sums(near, truth, labels, settings))
    summary = SemanticEvaluator(settings, labels).tables(reduce(operator.add, sums)).summary
    assert [round(metric.value, 1) for metric in summary[:2]] == [miou, af]
