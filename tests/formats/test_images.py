"""Decoding images, their sizes, and the check that their files are intact."""

import contextlib
import struct
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from bpr_cli.errors import BprError
from bpr_cli.formats import images as images_module
from bpr_cli.formats.images import check_image_file, image_size, read_image
from tests.formats.format_builders import SIZE, photo, png


def rgb():
    return np.random.default_rng(3).integers(0, 255, (*SIZE, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.tif", "a.TIFF", "a.webp", "a.bmp"])
def test_reads_what_pillow_reads(tmp_path, name):
    path = photo(tmp_path / name)
    with Image.open(path) as image:
        expected = np.array(image.convert("RGB"))
    found = read_image(path)
    assert found.dtype == np.uint8
    assert found.flags.writeable
    assert np.array_equal(found, expected)
    assert image_size(path) == SIZE


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
def test_large_images_are_converted_strip_by_strip(tmp_path, monkeypatch, mode):
    path = tmp_path / "a.tif"
    Image.fromarray(rgb()).convert(mode).save(path)
    whole = read_image(path)
    monkeypatch.setattr("bpr_cli.masks.runs.STRIP_PIXELS", 100)
    np.testing.assert_array_equal(read_image(path), whole)


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


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(9))
def test_images_are_read_as_they_are_shown(tmp_path, orientation, suffix):
    path = photo(tmp_path / f"a.{suffix}", exif=oriented(orientation))
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    assert np.array_equal(read_image(path), expected)
    assert image_size(path) == check_image_file(path) == expected.shape[:2]
    if suffix == "jpg":
        by_opencv = cv2.imread(str(path))[:, :, ::-1].astype(int)
        assert np.abs(by_opencv - expected).max() <= 4  # their JPEG decoders round differently


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_that_fit_the_stored_pixels_only(tmp_path, orientation, suffix, caplog):
    path = photo(tmp_path / f"a.{suffix}", exif=oriented(orientation))
    shown = read_image(path)
    assert np.array_equal(read_image(path, masks=shown.shape[:2]), shown)
    assert np.array_equal(read_image(path, masks=(7, 7)), shown)
    turned = f"{path} is shown as its EXIF orientation says; masks that were made without regard to it do not fit"
    assert caplog.messages == ([turned] * 3 if orientation > 1 else [])
    caplog.clear()
    plain = read_image(photo(tmp_path / f"plain.{suffix}"))
    stored = read_image(path, masks=SIZE)
    assert stored.shape == plain.shape
    said = list(caplog.messages)
    assert image_size(path, masks=SIZE) == check_image_file(path, masks=SIZE) == SIZE
    if orientation >= 5:
        assert said == [
            f"{path} is used as it is stored, not as its EXIF orientation shows it: only so it fits its mask"
        ]
        assert np.array_equal(stored, plain)


def oriented(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("highest", [255, 900, 1023, 3000, 4095, 16383, 65535])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_deep_colours_are_scaled_as_deep_gray_is(tmp_path, highest, channels, name):
    bgr = np.random.default_rng(5).integers(0, highest + 1, (*SIZE, channels)).astype(np.uint16)
    bgr[0, 0, 0], bgr[:, :, 3:] = highest, 65535
    assert cv2.imwrite(str(tmp_path / name), bgr)
    full = next(2**bits - 1 for bits in (8, 10, 12, 14, 16) if highest < 2**bits)
    expected = np.rint(bgr[:, :, 2::-1] * (255 / full)).astype(np.uint8)
    assert np.array_equal(read_image(tmp_path / name), expected)
    assert check_image_file(tmp_path / name) == SIZE


def test_deep_colours_in_any_layout(tmp_path):
    values = np.random.default_rng(6).integers(0, 4096, (*SIZE, 4)).astype(np.uint16)
    values[0, 0, 0] = 4000
    expected = np.rint(values * (255 / 4095)).astype(np.uint8)
    gray = read_image(deep_png(tmp_path / "gray.png", values[:, :, :2], 4))
    assert np.array_equal(gray, np.repeat(expected[:, :, :1], 3, axis=2))
    for channels, colour in ((3, 2), (4, 6)):
        paths = [deep_tiff(tmp_path / f"{order}.tif", values[:, :, :channels], order) for order in ("<", ">")]
        for path in (*paths, deep_png(tmp_path / "a.png", values[:, :, :channels], colour)):
            assert np.array_equal(read_image(path), expected[:, :, :3]), path.name


def deep_png(path, values, colour):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks))
    return path


