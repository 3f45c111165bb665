from fractions import Fraction

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from bpr_cli.masks.masks import LabelMap
from bpr_cli.patches.paste import RefinedLabel, average, fuse
from tests.patches.drawn import label_planes
from tests.patches.test_paste import average_by_pixel, predicted

VOID = frozenset({255})
Predicted = dict[int, tuple[np.ndarray, np.ndarray]]


def fused_by_pixel(labels: np.ndarray, void: frozenset[int], entries: Predicted) -> np.ndarray:
    """Arg-max pixel by pixel in exact arithmetic; ties go to the coarse label, then to the earlier entry."""
    out = labels.copy()
    for y, x in np.ndindex(labels.shape):
        coarse = int(labels[y, x])
        if coarse in void:
            continue
        confidence = {coarse: Fraction(1)}
        for label, (boxes, probabilities) in entries.items():
            mean = average_by_pixel(boxes, probabilities, y, x)
            confidence[label] = Fraction(int(coarse == label)) if mean is None else mean
        best = max(confidence.values())
        out[y, x] = next(label for label, value in confidence.items() if value == best)
    while missing := set(labels.flat) - set(out.flat):
        for label in missing:
            out[labels == label] = label
    return out


def fused(labels: np.ndarray, void: frozenset[int], entries: Predicted) -> np.ndarray:
    refined = [RefinedLabel(label, average(*given_to, labels.shape)) for label, given_to in entries.items()]
    result = fuse(LabelMap(labels, void), iter(refined))
    assert result.void == void
    assert result.labels.dtype == np.int32
    return result.labels


@st.composite
def contests(draw) -> tuple[np.ndarray, frozenset[int], Predicted]:
    labels = draw(label_planes())
    void = draw(st.sampled_from([frozenset(), VOID, frozenset({0, 255}), frozenset({99})]))
    present = [label for label in np.unique(labels).tolist() if label not in void]
    entered = [label for label in present if draw(st.integers(0, 4))]
    return labels, void, {label: draw(predicted(labels.shape)) for label in entered}


def whole(probability: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """One patch a pixel of a single row."""
    boxes = np.array([[x, 0, x + 1, 1] for x in range(len(probability))])
    return boxes, np.array(probability, np.uint8).reshape(-1, 1, 1)


CHAIN = (
    np.array([[0, 1, 2]], np.int32),
    frozenset(),
    {0: whole([0, 0, 0]), 1: whole([255, 0, 0]), 2: whole([9, 255, 0])},
)
"""1 takes all of 0, 2 takes all of 1: bringing 0 back takes the last pixel of 1."""


@given(contests())
@example(CHAIN)
def test_fusion_equals_arg_max_pixel_by_pixel(contest):
    np.testing.assert_array_equal(fused(*contest), fused_by_pixel(*contest))


@given(contests())
@example(CHAIN)
def test_no_label_vanishes_none_is_new_and_void_stays(contest):
    labels, void, entries = contest
    refined = fused(labels, void, entries)
    assert set(refined.flat) == set(labels.flat)
    for label in void:
        np.testing.assert_array_equal(refined == label, labels == label)
    np.testing.assert_array_equal(fused(labels, void, entries), refined)


@given(contests())
def test_the_memory_layout_of_the_map_does_not_matter(contest):
    labels, void, entries = contest
    turned = np.asfortranarray(labels)
    np.testing.assert_array_equal(fused(turned, void, entries), fused(labels, void, entries))


def test_ties_keep_the_coarse_label():
    labels = np.array([[1, 2, 1, 2]], np.int32)
    entries = {1: whole([100, 100, 0, 255]), 2: whole([100, 100, 0, 255])}
    np.testing.assert_array_equal(fused(labels, VOID, entries), labels)


def test_an_unrefined_label_is_certain_of_its_pixels():
    labels = np.array([[1, 2, 2]], np.int32)
    np.testing.assert_array_equal(fused(labels, VOID, {1: whole([255, 255, 255])}), labels)
    np.testing.assert_array_equal(fused(labels, VOID, {1: whole([9, 255, 7]), 2: whole([8, 254, 8])}), [[1, 1, 2]])


def test_the_coarse_map_is_left_alone():
    labels = np.array([[1, 2, 2]], np.int32)
    fused(labels, VOID, {1: whole([9, 255, 7]), 2: whole([8, 254, 8])})
    np.testing.assert_array_equal(labels, [[1, 2, 2]])
