"""Before/after pictures: outlines on their sides, and places magnified where masks changed."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as rle_tools

from bpr_cli import Refiner
from bpr_cli.demo.run import PAPER, PHOTOS, Score, compare, mean, parts_of, run_part, score
from bpr_cli.masks.drawing import AFTER, BEFORE, busiest_places, changed_pixels, draw_segments


def pair(size):
    """A gray image, and a mask with a shifted version of it."""
    mask = np.zeros(size, dtype=bool)
    mask[size[0] // 4 : size[0] // 2, size[1] // 4 : size[1] // 2] = True
    image = np.full((*size, 3), 90, dtype=np.uint8)
    return image, mask, np.roll(mask, 4, axis=1)


def share_of(picture, color, tolerance=12):
    return (np.abs(picture.astype(int) - color).max(axis=-1) <= tolerance).mean()


@pytest.mark.parametrize("size", [(120, 200), (200, 120), (7, 9), (90, 90), (1, 40), (40, 1)])
def test_a_picture_of_any_size(size):
    image, coarse, refined = pair(size)
    picture = compare(image, [coarse], [refined], ("IoU 1", "IoU 2"))
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (1336, 3)
    assert (picture[:4] == PAPER).all()


def test_the_outlines_have_their_colors_on_their_sides():
    image, coarse, refined = pair((120, 200))
    picture = compare(image, [coarse], [refined], zooms=0)[60:]  # below the headers
    left, right = np.split(picture, [picture.shape[1] // 2], axis=1)
    assert share_of(left, BEFORE) > 0.002
    assert share_of(right, AFTER) > 0.002
    assert share_of(left, AFTER) == share_of(right, BEFORE) == 0


def test_without_a_change_nothing_is_magnified():
    image, mask, other = pair((120, 200))
    assert compare(image, [mask], [mask]).shape == compare(image, [mask], [mask], zooms=0).shape
    assert compare(image, [mask], [other]).shape[0] > compare(image, [mask], [mask]).shape[0]
    labels = mask.astype(np.int32)
    assert compare(image, labels, 1 - labels).shape[0] > compare(image, labels, labels).shape[0]


def test_the_frame_of_the_image_is_not_outlined():
    image = np.full((40, 60, 3), 90, dtype=np.uint8)
    full = draw_segments(image, [np.ones((40, 60), dtype=bool)], BEFORE, (120, 80))
    assert np.ptp(full.reshape(-1, 3), axis=0).tolist() == [0, 0, 0]


def test_the_outline_lies_on_the_boundary():
    image = np.zeros((40, 60, 3), dtype=np.uint8)
    mask = np.zeros((40, 60), dtype=bool)
    mask[:, 20:] = True
    drawn = draw_segments(image, [mask], BEFORE, (240, 160))
    columns = np.flatnonzero((drawn == BEFORE).all(axis=2).all(axis=0))
    assert columns.tolist() == [79, 80]


def test_places_are_where_most_changed():
    changed = np.zeros((100, 100), dtype=bool)
    changed[70:76, 20:26] = True
    changed[10:14, 80:84] = True
    first, second = busiest_places(changed, 20, 5)
    assert first == (13, 63, 33, 83)
    assert second == (72, 2, 92, 22)


@given(
    changed=st.tuples(st.integers(1, 30), st.integers(1, 30)).flatmap(lambda shape: hnp.arrays(bool, shape)),
    side=st.integers(1, 12),
    count=st.integers(0, 4),
)
def test_places_lie_inside_hold_a_change_and_do_not_overlap(changed, side, count):
    places = busiest_places(changed, side, count)
    side = min(side, *changed.shape)
    assert len(places) <= count
    assert bool(places) == bool(changed.any() and count)
    covered = np.zeros(changed.shape, dtype=int)
    for x0, y0, x1, y1 in places:
        assert (x1 - x0, y1 - y0) == (side, side)
        assert changed[y0:y1, x0:x1].any()
        covered[y0:y1, x0:x1] += 1
    assert covered.max(initial=0) <= 1


def test_different_kinds_are_refused():
    _, mask, other = pair((20, 20))
    for before, after in (([mask], mask.astype(np.int32)), ([mask], [mask, other]), ([], [])):
        with pytest.raises(ValueError, match="must both be"):
            changed_pixels(before, after)


@pytest.fixture(scope="module")
def refiner():
    return Refiner()


@pytest.mark.parametrize("name", ["photos", "instances", "semantic", "panoptic"])
def test_the_shipped_weights_improve_every_part_that_has_ground_truth(demo, refiner, name, tmp_path):
    part = next(part for part in parts_of(demo) if part.name == name)
    result = run_part(part, tmp_path, refiner)
    assert all(picture.stat().st_size > 10_000 for picture in result.pictures)
    if name == "photos":
        assert (result.images, result.before, result.after) == (3, None, None)
    else:
        assert result.after.iou > result.before.iou
        assert result.after.boundary_f > result.before.boundary_f


def test_every_photograph_is_small_named_in_the_attribution_and_has_masks_of_its_size():
    images = {each["id"]: each for each in json.loads((PHOTOS / "image_info.json").read_text())["images"]}
    records = json.loads((PHOTOS / "predictions.json").read_text())
    attribution = (PHOTOS / "ATTRIBUTION.txt").read_text()
    assert {record["image_id"] for record in records} == set(images)
    for image_id, image in images.items():
        path = PHOTOS / image["file_name"]
        assert path.stat().st_size < 60_000
        assert cv2.imread(str(path)).shape == (image["height"], image["width"], 3)
        assert f"{image['file_name']}" in attribution
        assert f"COCO image {image_id}," in attribution
    for record in records:
        image = images[record["image_id"]]
        assert rle_tools.decode(record["segmentation"]).shape == (image["height"], image["width"])


def test_scores_are_means_over_masks_or_labels_of_the_ground_truth():
    square = np.zeros((20, 30), dtype=bool)
    square[5:15, 5:15] = True
    assert score([square], [square]) == Score(1.0, 1.0)
    assert score([square, ~square], [square, square]).iou == pytest.approx(0.5)
    truth = square.astype(np.int32)
    assert score(truth, truth) == Score(1.0, 1.0)
    assert score(np.full_like(truth, 3), truth).iou == 0
    assert mean([Score(0.0, 1.0), Score(1.0, 0.5)]) == Score(0.5, 0.75)
    assert mean([]) is None
