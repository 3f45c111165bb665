import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch.nn import functional

from tests.patches.drawn import cropped, planes


def mirrored(index: int, length: int) -> int:
    """Walk back and forth between the first and the last pixel, which are not repeated."""
    while length > 1 and not 0 <= index < length:
        index = -index if index < 0 else 2 * (length - 1) - index
    return index if length > 1 else 0


def cut_by_pixel(array: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    x0, y0, x1, y1 = box
    height, width = array.shape[:2]
    rows = [[array[mirrored(y, height), mirrored(x, width)] for x in range(x0, x1)] for y in range(y0, y1)]
    return np.array(rows, np.uint8)


def image_like(plane: np.ndarray, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*plane.shape, 3), np.uint8)


@given(planes(12), st.integers(1, 9), st.integers(0, 8), st.integers(-10, 15), st.integers(-10, 15))
@example(np.ones((1, 1), bool), 5, 4, 0, 0)
def test_a_patch_of_its_own_size_is_the_reflected_image(plane, side, padding, x, y):
    image, box = image_like(plane), (x, y, x + side, y + side)
    context = (x - padding, y - padding, x + side + padding, y + side + padding)
    patches = cropped(image, plane, np.array([box]), padding, side + 2 * padding)
    assert len(patches) == 1
    np.testing.assert_array_equal(patches.image[0], cut_by_pixel(image, context))
    np.testing.assert_array_equal(patches.mask[0], cut_by_pixel(plane, context))


# 64 to 128 is the paper's, 96 to 128 has no whole ratio, the others shrink.
@pytest.mark.parametrize(
    ("side", "padding", "target"), [(64, 0, 128), (64, 16, 128), (9, 2, 32), (40, 12, 32), (64, 0, 32)]
)
def test_resizing_has_half_pixel_centres_for_image_and_mask(side, padding, target):
    plane = np.random.default_rng(2).random((150, 160)) < 0.5
    image, box = image_like(plane), (30, 40, 30 + side, 40 + side)
    patches = cropped(image, plane, np.array([box]), padding, target)
    window = (slice(40 - padding, 40 + side + padding), slice(30 - padding, 30 + side + padding))
    exact = torch.from_numpy(image[window]).permute(2, 0, 1)[None].float()
    smooth = functional.interpolate(exact, size=(target, target), mode="bilinear", align_corners=False)
    # OpenCV computes with weights of 11 bits.
    assert np.abs(patches.image[0] - smooth[0].permute(1, 2, 0).numpy()).max() <= 1
    hard = torch.from_numpy(plane[window])[None, None].float()
    nearest = functional.interpolate(hard, size=(target, target), mode="nearest-exact")
    np.testing.assert_array_equal(patches.mask[0], nearest[0, 0].numpy())


def test_images_with_any_strides_give_the_same_patches():
    plane = np.random.default_rng(3).random((30, 20)) < 0.5
    image, boxes = image_like(plane), np.array([[0, 0, 8, 8], [12, 22, 20, 30]])
    expected = cropped(image, plane, boxes, 2, 16)
    for view in (np.asfortranarray(image), image[..., ::-1].copy()[..., ::-1]):
        found = cropped(view, plane, boxes, 2, 16)
        np.testing.assert_array_equal(found.image, expected.image)
        np.testing.assert_array_equal(found.mask, expected.mask)


def test_no_boxes_give_no_patches():
    plane = np.zeros((4, 4), bool)
    patches = cropped(image_like(plane), plane, np.zeros((0, 4), np.int64), 3, 16)
    assert patches.image.shape == (0, 16, 16, 3)
    assert patches.mask.shape == (0, 16, 16)
    assert len(patches) == 0
