"""Batches: full, in order, and every image gets back what was predicted of its own patches."""

from collections.abc import Iterable
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.masks import runs
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.masks.soft import SoftMask
from bpr_cli.masks.values import Foreground
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.image import ImagePass, RefinementStats, fill_batches, steps_after_first
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.outline import Outline
from bpr_cli.refinement.segments import MaskSegments, RefinedSegments
from bpr_cli.refinement.settings import PassSettings
from tests.inference.engines import blob, picture

COUNTS = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=3), max_size=12)
"""Numbers of patches, by image and segment."""


def images_of(counts: list[list[int]]) -> list[tuple[int, ImagePass]]:
    """Images of single-pixel patches, which are numbered through in their values."""
    images, number = [], 0
    for key, segments in enumerate(counts):
        total = sum(segments)
        values = np.arange(number, number + total).astype(np.uint8).reshape(1, -1, 1)
        number += total
        x, mask = np.arange(total), Mask.from_array(np.ones((1, max(total, 1))))
        boxes = np.stack([x, x * 0, x + 1, x * 0 + 1], axis=1)
        outlines = tuple(
            Outline(mask, part, 0, 0, 1.0, False, 0.0) for part in np.split(boxes, np.cumsum(segments)[:-1])
        )
        nothing = MaskSegments(())
        images.append(
            (key, ImagePass(np.repeat(values, 3, axis=2), nothing, nothing, outlines, (0.0,) * len(outlines), total))
        )
    return images


@given(COUNTS, st.integers(1, 16))
def test_batches_are_full_and_hold_all_patches_in_order(counts, size):
    batches = [batch for batch in fill_batches(images_of(counts), size) if len(batch)]
    patches = [batch.crop(1) for batch in batches]
    sizes = [len(each) for each in patches]
    assert sizes == [len(batch) for batch in batches]
    assert sizes[:-1] == [size] * len(sizes[:-1])
    assert all(0 < each <= size for each in sizes)
    total = sum(map(sum, counts))
    assert [number for each in patches for number in each.image[..., 0].ravel().tolist()] == list(range(total))
    assert all(each.mask.all() for each in patches)


@given(COUNTS, st.integers(1, 16))
def test_every_image_gets_its_own_probabilities_and_is_completed_once(counts, size):
    images, completed = images_of(counts), []
    for batch in fill_batches(images, size):
        patches = batch.crop(1)
        assert not any(sum(map(len, each.predicted)) == len(each.boxes) > 0 for _, each, _, _ in batch.ranges)
        batch.hand_out(patches.image[..., 0])
        completed += [key for key, _ in batch.completed]
    assert sorted(completed) == list(range(len(counts)))
    assert [key for key in completed if sum(counts[key])] == [key for key in range(len(counts)) if sum(counts[key])]
    for _, image in images:
        for outline in image.outlines:
            assert outline.probabilities().ravel().tolist() == [image.image[0, x0, 0] for x0 in outline.boxes[:, 0]]


def test_an_image_without_patches_waits_for_no_batch():
    batches = list(fill_batches(images_of([[2], [0], [0, 0], [1]]), 4))
    assert [(len(batch), [key for key, _ in batch.completed]) for batch in batches] == [(0, [1]), (0, [2]), (3, [0, 3])]


def test_large_images_do_not_wait_until_a_batch_is_full():
    images = images_of([[2], [3], [1], [4], [0], [2]])  # one row of pixels each, as many as patches
    batches = [batch for batch in fill_batches(images, 100, most_pixels=5) if len(batch)]
    assert [[key for key, _ in batch.completed] for batch in batches] == [[0, 1], [2, 3], [5]]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(1, 16))
def test_images_are_taken_only_when_a_batch_needs_them(counts, size):
    taken = []

    def noted():
        for each in images_of([[count] for count in counts]):
            taken.append(each)
            yield each

    used = 0
    for batch in fill_batches(noted(), size):
        used += len(batch)
        assert len(taken) == int(np.searchsorted(np.cumsum(counts), used)) + 1


