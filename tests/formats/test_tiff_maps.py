"""TIFF files of labels, with one or more pages."""

import logging
import sys

import numpy as np
import pytest
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.formats.images import read_image
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.formats.tiff_pages import count_pages
from bpr_cli.masks.masks import LabelMap, Mask
from tests.formats.format_builders import SIZE, disc, photo, read_all, round_trip, write_back

tifffile = pytest.importorskip("tifffile")


def cells(kind=np.uint16, factor=1):
    labels = np.zeros(SIZE, kind)
    labels[disc(center=(8, 8), radius=5)] = 3 * factor
    labels[disc(center=(14, 22), radius=6)] = 255
    return labels


def tiff(path, values, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, values, **{"photometric": "minisblack", **options})
    return path


def grown(opened, item):
    """The masks of an item, the last of which is larger."""
    *others, _ = opened.read(item)
    return (*others, Mask.from_array(disc(center=(8, 8), radius=6)))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int32])
def test_values_and_types_are_kept(tmp_path, kind):
    tiff(tmp_path / "preds/x_cp_masks.tif", cells(kind), compression="zlib")
    opened = round_trip(tmp_path / "preds", photo(tmp_path / "images/x.png").parent, tmp_path / "out")
    assert (opened.format, opened.task, opened.failures) == ("tiff", Task.INSTANCE, [])
    assert [record.id for record in opened.records(opened.items[0])] == [3, 255]
    with tifffile.TiffFile(tmp_path / "out/x_cp_masks.tif") as file:
        (page,) = file.pages
        assert (page.dtype, page.compression) == (kind, tifffile.COMPRESSION.ADOBE_DEFLATE)
        assert np.array_equal(page.asarray(), cells(kind))


def test_refined_pages_come_back_and_the_others_stay(tmp_path):
    stack = np.stack([cells(np.uint32, 40_000), np.zeros(SIZE, np.uint32), cells(np.uint32)])
    tiff(tmp_path / "seg.tif", stack, metadata={"axes": "ZYX"}, compression="zlib", predictor=True)
    tiff(tmp_path / "cells.tif", np.random.default_rng(1).integers(0, 4000, (3, *SIZE)).astype(np.uint16))
    opened = open_predictions(tmp_path / "seg.tif", tmp_path / "cells.tif")
    assert [(item.name, item.page) for item in opened.items] == [("seg.tif#1", 0), ("seg.tif#2", 1), ("seg.tif#3", 2)]
    masks = read_all(opened)
    masks.pop("seg.tif#2")
    masks["seg.tif#1"] = grown(opened, opened.items[0])
    write_back(opened, tmp_path / "out.tif", dict(reversed(masks.items())))
    expected = stack.copy()
    expected[0][disc(center=(8, 8), radius=6) & (stack[0] == 0)] = 120_000
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), expected)
    with tifffile.TiffFile(tmp_path / "out.tif") as file:
        assert file.series[0].axes == "ZYX"
        assert file.pages[0].predictor == 2


@pytest.mark.parametrize(
    "options",
    [
        {"imagej": True, "resolution": (3, 4), "metadata": {"axes": "ZYX", "unit": "um", "spacing": 2.5}},
        {"ome": True, "metadata": {"axes": "ZYX", "PhysicalSizeX": 0.25}, "compression": "zlib"},
        {"bigtiff": True, "byteorder": ">", "extratags": [(65000, "s", 0, "mine", True)], "metadata": None},
        {"tile": (16, 16), "compression": "zlib", "software": "napari", "datetime": "2026:01:02 03:04:05"},
        {"description": "my cells", "metadata": None, "rowsperstrip": 5, "resolution": (300, 300), "resolutionunit": 2},
    ],
)
def test_compression_and_metadata_are_kept(tmp_path, options):
    stack = np.stack([cells(), cells(factor=2)])
    tiff(tmp_path / "seg.tif", stack, **options)
    photo(tmp_path / "x.jpg")
    round_trip(tmp_path / "seg.tif", tmp_path / "x.jpg", tmp_path / "out")
    with tifffile.TiffFile(tmp_path / "seg.tif") as before, tifffile.TiffFile(tmp_path / "out/seg.tif") as after:
        places = ("StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts")
        for old, new in zip(before.pages, after.pages, strict=True):
            wanted = {tag.name: tag.value for tag in old.tags if tag.name not in places}
            found = {tag.name: tag.value for tag in new.tags if tag.name not in places}
            assert found.items() >= wanted.items()
        assert (after.byteorder, after.is_bigtiff, after.is_imagej) == (
            before.byteorder,
            before.is_bigtiff,
            before.is_imagej,
        )
        assert after.series[0].axes == before.series[0].axes
        assert np.array_equal(after.asarray(), stack)


def test_labels_may_be_classes(tmp_path):
    tiff(tmp_path / "a.tif", cells(np.uint8))
    image = photo(tmp_path / "a.jpg")
    opened = open_predictions(tmp_path / "a.tif", image, ReadSettings(ids="classes"))
    assert (opened.format, opened.task) == ("tiff", Task.SEMANTIC)
    prediction = opened.read(opened.items[0])
    assert isinstance(prediction, LabelMap)
    write_back(opened, tmp_path / "out.tif", {"a.tif": LabelMap(prediction.labels + 1, frozenset())})
    assert np.array_equal(tifffile.imread(tmp_path / "out.tif"), (cells(np.uint8).astype(int) + 1).astype(np.uint8))


