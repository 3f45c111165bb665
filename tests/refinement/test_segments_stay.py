"""Whatever the network predicts, the files keep every segment, its id and its place in the order."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from bpr_cli.formats.open import open_predictions
from bpr_cli.refinement.pipeline import refine_predictions
from tests.inference.engines import blob, picture

SIZE = (50, 60)
PLANES = [blob(SIZE, seed) for seed in range(3)] + [np.eye(*SIZE, 5, dtype=bool) & (np.arange(60) < 7)]
"""Discs, and a segment of two pixels."""

IDS = np.full(SIZE, 3, np.int32)
for number, plane in zip((700, 70_000, 12, 9), PLANES, strict=True):
    IDS[plane] = number


@pytest.fixture(params=["nothing", "everything", "noise"])
def stubborn(request, make_refiner, monkeypatch):
    """A refiner of two passes whose network does not look."""
    refiner = make_refiner(scales=(2.0, 1.0))
    random = np.random.default_rng(3)

    def predict(patches):
        shape = (len(patches), 16, 16)
        if request.param == "noise":
            return random.integers(0, 256, shape).astype(np.uint8)
        return np.full(shape, 0 if request.param == "nothing" else 255, np.uint8)

    monkeypatch.setattr(refiner.predictor, "predict", predict)
    return refiner


@pytest.fixture
def refined(stubborn, tmp_path):
    """Refine what is in ``preds`` and give the folder of the result."""
    Image.fromarray(picture(SIZE)).save(tmp_path / "a.png")

    def run(predictions):
        opened = open_predictions(predictions, tmp_path / "a.png")
        result = refine_predictions(stubborn, opened, opened.writer(tmp_path / "out"))
        assert (result.written, result.failures) == (1, [])
        return tmp_path / "out"

    return run


def test_coco_records(refined, tmp_path):
    encoded = [coco_mask.encode(np.asfortranarray(plane, np.uint8)) for plane in PLANES]
    records = [
        {"id": 40 - number, "image_id": 1, "category_id": number, "score": 0.5, "area": 1.0, "segmentation": rle}
        for number, rle in enumerate(each | {"counts": each["counts"].decode()} for each in encoded)
    ]
    (tmp_path / "r.json").write_text(json.dumps(records))
    out = json.loads((refined(tmp_path / "r.json") / "r.json").read_text())
    for record, written in zip(records, out, strict=True):
        kept = ("id", "image_id", "category_id", "score")
        assert [written[name] for name in kept] == [record[name] for name in kept]
        assert coco_mask.area(written["segmentation"]) == written["area"] > 0


def test_panoptic_segments(refined, tmp_path):
    (tmp_path / "pan").mkdir()
    channels = [IDS % 256, IDS // 256 % 256, IDS // 65536]
    Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8)).save(tmp_path / "pan/a.png")
    segments = [{"id": number, "category_id": 5, "area": 1} for number in (70_000, 3, 9, 700, 12)]
    assert {each["id"] for each in segments} == set(np.unique(IDS))
    annotation = {"image_id": 1, "file_name": "a.png", "segments_info": segments}
    (tmp_path / "pan.json").write_text(json.dumps({"annotations": [annotation]}))
    out = refined(tmp_path / "pan.json")
    with Image.open(out / "pan/a.png") as image:
        values, counts = np.unique(np.array(image).astype(int) @ [1, 256, 65536], return_counts=True)
    written = json.loads((out / "pan.json").read_text())["annotations"][0]["segments_info"]
    assert [each["id"] for each in written] == [each["id"] for each in segments]
    assert {each["id"]: each["area"] for each in written} == dict(zip(values, counts, strict=True))


def test_labels(refined, tmp_path):
    (tmp_path / "labels").mkdir()
    labels = np.unique(IDS, return_inverse=True)[1].reshape(SIZE).astype(np.uint8)
    Image.fromarray(labels).save(tmp_path / "labels/a.png")
    with Image.open(refined(tmp_path / "labels") / "a.png") as image:
        assert set(np.unique(np.array(image))) == set(np.unique(labels))


def test_cityscapes_masks(refined, tmp_path):
    (tmp_path / "city").mkdir()
    for number, plane in enumerate(PLANES):
        Image.fromarray(plane.astype(np.uint8) * 255).save(tmp_path / f"city/m{number}.png")
    lines = "".join(f"m{number}.png 24 0.5\n" for number in range(len(PLANES)))
    (tmp_path / "city/a_pred.txt").write_text(lines)
    out = refined(tmp_path / "city")
    assert (out / "a_pred.txt").read_text() == lines
    for number in range(len(PLANES)):
        with Image.open(out / f"m{number}.png") as image:
            assert np.array(image).any()