def deep_tiff(path, values, order):
    """An uncompressed TIFF file of 16-bit RGB, in either byte order."""
    height, width, channels = values.shape
    data = values.astype(f"{order}u2").tobytes()
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    entries = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 8 + len(bits)), (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(data))]
    entries += [(338, 3, 1, 2)] if channels == 4 else []
    ifd = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        inline = struct.pack(f"{order}HH", value, 0) if kind == 3 and count == 1 else struct.pack(f"{order}I", value)
        ifd += struct.pack(f"{order}HHI", tag, kind, count) + inline
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8 + len(bits) + len(data))
    path.write_bytes(head + bits + data + ifd + bytes(4))
    return path


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
    with pytest.raises(BprError, match=r"text\.png is not a PNG, JPEG, TIFF, WebP or BMP"):
        read_image(text)
    with pytest.raises(BprError, match=r"empty\.png is empty \(0 bytes\)"):
        read_image(empty)
    with pytest.raises(BprError, match=r"none\.png does not exist"):
        read_image(tmp_path / "none.png")
    with pytest.raises(BprError, match="cannot be read"):
        read_image(tmp_path)
    with pytest.raises(BprError, match=r"text\.png is not"):
        image_size(text)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_the_first_frame_of_an_animation_is_taken(tmp_path, suffix, caplog):
    frames = [Image.fromarray(np.full((*SIZE, 3), level, np.uint8)) for level in (0, 90, 200)]
    path = tmp_path / f"film.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert read_image(path).max() == 0
    assert caplog.messages == [f"{path} holds 3 pictures, of which the first is used"]
    frames[0].save(path, save_all=True)
    assert read_image(path).max() == 0
    assert len(caplog.messages) == 1


def test_the_first_page_of_a_tiff_is_taken(tmp_path, caplog):
    pages = [Image.fromarray(np.full((*SIZE, 3), level, np.uint8)) for level in (9, 200)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert read_image(tmp_path / "pages.tif").max() == 9
    assert caplog.messages == [f"{tmp_path / 'pages.tif'} holds 2 pictures, of which the first is used"]


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


def many_kinds(folder):
    """Images of many kinds."""
    for suffix in ("png", "jpg", "tif", "webp"):
        photo(folder / f"a.{suffix}")
    with Image.open(folder / "a.png") as image:
        image.convert("P").save(folder / "palette.png")
        image.convert("CMYK").save(folder / "cmyk.jpg")
        image.save(folder / "progressive.jpg", progressive=True)
    Image.fromarray(np.arange(768, dtype=np.uint16).reshape(24, 32)).save(folder / "deep.png")
    (folder / "trailer.jpg").write_bytes((folder / "a.jpg").read_bytes() + b"of a camera")
    return sorted(folder.iterdir())


def refusal(read, path):
    """What a reader says against a file, or None."""
    try:
        read(path)
    except BprError as error:
        return str(error)
    return None


def test_whole_images_have_their_size(tmp_path):
    for path in many_kinds(tmp_path):
        assert check_image_file(path) == (24, 32), path.name


def test_images_cut_short_are_refused_in_the_words_of_the_reader(tmp_path):
    for path in many_kinds(tmp_path):
        content = path.read_bytes()
        if path.name == "trailer.jpg":
            continue
        for stop in (0, len(content) // 4, len(content) // 2, len(content) - 20):
            path.write_bytes(content[:stop])
            assert refusal(check_image_file, path) == refusal(read_image, path)


def test_only_what_cannot_be_told_otherwise_is_decoded(tmp_path, monkeypatch):
    decoded = []
    monkeypatch.setattr(images_module, "read_image", lambda path, _: decoded.append(path.name))
    for path in many_kinds(tmp_path):
        check_image_file(path)
    assert decoded == ["a.tif", "a.webp", "trailer.jpg"]
