"""Decoding images and finding the one that belongs to a prediction."""

import contextlib
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.formats.image_lookup import Entry, ImageIndex, match_images, stems_of
from bpr_cli.formats.images import image_size, read_image
from tests.formats.format_builders import SIZE, photo, png


def rgb():
    return np.random.default_rng(3).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.tif", "a.TIFF", "a.webp"])
def test_reads_what_pillow_reads(tmp_path, name):
    path = photo(tmp_path / name)
    with Image.open(path) as image:
        expected = np.array(image.convert("RGB"))
    found = read_image(path)
    assert found.dtype == np.uint8
    assert found.flags.writeable
    assert np.array_equal(found, expected)
    assert image_size(path) == SIZE


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_other_modes_become_rgb(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image = Image.fromarray(rgb()).convert(mode)
    image.save(path)
    assert np.array_equal(read_image(path), np.array(Image.open(path).convert("RGB")))


def test_transparency_is_dropped_and_colour_stays(tmp_path):
    pixels = np.dstack([rgb(), np.zeros(SIZE, np.uint8)])
    assert np.array_equal(read_image(png(tmp_path / "a.png", pixels)), pixels[:, :, :3])


def test_a_transparent_palette_gives_its_colours(tmp_path):
    values = np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(SIZE) % 4
    palette = bytes(range(12))
    path = png(tmp_path / "a.png", values, palette=palette, transparency=b"\x00\x10\x20\xff")
    assert np.array_equal(read_image(path), np.frombuffer(palette, np.uint8).reshape(4, 3)[values])


@pytest.mark.parametrize(("highest", "full"), [(65535, 65535), (4095, 4095), (900, 1023), (255, 255), (0, 255)])
def test_deep_images_are_scaled_from_their_bit_depth(tmp_path, highest, full):
    values = np.linspace(0, highest, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.uint16)
    for suffix in ("png", "tif"):
        found = read_image(png(tmp_path / f"a.{suffix}", values))
        assert np.array_equal(found[:, :, 0], np.rint(values * (255 / full)).astype(np.uint8))
        assert found.shape == (*SIZE, 3)


def test_float_images(tmp_path):
    values = np.linspace(0, 1, SIZE[0] * SIZE[1]).reshape(SIZE).astype(np.float32)
    assert read_image(png(tmp_path / "a.tif", values)).max() == 255
    assert np.array_equal(read_image(png(tmp_path / "b.tif", values * 200))[:, :, 1], np.rint(values * 200))
    for broken in (values * 1000, values - 5, values * np.nan):
        with pytest.raises(BprError, match=r"c\.tif.*convert it to 8 bits"):
            read_image(png(tmp_path / "c.tif", broken))


def test_exif_rotation_is_not_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_image(photo(tmp_path / "a.jpg", exif=exif)).shape == (*SIZE, 3)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_truncated_images_are_refused(tmp_path, suffix, share):
    path = photo(tmp_path / f"photo.{suffix}", size=(100, 120))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BprError) as caught:
        read_image(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_any_damage_gives_an_image_or_a_sentence(tmp_path):
    rng = np.random.default_rng(5)
    for suffix in ("png", "jpg", "tif", "webp"):
        path = photo(tmp_path / f"photo.{suffix}")
        content = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(content)
            for position in rng.integers(0, len(content), 4):
                damaged[position] = rng.integers(0, 256)
            path.write_bytes(damaged)
            with contextlib.suppress(BprError):
                assert read_image(path).shape[2] == 3


def test_what_is_no_image(tmp_path):
    text = tmp_path / "text.png"
    text.write_text("not an image")
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(BprError, match=r"text\.png is not a PNG, JPEG, TIFF or WebP"):
        read_image(text)
    with pytest.raises(BprError, match=r"empty\.png is empty \(0 bytes\)"):
        read_image(empty)
    with pytest.raises(BprError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(BprError, match="cannot be read"):
        read_image(tmp_path)
    with pytest.raises(BprError, match=r"text\.png is not"):
        image_size(text)


def test_an_image_of_too_many_pixels_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (14000, 14000)).save(path)
    with pytest.raises(BprError, match=r"bomb\.png claims to have more pixels"):
        read_image(path)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "a_labelIds",
        "a_labelTrainIds",
        "a_gtFine_labelIds",
        "a_gtFine_labelTrainIds",
        "a_gtFine_panoptic",
        "a_gtCoarse_labelIds",
        "a_leftImg8bit",
        "a_leftImg8bit_pred",
        "a_leftImg8bit_predLabelIds",
        "a_leftImg8bit_pred_labelTrainIds",
        "a_prediction",
        "a_predictions_labelIds",
        "a_panoptic",
        "a_mask",
        "a.jpg",
        "a_LABELIDS",
    ],
)
@pytest.mark.parametrize("image", ["a_leftImg8bit.png", "a.jpg"])
def test_prediction_names_lead_to_the_image(name, image):
    index = ImageIndex(Path(), [Path(image), Path("b.png")])
    assert index.find([name]).name == image


