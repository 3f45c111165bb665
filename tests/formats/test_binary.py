"""Folders of binary masks, and single ones."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.masks.masks import Mask
from tests.formats.format_builders import SIZE, disc, masks, photo, pixels, png, round_trip, write_back


def mask_file(path, foreground=255, mask=None, **options):
    return png(path, ((disc() if mask is None else mask) * foreground).astype(np.uint8), **options)


def test_masks_are_read(tmp_path):
    mask_file(tmp_path / "preds/a/x.png")
    mask_file(tmp_path / "preds/a/y.png", mask=np.zeros(SIZE, bool))
    photo(tmp_path / "images/x.jpg")
    photo(tmp_path / "images/y.jpg")
    opened = open_predictions(tmp_path / "preds", tmp_path / "images")
    assert (opened.format, opened.task) == ("masks", Task.INSTANCE)
    full, empty = (opened.read(item) for item in opened.items)
    assert np.array_equal(full[0].to_array(), disc())
    assert (len(empty), empty[0].area, empty[0].size) == (1, 0, SIZE)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(masks(longest=20), st.sampled_from([("L", 255), ("L", 1), ("1", 255), ("P", 1), ("RGB", 255), ("I;16", 255)]))
def test_round_trip_keeps_mode_and_values(tmp_path, mask, style):
    mode, foreground = style
    values = (mask * foreground).astype(np.uint16 if mode == "I;16" else np.uint8)
    palette = bytes([0, 0, 0, 200, 10, 10]) if mode == "P" else None
    path = png(tmp_path / "preds/x.png", values, mode=mode if mode in ("1", "RGB") else None, palette=palette)
    round_trip(tmp_path / "preds", photo(tmp_path / "x.png"), tmp_path / "out", format="masks")
    with Image.open(tmp_path / "out/x.png") as image, Image.open(path) as source:
        assert image.mode == source.mode
        assert image.getpalette() == source.getpalette()
        assert np.array_equal(np.array(image), np.array(source))


@pytest.mark.parametrize(("foreground", "mode"), [(255, None), (1, None), (255, "1")])
def test_refined_masks_are_written_with_the_foreground_value(tmp_path, foreground, mode):
    path = mask_file(tmp_path / "preds/x.png", foreground, mode=mode)
    refined = (Mask.from_array(disc(radius=3)),)
    for read_first in (True, False):
        opened = open_predictions(tmp_path / "preds", photo(tmp_path / "x.jpg"))
        if read_first:
            opened.read(opened.items[0])
        write_back(opened, tmp_path / "out", {"x.png": refined})
        assert np.array_equal(pixels(tmp_path / "out/x.png"), disc(radius=3) * pixels(path).max())


def test_one_mask_with_one_image(tmp_path):
    path = mask_file(tmp_path / "mask.png")
    image = photo(tmp_path / "photo.jpg")
    opened = round_trip(path, image, tmp_path / "better.png")
    assert [(item.name, item.image) for item in opened.items] == [("mask.png", image)]
    assert np.array_equal(pixels(tmp_path / "better.png"), pixels(path))


def test_a_file_with_more_values_fails_and_says_what_to_do(tmp_path):
    for number in range(40):
        mask_file(tmp_path / f"preds/x{number:02d}.png", 1)
        photo(tmp_path / f"images/x{number:02d}.png")
    png(tmp_path / "preds/x01.png", np.tile(np.arange(SIZE[1], dtype=np.uint8), (SIZE[0], 1)))
    opened = open_predictions(tmp_path / "preds", tmp_path / "images")
    assert opened.format == "masks"
    with pytest.raises(BprError, match=r"x01\.png holds the values 0, 1, 2, 3, 4 and 27 more.*--format labels"):
        opened.read(opened.items[1])


def test_a_single_other_value_is_no_mask(tmp_path):
    mask_file(tmp_path / "preds/x.png", 7)
    opened = open_predictions(tmp_path / "preds", photo(tmp_path / "x.jpg"), ReadSettings(format="masks"))
    with pytest.raises(BprError, match="holds the values 0, 7"):
        opened.read(opened.items[0])


def test_a_jpeg_is_no_mask(tmp_path):
    photo(tmp_path / "preds/x.jpg")
    with pytest.raises(BprError, match=r"holds x\.jpg, expected"):
        open_predictions(tmp_path / "preds", photo(tmp_path / "x.jpg"))
