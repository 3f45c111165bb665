"""Averages, refined masks and fused label maps, compared with exact arithmetic pixel by pixel."""

import math
from fractions import Fraction
from unittest.mock import patch

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from bpr_cli.masks import runs
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.patches.boxes import move_inside, widened
from bpr_cli.patches.paste import FusedMap, Fusion, RefinedLabel, average, open_ends, reassemble
from tests.patches.drawn import label_planes, planes

NEAR = range(-2, 3)


def frame_of(plane: np.ndarray) -> tuple[int, int, int, int]:
    return 0, 0, plane.shape[1], plane.shape[0]


def average_by_pixel(boxes: np.ndarray, probabilities: np.ndarray, y: int, x: int, rim: int = 0) -> Fraction | None:
    """Weighted mean of the patches over a pixel, or None where there is none."""
    total = weights = Fraction(0)
    for (x0, y0, x1, y1), predicted in zip(boxes.tolist(), probabilities, strict=True):
        if x0 <= x < x1 and y0 <= y < y1:
            inside = min(x - x0, x1 - 1 - x, y - y0, y1 - 1 - y) + Fraction(1, 2)
            weight = math.ceil(16 * min(inside / (2 * rim), Fraction(1))) if rim else 1
            total, weights = total + weight * Fraction(int(predicted[y - y0, x - x0]), 255), weights + weight
    return total / weights if weights else None


def reassembled_by_pixel(plane: np.ndarray, boxes: np.ndarray, probabilities: np.ndarray, rim: int = 0) -> np.ndarray:
    out = plane.copy()
    for y, x in np.ndindex(plane.shape):
        mean = average_by_pixel(boxes, probabilities, y, x, rim)
        if mean is not None:
            out[y, x] = mean > Fraction(1, 2)
    return out if out.any() else plane


@st.composite
def drawn_patches(draw, size: tuple[int, int], rim: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Boxes inside an image (or overhanging a smaller one), widened, with probabilities, exact halves among them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, side = draw(st.integers(0, 6)), draw(st.integers(1, 7))
    starts = np.stack([random.integers(-3, size[1] + 3, count), random.integers(-3, size[0] + 3, count)], axis=1)
    boxes = widened(move_inside(np.concatenate([starts, starts + side], axis=1), size), rim)
    side += 2 * rim
    values = draw(st.sampled_from([[0], [255], [0, 255], [127, 128], list(range(256))]))
    return boxes, random.choice(values, (count, side, side)).astype(np.uint8)


@given(st.data(), planes(12))
def test_average_equals_the_mean_of_the_patches_over_each_pixel(data, plane):
    boxes, probabilities = data.draw(drawn_patches(plane.shape))
    field = average(boxes, probabilities, frame_of(plane))
    x0, y0, x1, y1 = field.box
    assert 0 <= x0 <= x1 <= plane.shape[1]
    assert 0 <= y0 <= y1 <= plane.shape[0]
    assert field.total.shape == field.weight.shape == (y1 - y0, x1 - x0)
    for y, x in np.ndindex(plane.shape):
        expected = average_by_pixel(boxes, probabilities, y, x)
        if not (x0 <= x < x1 and y0 <= y < y1):
            assert expected is None
            continue
        total, count = int(field.total[y - y0, x - x0]), int(field.weight[y - y0, x - x0])
        assert (Fraction(total, count * 255) if count else None) == expected


@given(st.data(), planes(12))
def test_reassembly_equals_the_rule_pixel_by_pixel(data, plane):
    boxes, probabilities = data.draw(drawn_patches(plane.shape))
    refined = reassemble(Mask.from_array(plane), boxes, probabilities)
    assert refined.size == plane.shape
    np.testing.assert_array_equal(refined.to_array(), reassembled_by_pixel(plane, boxes, probabilities))
    assert refined.box == Mask.from_array(refined.to_array()).box


@given(st.data(), planes(12), st.integers(0, 3), st.integers(1, 200))
def test_patches_weigh_less_towards_their_sides(data, plane, rim, pixels):
    boxes, probabilities = data.draw(drawn_patches(plane.shape, rim))
    with patch.object(runs, "STRIP_PIXELS", pixels):
        refined = reassemble(Mask.from_array(plane), boxes, probabilities, rim)
    np.testing.assert_array_equal(refined.to_array(), reassembled_by_pixel(plane, boxes, probabilities, rim))


@given(st.data(), planes(16), st.integers(0, 2), st.integers(1, 300))
def test_open_ends_are_changes_beside_pixels_without_patches(data, plane, rim, pixels):
    boxes, probabilities = data.draw(drawn_patches(plane.shape, rim).filter(lambda drawn: len(drawn[0]) > 0))
    averages = {place: average_by_pixel(boxes, probabilities, *place, rim) for place in np.ndindex(plane.shape)}
    expected = [
        (y, x)
        for (y, x), mean in averages.items()
        if mean is not None
        and (mean > Fraction(1, 2)) != plane[y, x]
        and any(averages.get((y + down, x + right), 1) is None for down in NEAR for right in NEAR)
    ]
    with patch.object(runs, "STRIP_PIXELS", pixels):
        ends = open_ends(Mask.from_array(plane), boxes, probabilities, rim)
    assert list(zip(ends.y.tolist(), ends.x.tolist(), strict=True)) == expected


@given(st.data(), planes(12), st.integers(1, 40))
def test_large_masks_are_reassembled_strip_by_strip(data, plane, pixels):
    boxes, probabilities = data.draw(drawn_patches(plane.shape))
    with patch.object(runs, "STRIP_PIXELS", pixels):
        refined = reassemble(Mask.from_array(plane), boxes, probabilities)
    np.testing.assert_array_equal(refined.to_array(), reassembled_by_pixel(plane, boxes, probabilities))


@given(st.data(), planes(12))
def test_the_order_of_patches_does_not_matter(data, plane):
    boxes, probabilities = data.draw(drawn_patches(plane.shape))
    order = np.array(data.draw(st.permutations(range(len(boxes)))), dtype=int)
    first = reassemble(Mask.from_array(plane), boxes, probabilities)
    second = reassemble(Mask.from_array(plane), boxes[order], probabilities[order])
    np.testing.assert_array_equal(first.to_array(), second.to_array())


def test_an_average_of_exactly_one_half_is_background():
    plane = np.ones((2, 2), bool)
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 1]])
    for pair, expected in (((0, 255), False), ((127, 128), False), ((1, 255), True), ((128, 128), True)):
        refined = reassemble(Mask.from_array(plane), boxes, np.array(pair, np.uint8).reshape(2, 1, 1))
        assert refined.to_array()[0, 0] == expected