def test_no_ending_is_taken_off_a_bare_name():
    assert stems_of("_pred") == ["_pred"]
    assert stems_of("image_0042") == ["image_0042"]


def index_of(tmp_path, *names):
    for name in names:
        photo(tmp_path / "images" / name, size=(2, 2))
    return ImageIndex.scan(tmp_path / "images")


def test_images_are_found_in_nested_folders(tmp_path):
    index = index_of(tmp_path, "val/frankfurt/x_000_leftImg8bit.png", "val/munster/y_000_leftImg8bit.png")
    assert index.find(["frankfurt/x_000_gtFine_labelIds"]) == tmp_path / "images/val/frankfurt/x_000_leftImg8bit.png"
    assert index.find(["y_000_pred"]) == tmp_path / "images/val/munster/y_000_leftImg8bit.png"


def test_city_images_are_preferred_to_other_files_of_the_data_set(tmp_path):
    index = index_of(tmp_path, "leftImg8bit/x_leftImg8bit.png", "gtFine/x_gtFine_labelIds.png")
    assert index.find(["x_gtFine_labelIds"]).name == "x_leftImg8bit.png"


def test_the_exact_stem_is_preferred(tmp_path):
    index = index_of(tmp_path, "x_pred.png", "x.png")
    assert index.find(["x_pred"]).name == "x_pred.png"


def test_the_same_folder_decides_between_equal_stems(tmp_path):
    index = index_of(tmp_path, "one/x.png", "two/x.png", "deep/three/x.png")
    assert index.find(["two/x"]) == tmp_path / "images/two/x.png"
    assert index.find(["three/x"]) == tmp_path / "images/deep/three/x.png"
    with pytest.raises(BprError) as caught:
        index.find(["x"])
    assert "several images match 'x'" in str(caught.value)
    assert "one/x.png" in str(caught.value)
    assert "two/x.png" in str(caught.value)


def test_a_listed_file_name_means_exactly_that_file(tmp_path):
    index = index_of(tmp_path, "x.png", "x.jpg")
    assert index.find(["x.jpg"]).name == "x.jpg"
    with pytest.raises(BprError, match="several images"):
        index.find(["x"])


def test_hidden_files_and_other_files_are_no_images(tmp_path):
    index = index_of(tmp_path, "x.png", ".hidden/x.png")
    (tmp_path / "images/._x.png").touch()
    (tmp_path / "images/x.txt").touch()
    assert ImageIndex.scan(tmp_path / "images").find(["x"]) == index.find(["x"])


def test_linked_folders_are_followed_but_not_for_ever(tmp_path):
    photo(tmp_path / "elsewhere/x.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "images/link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "images")
    assert ImageIndex.scan(tmp_path / "images").find(["x"]) == tmp_path / "images/link/x.png"


def test_no_images(tmp_path):
    with pytest.raises(BprError, match=r"nowhere does not exist.*--images"):
        ImageIndex.scan(tmp_path / "nowhere")
    with pytest.raises(BprError, match=r"holds no image.*--images"):
        ImageIndex.scan(tmp_path)
    with pytest.raises(BprError, match=r"no image called 'y'.*1 images"):
        index_of(tmp_path, "x.png").find(["y_labelIds"])


def test_a_lone_image_belongs_to_a_lone_entry_only(tmp_path):
    index = ImageIndex.scan(photo(tmp_path / "photo.png"))
    items, failures = match_images([Entry("other", ("other",))], index)
    assert [item.image for item in items] == [tmp_path / "photo.png"]
    items, failures = match_images([Entry("other", ("other",)), Entry("photo", ("photo",))], index)
    assert [item.name for item in items] == ["photo"]
    assert [failure.name for failure in failures] == ["other"]


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_animations_are_refused(tmp_path, suffix):
    frames = [Image.fromarray(np.full((*SIZE, 3), level, np.uint8)) for level in (0, 90, 200)]
    path = tmp_path / f"film.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(BprError, match=rf"film\.{suffix} is animated \(3 frames\).*save the one that is meant"):
        read_image(path)
    frames[0].save(path, save_all=True)
    assert read_image(path).max() == 0


def test_further_pages_of_a_tiff_are_no_animation(tmp_path):
    pages = [Image.fromarray(np.full((*SIZE, 3), level, np.uint8)) for level in (9, 200)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert read_image(tmp_path / "pages.tif").max() == 9


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_in_the_texts_of_an_image(tmp_path, kind):
    """64 MiB of zeros, packed to some kilobytes, where a PNG file may hold text or a profile."""
    content = photo(tmp_path / "a.png").read_bytes()
    data = b"a\0" + (b"\1\0\0\0" if kind == b"iTXt" else b"\0") + zlib.compress(bytes(2**26), 9)
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    tracemalloc.start()
    try:
        with contextlib.suppress(BprError):
            assert read_image(tmp_path / "a.png").shape == (*SIZE, 3)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
