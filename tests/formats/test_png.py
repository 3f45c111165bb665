"""PNG files decoded in part, or faster than by Pillow: the same values and the same errors as Pillow gives."""

import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bpr_cli.errors import BprError
from bpr_cli.formats.pillow_files import load_pillow
from bpr_cli.formats.png import encode_gray, encode_ids, read_gray, read_ids, read_style, read_window
from bpr_cli.formats.png_stream import GRAY, RGB, RGBA, PngStream
from tests.formats.format_builders import png

FILTERS = range(5)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def whole(path: Path) -> np.ndarray:
    """The frame of a window."""
    window = read_window(path)
    frame = np.zeros(window.size, window.values.dtype)
    (x, y), (height, width) = window.offset, window.values.shape
    frame[y : y + height, x : x + width] = window.values
    return frame


def filtered(values: np.ndarray, kinds: list[int]) -> bytes:
    """Rows as the PNG specification filters them, each with its kind of filter."""
    rows = []
    for y, kind in enumerate(kinds):
        row = [kind]
        for x in range(values.shape[1]):
            a, b, c = (
                int(values[i, j]) if i >= 0 and j >= 0 else 0 for i, j in ((y, x - 1), (y - 1, x), (y - 1, x - 1))
            )
            nearest = min((a, b, c), key=lambda near: abs(a + b - c - near))
            row.append((int(values[y, x]) - (0, a, b, (a + b) // 2, nearest)[kind]) % 256)
        rows.append(bytes(row))
    return b"".join(rows)


@st.composite
def sparse_files(draw):
    """A mostly empty map as a PNG file with any filters."""
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    values = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 2))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        values[y : y + draw(st.integers(1, 8)), x : x + draw(st.integers(1, 8))] = draw(st.sampled_from((1, 7, 255)))
    kinds = draw(st.lists(st.sampled_from(FILTERS), min_size=height, max_size=height))
    return values, PngStream(width, height, GRAY, zlib.compress(filtered(values, kinds))).encode()


@in_one_folder
@given(drawn=sparse_files())
def test_windows_hold_all_that_is_not_0(tmp_path, drawn):
    values, content = drawn
    path = tmp_path / "mask.png"
    path.write_bytes(content)
    assert np.array_equal(read_gray(path), values)
    assert np.array_equal(whole(path), values)


def filtered_file(channels: list[np.ndarray], kinds: list[int], colour: int, depth: int) -> bytes:
    """A file whose pixels have the given bytes, its rows with the given kinds of filter."""
    height, width = channels[0].shape
    rows = [np.frombuffer(filtered(channel, kinds), np.uint8).reshape(height, -1) for channel in channels]
    pixels = np.stack(rows, axis=2)[:, 1:].reshape(height, -1)
    data = zlib.compress(np.hstack([rows[0][:, :1], pixels]).tobytes())
    return PngStream(width, height, colour, data, depth).encode()


some_filters = st.sampled_from((None, *FILTERS))
"""All rows by one filter, or each by the next."""


@in_one_folder
@given(drawn=sparse_files(), colour=st.sampled_from((RGB, RGBA)), every=some_filters)
def test_ids_of_every_filter(tmp_path, drawn, colour, every):
    gray = drawn[0]
    channels = [gray, gray[::-1], gray[:, ::-1] // 2, gray // 3][: 3 if colour == RGB else 4]
    kinds = [y % 5 if every is None else every for y in range(len(gray))]
    path = tmp_path / "ids.png"
    path.write_bytes(filtered_file(channels, kinds, colour, 8))
    expected = sum(channel.astype(np.int32) << 8 * place for place, channel in enumerate(channels[:3]))
    assert np.array_equal(read_ids(path), expected)
    assert np.array_equal(ids_by_pillow(path), expected)


@in_one_folder
@given(drawn=sparse_files(), every=some_filters)
def test_deep_values_of_every_filter(tmp_path, drawn, every):
    gray = drawn[0]
    kinds = [y % 5 if every is None else every for y in range(len(gray))]
    path = tmp_path / "deep.png"
    path.write_bytes(filtered_file([gray, gray[::-1]], kinds, GRAY, 16))
    values = read_gray(path)
    assert values.dtype == np.uint16
    assert np.array_equal(values, gray.astype(np.uint16) * 256 + gray[::-1])
    assert np.array_equal(values, gray_by_pillow(path))


def test_windows_are_small(tmp_path):
    values = np.zeros((200, 300), np.uint8)
    values[20:50, 80:120] = 255
    for path in (png(tmp_path / "pillow.png", values), tmp_path / "opencv.png"):
        if path.stem == "opencv":
            cv2.imwrite(str(path), values)
        window = read_window(path)
        assert (window.offset, window.size) == ((80, 20), (200, 300))
        assert window.values.size < 31 * 43
    assert read_window(png(tmp_path / "empty.png", values * 0)).values.shape == (0, 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "I;16"])
def test_windows_of_every_mode(tmp_path, mode):
    values = np.zeros((20, 30), np.uint8)
    values[4:9, 5:30] = 1
    image = Image.fromarray(values * 255 if mode == "1" else values)
    if mode == "P":
        image = Image.fromarray(values, "P")
        image.putpalette(bytes(range(12)))
    elif mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 300)
    else:
        image = image.convert(mode)
    image.save(tmp_path / "mask.png")
    assert np.array_equal(whole(tmp_path / "mask.png"), read_gray(tmp_path / "mask.png"))
    assert whole(tmp_path / "mask.png").any()