def test_pages_have_their_own_pictures(tmp_path):
    stack = np.stack([np.full((*SIZE, 3), value, np.uint8) for value in (10, 200)])
    tiff(tmp_path / "rgb.tif", stack, photometric="rgb")
    assert [int(read_image(tmp_path / "rgb.tif", page=page).max()) for page in (0, 1)] == [10, 200]
    deep = np.stack([np.full((*SIZE, 3), value, np.uint16) for value in (1000, 50_000)])
    tiff(tmp_path / "deep.tif", deep, photometric="rgb")
    assert read_image(tmp_path / "deep.tif", page=1).max() == round(50_000 / 257)


def test_another_number_of_pictures_is_refused(tmp_path):
    tiff(tmp_path / "seg.tif", np.stack([cells(), cells()]))
    image = tiff(tmp_path / "x.tif", np.zeros((3, *SIZE), np.uint8))
    with pytest.raises(BprError, match=r"has 2 pages and its image .* has 3, expected as many, or one"):
        open_predictions(tmp_path / "seg.tif", image)


def test_pages_are_measured_one_by_one(tmp_path):
    tiff(tmp_path / "p/seg.tif", np.stack([cells(), cells()]))
    tiff(tmp_path / "t/seg.tif", np.stack([cells(), cells(factor=2)]))
    report = evaluate(tmp_path / "p", tmp_path / "t")
    assert (report.images, {metric.name: metric.value for metric in report.summary}["AP"]) == (2, 100.0)


def test_images_and_masks_in_one_folder(tmp_path):
    photo(tmp_path / "x.tif")
    tiff(tmp_path / "x_cp_masks.tif", cells())
    opened = open_predictions(tmp_path, tmp_path)
    assert [(item.name, item.image.name) for item in opened.items] == [("x_cp_masks.tif", "x.tif")]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.full(SIZE, 2**32 - 1, np.uint32), "holds the label 4294967295, expected 0 to 2147483647"),
        (np.full(SIZE, -1, np.int16), "holds the label -1"),
        (np.zeros(SIZE, np.float32), "holds 1 channel of float32, expected one channel of whole numbers"),
        (np.zeros((*SIZE, 3), np.uint8), "holds 3 channels of uint8"),
    ],
)
def test_what_holds_no_labels_is_refused(tmp_path, values, found):
    path = tiff(tmp_path / "m/a_mask.tif", values, photometric="rgb" if values.ndim == 3 else "minisblack")
    opened = open_predictions(path, photo(tmp_path / "a.jpg"), ReadSettings(format="tiff"))
    with pytest.raises(BprError, match=found):
        opened.read(opened.items[0])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.zeros(SIZE, np.float32), "holds 1 channel of float32, expected one channel of whole numbers"),
        (b"", "cannot be read as a TIFF file"),
    ],
)
def test_the_reason_is_told_where_no_file_can_be_read(tmp_path, values, found):
    path = tmp_path / "p/a.tif"
    path.parent.mkdir()
    path.write_bytes(values) if isinstance(values, bytes) else tiff(path, values)
    with pytest.raises(BprError, match=rf"a\.tif.* {found}"):
        open_predictions(path.parent, photo(tmp_path / "a.jpg"))


def test_the_package_of_a_compression_is_asked_for(tmp_path, monkeypatch):
    """Pillow writes LZW by itself; the package may be installed here."""
    (tmp_path / "p").mkdir()
    Image.fromarray(cells(np.uint8)).save(tmp_path / "p/a.tif", compression="tiff_lzw")
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", _NoCodecs())
    found = r"the compression of the TIFF file .*a\.tif needs the package imagecodecs; install it with pip"
    with pytest.raises(BprError, match=found):
        open_predictions(tmp_path / "p", photo(tmp_path / "a.jpg"))


class _NoCodecs:
    def __getitem__(self, key):
        raise KeyError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")


def test_what_tifffile_logs_is_not_shown(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # those of pytest
    (tmp_path / "a.tif").write_bytes(b"II*\0garbage")
    with pytest.raises(BprError, match="has no page"):
        count_pages(tmp_path / "a.tif")
    assert capfd.readouterr() == ("", "")


def test_gray_photographs_are_no_labels(tmp_path):
    noise = np.random.default_rng(3).integers(0, 256, (64, 64))
    smooth = np.asarray(Image.fromarray(noise.astype(np.uint8)).resize((200, 200), Image.Resampling.BICUBIC))
    tiff(tmp_path / "p/a.tif", smooth)
    with pytest.raises(BprError, match="expected maps of labels; are masks and images swapped"):
        open_predictions(tmp_path / "p", photo(tmp_path / "a.jpg"))


def test_the_package_is_asked_for(tmp_path, monkeypatch):
    tiff(tmp_path / "p/a.tif", cells())
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(BprError, match=r"a\.tif needs the package tifffile; install it with pip"):
        open_predictions(tmp_path / "p", photo(tmp_path / "a.jpg"))


def test_broken_files_fail_alone(tmp_path):
    tiff(tmp_path / "p/a_mask.tif", cells())
    (tmp_path / "p/b_mask.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    for name in "ab":
        photo(tmp_path / f"i/{name}.png")
    opened = open_predictions(tmp_path / "p", tmp_path / "i")
    assert ([item.name for item in opened.items], [one.name for one in opened.failures]) == (
        ["a_mask.tif"],
        ["b_mask.tif"],
    )
