import doctest

import numpy as np
import pytest

from bpr_cli.masks import masks
from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(masks).failed == 0


def test_a_mask_is_kept_as_the_crop_to_its_bounding_box():
    plane = np.zeros((6, 8), np.uint8)
    plane[2, 3] = 7
    plane[4, 5] = 255
    mask = Mask.from_array(plane)
    assert mask.size == (6, 8)
    assert mask.box == (3, 2, 6, 5)
    assert mask.crop.dtype == bool
    assert mask.crop.tolist() == [[True, False, False], [False, False, False], [False, False, True]]
    assert mask.area == 2
    np.testing.assert_array_equal(mask.to_array(), plane != 0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (5, 7)])
@pytest.mark.parametrize("value", [0, 1])
def test_empty_and_full_masks(shape, value):
    mask = Mask.from_array(np.full(shape, value))
    assert mask.size == shape
    assert mask.box == ((0, 0, shape[1], shape[0]) if value else EMPTY_BOX)
    assert mask.area == value * shape[0] * shape[1]
    np.testing.assert_array_equal(mask.to_array(), np.full(shape, bool(value)))


def test_the_crop_does_not_follow_later_changes_of_the_array():
    plane = np.ones((3, 3), bool)
    mask = Mask.from_array(plane)
    plane[:] = False
    assert mask.area == 9


def test_a_mask_made_from_a_window_has_its_place_in_the_frame():
    window = np.array([[0, 1], [0, 1]])
    mask = Mask.from_array(window, offset=(4, 2), size=(10, 12))
    assert mask.box == (5, 2, 6, 4)
    expected = np.zeros((10, 12), bool)
    expected[2:4, 5] = True
    np.testing.assert_array_equal(mask.to_array(), expected)


def test_an_empty_window_makes_an_empty_mask_of_the_frame():
    mask = Mask.from_array(np.zeros((2, 2)), offset=(4, 2), size=(10, 12))
    assert (mask.size, mask.box) == ((10, 12), EMPTY_BOX)


def test_every_window_equals_the_slice_of_the_frame():
    random = np.random.default_rng(0)
    plane = np.zeros((7, 6), bool)
    plane[2:6, 1:4] = random.random((4, 3)) < 0.5
    mask = Mask.from_array(plane)
    for y0 in range(7):
        for x0 in range(6):
            for y1 in range(y0, 8):
                for x1 in range(x0, 7):
                    np.testing.assert_array_equal(mask.window((x0, y0, x1, y1)), plane[y0:y1, x0:x1])


def test_the_size_of_a_label_map():
    assert LabelMap(np.zeros((3, 5), np.int32), frozenset({255})).size == (3, 5)
