"""Batches: full, in order, and every image gets back what was predicted of its own patches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.masks.masks import Mask
from bpr_cli.refinement.batches import fill_batches
from bpr_cli.refinement.image import ImagePass
from bpr_cli.refinement.segments import MaskSegments, Outline

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
        outlines = tuple(Outline(mask, part, 0, 0.0) for part in np.split(boxes, np.cumsum(segments)[:-1]))
        nothing = MaskSegments(())
        images.append((key, ImagePass(np.repeat(values, 3, axis=2), nothing, nothing, outlines, 0.0, total)))
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
