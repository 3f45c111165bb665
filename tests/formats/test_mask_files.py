"""Folders of masks, binary and soft, and single ones."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.masks.masks import Mask
from tests.formats.format_builders import SIZE, disc, masks, photo, pixels, png, read_all, round_trip, write_back


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
def test_round_trip_of_masks_keeps_mode_and_values(tmp_path, mask, style):
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
    for soft in (False, True):
        opened = open_predictions(tmp_path / "preds", tmp_path / "images", ReadSettings(soft=soft))
        with pytest.raises(BprError, match=r"x01\.png holds 32 values from 0 to 31.*--threshold 0\.5.*--format labels"):
            opened.read(opened.items[1])


SOFT = cv2.GaussianBlur(disc((96, 128), (48, 60), 30).astype(np.float64), (0, 0), 2)
HARD = SOFT > 0.5


def in_style(style, full=HARD):
    """One mask as people have it: pixels and the options of ``png``."""
    shape = full.astype(np.uint8)
    return {
        "0 and 1": (shape, {}),
        "0 and 255": (shape * 255, {}),
        "0 and 7": (shape * 7, {}),
        "one bit": (shape * 255, {"mode": "1"}),
        "RGB": (shape * 255, {"mode": "RGB"}),
        "RGBA": (shape * 255, {"mode": "RGBA"}),
        "gray and alpha": (shape * 255, {"mode": "LA"}),
        "palette": (shape, {"palette": bytes([0, 0, 0, 128, 0, 0])}),
        "16 bits": (shape.astype(np.uint16) * 65535, {}),
        "16 bits of 0 and 1": (shape.astype(np.uint16), {}),
        "soft": (np.rint(SOFT * 255).astype(np.uint8), {}),
        "soft RGB": (np.rint(SOFT * 255).astype(np.uint8), {"mode": "RGB"}),
        "soft 16 bits": (np.rint(SOFT * 65535).astype(np.uint16), {}),
    }[style]


STYLES = """0 and 1,0 and 255,0 and 7,one bit,RGB,RGBA,gray and alpha,palette,16 bits,16 bits of 0 and 1,soft,soft RGB,
soft 16 bits""".replace("\n", "").split(",")


@pytest.mark.parametrize("style", STYLES)
def test_one_mask_in_any_style_is_one_mask(tmp_path, style):
    values, options = in_style(style)
    path = png(tmp_path / "mask.png", values, **options)
    image = photo(tmp_path / "photo.jpg", HARD.shape)
    opened = open_predictions(path, image)
    assert opened.format == "masks"
    ((mask,),) = read_all(opened).values()
    assert np.array_equal(mask.to_array(), HARD)
    round_trip(path, image, tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as written, Image.open(path) as source:
        assert written.mode == source.mode
    first, last = np.unique(pixels(tmp_path / "out.png").reshape(*HARD.shape, -1)[:, :, 0]).tolist()
    assert (first, last) == (0, pixels(path).reshape(*HARD.shape, -1)[:, :, 0].max())


@pytest.mark.parametrize("style", STYLES)
def test_soft_masks_keep_their_values_where_nothing_is_refined(tmp_path, style):
    values, options = in_style(style)
    path = png(tmp_path / "mask.png", values, **options)
    round_trip(path, photo(tmp_path / "photo.jpg", HARD.shape), tmp_path / "out.png", soft=True)
    written = pixels(tmp_path / "out.png").reshape(*HARD.shape, -1)[:, :, 0]
    full = 65535 if written.dtype.itemsize > 1 else 255
    assert full == (65535 if "16" in style else 255)
    assert np.array_equal(written, values if "soft" in style else HARD * full)


@pytest.mark.parametrize("bits", [1, 8])
def test_palettes_of_grays_in_another_order_are_read_by_their_grays(tmp_path, bits):
    dark_first = [0, 0, 0, 255, 255, 255] + ([] if bits == 1 else [9, 9, 9, 12, 12, 12])
    for name, palette, indices in (
        ("a", dark_first, HARD),
        ("b", [255, 255, 255, 0, 0, 0, *dark_first[6:]], ~HARD),
    ):
        png(tmp_path / f"{name}.png", indices.astype(np.uint8), palette=bytes(palette))
        opened = open_predictions(tmp_path / f"{name}.png", photo(tmp_path / "x.jpg", HARD.shape))
        assert np.array_equal(opened.read(opened.items[0])[0].to_array(), HARD)
        round_trip(tmp_path / f"{name}.png", tmp_path / "x.jpg", tmp_path / "out.png")
        with Image.open(tmp_path / "out.png") as written:
            assert np.array_equal(np.array(written.convert("L")) > 127, HARD)


def test_a_soft_mask_in_a_palette_of_unordered_grays(tmp_path):
    gray = in_style("soft")[0]
    image = Image.fromarray(gray).quantize(64)
    image.save(tmp_path / "soft.png")
    opened = open_predictions(tmp_path / "soft.png", photo(tmp_path / "x.jpg", HARD.shape))
    assert opened.reading.content == "soft masks"
    assert np.array_equal(opened.read(opened.items[0])[0].to_array(), np.array(image.convert("L")) > 127)


def test_alpha_that_may_be_the_mask_is_refused_in_one_sentence(tmp_path):
    cut = np.dstack([np.full((*HARD.shape, 3), 90, np.uint8), in_style("soft")[0]])
    with pytest.raises(BprError, match=r"cut\.png is partly transparent.*save the alpha alone if that is the mask"):
        open_predictions(png(tmp_path / "cut.png", cut), photo(tmp_path / "x.jpg", HARD.shape))


@given(st.floats(0.05, 0.95))
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_thresholds(tmp_path, threshold):
    for style, full in (("soft", 255), ("soft 16 bits", 65535)):
        path = png(tmp_path / f"{full}.png", in_style(style)[0])
        opened = open_predictions(path, photo(tmp_path / "x.jpg"), ReadSettings(threshold=threshold))
        ((mask,),) = read_all(opened).values()
        assert np.array_equal(mask.to_array(), pixels(path) > threshold * full)
    path = png(tmp_path / "binary.png", in_style("0 and 1")[0])
    opened = open_predictions(path, photo(tmp_path / "x.jpg"), ReadSettings(threshold=threshold))
    assert np.array_equal(read_all(opened)["binary.png"][0].to_array(), HARD)


def test_a_folder_is_decided_as_a_whole(tmp_path):
    empty, hard = np.zeros(HARD.shape, np.uint8), HARD.astype(np.uint8) * 255
    soft, deep = in_style("soft")[0], in_style("soft 16 bits")[0]
    for name, values in {"a": empty, "b": hard, "c": soft, "d": deep}.items():
        png(tmp_path / f"preds/{name}.png", values)
        photo(tmp_path / f"images/{name}.png")
    opened = open_predictions(tmp_path / "preds", tmp_path / "images")
    found = read_all(opened)
    assert found.pop("a.png")[0].area == 0
    assert all(np.array_equal(mask.to_array(), HARD) for (mask,) in found.values())


def test_one_bit_masks_beside_masks_of_8_bits_are_masks(tmp_path):
    for name, mode in (("a", "L"), ("b", "1"), ("c", "P"), ("d", "RGB")):
        mask_file(tmp_path / f"preds/{name}.png", mode=mode)
        photo(tmp_path / f"images/{name}.png")
    opened = open_predictions(tmp_path / "preds", tmp_path / "images")
    assert all(np.array_equal(mask.to_array(), disc()) for (mask,) in read_all(opened).values())


THREE = np.where(HARD, 255, np.eye(*HARD.shape)).astype(np.uint8)


def test_three_values_of_which_one_is_void_are_asked_about(tmp_path):
    path, image = png(tmp_path / "mask.png", THREE), photo(tmp_path / "x.jpg")
    with pytest.raises(BprError) as caught:
        open_predictions(path, image)
    message = str(caught.value)
    assert "mask.png holds the values 0, 1, 255: masks, or a label map" in message
    assert all(option in message for option in ("--format labels", "--format masks", "--threshold", "--ignore-label"))
    for given_void in ({255}, {1}):
        labels = open_predictions(path, image, ReadSettings(ignore_labels=frozenset(given_void)))
        assert (labels.format, labels.read(labels.items[0]).void) == ("labels", given_void)
    assert open_predictions(path, image, ReadSettings(task=Task.SEMANTIC)).format == "labels"
    forced = open_predictions(path, image, ReadSettings(format="masks"))
    assert np.array_equal(forced.read(forced.items[0])[0].to_array(), THREE == 255)
    low = open_predictions(path, image, ReadSettings(threshold=0.001))
    assert np.array_equal(low.read(low.items[0])[0].to_array(), THREE > 0)


def test_files_of_0_and_1_beside_files_of_0_and_255_are_asked_about(tmp_path):
    for name, value in (("a", 1), ("b", 255)):
        mask_file(tmp_path / f"preds/{name}.png", value)
        photo(tmp_path / f"images/{name}.png")
    with pytest.raises(BprError, match="holds the values 0, 1, 255: masks, or a label map"):
        open_predictions(tmp_path / "preds", tmp_path / "images")
    forced = open_predictions(tmp_path / "preds", tmp_path / "images", ReadSettings(format="masks"))
    assert all(np.array_equal(mask.to_array(), disc()) for (mask,) in read_all(forced).values())


def test_masks_that_would_all_be_empty_are_refused(tmp_path):
    path, image = png(tmp_path / "mask.png", (SOFT * 90).astype(np.uint8)), photo(tmp_path / "x.jpg")
    with pytest.raises(BprError, match="masks, or a label map"):
        open_predictions(path, image)
    with pytest.raises(BprError, match=r"none above one half of 255.*--threshold"):
        open_predictions(path, image, ReadSettings(format="masks"))
    opened = open_predictions(path, image, ReadSettings(threshold=0.2))
    assert np.array_equal(opened.read(opened.items[0])[0].to_array(), pixels(path) > 51)


@pytest.mark.parametrize("option", [{"threshold": 0.3}, {"soft": True}])
def test_options_of_masks_do_not_apply_to_label_maps(tmp_path, option):
    path = png(tmp_path / "labels.png", np.arange(SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint8) // 80)
    with pytest.raises(BprError, match=f"--{next(iter(option))} applies to masks"):
        open_predictions(path, photo(tmp_path / "x.jpg"), ReadSettings(format="labels", **option))


def test_a_jpeg_is_no_mask(tmp_path):
    photo(tmp_path / "preds/x.jpg")
    with pytest.raises(BprError, match=r"x\.jpg looks like a photograph"):
        open_predictions(tmp_path / "preds", photo(tmp_path / "x.jpg"))


def test_a_gray_photograph_is_no_label_map(tmp_path):
    noisy = np.random.default_rng(0).normal(np.where(disc(), 170, 80), 5).astype(np.uint8)
    path, image = png(tmp_path / "x.png", noisy), photo(tmp_path / "x.jpg")
    with pytest.raises(BprError, match=r"as a gray photograph does.*are masks and images swapped"):
        open_predictions(path, image)
    assert open_predictions(path, image, ReadSettings(format="labels")).format == "labels"


def test_masks_of_8_and_of_16_bits_in_one_folder(tmp_path):
    mask_file(tmp_path / "preds/a.png")
    png(tmp_path / "preds/b.png", disc().astype(np.uint16) * 65535)
    for name in "ab":
        photo(tmp_path / f"images/{name}.jpg")
    opened = round_trip(tmp_path / "preds", tmp_path / "images", tmp_path / "out", format="masks")
    for (mask,), name in zip(read_all(opened).values(), "ab", strict=True):
        assert np.array_equal(mask.to_array(), disc())
        assert np.array_equal(pixels(tmp_path / f"out/{name}.png"), pixels(tmp_path / f"preds/{name}.png"))


@pytest.mark.parametrize("foregrounds", [(1, 255), (1, 255, 65535)])
def test_masks_of_several_programs_are_not_guessed(tmp_path, foregrounds):
    """255 could be void in a map of classes; so who gives such a folder has to say what it is."""
    for foreground in foregrounds:
        png(
            tmp_path / f"preds/{foreground}.png",
            disc().astype(np.uint16 if foreground > 255 else np.uint8) * foreground,
        )
        photo(tmp_path / f"images/{foreground}.jpg")
    with pytest.raises(BprError, match=r"--format masks if everything but 0 is foreground in every file"):
        open_predictions(tmp_path / "preds", tmp_path / "images")
    opened = open_predictions(tmp_path / "preds", tmp_path / "images", ReadSettings(format="masks"))
    assert [mask.area for (mask,) in read_all(opened).values()] == [disc().sum()] * len(foregrounds)
