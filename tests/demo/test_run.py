"""The demo: its parts improve, its photographs are attributed, and its scores are means."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_tools

from bpr_cli import Refiner
from bpr_cli.demo.run import PHOTOS, Score, mean, parts_of, run_part, score


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
