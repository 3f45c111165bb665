from __future__ import annotations

import numpy as np
import pytest

from bpr_cli.demo.measure import Score, as_segments, mean_score, score
from bpr_cli.masks.masks import LabelMap, Mask


@pytest.fixture
def square():
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:15, 5:15] = True
    return mask


def test_one_mask(square):
    assert score(square, square) == Score(1.0, 1.0)
    assert score(square & False, square) == Score(0.0, 0.0)
    assert score(Mask.from_array(square), square) == Score(1.0, 1.0)


def test_a_list_is_averaged_over_its_pairs(square):
    assert score([square, ~square], [square, square]).iou == pytest.approx(0.5)
    assert score([], []) == Score(1.0, 1.0)
    assert score((Mask.from_array(square),), [square]) == Score(1.0, 1.0)


def test_a_label_map_is_averaged_over_the_labels_of_the_truth(square):
    truth = square.astype(np.uint8)
    labels = np.full_like(truth, 3)
    assert score(labels, truth).iou == 0
    assert score(LabelMap(truth.astype(np.int32), frozenset()), truth) == Score(1.0, 1.0)


def test_mean():
    assert mean_score([Score(0.0, 1.0), Score(1.0, 0.5)]) == Score(0.5, 0.75)


def test_what_does_not_fit_is_refused(square):
    with pytest.raises(ValueError, match="got 1 for 2"):
        score([square], [square, square])
    with pytest.raises(ValueError, match="only be compared"):
        score(square, square.astype(np.int32))
    with pytest.raises(ValueError, match="got shape"):
        as_segments(np.zeros((2, 3, 3), dtype=bool))
