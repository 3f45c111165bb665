"""COCO annotation files as ground truth of what is not COCO's own evaluation: LVIS, and binary masks."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bpr_cli.cli.evaluate import rows_table, summary_table
from bpr_cli.errors import BprError
from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.evaluation.report.model import Report
from bpr_cli.evaluation.settings import EvaluateSettings

SIZE = (20, 30)
LEFT, RIGHT, LOW = (slice(2, 12), slice(2, 12)), (slice(2, 12), slice(16, 28)), (slice(14, 19), slice(2, 28))


def mask_of(*places) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    for place in places:
        mask[place] = 1
    return mask


def record(image: int, category: int, place, score: float | None = None) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(mask_of(place)))
    segmentation = {"size": list(SIZE), "counts": encoded["counts"].decode()}
    fields = {"image_id": image, "category_id": category, "segmentation": segmentation}
    return fields | ({"area": int(mask_of(place).sum()), "iscrowd": 0} if score is None else {"score": score})


def image(number: int, **fields) -> dict:
    return {"id": number, "height": SIZE[0], "width": SIZE[1], **fields}


def write(path: Path, document) -> Path:
    path.write_text(json.dumps(document))
    return path


def run(predictions: Path, truth: Path, **settings) -> Report:
    return evaluate(predictions, truth, settings=EvaluateSettings(workers=1, **settings))


def lvis_files(folder: Path) -> tuple[Path, Path]:
    """Category 1 is rare and annotated in image 1; image 2 was searched for 2 alone, of which not all is annotated."""
    url = "http://images.cocodataset.org/val2017/{:012d}.jpg"
    truth = {
        "images": [
            image(1, coco_url=url.format(1), neg_category_ids=[3], not_exhaustive_category_ids=[]),
            image(2, coco_url=url.format(2), neg_category_ids=[], not_exhaustive_category_ids=[2]),
        ],
        "categories": [
            {"id": 1, "name": "kite", "frequency": "r"},
            {"id": 2, "name": "bird", "frequency": "f"},
            {"id": 3, "name": "boat", "frequency": "f"},
        ],
        "annotations": [record(1, 1, LEFT), record(2, 2, LEFT), record(2, 3, LOW)],
    }
    results = [
        record(1, 1, LEFT, 0.5),
        record(1, 2, LEFT, 0.9),  # nobody looked for birds in image 1
        record(1, 3, RIGHT, 0.9),  # a boat where none is
        record(2, 1, RIGHT, 0.9),  # nobody looked for kites in image 2
        record(2, 2, RIGHT, 0.9),  # perhaps a bird that is not annotated
        record(2, 2, LEFT, 0.5),
        record(2, 3, LOW, 0.8),
    ]
    return write(folder / "results.json", results), write(folder / "lvis.json", truth)


def test_predictions_that_nobody_can_judge_do_not_count(tmp_path):
    report = run(*lvis_files(tmp_path))
    figures = {row.name: row.metrics[0].value for row in report.classes}
    assert figures == pytest.approx({"kite": 100, "bird": 100, "boat": 50})
    assert {row.name: row.metrics[0].value for row in report.groups} == pytest.approx({"rare": 100, "frequent": 75})
    assert report.settings["max_detections"] == 300
    assert report.scores[0].name == "000000000001.jpg"


def test_the_limit_is_one_on_the_image(tmp_path):
    report = run(*lvis_files(tmp_path), max_detections=2)
    figures = {row.name: row.metrics[0].value for row in report.classes}
    # The two best of each image are one of those that do not count, and a wrong boat or a bird that is not annotated.
    assert figures == pytest.approx({"kite": 0, "bird": 0, "boat": 0})


def test_without_lists_all_predictions_count(tmp_path):
    results, truth = lvis_files(tmp_path)
    document = json.loads(truth.read_text())
    for each in document["images"]:
        del each["neg_category_ids"], each["not_exhaustive_category_ids"]
    report = run(results, write(truth, document))
    assert {row.name: row.metrics[0].value for row in report.classes} == pytest.approx(
        {"kite": 50, "bird": 100 / 3, "boat": 50}
    )
    assert report.settings["max_detections"] == 100


def test_masks_are_compared_with_the_union_of_annotations(tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for name, mask in {"a": mask_of(LEFT, RIGHT), "b": mask_of(LEFT), "c": mask_of()}.items():
        cv2.imwrite(str(masks / f"{name}.png"), mask * 255)
    truth = {
        "images": [image(number, file_name=f"{name}.jpg") for number, name in enumerate("abc", 1)],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": [record(1, 1, LEFT), record(1, 1, RIGHT), record(2, 1, LEFT), record(2, 1, LOW)],
    }
    report = run(masks, write(tmp_path / "truth.json", truth))
    half = 100 * 100 / (100 + 130)
    assert report.task == "binary"
    assert [score.score for score in report.scores] == pytest.approx([100, half, 100])
    assert report.summary[0].value == pytest.approx((200 + half) / 3)


def test_results_against_instance_ids_are_refused(tmp_path):
    results, _ = lvis_files(tmp_path)
    truth = tmp_path / "gtFine"
    truth.mkdir()
    cv2.imwrite(str(truth / "a_gtFine_instanceIds.png"), mask_of(LEFT).astype(np.uint16))
    with pytest.raises(BprError, match=r"gtFine holds PNG files, expected a COCO annotation file.*_pred\.txt"):
        run(results, truth)


def test_the_slip_of_boundary_pq_is_told(tmp_path):
    ids = np.ones(SIZE, np.int32)
    ids[LEFT] = 3
    for name in ("truth", "found"):
        folder = tmp_path / name
        folder.mkdir()
        cv2.imwrite(str(folder / "a.png"), np.dstack([ids * 0, ids * 0, ids]).astype(np.uint8))
        segments = [
            {"id": number, "category_id": 1 + number // 3, "area": int((ids == number).sum())} for number in (1, 3)
        ]
        categories = [{"id": number, "name": str(number), "isthing": 1} for number in (1, 2)]
        annotations = [{"image_id": "a", "file_name": "a.png", "segments_info": segments}]
        write(tmp_path / f"{name}.json", {"categories": categories, "annotations": annotations})
    report = run(tmp_path / "found", tmp_path / "truth")
    assert len(report.notes) == 1
    assert report.notes[0].startswith("boundary PQ: in 1 of 1 images a segment has the id 3, the number")
    # The truth itself: the definition gives 100, and so does the tool, which is wrong about both sides alike.
    names = [metric.name for metric in report.summary]
    assert names[-1] == "boundary PQ (paper)"
    assert report.summary[-1].value == 100
    assert all([metric.name for metric in row.metrics] == names for row in report.classes)
    # The class without such a segment has the same figure twice.
    assert rows_table(report.classes)[0] == ("", *names)
    assert rows_table(report.classes[:1])[0] == ("", *names[:-1])
    assert summary_table(report)[1][-1] == (names[-1], "100.0")
