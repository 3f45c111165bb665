"""What an array is taken for: a binary mask, a soft mask, a label map, or none of them for certain."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bpr_cli.masks.values import MaskKind, MaskValues

SIZE = (120, 160)


def shape(scale=1):
    """Two overlapping discs and a bar: bool, of ``SIZE`` times the scale."""
    rows, columns = np.mgrid[: SIZE[0] * scale, : SIZE[1] * scale] / scale
    disc = (rows - 50) ** 2 + (columns - 60) ** 2 < 30**2
    other = (rows - 70) ** 2 + (columns - 90) ** 2 < 25**2
    return disc | other | ((columns > 130) & (columns < 140) & (rows > 20))


def antialiased(scale):
    return cv2.resize(shape(scale).astype(np.uint8) * 255, SIZE[::-1], interpolation=cv2.INTER_AREA)


def blurred(radius, full=255):
    return cv2.GaussianBlur(shape().astype(np.float64) * full, (0, 0), radius)


def jpeg(quality):
    stream = io.BytesIO()
    Image.fromarray(shape().astype(np.uint8) * 255).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream))


def with_hair():
    matte, rng = antialiased(4), np.random.default_rng(1)
    for start in rng.integers(0, 120, (60, 2)).tolist():
        end = (start[0] + int(rng.integers(-30, 30)), start[1] + int(rng.integers(-30, 30)))
        cv2.line(matte, tuple(start), end, int(rng.integers(40, 255)), 1, cv2.LINE_AA)
    return matte


def with_glass():
    matte = blurred(2).astype(np.uint8)
    matte[20:60, 100:150] = 128
    return matte


def noisy_probabilities():
    noise = np.random.default_rng(1).normal(size=SIZE) * 0.3
    return np.rint(255 / (1 + np.exp(-(blurred(3) / 20 - 6 + noise)))).astype(np.uint8)


SOFT = {
    **{f"antialiased {scale} x": antialiased(scale) for scale in (2, 4, 8)},
    **{f"blurred {radius} px": blurred(radius).astype(np.uint8) for radius in (1, 3, 8)},
    **{f"JPEG {quality}": jpeg(quality) for quality in (20, 50, 75, 90, 95)},
    "16 bits": blurred(2, 65535).astype(np.uint16),
    "whole floats": np.rint(blurred(2)),
    "hair": with_hair(),
    "glass": with_glass(),
    "noisy probabilities": noisy_probabilities(),
    "enlarged": cv2.resize(antialiased(4)[::4, ::4], SIZE[::-1]),
}


def regions(labels, seed=3):
    """Regions around random points; region i has ``labels[i]``."""
    points = np.random.default_rng(seed).random((len(labels), 2)) * SIZE
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    distances = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in points]
    return np.asarray(labels)[np.argmin(distances, axis=0)]


def scattered(count, side):
    """Squares of ``side`` pixels with the labels 1 to ``count`` on a background of 0."""
    labels, rng = np.zeros(SIZE, int), np.random.default_rng(2)
    for label in range(1, count + 1):
        y, x = rng.integers(0, SIZE[0] - side), rng.integers(0, SIZE[1] - side)
        labels[y : y + side, x : x + side] = label
    return labels


def with_borders(labels, value):
    """The map with lines of one pixel between its regions, as in Pascal VOC."""
    out = labels.copy()
    out[:, 1:][labels[:, 1:] != labels[:, :-1]] = value
    out[1:][labels[1:] != labels[:-1]] = value
    return out


RANDOM = np.random.default_rng(5)
LABELS = {
    "19 classes": regions(RANDOM.integers(0, 19, 40)).astype(np.uint8),
    "19 classes and void": np.where(shape(), 255, regions(RANDOM.integers(0, 19, 40))).astype(np.uint8),
    "150 classes": regions(RANDOM.integers(0, 150, 40)).astype(np.uint8),
    "classes made visible": regions(RANDOM.integers(0, 11, 40) * 25).astype(np.uint8),
    "classes with borders of void": with_borders(regions(RANDOM.integers(0, 21, 40)), 255).astype(np.uint8),
    "200 instances with borders": with_borders(regions(np.arange(1, 201)), 0).astype(np.uint8),
    "255 instances of one pixel": scattered(255, 1).astype(np.uint8),
    "255 instances of 16 pixels": scattered(255, 4).astype(np.uint8),
    "460 instances in 16 bits": scattered(460, 2).astype(np.uint16),
    "instance ids": regions(24000 + RANDOM.integers(0, 9, 40) * 1000 + RANDOM.integers(0, 9, 40)).astype(np.uint16),
    "two classes without background": regions([3, 4, 3, 4]).astype(np.uint8),
    "three classes": regions([0, 1, 2, 1]).astype(np.uint8),
    "void without background": regions([1, 255, 1]).astype(np.uint8),
    "one class": np.full(SIZE, 2, np.uint8),
    "noise of few labels": RANDOM.integers(0, 20, SIZE).astype(np.uint8),
    "tiny instances": np.kron(np.arange(1, 201).reshape(10, 20), np.pad(np.ones((4, 4)), 3)).astype(np.uint8),
    "negative": regions([-1, 0, 1, 5]),
}


@pytest.mark.parametrize("name", SOFT)
def test_soft_masks(name):
    assert MaskValues.of(SOFT[name]).kind() is MaskKind.SOFT


@pytest.mark.parametrize("name", LABELS)
def test_label_maps(name):
    assert MaskValues.of(LABELS[name]).kind() is MaskKind.LABELS


@pytest.mark.parametrize(
    "array",
    [
        np.where(shape(), 255, 0) | np.eye(*SIZE, dtype=int),
        np.where(shape(), 255, np.eye(*SIZE) * 128),
        np.where(shape(), 65535, np.eye(*SIZE)).astype(np.uint16),
        np.tile(np.arange(256, dtype=np.uint8), (100, 1)),
        (blurred(8) // 32 * 36).astype(np.uint8),
        (blurred(3) * 0.4).astype(np.uint8),
        RANDOM.normal(np.where(shape(), 170, 80), 5).astype(np.uint8),
        np.where(shape(), RANDOM.integers(250, 256, SIZE), 0).astype(np.uint8),
        np.where(shape(), 6.5, -3.2),
        np.where(shape(), np.nan, 0.5),
    ],
    ids=[
        *("0 1 255", "0 128 255", "0 1 65535", "a gradient", "nested steps", "below the threshold"),
        *("a gray photograph", "noise in the foreground", "logits", "NaN"),
    ],
)
def test_what_cannot_be_told_is_not_guessed(array):
    assert MaskValues.of(array).kind() is MaskKind.UNCLEAR


def test_void_that_is_given_makes_three_values_unclear():
    array = np.where(shape(), 9, np.eye(*SIZE)).astype(np.uint8)
    assert MaskValues.of(array).kind() is MaskKind.LABELS
    assert MaskValues.of(array).kind(void=[9]) is MaskKind.UNCLEAR


NUMBERS = [bool, np.uint8, np.int8, np.uint16, np.int32, np.int64, np.float16, np.float32, np.float64]


@given(st.sampled_from(NUMBERS), st.integers(1, 100), st.sampled_from("CF"), st.booleans())
def test_a_binary_mask_is_one_in_every_dtype_and_layout(dtype, value, order, empty):
    mask = shape() & (not empty)
    array = np.asarray((mask * value).astype(dtype), order=order)
    values = MaskValues.of(array)
    assert values.kind() is MaskKind.BINARY
    assert np.array_equal(values.foreground().of(array), mask)


@given(st.floats(0.05, 0.95), st.sampled_from([np.uint8, np.uint16, np.int32, np.float32, np.float64]))
def test_soft_masks_of_every_dtype_have_one_foreground(threshold, dtype):
    soft = blurred(2, 1.0)
    full = {np.uint8: 255, np.uint16: 65535, np.int32: 65535}.get(dtype)
    array = np.rint(soft * full).astype(dtype) if full else soft.astype(dtype)
    values = MaskValues.of(array)
    assert values.kind() is MaskKind.SOFT
    certain = np.abs(soft - threshold) > 0.5 / 255 + 1e-6
    assert np.array_equal(values.foreground(threshold).of(array)[certain], (soft > threshold)[certain])


def test_half_is_the_default_threshold():
    array = SOFT["antialiased 8 x"]
    assert np.array_equal(MaskValues.of(array).foreground().of(array), array >= 128)


def test_files_are_decided_together():
    soft, empty, hard = SOFT["antialiased 8 x"], np.zeros(SIZE, np.uint8), shape().astype(np.uint8) * 255
    together = MaskValues.of(empty) + MaskValues.of(soft) + MaskValues.of(hard)
    assert together.kind() is MaskKind.SOFT
    assert (MaskValues.of(hard) + MaskValues.of(shape().astype(np.uint8))).kind() is MaskKind.UNCLEAR
    other = MaskValues.of(LABELS["three classes"])
    assert (MaskValues.of(empty) + other + other).kind() is MaskKind.LABELS


@pytest.mark.parametrize(
    ("foregrounds", "kind"),
    [
        ((255, 65535), MaskKind.BINARY),
        ((1, 255), MaskKind.UNCLEAR),
        ((1, 255, 65535), MaskKind.UNCLEAR),
        ((3, 7, 255), MaskKind.UNCLEAR),
        ((3, 7), MaskKind.LABELS),
    ],
)
def test_binary_files_of_several_foregrounds(foregrounds, kind):
    """Masks of 8 and of 16 bits are masks; with others, they may be masks of several programs or maps with void."""
    files = [MaskValues.of(shape().astype(np.uint16) * value) for value in foregrounds]
    together = sum(files, MaskValues())
    assert together.kind() is kind
    assert together.foreground().is_binary


def test_deep_files_do_not_change_the_range_of_8_bit_files():
    deep, byte = SOFT["16 bits"], SOFT["blurred 3 px"]
    foreground = (MaskValues.of(deep) + MaskValues.of(byte)).foreground()
    assert np.array_equal(foreground.of(byte), byte >= 128)
    assert np.array_equal(foreground.of(deep), deep >= 32768)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ([0, 1, 255], "the values 0, 1, 255"),
        ([0, 1, 2, 3, 4, 9], "6 values from 0 to 9"),
        ([0.25, -7.5], "values from -7.5 to 0.25"),
        ([np.inf, 0], "values that are no numbers (NaN or infinite)"),
    ],
)
def test_values_in_words(array, words):
    assert MaskValues.of(np.array([array])).describe() == words
