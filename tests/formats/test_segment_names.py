"""How every format names its segments: by their place in the file, and by their class."""

import json

import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings
from tests.formats.format_builders import SIZE, compressed, disc, panoptic_png, photo, png, save

DISC, CORNER = disc(), disc(SIZE, (3, 3), 3)
TRIANGLE = "0.1 0.1 0.6 0.1 0.6 0.6"
CATEGORIES = [{"id": 18, "name": "dog", "isthing": 1}, {"id": 44, "name": "sky", "isthing": 0}]


def names_of(path, images, **options):
    found = open_predictions(path, images, ReadSettings(**options))
    return found.segment_names(found.items[0])


@pytest.fixture
def image(tmp_path):
    return photo(tmp_path / "images/1.jpg")


def record(image_id=1, **fields):
    return {"image_id": image_id, "category_id": 18, "score": 0.5, "segmentation": compressed(DISC), **fields}


BROKEN = {"size": list(SIZE), "counts": "?"}
RECORDS = [
    record(2),
    record(),
    record(segmentation=None),
    record(category_id=7),
    record(segmentation=BROKEN),
    record(category_id="dog"),
]


def test_results_by_the_index_of_their_records(image, tmp_path):
    photo(tmp_path / "images/2.jpg")
    found = open_predictions(save(tmp_path / "results.json", RECORDS), image.parent)
    assert found.segment_names(found.items[1]) == ["record 1, class 18", "record 3, class 7", "record 5"]


def test_annotations_with_the_names_of_their_categories(image, tmp_path):
    images = [{"id": 1, "file_name": "1.jpg", "height": SIZE[0], "width": SIZE[1]}]
    annotations = [record(category_id=44), record(category_id=7)]
    document = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    assert names_of(save(tmp_path / "instances.json", document), image) == ["record 0, sky", "record 1, class 7"]
    save(tmp_path / "instances.json", {**document, "categories": [{"id": "x"}]})
    with pytest.raises(BprError):
        names_of(tmp_path / "instances.json", image)


def test_panoptic_segments_by_their_ids(image, tmp_path):
    panoptic_png(tmp_path / "pan/1.png", np.where(CORNER, 0, np.where(DISC, 300, 7)))
    segments = [{"id": 300, "category_id": 18}, {"id": 7, "category_id": 44}]
    annotation = {"image_id": 1, "file_name": "1.png", "segments_info": segments}
    images = [{"id": 1, "file_name": "1.jpg"}]
    save(tmp_path / "pan.json", {"images": images, "annotations": [annotation], "categories": CATEGORIES})
    assert names_of(tmp_path / "pan.json", image) == ["segment 7, sky", "segment 300, dog"]


def test_maps_by_their_values(image, tmp_path):
    values = np.where(CORNER, 255, np.where(DISC, 12, 5)).astype(np.uint8)
    png(tmp_path / "maps/1.png", values)
    assert names_of(tmp_path / "maps", image, format="labels") == ["class 5", "class 12"]
    assert names_of(tmp_path / "maps", image, ids="objects") == ["object 5", "object 12"]


def test_a_lone_mask_needs_no_name(image, tmp_path):
    png(tmp_path / "masks/1.png", DISC.astype(np.uint8) * 255)
    assert names_of(tmp_path / "masks", image) == []


def test_yolo_labels_by_their_lines(image, tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/1.txt").write_text(f"0 {TRIANGLE}\n\n0 0.5 0.5 0.2 0.2\n3 {TRIANGLE}\n")
    assert names_of(tmp_path / "labels", image) == ["line 1, class 0", "line 4, class 3"]
    (tmp_path / "data.yaml").write_text("names: {0: cat}\n")
    assert names_of(tmp_path / "labels", image) == ["line 1, cat", "line 4, class 3"]


def test_labelme_objects_by_their_first_shape(image, tmp_path):
    points = [[2, 2], [20, 2], [20, 12]]
    labels = [("dog", None), ("cat", 1), ("dog", None), ("cat", 1)]
    shapes = [{"label": label, "points": points, "shape_type": "polygon", "group_id": group} for label, group in labels]
    (tmp_path / "labelme").mkdir()
    document = {"version": "5.0.1", "shapes": shapes, "imagePath": "1.jpg"}
    (tmp_path / "labelme/1.json").write_text(json.dumps(document))
    assert names_of(tmp_path / "labelme", image) == ["shape 1, dog", "shape 2, cat", "shape 3, dog"]


def test_cityscapes_results_by_the_files_of_their_masks(tmp_path):
    image = photo(tmp_path / "images/ulm_a_000019_leftImg8bit.png")
    for number in range(3):
        png(tmp_path / f"results/masks/{number}.png", (DISC if number else np.pad(DISC, 1)).astype(np.uint8) * 255)
    lines = [f"masks/{number}.png 26 0.9\n" for number in range(3)]
    (tmp_path / "results/ulm_a_000019_leftImg8bit_pred.txt").write_text("".join(lines))
    assert names_of(tmp_path / "results", image) == ["masks/1.png, class 26", "masks/2.png, class 26"]
