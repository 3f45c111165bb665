"""Folders of label maps and of binary masks, and single ones."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.masks.masks import LabelMap
from tests.formats.format_builders import (
    SIZE,
    indexed_png,
    panoptic_png,
    photo,
    pixels,
    png,
    round_trip,
    write_back,
)

CLASSES = (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) // 80).astype(np.uint8)


def test_labels_and_void(tmp_path):
    values = CLASSES.copy()
    values[0] = 255
    png(tmp_path / "preds/x.png", values)
    images = photo(tmp_path / "images/x.jpg").parent
    opened = open_predictions(tmp_path / "preds", images)
    assert (opened.format, opened.task) == ("labels", Task.SEMANTIC)
    label_map = opened.read(opened.items[0])
    assert label_map.labels.dtype == np.int32
    assert np.array_equal(label_map.labels, values)
    assert label_map.void == {255}
    options = ReadSettings(ignore_labels=frozenset({0, 3}))
    opened = open_predictions(tmp_path / "preds", images, options)
    assert opened.read(opened.items[0]).void == {0, 3}


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([np.uint8, np.uint16]), st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_round_trip_of_any_values(tmp_path, dtype, seed, height, width):
    values = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, (height, width)).astype(dtype)
    path = png(tmp_path / "preds/x.png", values)
    round_trip(tmp_path / "preds", photo(tmp_path / "x.png"), tmp_path / "out", format="labels")
    written = pixels(tmp_path / "out/x.png")
    assert written.dtype == pixels(path).dtype
    assert np.array_equal(written, values)


@pytest.mark.parametrize("colours", [256, 20, 10, 4, 2])
def test_palettes_are_kept(tmp_path, colours):
    palette = np.random.default_rng(colours).integers(0, 255, 3 * colours).astype(np.uint8).tobytes()
    path = indexed_png(tmp_path / "preds/x.png", CLASSES, palette)
    round_trip(tmp_path / "preds", photo(tmp_path / "x.jpg"), tmp_path / "out")
    with Image.open(tmp_path / "out/x.png") as image, Image.open(path) as source:
        assert image.mode == "P"
        assert np.array_equal(np.array(image), CLASSES)
        assert image.getpalette()[: 3 * colours] == source.getpalette()[: 3 * colours]


def test_a_label_beyond_a_short_palette_survives(tmp_path):
    values = CLASSES.copy()
    values[3] = 255
    indexed_png(tmp_path / "preds/x.png", values, bytes(range(33)))
    round_trip(tmp_path / "preds", photo(tmp_path / "x.jpg"), tmp_path / "out")
    assert np.array_equal(pixels(tmp_path / "out/x.png"), values)


def test_transparent_palettes_are_kept(tmp_path):
    png(tmp_path / "preds/x.png", CLASSES, palette=bytes(range(60)), transparency=3)
    round_trip(tmp_path / "preds", photo(tmp_path / "x.jpg"), tmp_path / "out")
    with Image.open(tmp_path / "out/x.png") as image:
        assert image.info["transparency"] == 3


def test_city_folders_and_names(tmp_path):
    names = ["frankfurt/f_gtFine_labelIds.png", "frankfurt/g_pred.png", "munster/m_leftImg8bit_predLabelTrainIds.png"]
    for name in names:
        png(tmp_path / "preds" / name, CLASSES)
    png(tmp_path / "preds/frankfurt/f_gtFine_color.png", np.dstack([CLASSES, CLASSES + 1, CLASSES]))
    png(tmp_path / "preds/frankfurt/f_gtFine_instanceIds.png", CLASSES)
    for name in ("frankfurt/f", "frankfurt/g", "munster/m"):
        photo(tmp_path / f"images/val/{name}_leftImg8bit.png")
    opened = round_trip(tmp_path / "preds", tmp_path / "images", tmp_path / "out")
    assert [item.name for item in opened.items] == names
    assert [item.image.name[0] for item in opened.items] == ["f", "g", "m"]
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert written == names


def test_gray_stored_as_colour_keeps_its_mode(tmp_path):
    for mode in ("RGB", "RGBA", "LA"):
        png(tmp_path / f"preds/{mode}.png", CLASSES, mode=mode)
        photo(tmp_path / f"images/{mode}.png")
    opened = round_trip(tmp_path / "preds", tmp_path / "images", tmp_path / "out")
    for item in opened.items:
        assert np.array_equal(opened.read(item).labels, CLASSES)
        with Image.open(tmp_path / "out" / item.name) as image:
            assert image.mode == item.name[:-4]
        assert np.array_equal(pixels(tmp_path / "out" / item.name), pixels(tmp_path / "preds" / item.name))


def test_refined_labels_are_written(tmp_path):
    png(tmp_path / "preds/x.png", CLASSES, palette=bytes(range(60)))
    opened = open_predictions(tmp_path / "preds", photo(tmp_path / "x.jpg"))
    write_back(opened, tmp_path / "out", {"x.png": LabelMap(np.full(SIZE, 2, np.int32), frozenset())})
    assert np.array_equal(pixels(tmp_path / "out/x.png"), np.full(SIZE, 2))


def test_one_file_with_one_image(tmp_path):
    path = png(tmp_path / "labels.png", CLASSES)
    image = photo(tmp_path / "photo.jpg")
    opened = round_trip(path, image, tmp_path / "out")
    assert [(item.name, item.image) for item in opened.items] == [("labels.png", image)]
    round_trip(path, image, tmp_path / "refined.png")
    for written in (tmp_path / "out/labels.png", tmp_path / "refined.png"):
        assert np.array_equal(pixels(written), CLASSES)


def test_one_file_with_a_folder_of_images(tmp_path):
    path = png(tmp_path / "photo_labelIds.png", CLASSES)
    photo(tmp_path / "images/other.jpg")
    image = photo(tmp_path / "images/photo.jpg")
    assert open_predictions(path, tmp_path / "images").items[0].image == image


def test_missing_images_fail_alone(tmp_path):
    for name in ("x", "y", "z"):
        png(tmp_path / f"preds/{name}.png", CLASSES)
    photo(tmp_path / "images/y.png")
    opened = open_predictions(tmp_path / "preds", tmp_path / "images")
    assert [item.name for item in opened.items] == ["y.png"]
    assert [failure.name for failure in opened.failures] == ["x.png", "z.png"]
    assert "no image called 'x'" in opened.failures[0].reason


def test_no_image_for_any_item_is_an_error(tmp_path):
    for number in range(5):
        png(tmp_path / f"preds/x{number}.png", CLASSES)
    photo(tmp_path / "images/other.png")
    with pytest.raises(BprError) as caught:
        open_predictions(tmp_path / "preds", tmp_path / "images")
    message = str(caught.value)
    assert "none of its 5 items can be used" in message
    assert "x0" in message
    assert "x3" not in message
    assert "--images" in message


def broken(tmp_path, name="b.png"):
    png(tmp_path / "preds/a.png", CLASSES)
    photo(tmp_path / "images/a.png")
    photo(tmp_path / "images/b.png")
    return tmp_path / "preds" / name


def reason(tmp_path):
    opened = open_predictions(tmp_path / "preds", tmp_path / "images")
    assert opened.format == "labels"
    opened.read(opened.items[0])
    with pytest.raises(BprError) as caught:
        opened.read(opened.items[1])
    assert "b.png" in str(caught.value)
    return str(caught.value)


def test_a_truncated_map_fails_alone(tmp_path):
    path = png(broken(tmp_path), CLASSES)
    path.write_bytes(path.read_bytes()[:-30])
    assert "truncated or damaged" in reason(tmp_path)


def test_a_map_of_colours_fails_alone(tmp_path):
    panoptic_png(broken(tmp_path), CLASSES.astype(int) * 300)
    assert "single-channel" in reason(tmp_path)


def test_a_transparent_map_fails_alone(tmp_path):
    png(broken(tmp_path), np.dstack([CLASSES, CLASSES, CLASSES, CLASSES]))
    assert "transparent" in reason(tmp_path)


def test_a_file_that_is_no_png_fails_alone(tmp_path):
    broken(tmp_path).write_text("no png")
    assert "is not a PNG file" in reason(tmp_path)


def test_deep_colour_is_refused(tmp_path):
    path = broken(tmp_path)
    cv2.imwrite(str(path), np.repeat(CLASSES[:, :, None].astype(np.uint16) * 256, 3, axis=2))
    assert "16-bit" in reason(tmp_path)
