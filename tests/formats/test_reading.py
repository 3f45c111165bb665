"""Files that claim more pixels than the limit are refused before they are decoded, whatever their kind."""

import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.formats.images import check_image_file, image_size, read_image
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.png import read_gray, read_ids, read_style, read_window
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.patchset.extract import extract
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.refinement.check import check
from bpr_cli.refinement.result import read_usable
from tests.formats.format_builders import SIZE, compressed, disc, panoptic_png, photo, png, save

PIXELS = SIZE[0] * SIZE[1]
READERS = (read_image, image_size, check_image_file, read_gray, read_ids, read_window)


def claiming(path, width, height):
    """Change the size in the header of a PNG file."""
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("read", READERS)
def test_a_small_file_that_claims_a_huge_size_is_refused(tmp_path, read):
    path = claiming(panoptic_png(tmp_path / "bomb.png", disc().astype(np.int32)), 100_000, 100_000)
    with pytest.raises(
        BprError, match=r"bomb\.png claims to have 100000 x 100000 pixels.* 268,435,456; .*--max-pixels"
    ):
        read(path)


@pytest.mark.parametrize("read", READERS)
def test_the_limit_can_be_chosen(tmp_path, read):
    path = png(tmp_path / "a.png", disc().astype(np.uint8), *(["RGB"] if read is read_ids else []))
    read(path, PIXELS)
    with pytest.raises(BprError, match=f"than the limit of {PIXELS - 1:,}"):
        read(path, PIXELS - 1)


def test_the_limit_of_pillow_neither_warns_nor_changes(tmp_path):
    path, limit = claiming(png(tmp_path / "a.png", disc().astype(np.uint8)), 12_000, 20_000), Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_size(path) == (20_000, 12_000)
        assert read_style(path).mode == "L"
    assert limit == Image.MAX_IMAGE_PIXELS


def coco(folder):
    record = {"image_id": "a", "category_id": 1, "score": 1.0, "segmentation": compressed(disc())}
    return save(folder / "results.json", [record])


def polygons(folder):
    info = {"images": [{"id": 1, "file_name": "a.png"}], "categories": [{"id": 1, "name": "x"}]}
    record = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[2, 2, 9, 2, 9, 9]]}
    return save(folder / "annotations.json", {**info, "annotations": [record]})


def panoptic(folder):
    panoptic_png(folder / "panoptic" / "a.png", disc().astype(np.int32))
    segments = [{"id": 1, "category_id": 1}]
    annotation = {"image_id": "a", "file_name": "a.png", "segments_info": segments}
    return save(folder / "panoptic.json", {"annotations": [annotation]})


def label_maps(folder):
    return png(folder / "labels" / "a.png", disc() + np.uint8(2)).parent


def masks(folder):
    return png(folder / "masks" / "a.png", disc() * np.uint8(255)).parent


def cityscapes(folder):
    png(folder / "results" / "a_0.png", disc() * np.uint8(255))
    (folder / "results" / "a_pred.txt").write_text("a_0.png 26 0.9\n")
    return folder / "results"


def yolo(folder):
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9\n")
    return folder / "labels"


def labelme(folder):
    polygon = {"label": "x", "points": [[2, 2], [9, 2], [9, 9]], "shape_type": "polygon"}
    return save(folder / "labelme" / "a.json", {"shapes": [polygon], "imagePath": "a.png"})


@pytest.mark.parametrize("predictions", [coco, polygons, panoptic, label_maps, masks, cityscapes, yolo, labelme])
def test_every_format_has_the_limit(tmp_path, predictions):
    path = predictions(tmp_path)
    photo(tmp_path / "images" / "a.png")

    def read(limit):
        opened = open_predictions(path, tmp_path / "images", ReadSettings(max_pixels=limit))
        assert [read_usable(opened, item) for item in opened.items]

    read(PIXELS)
    with pytest.raises(BprError, match="--max-pixels"):
        read(PIXELS - 1)


def test_every_command_has_the_limit(tmp_path):
    maps, images = label_maps(tmp_path), photo(tmp_path / "images" / "a.png").parent
    few = {"max_pixels": PIXELS - 1}
    assert "--max-pixels" in check(maps, images, options=ReadSettings(format="labels", **few)).failures[0].reason
    with pytest.raises(BprError, match="--max-pixels"):
        evaluate(maps, maps, format="labels", **few)
    with pytest.raises(BprError, match="--max-pixels"):
        extract(maps, images, maps, tmp_path / "set", PatchSetSettings(), format="labels", **few)


def test_the_limit_is_a_number_of_pixels():
    with pytest.raises(BprError, match="max_pixels is 0; expected a whole number from 1 to"):
        ReadSettings(max_pixels=0)
