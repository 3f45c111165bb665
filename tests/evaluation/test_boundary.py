from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bpr_cli.evaluation.boundary import (
    band_width,
    boundary_band,
    boundary_f,
    boundary_iou,
    boundary_map,
    iou,
    tolerance_pixels,
)
from tests.evaluation.label_cases import brute_band, brute_iou

SHARED = Path(__file__).resolve().parents[3] / "shared"
STREET_CLASSES = 11
VOID = 255

small_shapes = st.tuples(st.integers(1, 9), st.integers(1, 9))
pairs = small_shapes.flatmap(lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape)))


def brute_boundary(mask):
    height, width = mask.shape
    points = []
    for y in range(height):
        for x in range(width):
            neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
            inside = [(v, u) for v, u in neighbours if v < height and u < width]
            if any(mask[y, x] != mask[v, u] for v, u in inside):
                points.append((y, x))
    return points


def brute_boundary_f(mask, truth, tolerance):
    ours, theirs = brute_boundary(mask), brute_boundary(truth)
    if not ours or not theirs:
        return float(len(ours) == len(theirs))

    def share_near(points, others):
        near = [any((y - v) ** 2 + (x - u) ** 2 <= tolerance**2 for v, u in others) for y, x in points]
        return sum(near) / len(near)

    precision, recall = share_near(ours, theirs), share_near(theirs, ours)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@settings(max_examples=200, deadline=None)
@given(pair=pairs, tolerance=st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0]))
def test_boundary_f_agrees_with_brute_force(pair, tolerance):
    mask, truth = pair
    assert boundary_f(mask, truth, tolerance) == pytest.approx(brute_boundary_f(mask, truth, tolerance), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(pair=pairs)
def test_both_figures_are_symmetric_and_between_0_and_1(pair):
    mask, truth = pair
    for measure in (iou, boundary_f):
        assert 0 <= measure(mask, truth) <= 1
        assert measure(mask, truth) == measure(truth, mask)
        assert measure(mask, mask) == 1


def test_known_figures_of_a_shifted_square():
    truth = np.zeros((40, 40), dtype=bool)
    truth[10:30, 10:30] = True
    mask = np.roll(truth, 2, axis=1)
    assert iou(mask, truth) == pytest.approx(360 / 440)
    assert boundary_f(mask, truth, tolerance=2) == 1
    # Both contours have 80 pixels; the two vertical sides are out of reach but for their ends.
    assert 0.4 < boundary_f(mask, truth, tolerance=1) < 0.6
    assert boundary_f(np.roll(truth, 1, axis=1), truth, tolerance=1) == 1


def test_empty_masks():
    empty, full = np.zeros((8, 8), dtype=bool), np.ones((8, 8), dtype=bool)
    square = empty.copy()
    square[2:5, 2:5] = True
    assert boundary_f(empty, empty) == iou(empty, empty) == 1
    assert boundary_f(square, empty) == boundary_f(empty, square) == iou(square, empty) == 0
    assert boundary_f(full, empty) == 1  # neither has a boundary
    assert iou(full, empty) == 0


def test_any_dtype_counts_non_zero_as_foreground():
    mask = np.array([[0, 255], [0, 7]], dtype=np.uint8)
    assert iou(mask, mask > 0) == boundary_f(mask, mask > 0) == 1


def test_the_frame_is_not_a_boundary():
    mask = np.zeros((6, 6), dtype=bool)
    mask[:, 3:] = True
    assert np.argwhere(boundary_map(mask)).tolist() == [[y, 2] for y in range(6)]


def test_unequal_sizes_and_negative_tolerance_are_refused():
    mask = np.ones((4, 5), dtype=bool)
    with pytest.raises(ValueError, match=r"\(4, 5\) and \(5, 4\)"):
        iou(mask, mask.T)
    with pytest.raises(ValueError, match="got shapes"):
        boundary_f(mask[None], mask[None])
    with pytest.raises(ValueError, match="tolerance"):
        boundary_f(mask, mask, tolerance=-1)


def street_pairs():
    """Ground truth and prediction of every image of the shared street/val set."""
    truths = sorted((SHARED / "data/street/labels/val").glob("*.png"))
    predictions = SHARED / "data/street/predictions/esp/val"
    for path in truths:
        yield (
            cv2.imread(str(path), cv2.IMREAD_UNCHANGED),
            cv2.imread(str(predictions / path.name), cv2.IMREAD_UNCHANGED),
        )


@pytest.mark.skipif(not (SHARED / "fixtures/metrics.json").exists(), reason="the reference data is not on this machine")
@pytest.mark.parametrize("tolerance", [1, 3])
def test_reference_figures_of_real_predictions(tolerance):
    """Mean over images, then over classes, void pixels set to background in both: as GSCNN counts it."""
    figures = json.loads((SHARED / "fixtures/metrics.json").read_text())
    name = f"street/predictions/esp/val: boundary F, {tolerance} px, mean over images then classes (GSCNN f_boundary)"
    scores = [
        [boundary_f((mask == k) & (truth != VOID), truth == k, tolerance) for k in range(STREET_CLASSES)]
        for truth, mask in street_pairs()
    ]
    per_class = np.mean(scores, axis=0)
    assert per_class == pytest.approx(figures[name]["per_class"], abs=1e-9)
    assert per_class.mean() == pytest.approx(figures[name]["AF"], abs=1e-9)


@settings(max_examples=60)
@given(pair=pairs, tolerance=st.sampled_from([1.0, 3.0]), left=st.integers(0, 5), top=st.integers(0, 5))
def test_the_place_in_a_large_frame_does_not_matter(pair, tolerance, left, top):
    frames = np.zeros((2, 40, 30), dtype=bool)
    height, width = pair[0].shape
    frames[:, top : top + height, left : left + width] = pair
    assert boundary_f(*frames, tolerance) == pytest.approx(brute_boundary_f(*frames, tolerance), abs=1e-12)


@settings(max_examples=100)
@given(pair=pairs, ratio=st.sampled_from([0.01, 0.1, 0.25, 1.0]))
def test_boundary_iou_agrees_with_brute_force(pair, ratio):
    width = max(1, round(ratio * np.hypot(*pair[0].shape)))
    expected = brute_iou(*(brute_band(mask, width) for mask in pair))
    assert boundary_iou(*pair, ratio) == pytest.approx(1.0 if np.isnan(expected) else expected)


@settings(max_examples=60)
@given(mask=hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), width=st.integers(1, 3))
def test_the_band_is_what_repeated_erosion_of_the_padded_mask_leaves(mask, width):
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    assert np.array_equal(boundary_band(mask, width), mask & (core == 0))


def test_widths_follow_from_the_image_size():
    assert band_width(0.02, (360, 480)) == 12
    assert band_width(0.02, (1024, 2048)) == 46
    assert band_width(0.02, (1, 1)) == 1
    assert tolerance_pixels(0.008, (1024, 2048)) == 19  # as DAVIS and GSCNN round it
    assert [tolerance_pixels(value, (360, 480)) for value in (0, 1, 2.5)] == [0, 1, 2.5]