def test_a_mask_that_would_vanish_stays_as_it_was():
    coarse = Mask.from_array(np.pad(np.ones((2, 2), bool), 3))
    refined = reassemble(coarse, np.array([[0, 0, 8, 8]]), np.zeros((1, 8, 8), np.uint8))
    np.testing.assert_array_equal(refined.to_array(), coarse.to_array())


VOID = frozenset({255})
Predicted = dict[int, tuple[np.ndarray, np.ndarray]]


def fused_by_pixel(labels: np.ndarray, void: frozenset[int], entries: Predicted) -> tuple[np.ndarray, np.ndarray]:
    """Arg-max pixel by pixel in exact arithmetic; ties go to the coarse label, then to the earlier entry.

    Also its probability, before labels without a pixel come back.
    """
    out, probability = labels.copy(), np.ones(labels.shape)
    for y, x in np.ndindex(labels.shape):
        coarse = int(labels[y, x])
        if coarse in void:
            continue
        confidence = {coarse: Fraction(1)}
        for label, (boxes, probabilities) in entries.items():
            mean = average_by_pixel(boxes, probabilities, y, x)
            confidence[label] = Fraction(int(coarse == label)) if mean is None else mean
        best = max(confidence.values())
        probability[y, x] = best
        out[y, x] = next(label for label, value in confidence.items() if value == best)
    while missing := set(labels.flat) - set(out.flat):
        for label in missing:
            out[labels == label] = label
    return out, probability


def fused(labels: np.ndarray, void: frozenset[int], entries: Predicted) -> np.ndarray:
    return fusion_of(labels, void, entries).labels


def fusion_of(labels: np.ndarray, void: frozenset[int], entries: Predicted) -> FusedMap:
    refined = [RefinedLabel(label, average(*given_to, frame_of(labels))) for label, given_to in entries.items()]
    fusion = Fusion(LabelMap(labels, void))
    fusion.advance(len(labels), iter(refined))
    result = fusion.finish()
    assert result.void == void
    assert result.labels.dtype == np.int32
    return result


@st.composite
def contests(draw) -> tuple[np.ndarray, frozenset[int], Predicted]:
    labels = draw(label_planes())
    void = draw(st.sampled_from([frozenset(), VOID, frozenset({0, 255}), frozenset({99})]))
    present = [label for label in np.unique(labels).tolist() if label not in void]
    entered = [label for label in present if draw(st.integers(0, 4))]
    return labels, void, {label: draw(drawn_patches(labels.shape)) for label in entered}


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
    labels, probability = fused_by_pixel(*contest)
    found = fusion_of(*contest)
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.probability, 255 * probability, atol=0.51)


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
