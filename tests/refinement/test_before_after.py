"""Before/after pictures: outlines on their sides, and places magnified where masks changed."""

import numpy as np
import pytest

from bpr_cli.masks.drawing import AFTER, BEFORE, FILLS
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.refinement.before_after import CAPTION, PAPER, changed_pixels, class_colours, compare, with_legend


def pair(size):
    """A gray image, and a prediction of one mask with a shifted version of it."""
    mask = np.zeros(size, dtype=bool)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    image = np.full((*size, 3), 90, dtype=np.uint8)
    return image, (Mask.from_array(mask),), (Mask.from_array(np.roll(mask, 4, axis=1)),)


def label_map(prediction, void=()):
    """One mask as a map of 0 and 1."""
    return LabelMap(prediction[0].to_array().astype(np.int32), frozenset(void))


def share_of(picture, color, tolerance=12):
    return (np.abs(picture.astype(int) - color).max(axis=-1) <= tolerance).mean()


@pytest.mark.parametrize("size", [(120, 200), (200, 120), (7, 9), (90, 90), (1, 40), (40, 1)])
def test_a_picture_of_any_size(size):
    image, coarse, refined = pair(size)
    picture = compare(image, coarse, refined, ("IoU 1", "IoU 2"))
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (1336, 3)
    assert (picture[:4] == PAPER).all()


def test_the_outlines_have_their_colors_on_their_sides():
    image, coarse, refined = pair((120, 200))
    picture = compare(image, coarse, refined, zooms=0)[60:]  # below the headers
    left, right = np.split(picture, [picture.shape[1] // 2], axis=1)
    assert share_of(left, BEFORE) > 0.002
    assert share_of(right, AFTER) > 0.002
    assert share_of(left, AFTER) == share_of(right, BEFORE) == 0


def test_without_a_change_nothing_is_magnified():
    image, mask, other = pair((120, 200))
    assert compare(image, mask, mask).shape == compare(image, mask, mask, zooms=0).shape
    assert compare(image, mask, other).shape[0] > compare(image, mask, mask).shape[0]
    labels, moved = label_map(mask), label_map(other)
    assert compare(image, labels, moved).shape[0] > compare(image, labels, labels).shape[0]


def test_changed_pixels_are_those_of_any_mask_or_of_the_map():
    _, mask, other = pair((60, 90))
    changed = mask[0].to_array() != other[0].to_array()
    assert changed.any()
    np.testing.assert_array_equal(changed_pixels(mask, other), changed)
    np.testing.assert_array_equal(changed_pixels((*mask, *other), (*other, *other)), changed)
    np.testing.assert_array_equal(changed_pixels(label_map(mask), label_map(other)), changed)
    nothing = (Mask.empty((60, 90)),)
    np.testing.assert_array_equal(changed_pixels(nothing, mask), mask[0].to_array())


def test_background_and_void_are_not_tinted_but_small_masks_show_above_large_ones():
    size = (90, 90)
    image = np.full((*size, 3), 90, dtype=np.uint8)
    large, small = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    large[20:80, 20:80], small[40:60, 40:60] = True, True
    masks = tuple(Mask.from_array(each) for each in (small, large))
    labels = LabelMap(np.where(small, 7, np.where(large, 3, 255)).astype(np.int32), frozenset({255}))
    for prediction in (masks, labels):
        left = compare(image, prediction, prediction)[48:, 20:660]  # the panel on the left, 640 pixels wide
        corner, between, inside = (left[at, at].astype(int) for at in (40, 200, 320))
        assert np.ptp(corner) == 0
        assert np.ptp(between) > 15
        assert np.abs(between - inside).sum() > 20


def test_different_kinds_are_refused():
    _, mask, other = pair((20, 20))
    for before, after in ((mask, label_map(mask)), (mask, (*mask, *other)), ((), ())):
        with pytest.raises(ValueError, match="must both be"):
            changed_pixels(before, after)


def test_classes_that_share_a_colour_share_an_entry_of_the_legend():
    """Nine classes side by side, the void label among them: a class touches its neighbours only."""
    labels = np.repeat(np.arange(9, dtype=np.int32), 4)[None].repeat(8, axis=0)
    coarse = LabelMap(labels, frozenset({4}))
    names = [f"class {label}" for label in range(9) if label != 4]
    entries = class_colours(coarse, coarse, names)
    assert [colour for _, colour in entries] == [*FILLS[1:], FILLS[0]]
    assert [name for name, _ in entries] == ["class 0 / class 8", *names[1:-1]]


def test_the_colours_of_the_legend_are_those_of_the_picture():
    image, coarse, refined = pair((120, 200))
    maps = label_map(coarse), label_map(refined)
    (_, ground), (_, figure) = class_colours(*maps, ["ground", "figure"])
    picture = compare(image, *maps, zooms=0)
    for place, colour in (((60, 60), ground), ((200, 250), figure)):
        assert np.abs(picture[place] - (0.68 * image[0, 0] + 0.32 * np.array(colour))).max() < 3


def test_a_legend_has_as_many_rows_as_its_names_need():
    picture = np.full((50, 400, 3), PAPER, dtype=np.uint8)
    one, several = (with_legend(picture, [("a long name of a class", AFTER)] * count) for count in (1, 4))
    assert np.array_equal(one[:50], picture)
    assert several.shape[0] - one.shape[0] == 3 * CAPTION
    assert (one[55, 25] == AFTER).all()
    assert with_legend(picture, [("a name that is wider than the picture " * 3, AFTER)]).shape == one.shape
