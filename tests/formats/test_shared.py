"""Real predictions of real models, written back unchanged, are the same files."""

from pathlib import Path

import numpy as np
import pytest

from tests.formats.format_builders import load, pixels, round_trip

DATA = Path(__file__).resolve().parents[2] / "../shared/data"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real predictions in ../shared/data are not here")


def same_pngs(found, expected, step=10):
    names = sorted(path.relative_to(expected) for path in expected.rglob("*.png"))
    assert names == sorted(path.relative_to(found) for path in found.rglob("*.png"))
    for name in names[::step]:
        assert np.array_equal(pixels(found / name), pixels(expected / name))


@pytest.mark.parametrize(
    ("predictions", "images", "expected"),
    [
        ("street/predictions/esp/val", "street/images", "labels"),
        ("objects/predictions/esp/val", "objects/images", "masks"),
        ("objects/predictions/dice/val", "objects/images/val", "masks"),
    ],
)
def test_png_folders(tmp_path, predictions, images, expected):
    opened = round_trip(DATA / predictions, DATA / images, tmp_path)
    assert (opened.format, opened.failures) == (expected, [])
    same_pngs(tmp_path, DATA / predictions)


@pytest.mark.parametrize(
    ("predictions", "images", "info"),
    [
        ("objects/predictions/yolo/val.segm.json", "objects/images", "objects/instances_val.json"),
        ("cells/predictions/otsu/val.segm.json", "cells/images", "cells/instances_val.json"),
        ("coco/predictions/yolo", "coco/images", None),
    ],
)
def test_coco_results(tmp_path, predictions, images, info):
    opened = round_trip(DATA / predictions, DATA / images, tmp_path, image_info=DATA / info if info else None)
    assert (opened.format, opened.failures) == ("coco", [])
    assert load(tmp_path / opened.path.name) == load(opened.path)


@pytest.mark.parametrize(
    ("predictions", "images"),
    [("street/panoptic/esp_val.json", "street/images/val"), ("coco/panoptic", "coco/images")],
)
def test_panoptic_results(tmp_path, predictions, images):
    opened = round_trip(DATA / predictions, DATA / images, tmp_path)
    assert (opened.format, opened.failures) == ("panoptic", [])
    layout = opened.layout
    assert load(tmp_path / layout.document.name) == load(layout.document)
    same_pngs(tmp_path / layout.folder_name, layout.folder)
