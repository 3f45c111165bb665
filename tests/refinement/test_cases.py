"""Batches of images in memory."""

import numpy as np
import pytest
import torch
from PIL import Image

from bpr_cli.errors import BprError
from tests.inference.engines import blob, picture

SIZE = (40, 52)
SIZES = (SIZE, (17, 30), (60, 21), SIZE)
IMAGES = [picture(size, seed) for seed, size in enumerate(SIZES)]
MASKS = [blob(size, seed) for seed, size in enumerate(SIZES)]
LABELS = [blob(size, seed).astype(np.uint8) * 3 + blob(size, seed + 9) for seed, size in enumerate(SIZES)]


@pytest.mark.parametrize("settings", [{}, {"batch_size": 8}, {"scales": (2, 1)}])
def test_a_batch_gives_the_results_of_one_image_after_the_other(make_refiner, settings):
    refiner = make_refiner(**settings)
    masks = [*MASKS[:2], np.zeros(SIZES[2], bool), MASKS[3]]
    for out, image, mask in zip(refiner.refine_batch(IMAGES, masks), IMAGES, masks, strict=True):
        np.testing.assert_array_equal(out, refiner.refine(image, mask))
    for out, image, labels in zip(refiner.refine_batch(IMAGES, LABELS, each="labels"), IMAGES, LABELS, strict=True):
        np.testing.assert_array_equal(out, refiner.refine_labels(image, labels))
    several = [[mask, ~mask] for mask in MASKS[:3]] + [[]]
    for out, image, each in zip(refiner.refine_batch(IMAGES, several, each="masks"), IMAGES, several, strict=True):
        np.testing.assert_array_equal(out, refiner.refine_masks(image, each))


def test_stacks_generators_and_kinds_of_one_batch(refiner):
    images, masks = np.stack([IMAGES[0], IMAGES[3]]), np.stack([MASKS[0], MASKS[3]])
    expected = np.stack([refiner.refine(*case) for case in zip(images, masks, strict=True)])
    np.testing.assert_array_equal(refiner.refine_batch(images, masks), expected)
    np.testing.assert_array_equal(refiner.refine_batch(iter(images), (mask for mask in masks)), expected)
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks * 8.0 - 4)[:, None]
    out = refiner.refine_batch(*tensors, kind="logits")
    assert (out.shape, out.dtype) == (torch.Size([2, 1, *SIZE]), torch.float64)
    np.testing.assert_array_equal(out[:, 0] == 1, expected)
    pictures = refiner.refine_batch([Image.fromarray(image) for image in images], [Image.fromarray(masks[0]), masks[1]])
    assert pictures[0].mode == "1"
    np.testing.assert_array_equal(np.stack([np.asarray(one) for one in pictures]), expected)
    assert refiner.refine_batch([], []) == []
    assert refiner.refine_batch(images[:0], masks[:0]).shape == (0, *SIZE)


def test_details_of_a_batch(refiner):
    masks, details = refiner.refine_batch(IMAGES, MASKS, return_details=True)
    for index, mask in enumerate(masks):
        alone, its = refiner.refine(IMAGES[index], MASKS[index], return_details=True)
        np.testing.assert_array_equal(mask, alone)
        np.testing.assert_array_equal(details[index].probabilities, its.probabilities)


def test_progress_counts_the_images(refiner):
    seen = []
    refiner.refine_batch(IMAGES, MASKS, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("images", "masks", "how", "message"),
    [
        (IMAGES, MASKS[:3], {}, "images holds 4 and masks 3; expected as many masks as images"),
        ("photo.jpg", MASKS, {}, r"images is 'photo.jpg'; expected several images"),
        (IMAGES, None, {}, r"masks is None; expected several masks"),
        (np.array(1), MASKS, {}, r"images is an array of shape \(\).*; expected several images"),
        (IMAGES, [*MASKS[:3], MASKS[1]], {}, r"the image is 52 x 40 pixels but masks\[3\] 30 x 17"),
        ([*IMAGES[:3], None], MASKS, {}, r"images\[3\] is None"),
        (IMAGES, [*MASKS[:3], MASKS[3] * 0.3], {}, r"masks\[3\] holds values"),
        (IMAGES, [[mask] for mask in MASKS[:3]] + [[None]], {"each": "masks"}, r"masks\[3\]\[0\] is None"),
        (IMAGES, MASKS, {"each": "label"}, "each is 'label'; expected one of mask, masks, labels"),
        (IMAGES, LABELS, {"each": "labels", "soft": True}, "are for masks"),
        (IMAGES, LABELS, {"each": "labels", "ignore": "void"}, "ignore is 'void'"),
    ],
)
def test_what_is_no_batch_is_refused_by_its_place(refiner, images, masks, how, message):
    done = []
    with pytest.raises(BprError, match=message):
        refiner.refine_batch(images, masks, **how, progress=lambda *_: done.append(1))
    assert done == []
