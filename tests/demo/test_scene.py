"""Scenes made by code: files that official tools read, edges that can be seen, and predictions with room to improve."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from bpr_cli.demo.run import score
from bpr_cli.demo.scene import CATEGORIES, SCENES, coarsen, make_scene, write_scenes
from bpr_cli.evaluation.boundary import boundary_map


@pytest.fixture(scope="module")
def scene():
    return make_scene(np.random.default_rng(4))


def test_the_same_seed_writes_the_same_files(demo, tmp_path):
    write_scenes(tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 4 * SCENES
    assert all(path.read_bytes() == (demo / path.relative_to(tmp_path)).read_bytes() for path in written)


def test_results_fit_the_ground_truth(demo, capsys):
    truth = COCO(str(demo / "truth/instances.json"))
    results = truth.loadRes(str(demo / "instances/predictions.json"))
    capsys.readouterr()
    assert len(truth.anns) == len(results.anns) == 6 * SCENES
    for number, annotation in truth.anns.items():
        assert annotation["category_id"] == results.anns[number]["category_id"]
        labels = np.asarray(Image.open(demo / f"truth/semantic/scene{annotation['image_id']}.png"))
        assert (labels[truth.annToMask(annotation) > 0] == annotation["category_id"]).all()


@pytest.mark.parametrize("side", [".", "truth"])
def test_panoptic_maps_agree_with_their_json(demo, side):
    document = json.loads((demo / side / "panoptic.json").read_text())
    assert {each["name"] for each in document["categories"]} == set(CATEGORIES.values())
    for annotation in document["annotations"]:
        rgb = np.asarray(Image.open(demo / side / "panoptic" / annotation["file_name"])).astype(int)
        ids = rgb @ [1, 256, 65536]
        areas = {segment["id"]: segment["area"] for segment in annotation["segments_info"]}
        assert areas == {int(each): int((ids == each).sum()) for each in np.unique(ids)}


def test_true_boundaries_are_visible_in_the_image(scene):
    image, truth = scene
    soft = cv2.GaussianBlur(image, (0, 0), 1.0).astype(np.float32)
    strength = np.hypot(*np.gradient(soft, axis=(0, 1))).max(axis=2)
    for mask in truth.things.values():
        around = cv2.dilate(mask.astype(np.uint8), np.ones((31, 31))) > 0
        assert strength[boundary_map(mask)].mean() > 2 * np.median(strength[around])


def test_coarse_predictions_leave_room_to_improve(scene):
    truth = scene[1]
    coarse = coarsen(truth, np.random.default_rng(0))
    pairs = [(list(coarse.things.values()), list(truth.things.values()))]
    pairs += [(coarse.ids, truth.ids), (coarse.labels, truth.labels)]
    for found, true in pairs:
        result = score(found, true)
        assert 0.7 < result.iou < 0.96
        assert 0.2 < result.boundary_f < 0.9
