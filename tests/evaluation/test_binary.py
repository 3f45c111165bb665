from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.binary import (
    BinaryFigures,
    BinarySettings,
    BinarySums,
    binary_figures,
    binary_sums,
    check_binary,
)
from bpr_cli.evaluation.boundary import boundary_f, boundary_iou, iou
from tests.evaluation.label_cases import label_pairs


@settings(max_examples=30)
@given(images=st.lists(label_pairs([0, 1]), min_size=1, max_size=4), tolerance=st.sampled_from([0.1, 1.0]))
def test_figures_are_means_over_images(images, tolerance):
    sums = sum((binary_sums(*pair, BinarySettings(tolerance)) for pair in images), BinarySums())
    pixels = [tolerance if tolerance >= 1 else math.ceil(tolerance * math.hypot(*pair[0].shape)) for pair in images]
    figures = binary_figures(sums)
    assert figures.iou == pytest.approx(np.mean([iou(*pair) for pair in images]))
    assert figures.boundary_iou == pytest.approx(np.mean([boundary_iou(*pair) for pair in images]))
    scores = [boundary_f(*pair, reach) for pair, reach in zip(images, pixels, strict=True)]
    assert figures.boundary_f == pytest.approx(np.mean(scores))


def test_empty_masks_and_no_images():
    empty, full = np.zeros((1, 1), dtype=bool), np.ones((1, 1), dtype=bool)
    assert binary_figures(binary_sums(empty, empty, BinarySettings())) == BinaryFigures(1, 1, 1)
    assert binary_figures(binary_sums(full, empty, BinarySettings())) == BinaryFigures(0, 0, 1)  # no contour in either
    assert all(math.isnan(figure) for figure in vars(binary_figures(BinarySums())).values())


def test_what_cannot_be_compared_is_refused():
    mask = np.ones((3, 4), dtype=bool)
    with pytest.raises(BprError, match="prediction is 3 x 4 pixels, expected the 4 x 3 pixels of the ground truth"):
        check_binary(mask.T, mask)
    with pytest.raises(BprError, match=r"ground truth is an array of shape \(0, 4\)"):
        check_binary(mask, mask[:0])
    with pytest.raises(BprError, match="tolerance is -1"):
        BinarySettings(tolerance=-1)
    with pytest.raises(BprError, match="dilation ratio is 0"):
        BinarySettings(dilation_ratio=0)


@pytest.mark.parametrize(("model", "expected"), [("esp", (73.9, 19.6)), ("dice", (62.2, 12.6))])
def test_figures_of_real_predictions(shared_fixtures, model, expected):
    """Non-empty predictions only: the figures that came with the data, to a decimal."""
    data = shared_fixtures.parent / "data/objects"
    sums = BinarySums()
    for path in sorted((data / f"predictions/{model}/val").glob("*.png")):
        prediction = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        (truth,) = data.glob(f"masks/**/{path.name}")
        if prediction.any():
            sums += binary_sums(prediction, cv2.imread(str(truth), cv2.IMREAD_UNCHANGED), BinarySettings())
    figures = binary_figures(sums)
    assert (round(100 * figures.iou, 1), round(100 * figures.boundary_f, 1)) == expected
