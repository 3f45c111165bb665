from __future__ import annotations

import json

import cv2
import numpy as np
from PIL import Image
from pycocotools import mask as rle_tools
from pycocotools.coco import COCO

from bpr_cli.demo import portrait
from bpr_cli.demo.dataset import write_demo
from bpr_cli.demo.measure import score


def tree(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def read_ids(path):
    rgb = np.asarray(Image.open(path)).astype(np.int32)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


def test_the_same_seed_writes_the_same_files(demo, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "meadow.jpg").write_text("of an earlier demo")
    write_demo(tmp_path)
    assert tree(tmp_path) == tree(demo.root)


def test_all_images_are_there_and_close_to_the_scenes(demo):
    for case in demo.cases:
        written = cv2.imread(str(demo.images / f"{case.name}.jpg"))[..., ::-1]
        assert np.abs(written.astype(int) - case.image).mean() < 6


def test_results_fit_the_ground_truth(demo, capsys):
    truth = COCO(str(demo.truth.instances))
    results = truth.loadRes(str(demo.instances))
    capsys.readouterr()
    records = json.loads(demo.instances.read_text())
    masks = [rle_tools.decode(record["segmentation"]).astype(bool) for record in records]
    expected = [mask for case in demo.cases for mask in case.instances]
    assert len(records) == len(truth.anns) == len(results.anns) == len(expected)
    assert all(np.array_equal(mask, true) for mask, true in zip(masks, expected, strict=True))
    true_masks = [mask for case in demo.cases for mask in case.true_instances]
    for mask, annotation, record in zip(true_masks, truth.anns.values(), records, strict=True):
        assert np.array_equal(truth.annToMask(annotation).astype(bool), mask)
        assert annotation["category_id"] == record["category_id"]


def test_image_info_names_the_images(demo):
    images = json.loads(demo.image_info.read_text())["images"]
    assert [record["file_name"] for record in images] == [f"{case.name}.jpg" for case in demo.cases]
    assert all((demo.images / record["file_name"]).is_file() for record in images)
    assert {record["image_id"] for record in json.loads(demo.instances.read_text())} == {r["id"] for r in images}


def test_label_maps_are_palette_pngs_of_category_ids(demo):
    for case in demo.cases:
        for folder, labels in ((demo.semantic, case.labels), (demo.truth.semantic, case.true_labels)):
            picture = Image.open(folder / f"{case.name}.png")
            assert picture.mode == "P"
            assert np.array_equal(np.asarray(picture), labels)


def test_panoptic_pngs_and_json_agree(demo):
    parts = (
        (demo.panoptic, demo.panoptic_json, [case.segment_ids for case in demo.cases]),
        (demo.truth.panoptic, demo.truth.panoptic_json, [case.true_segment_ids for case in demo.cases]),
    )
    for folder, json_path, maps in parts:
        annotations = json.loads(json_path.read_text())["annotations"]
        for annotation, ids in zip(annotations, maps, strict=True):
            assert np.array_equal(read_ids(folder / annotation["file_name"]), ids)
            areas = {segment["id"]: segment["area"] for segment in annotation["segments_info"]}
            assert areas == {int(i): int((ids == i).sum()) for i in np.unique(ids)}
            for segment in annotation["segments_info"]:
                x, y, width, height = segment["bbox"]
                assert (ids[y : y + height, x : x + width] == segment["id"]).sum() == segment["area"]


def test_the_photograph_comes_with_its_masks(demo):
    assert demo.photo.read_bytes() == portrait.photograph_path().read_bytes()
    for path, mask in ((demo.photo_mask, portrait.coarse_mask()), (demo.truth.photo_mask, portrait.careful_mask())):
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), mask * np.uint8(255))


def test_the_coarse_predictions_leave_room_to_improve(demo):
    for case in demo.cases:
        for coarse, truth in (
            (case.instances, case.true_instances),
            (case.labels, case.true_labels),
            (case.segment_ids, case.true_segment_ids),
        ):
            result = score(coarse, truth)
            assert 0.75 < result.iou < 0.92
            assert 0.2 < result.boundary_f < 0.6