def result_of(read, path):
    """What a reader gives: values, or its sentence."""
    try:
        return read(path).tolist()
    except BprError as error:
        return str(error)


def damage(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed, or the end cut off."""
    damaged = bytearray(content)
    for position in rng.integers(0, len(content), rng.integers(0, 3)):
        damaged[position] = rng.integers(0, 256)
    return bytes(damaged[: rng.integers(1, len(content) + 20)])


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_masks_are_told_as_by_pillow(tmp_path):
    rng = np.random.default_rng(1)
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.pad(np.full((9, 9), 255, np.uint8), 5))
    content = path.read_bytes()
    for _ in range(200):
        path.write_bytes(damage(content, rng))
        assert result_of(whole, path) == result_of(read_gray, path) == result_of(gray_by_pillow, path)


def gray_by_pillow(path: Path) -> np.ndarray:
    return np.array(load_pillow(path, ("PNG",), "a PNG file"))


def ids_by_pillow(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        red, green, blue = np.moveaxis(np.array(image.convert("RGB")).astype(np.int32), 2, 0)
    return red + 256 * green + 65536 * blue


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("options", [{}, {"transparency": (3, 2, 1)}, {"optimize": True}])
def test_ids_are_those_by_pillow(tmp_path, mode, options):
    pixels = np.random.default_rng(0).integers(0, 256, (13, 17, len(mode))).astype(np.uint8)
    Image.fromarray(pixels, mode).save(tmp_path / "ids.png", **({} if mode == "RGBA" else options))
    found = read_ids(tmp_path / "ids.png")
    assert found.dtype == np.int32
    assert np.array_equal(found, ids_by_pillow(tmp_path / "ids.png"))


def test_files_that_are_no_ids_are_refused(tmp_path):
    ids = np.arange(12, dtype=np.int32).reshape(3, 4)
    for name, image in {
        "palette": Image.fromarray(ids.astype(np.uint8)).convert("P"),
        "gray": Image.fromarray(ids.astype(np.uint8)),
        "deep": Image.fromarray(ids.astype(np.uint16)),
    }.items():
        image.save(tmp_path / f"{name}.png")
        with pytest.raises(BprError, match=rf"{name}\.png has mode .*, expected RGB"):
            read_ids(tmp_path / f"{name}.png")
    content = encode_ids(ids)
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(BprError, match=r"cut\.png is truncated"):
        read_ids(tmp_path / "cut.png")
    with pytest.raises(BprError, match=r"none\.png does not exist"):
        read_ids(tmp_path / "none.png")
    with pytest.raises(BprError, match=r"none\.png does not exist"):
        read_window(tmp_path / "none.png")


def test_the_structure_of_a_file(tmp_path):
    content = encode_ids(np.arange(12, dtype=np.int32).reshape(3, 4))
    stream = PngStream.of(content)
    assert (stream.width, stream.height, stream.colour) == (4, 3, RGB)
    assert PngStream.of(stream.encode()) == stream
    changed = bytearray(content)
    changed[20] ^= 1
    for broken in (b"", content[:-1], content[1:], bytes(changed)):
        assert PngStream.of(broken) is None
    Image.new("RGBA", (4, 3)).save(tmp_path / "a.png")
    assert PngStream.of((tmp_path / "a.png").read_bytes()).colour == RGBA
    Image.new("I;16", (4, 3)).save(tmp_path / "a.png")
    assert PngStream.of((tmp_path / "a.png").read_bytes()).depth == 16
    Image.new("LA", (4, 3)).save(tmp_path / "a.png")
    assert PngStream.of((tmp_path / "a.png").read_bytes()) is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "P", "1", "I;16", "RGB"])
def test_masks_are_read_as_they_are_shown_and_written_as_they_were_stored(tmp_path, orientation, mode, caplog):
    values = np.random.default_rng(3).integers(0, 2, (5, 7)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(values * (255 if mode == "1" else 1))
    image = Image.fromarray(values.astype(np.uint16)) if mode == "I;16" else image.convert(mode)
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        shown = np.array(ImageOps.exif_transpose(image)).astype(np.uint16)
    shown = shown[:, :, 0] if mode == "RGB" else shown
    assert np.array_equal(read_gray(tmp_path / "a.png"), shown)
    assert np.array_equal(whole(tmp_path / "a.png"), shown)
    assert (len(caplog.messages) > 0) == (orientation > 1)
    (tmp_path / "b.png").write_bytes(encode_gray(shown, read_style(tmp_path / "a.png")))
    with Image.open(tmp_path / "a.png") as before, Image.open(tmp_path / "b.png") as after:
        assert np.array_equal(np.array(before), np.array(after))
        assert (after.getexif().get(0x0112) or 1) == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_ids_are_read_as_they_are_shown(tmp_path, orientation):
    ids = np.random.default_rng(4).integers(0, 2**24, (5, 7)).astype(np.int32)
    (tmp_path / "a.png").write_bytes(encode_ids(ids, orientation))
    assert np.array_equal(read_ids(tmp_path / "a.png"), ids)
    assert read_style(tmp_path / "a.png").orientation == orientation
