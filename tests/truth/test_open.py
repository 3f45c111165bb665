"""What a map of Cityscapes instance ids says of its segments, and which ground truth polygons are measured against."""

import numpy as np
import pytest

from bpr_cli.conversion.job import convert
from bpr_cli.errors import BprError
from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.records import SegmentRecord
from bpr_cli.truth.open import instance_records
from tests.formats.format_builders import SIZE, compressed, disc, photo, save

ROAD, CAR, PERSON = 7, 26, 24


def test_instances_groups_and_areas_are_told_apart():
    ids = np.array([[26003, 7], [26003, 24], [26000, 26]], dtype=np.int32)
    assert instance_records(ids) == (
        SegmentRecord(ROAD, id=ROAD),
        SegmentRecord(PERSON, crowd=True, id=PERSON),
        SegmentRecord(CAR, crowd=True, id=CAR),
        SegmentRecord(CAR, id=26000),
        SegmentRecord(CAR, id=26003),
    )


def sets_of_shapes(folder):
    """One image with two objects, of which the predictions find one: as COCO annotations, YOLO labels and labelme."""
    photo(folder / "images/a.jpg")
    categories = [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}]
    images = [{"id": 4, "file_name": "a.jpg", "height": SIZE[0], "width": SIZE[1]}]
    masks = [disc(center=(8, 8), radius=5), disc(center=(14, 22), radius=6)]
    records = [
        {"id": number, "image_id": 4, "category_id": 17, "area": 50, "iscrowd": 0, "segmentation": compressed(mask)}
        for number, mask in enumerate(masks, 1)
    ]
    truth = {"images": images, "categories": categories, "annotations": records}
    save(folder / "truth.json", truth)
    save(folder / "results.json", {**truth, "annotations": [{**records[0], "score": 0.9}]})
    for kind in ("yolo", "labelme"):
        for name in ("truth", "results"):
            convert(folder / f"{name}.json", folder / f"{kind}_{name}", kind)


@pytest.mark.parametrize("truth", ["truth.json", "same"])
@pytest.mark.parametrize("kind", ["yolo", "labelme"])
def test_polygons_are_measured_against_coco_and_their_own_kind(tmp_path, kind, truth):
    sets_of_shapes(tmp_path)
    expected = evaluate(tmp_path / "results.json", tmp_path / "truth.json")
    part = "labels" if kind == "yolo" else "."
    known = tmp_path / f"{kind}_truth" / part if truth == "same" else tmp_path / truth
    images = tmp_path / "images" if truth == "same" else None
    report = evaluate(tmp_path / f"{kind}_results" / part, known, images=images)
    assert [(metric.name, metric.value) for metric in report.summary] == [
        (metric.name, metric.value) for metric in expected.summary
    ]
    assert {metric.name: metric.value for metric in report.summary}["AP"] == pytest.approx(50.5, abs=0.1)


def test_yolo_without_sizes_or_names_is_refused(tmp_path):
    sets_of_shapes(tmp_path)
    labels = tmp_path / "yolo_results/labels"
    with pytest.raises(BprError, match=r"the size of the image 'a' is not stated.*--images"):
        evaluate(labels, tmp_path / "yolo_truth/labels")
    (tmp_path / "yolo_results/data.yaml").unlink()
    with pytest.raises(BprError, match=r"has 0 classes with names in data\.yaml"):
        evaluate(labels, tmp_path / "truth.json")


def test_a_class_without_a_name_is_none_of_the_ground_truth(tmp_path):
    """Class 17 of the labels is not the category 17 of the annotations."""
    sets_of_shapes(tmp_path)
    file = tmp_path / "yolo_results/labels/a.txt"
    file.write_text(f"17{file.read_text()[1:]}")
    with pytest.raises(BprError, match=r"has the class 17 \(without a name in data\.yaml\), expected one of the 2"):
        evaluate(file.parent, tmp_path / "truth.json")
    report = evaluate(file.parent, tmp_path / "truth.json", settings=EvaluateSettings(allow_missing=True))
    assert {metric.name: metric.value for metric in report.summary}["AP"] == 0


def test_a_label_that_the_ground_truth_lacks_is_told_by_its_text(tmp_path):
    sets_of_shapes(tmp_path)
    file = tmp_path / "labelme_results/a.json"
    file.write_text(file.read_text().replace('"cat"', '"fox"'))
    with pytest.raises(BprError, match="has the label 'fox', expected one of the 2"):
        evaluate(file.parent, tmp_path / "truth.json")
