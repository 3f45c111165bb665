from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.binary import BinarySums, binary_scores, binary_sums
from bpr_cli.evaluation.boundary import boundary_f, boundary_iou, iou
from bpr_cli.evaluation.settings import EvaluateSettings
from tests.evaluation.label_cases import label_pairs


@settings(max_examples=30)
@given(images=st.lists(label_pairs([0, 1]), min_size=1, max_size=4), tolerance=st.sampled_from([0.1, 1.0]))
def test_figures_are_means_over_images(images, tolerance):
    sums = sum((binary_sums(*pair, EvaluateSettings(tolerance=tolerance)) for pair in images), BinarySums())
    pixels = [tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*pair[0].shape)) for pair in images]
    scores = binary_scores(sums)
    assert scores["IoU"] == pytest.approx(np.mean([iou(*pair) for pair in images]))
    assert scores["boundary IoU"] == pytest.approx(np.mean([boundary_iou(*pair) for pair in images]))
    contours = [boundary_f(*pair, reach) for pair, reach in zip(images, pixels, strict=True)]
    assert scores["boundary F"] == pytest.approx(np.mean(contours))
    at = [np.mean([boundary_f(*pair, further) for pair in images]) for further in (1, 2, 3, 5)]
    assert [share / sums.images for share in sums.further] == pytest.approx(at)


def test_empty_masks_and_no_images():
    empty, full = np.zeros((1, 1), dtype=bool), np.ones((1, 1), dtype=bool)
    assert binary_sums(empty, empty, EvaluateSettings()) == BinarySums(1, 1, 1, 1, (1, 1, 1, 1))
    assert binary_sums(full, empty, EvaluateSettings()) == BinarySums(1, 0, 0, 1, (1, 1, 1, 1))  # no contour in either
    assert all(math.isnan(score) for score in binary_scores(BinarySums()).values())


def test_what_cannot_be_compared_is_refused():
    mask = np.ones((3, 4), dtype=bool)
    with pytest.raises(BprError, match="prediction is 3 x 4 pixels, expected the 4 x 3 pixels of the ground truth"):
        binary_sums(mask.T, mask, EvaluateSettings())
    with pytest.raises(BprError, match=r"ground truth is an array of shape \(0, 4\)"):
        binary_sums(mask, mask[:0], EvaluateSettings())


@pytest.mark.parametrize(("model", "expected"), [("esp", (73.9, 19.6)), ("dice", (62.2, 12.6))])
def test_figures_of_real_predictions(shared_fixtures, model, expected):
    """Non-empty predictions only: the figures that came with the data, to a decimal."""
    data = shared_fixtures.parent / "data/objects"
    sums = BinarySums()
    for path in sorted((data / f"predictions/{model}/val").glob("*.png")):
        prediction = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        (truth,) = data.glob(f"masks/**/{path.name}")
        if prediction.any():
            sums += binary_sums(prediction, cv2.imread(str(truth), cv2.IMREAD_UNCHANGED), EvaluateSettings())
    scores = binary_scores(sums)
    assert (round(100 * scores["IoU"], 1), round(100 * scores["boundary F"], 1)) == expected