PASS = PassSettings(patch_size=8, min_patch_size=8, padding=2, input_size=32, nms_threshold=0.25)


def crop(image_pass: ImagePass) -> Patches:
    """All patches, those of all segments one after the other."""
    batches = [batch.crop(PASS.input_size) for batch in fill_batches([(None, image_pass)], 1000)]
    assert len(batches) == 1
    return batches[0]


def paste(image_pass: ImagePass, predicted: np.ndarray) -> RefinedSegments:
    """The refined image, had the network predicted this of the patches, (P, S, S)."""
    start = 0
    for outline in image_pass.outlines:
        outline.predicted[:] = [predicted[start : start + len(outline.boxes)]] if len(outline.boxes) else []
        start += len(outline.boxes)
    assert start == len(predicted)
    return image_pass.refine(Limits())


@st.composite
def scenes(draw) -> tuple[np.ndarray, LabelMap, int]:
    """An image with a label map, smaller than a patch or larger, and a seed for the predictions."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    seed, block = draw(st.integers(0, 2**32 - 1)), draw(st.integers(1, 6))
    random = np.random.default_rng(seed)
    coarse = random.choice([0, 3, 4, 1000, 255], (height // block + 1, width // block + 1))
    labels = np.kron(coarse, np.ones((block, block), int))[:height, :width].astype(np.int32)
    void = draw(st.sampled_from([frozenset(), frozenset({255}), frozenset({0, 255, 77})]))
    return picture((height, width), seed), LabelMap(labels, void), seed


def random_predictions(count: int, seed: int, values: list[int]) -> np.ndarray:
    return np.random.default_rng(seed).choice(values, (count, 8, 8)).astype(np.uint8)


def check_sums(stats: RefinementStats, pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> None:
    """The sums are those over the coarse and refined planes of all segments."""
    pairs = list(pairs)
    assert stats.changed == sum(int((before != after).sum()) for before, after in pairs)
    assert stats.area == sum(int(before.sum()) for before, _ in pairs)
    assert stats.resized == sum(abs(int(after.sum()) - int(before.sum())) for before, after in pairs)


@given(scenes(), st.sampled_from([[0], [255], [0, 255], list(range(256))]))
@settings(max_examples=60)
def test_label_maps_keep_their_labels_and_their_void(scene, values):
    image, coarse, seed = scene
    image_pass = ImagePass.begin(image, coarse, PASS)
    predicted = random_predictions(len(crop(image_pass)), seed, values)
    pasted = paste(image_pass, predicted)
    refined = pasted.prediction
    assert isinstance(refined, LabelMap)
    assert refined.void == coarse.void
    assert set(refined.labels.flat) == set(coarse.labels.flat)
    for label in coarse.void:
        np.testing.assert_array_equal(refined.labels == label, coarse.labels == label)
    assert image_pass.stats(pasted).segments == len(set(coarse.labels.flat) - coarse.void)
    assert image_pass.stats(pasted).patches == len(predicted)
    known = set(coarse.labels.flat) - coarse.void
    check_sums(image_pass.stats(pasted), [(coarse.labels == label, refined.labels == label) for label in known])
    again = paste(ImagePass.begin(image, coarse, PASS), predicted)
    np.testing.assert_array_equal(again.prediction.labels, refined.labels)


@given(scenes(), st.sampled_from([[0], [255], [0, 255], list(range(256))]))
@settings(max_examples=60)
def test_masks_keep_their_number_and_never_vanish(scene, values):
    image, coarse, seed = scene
    planes = [coarse.labels == label for label in (0, 3, 4, 5)]
    masks = tuple(Mask.from_array(plane) for plane in planes)
    image_pass = ImagePass.begin(image, masks, PASS)
    pasted = paste(image_pass, random_predictions(len(crop(image_pass)), seed, values))
    assert isinstance(pasted.prediction, tuple)
    for plane, segment, refined in zip(planes, image_pass.outlines, pasted.prediction, strict=True):
        assert refined.size == plane.shape
        assert refined.to_array().any() == plane.any()
        if len(segment.boxes) == 0:
            np.testing.assert_array_equal(refined.to_array(), plane)
    check_sums(image_pass.stats(pasted), zip(planes, (mask.to_array() for mask in pasted.prediction), strict=True))
    assert image_pass.stats(pasted).segments == 4


def test_patches_of_a_segment_are_cut_from_its_own_mask():
    image, first, second = picture((40, 50)), blob((40, 50), 1), blob((40, 50), 2)
    image_pass = ImagePass.begin(image, (Mask.from_array(first), Mask.from_array(second)), PASS)
    ends = len(image_pass.outlines[0].boxes)
    assert len(crop(image_pass)) == ends + len(image_pass.outlines[1].boxes)
    alone = ImagePass.begin(image, (Mask.from_array(second),), PASS)
    np.testing.assert_array_equal(crop(image_pass).mask[ends:], crop(alone).mask)
    np.testing.assert_array_equal(crop(image_pass).image[ends:], crop(alone).image)


@pytest.mark.parametrize("prediction", [(), LabelMap(np.full((5, 6), 255, np.int32), frozenset({255}))])
def test_nothing_to_refine(prediction):
    image_pass = ImagePass.begin(picture((5, 6)), prediction, PASS)
    assert crop(image_pass).image.shape == (0, 32, 32, 3)
    pasted = paste(image_pass, np.zeros((0, 8, 8), np.uint8))
    assert image_pass.stats(pasted) == RefinementStats()
    if prediction:
        np.testing.assert_array_equal(pasted.prediction.labels, prediction.labels)
    else:
        assert pasted.prediction == ()


@pytest.mark.parametrize(
    "prediction", [(Mask.from_array(np.ones((5, 7))),), LabelMap(np.zeros((5, 7), np.int32), frozenset())]
)
def test_an_image_of_another_size_is_refused(prediction):
    with pytest.raises(BprError, match="the image is 6 x 5 pixels but the mask 7 x 5; give the image"):
        ImagePass.begin(picture((5, 6)), prediction, PASS)


def test_a_label_map_that_is_all_void_must_fit_the_image_too():
    with pytest.raises(BprError, match="6 x 5 pixels but the mask 7 x 5"):
        ImagePass.begin(picture((5, 6)), LabelMap(np.zeros((5, 7), np.int32), frozenset({0})), PASS)


def test_the_distance_moved_is_the_changed_area_over_the_length():
    plane = np.zeros((32, 32), bool)
    plane[:, :16] = True
    image_pass = ImagePass.begin(picture((32, 32)), (Mask.from_array(plane),), PASS)
    pasted = paste(image_pass, predictions_up_to(image_pass, 18))
    assert image_pass.stats(pasted).boundary_length == 32
    assert image_pass.stats(pasted).changed == 64
    assert image_pass.stats(pasted).displacement == 2
    assert image_pass.stats(pasted).movements == (2,)


def test_stats_count_from_before_the_first_pass():
    plane = np.zeros((32, 32), bool)
    plane[:, :16] = True
    first = ImagePass.begin(picture((32, 32)), (Mask.from_array(plane),), PASS)
    right, back = (predictions_up_to(first, column) for column in (18, 17))
    expected, counted = paste(first, back).prediction[0].to_array(), len(first.outlines[0].boxes)
    paste(first, right)
    second = first.next(PASS, Limits())
    pasted = paste(second, predictions_up_to(second, 17))
    np.testing.assert_array_equal(pasted.prediction[0].to_array(), expected)
    assert (second.stats(pasted).boundary_length, second.stats(pasted).changed) == (32, 32)
    assert second.stats(pasted).patches == counted + len(second.outlines[0].boxes)


def predictions_up_to(image_pass: ImagePass, column: int) -> np.ndarray:
    """Everything left of a column is foreground, wherever a patch shows it."""
    boxes = image_pass.outlines[0].boxes
    predicted = [np.tile(np.arange(x0, x1) < column, (x1 - x0, 1)) * 255 for x0, _, x1, _ in boxes]
    return np.stack(predicted).astype(np.uint8)


FOLLOWED = replace(PASS, rim=2, follow=True)


def predict_up_to(image_pass: ImagePass, column: int) -> None:
    """Predict all patches that are not: everything left of a column is foreground."""
    for batch in fill_batches([(None, image_pass)], 3):
        boxes = [box for _, outline, start, stop in batch.ranges for box in outline.boxes[start:stop].tolist()]
        predicted = [np.tile(np.arange(x0, x1) < column, (x1 - x0, 1)) * 255 for x0, _, x1, _ in boxes]
        batch.hand_out(np.array(predicted, np.uint8).reshape(len(boxes), 12, 12))


def test_patches_follow_a_change_until_it_stops():
    plane = np.zeros((40, 60), bool)
    plane[:, :16] = True
    masks = (Mask.from_array(plane),)
    current = ImagePass.begin(picture(plane.shape), masks, FOLLOWED)
    predict_up_to(current, 28)
    reached = [int(current.refine(Limits()).prediction[0].to_array()[20].sum())]
    first = current.patches
    for step in steps_after_first((FOLLOWED,), Limits()):
        current = step(current)
        predict_up_to(current, 28)
        reached.append(int(current.refine(Limits()).prediction[0].to_array()[20].sum()))
    # A patch of 8 pixels with a rim of 2 reaches 6 pixels beyond its centre, and its follower begins 2 pixels inside.
    assert reached[:3] == [21, 25, 28]
    assert set(reached[3:]) == {28}
    assert current.patches > first
    assert current.stats(current.refine(Limits())).patches == current.patches
    np.testing.assert_array_equal(current.refine(Limits()).prediction[0].to_array()[20], np.arange(60) < 28)


def test_no_patch_follows_a_change_that_stops_inside():
    plane = np.zeros((40, 60), bool)
    plane[:, :16] = True
    current = ImagePass.begin(picture(plane.shape), (Mask.from_array(plane),), FOLLOWED)
    predict_up_to(current, 18)
    again = current.followed(FOLLOWED)
    assert (len(again), again.patches) == (0, current.patches)


@pytest.mark.parametrize(("start", "follows"), [(24, True), (23, False)])
def test_no_patch_follows_a_change_beside_another_object(start, follows):
    """A patch of 8 pixels beyond the boundary at 16."""
    first, second = np.zeros((2, 40, 60), bool)
    first[:, :16], second[:, start:] = True, True
    current = ImagePass.begin(picture(first.shape), (Mask.from_array(first), Mask.from_array(second)), FOLLOWED)
    predict_up_to(current, 28)
    again = current.followed(FOLLOWED)
    assert (len(again.outlines[0].boxes) > len(current.outlines[0].boxes)) == follows


def test_a_change_beside_another_object_is_taken_back_where_patches_cut_it_off():
    """The first mask is predicted to reach further than its patches, the second to end where it ends."""
    first, second = np.zeros((2, 40, 60), bool)
    first[:, :16], second[:, 22:] = True, True
    given = (Mask.from_array(first), Mask.from_array(second))
    current = ImagePass.begin(picture(first.shape), given, FOLLOWED)
    predict_up_to(current, 28)
    kept, taken_back = (current.refine(Limits(whole_changes=whole)).prediction[0].to_array() for whole in (False, True))
    assert kept[20].sum() == 21
    np.testing.assert_array_equal(taken_back, first)


def two_labels() -> LabelMap:
    """Label 1 on the left 16 columns, label 2 elsewhere, and a void corner."""
    labels = np.full((40, 60), 2, np.int32)
    labels[:, :16], labels[:4, 50:] = 1, 255
    return LabelMap(labels, frozenset({255}))


def predict_labels_up_to(image_pass: ImagePass, column: int) -> None:
    """Predict all patches that are not: label 1 everywhere left of a column, label 2 elsewhere."""
    for batch in fill_batches([(None, image_pass)], 3):
        predicted = [
            np.tile((np.arange(x0, x1) < column) == (outline.mask.label == 1), (x1 - x0, 1)) * 255
            for _, outline, start, stop in batch.ranges
            for x0, _, x1, _ in outline.boxes[start:stop].tolist()
        ]
        batch.hand_out(np.array(predicted, np.uint8).reshape(len(predicted), 12, 12))


def test_patches_of_both_labels_follow_a_change_until_it_stops():
    current = ImagePass.begin(picture((40, 60)), two_labels(), FOLLOWED)
    predict_labels_up_to(current, 28)
    reached = []
    for step in (None, *steps_after_first((FOLLOWED,), Limits())):
        if step:
            current = step(current)
            predict_labels_up_to(current, 28)
        reached.append(int((current.refine(Limits()).prediction.labels[20] == 1).sum()))
    assert reached[:3] == [21, 25, 28]
    assert set(reached[3:]) == {28}
    after = current.refine(Limits()).prediction.labels
    np.testing.assert_array_equal(after[:, :48], np.where(np.arange(48) < 28, 1, 2)[None].repeat(40, axis=0))
    np.testing.assert_array_equal(after == 255, two_labels().labels == 255)


def test_no_patch_follows_labels_that_stop_inside_of_patches():
    current = ImagePass.begin(picture((40, 60)), two_labels(), FOLLOWED)
    predict_labels_up_to(current, 18)
    again = current.followed(FOLLOWED)
    assert (len(again), again.patches) == (0, current.patches)


def test_labels_of_several_strips_are_not_followed():
    with patch.object(runs, "STRIP_PIXELS", 100):
        current = ImagePass.begin(picture((40, 60)), two_labels(), FOLLOWED)
        predict_labels_up_to(current, 28)
        assert len(current.followed(FOLLOWED)) == 0


@pytest.mark.parametrize(("side", "expected"), [(57, False), (60, True), (200, True)])
def test_patches_of_the_first_pass_grow_with_large_masks(side, expected):
    """Masks of 40 pixels would have patches of 8; masks from 60 pixels on are large."""
    plane = np.zeros((260, 260), bool)
    plane[20 : 20 + side, 20 : 20 + side] = True
    how = replace(PASS, preliminary=True, view=40, rim=1)
    (outline,) = ImagePass.begin(picture(plane.shape), (Mask.from_array(plane),), how).outlines
    assert (len(outline.boxes) > 0) == expected
    if expected:
        side = round(8 * side / 40)
        assert set((outline.boxes[:, 2:] - outline.boxes[:, :2]).flat) == {side + 2 * round(side / 8)}
        assert outline.padding + outline.rim == round(2 * side / 8)


def rectangle(x0: int, y0: int, x1: int, y1: int) -> Mask:
    plane = np.zeros((60, 60), bool)
    plane[y0:y1, x0:x1] = True
    return Mask.from_array(plane)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (None, True),
        ((0, 0, 0, 0), True),
        ((32, 20, 50, 40), True),
        ((31, 20, 50, 40), False),
        ((15, 15, 20, 20), False),
    ],
)
def test_a_preliminary_pass_leaves_segments_with_near_neighbours_alone(other, expected):
    """A patch of 8 pixels reaches 4 beyond the boundary at 28."""
    masks = (rectangle(10, 10, 28, 28), *([rectangle(*other)] if other else []))
    image = picture((60, 60))
    first = ImagePass.begin(image, masks, replace(PASS, preliminary=True))
    assert (len(first.outlines[0].boxes) > 0) == expected
    if not expected:
        pasted = paste(first, np.zeros((len(crop(first)), 8, 8), np.uint8))
        np.testing.assert_array_equal(pasted.prediction[0].to_array(), masks[0].to_array())
    assert len(ImagePass.begin(image, masks, PASS).outlines[0].boxes) > 0


@pytest.mark.parametrize(("side", "expected"), [(7, False), (8, True)])
def test_a_preliminary_pass_leaves_segments_smaller_than_a_patch_alone(side, expected):
    masks = (rectangle(10, 10, 10 + side, 18),)
    image_pass = ImagePass.begin(picture((60, 60)), masks, replace(PASS, preliminary=True))
    assert (len(image_pass) > 0) == expected


def test_labels_hold_against_each_other_in_every_pass():
    labels = LabelMap(np.kron(np.arange(9).reshape(3, 3), np.ones((20, 20))).astype(np.int32), frozenset())
    segments = ImagePass.begin(picture((60, 60)), labels, replace(PASS, preliminary=True)).outlines
    assert all(len(segment.boxes) for segment in segments)


def test_predictions_of_larger_patches_are_brought_to_their_size():
    """A pass of doubled patches is predicted at half the resolution, so to a pixel and a half."""
    plane = np.zeros((48, 48), bool)
    plane[:, :24] = True
    image_pass = ImagePass.begin(picture((48, 48)), (Mask.from_array(plane),), replace(PASS, patch_size=16, padding=4))
    assert (image_pass.outlines[0].boxes[:, 2:] - image_pass.outlines[0].boxes[:, :2] == 16).all()
    predicted = predictions_up_to(image_pass, 20).reshape(-1, 8, 2, 8, 2).max(axis=(2, 4))
    refined = paste(image_pass, predicted).prediction[0].to_array()
    covered = [(y, x) for x0, y0, x1, y1 in image_pass.outlines[0].boxes for y in range(y0, y1) for x in range(x0, x1)]
    assert all(refined[y, x] == (x < 20) for y, x in covered if abs(x - 19.5) > 1.5)


def test_patches_on_a_grid_do_not_overlap():
    masks = (Mask.from_array(blob((48, 48))),)
    image_pass = ImagePass.begin(picture((48, 48)), masks, replace(PASS, scheme="grid"))
    boxes = image_pass.outlines[0].boxes
    assert len(boxes) > 1
    assert (boxes[:, :2] % 8 == 0).all()
    predicted = np.full((len(boxes), 8, 8), 255, np.uint8)
    refined = paste(image_pass, predicted).prediction[0].to_array()
    expected = masks[0].to_array()
    for x0, y0, x1, y1 in boxes:
        expected[y0:y1, x0:x1] = True
    np.testing.assert_array_equal(refined, expected)


@pytest.mark.parametrize("side", [6, 16, 32])
def test_an_entire_mask_is_shown_with_context_in_proportion_and_predicted_at_its_size(side):
    """Boxes are a quarter larger than their masks, and here context is as wide as a quarter of its box."""
    mask = rectangle(8, 8, 8 + side, 8 + side)
    image_pass = ImagePass.begin(picture((60, 60)), (mask,), replace(PASS, scheme="instance"))
    (box,) = image_pass.outlines[0].boxes.tolist()
    assert box[2] - box[0] == np.ceil(1.25 * side)
    shown = (1 + 2 / 4) * 1.25 * side
    assert crop(image_pass).mask[0].mean() == pytest.approx((side / shown) ** 2, rel=0.15)
    predicted = np.tile(np.arange(8) < 4, (1, 8, 1)).astype(np.uint8) * 255
    refined = paste(image_pass, predicted).prediction[0].to_array()
    expected = np.zeros((60, 60), bool)
    expected[box[1] : box[3], box[0] : (box[0] + box[2]) // 2] = True
    assert (refined != expected).sum() <= box[3] - box[1]


def test_stats_add_up():
    first = RefinementStats(
        segments=1, patches=2, changed=30, boundary_length=40.0, kept_coarse=1, area=500, resized=10, movements=(0.75,)
    )
    second = RefinementStats(
        segments=5, patches=6, changed=70, boundary_length=60.0, kept_coarse=2, area=300, resized=30, movements=(1, 2)
    )
    total = first + second
    assert total == RefinementStats(6, 8, 100, 100.0, 3, 800, 40)
    assert (total.displacement, total.area_change) == (1, 0.05)
    assert (first.area_change, second.area_change) == (0.02, 0.1)
    assert (RefinementStats(1).displacement, RefinementStats(1).area_change) == (0, 0)


@given(scenes(), st.integers(1, 9))
@settings(max_examples=60)
def test_patches_do_not_depend_on_the_size_of_batches(scene, size):
    image, coarse, _ = scene
    image_pass = ImagePass.begin(image, coarse, PASS)
    together = crop(image_pass)
    batches = [batch.crop(PASS.input_size) for batch in fill_batches([(None, image_pass)], size)]
    np.testing.assert_array_equal(np.concatenate([batch.image for batch in batches]), together.image)
    np.testing.assert_array_equal(np.concatenate([batch.mask for batch in batches]), together.mask)


def test_patches_of_small_masks_are_smaller_and_those_of_labels_are_not():
    labels = np.zeros((60, 60), np.int32)
    labels[2:14, 2:14], labels[20:56, 2:38], labels[20:24, 50:54] = 1, 2, 3
    how = PassSettings(patch_size=16, min_patch_size=4, padding=8, input_size=32, nms_threshold=0.25)
    image, masks = picture(labels.shape), tuple(Mask.from_array(labels == label) for label in (1, 2, 3))

    def sides(image_pass: ImagePass) -> list[set[int]]:
        return [set((each.boxes[:, 2:] - each.boxes[:, :2]).flat) for each in image_pass.outlines]

    image_pass = ImagePass.begin(image, masks, how)
    assert sides(image_pass) == [{6}, {16}, {4}]
    assert sides(ImagePass.begin(image, LabelMap(labels, frozenset({0})), how)) == [{16}, {16}, {16}]
    # All network answers have one size, whatever the size of their boxes.
    right = np.ones((len(image_pass), 16, 16), np.uint8) * 255
    for mask, grown, each in zip(masks, paste(image_pass, right).prediction, image_pass.outlines, strict=True):
        shown = np.zeros(labels.shape, bool)
        for x0, y0, x1, y1 in each.boxes:
            shown[y0:y1, x0:x1] = True
        np.testing.assert_array_equal(grown.to_array(), mask.to_array() | shown)


@pytest.mark.parametrize("limits", [Limits(), Limits(core=0.1), Limits(max_area_change=0.0)])
def test_soft_masks_become_probabilities_where_patches_lie(limits):
    plane = blob((40, 48), 3)
    values = np.where(plane, 230, 20).astype(np.uint8)
    image, soft = picture((40, 48), 1), SoftMask.of(values, Foreground(0.5))
    results = []
    for mask in (soft, Mask.from_array(plane)):
        first = ImagePass.begin(image, (mask,), PASS)
        paste(first, random_predictions(len(first), 1, [0, 90, 200, 255]))
        second = first.next(PASS, limits)
        paste(second, random_predictions(len(second), 2, [0, 90, 200, 255]))
        results.append(second.refine(limits).prediction[0])
        covered = np.zeros(plane.shape, bool)
        for x0, y0, x1, y1 in [*first.outlines[0].boxes.tolist(), *second.outlines[0].boxes.tolist()]:
            covered[y0:y1, x0:x1] = True
    found, plain = results
    assert np.array_equal(found.to_array(), plain.to_array())
    assert np.array_equal(found.values > 127.5, plain.to_array())
    assert np.array_equal(found.values[~covered], values[~covered])
    if limits == Limits():
        assert len(np.unique(found.values[covered])) > 8
    if limits.max_area_change is not None:
        assert np.array_equal(found.values, values) or found.area == soft.area
