"""Run lengths and polygons, held against pycocotools."""

import time

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bpr_cli.errors import BprError
from bpr_cli.formats import rle
from bpr_cli.masks.masks import Mask
from tests.formats.format_builders import compressed, disc, masks, uncompressed

ANY = (1, 1)


@settings(deadline=None, max_examples=150)
@given(masks())
def test_decodes_what_pycocotools_encodes(mask):
    for segmentation in (compressed(mask), uncompressed(mask)):
        decoded = rle.decode(segmentation, ANY)
        assert decoded.size == mask.shape
        assert np.array_equal(decoded.to_array(), mask)
        expected = Mask.from_array(mask)
        assert decoded.box == expected.box
        assert np.array_equal(decoded.crop, expected.crop)


@settings(deadline=None, max_examples=150)
@given(masks())
def test_encodes_as_pycocotools_does(mask):
    assert rle.encode(Mask.from_array(mask), rle.Form.COMPRESSED) == compressed(mask)
    assert rle.encode(Mask.from_array(mask), rle.Form.COUNTS) == uncompressed(mask)


def test_text_of_a_bytes_object():
    mask = np.random.default_rng(0).random((60, 70)) < 0.4
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    encoded = {"size": encoded["size"], "counts": str(encoded["counts"])}
    assert encoded["counts"].startswith("b'")
    assert rle.form_of(encoded) is rle.Form.BYTES_TEXT
    assert np.array_equal(rle.decode(encoded, ANY).to_array(), mask)


def test_text_of_a_bytes_object_with_backslashes():
    mask = np.zeros((44, 64), bool)
    mask.ravel(order="K")[44 * 3 :: 97] = True
    doubled = 0
    for shift in range(40):
        shifted = np.roll(mask, shift, axis=0)
        encoded = coco_mask.encode(np.asfortranarray(shifted.astype(np.uint8)))
        segmentation = {"size": encoded["size"], "counts": str(encoded["counts"])}
        doubled += "\\\\" in segmentation["counts"]
        assert np.array_equal(rle.decode(segmentation, ANY).to_array(), shifted)
    assert doubled


@settings(deadline=None, max_examples=100)
@given(
    st.integers(8, 40),
    st.integers(8, 40),
    st.lists(
        st.lists(st.floats(-5, 45), min_size=6, max_size=12).filter(lambda p: len(p) % 2 == 0), min_size=1, max_size=3
    ),
)
def test_polygons_as_pycocotools_draws_them(height, width, polygons):
    try:
        decoded = rle.decode(polygons, (height, width))
    except BprError:
        reject()
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))
    assert np.array_equal(decoded.to_array(), expected.astype(bool))


def read_by_pycocotools(polygons, size):
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *size))).astype(bool)


@settings(deadline=None, max_examples=150)
@given(masks(), st.sampled_from([0.0, 0.3, 0.5]))
def test_pycocotools_reads_every_pixel_of_written_polygons(mask, tolerance):
    written = rle.encode_polygons(Mask.from_array(mask), tolerance)
    if isinstance(written, dict):
        assert not mask.any() or mask.size < 16, "only masks without pixels, and outlines longer than a tiny image"
        assert written == compressed(mask)
    else:
        assert np.array_equal(read_by_pycocotools(written, mask.shape), mask)


def test_large_masks_with_slopes_are_read_to_the_pixel():
    rows, columns = np.mgrid[:600, :900]
    mask = (rows > 50 + columns / 37) & (rows < 400 + 60 * np.sin(columns / 90)) & (columns > 20) & (columns < 880)
    mask &= (rows - 200) ** 2 + (columns - 300) ** 2 > 60**2
    (polygon,) = rle.encode_polygons(Mask.from_array(mask), 0.5)
    assert len(polygon) < len(rle.encode_polygons(Mask.from_array(mask), 0.0)[0]) * 0.6
    assert np.array_equal(read_by_pycocotools([polygon], mask.shape), mask)


def test_parts_are_polygons_of_their_own_and_a_large_tolerance_is_obeyed():
    mask = disc((60, 80), (20, 20), 15) | disc((60, 80), (40, 60), 12)
    exact, rough = (rle.encode_polygons(Mask.from_array(mask), tolerance) for tolerance in (0.5, 2.0))
    assert len(exact) == len(rough) == 2
    assert sum(map(len, rough)) < sum(map(len, exact)) / 2
    assert 0.9 < (read_by_pycocotools(rough, mask.shape) & mask).sum() / mask.sum() < 1.1


FLAT = [2.0, 2.0, 20.0, 2.0, 20.0, 15.0]
PAIRS = [[2, 2], [20, 2], [20, 15]]


@pytest.mark.parametrize("polygons", [FLAT, PAIRS, [PAIRS], [FLAT, [3, 3, 9, 9]], [[*FLAT, 7.0]], [[], FLAT, [4]]])
def test_polygons_are_taken_as_what_they_plainly_are(polygons):
    assert rle.form_of(polygons) is rle.Form.POLYGONS
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([FLAT], 24, 32))).astype(bool)
    assert np.array_equal(rle.decode(polygons, (24, 32)).to_array(), expected)


@pytest.mark.parametrize(
    "polygons",
    [
        [[1, 2, 3, 4]],
        [[1, 2], [3, 4]],
        [1, 2, 3, 4],
        [[5, 5, 5, 5, 5, 5]],
        [[2, 2, 9, 2, 2, 2]],
        [[99, 2, 99, 9, 120, 5]],
    ],
)
def test_degenerate_polygons_have_no_pixels(polygons):
    assert rle.decode(polygons, (24, 32)).area == 0


def test_whole_numbers_may_be_written_as_floats():
    floats = {"size": [24.0, 32.0], "counts": [float(count) for count in uncompressed(disc())["counts"]]}
    assert np.array_equal(rle.decode(floats, ANY).to_array(), disc())


GOOD = compressed(disc())
BROKEN = {
    "null": (None, "segmentation is NoneType"),
    "number": (3, "segmentation is int"),
    "text in polygon": ([[1, 2, 3, 4, 5, "6"]], "not a list of numbers, expected [[x1, y1, x2, y2, ...]]"),
    "polygon that is none": ([[1, 2, 3, 4, 5, 6], 7], "its polygon 7 is not a list of numbers"),
    "point of three": ([[[1, 2], [3, 4], [5, 6, 7]]], "not a list of numbers"),
    "half a side": ({"size": [24.5, 32], "counts": GOOD["counts"]}, "expected [height, width]"),
    "nan in polygon": ([[1, 2, 3, 4, 5, float("nan")]], "not a pixel position"),
    "infinity in polygon": ([[1, 2, 3, 4, 5, float("inf")]], "not a pixel position"),
    "far polygon": ([[1, 2, 3, 4, 1e8, 6]], "far outside the image"),
    "wild polygon": ([[0, 0, 9000, 9000] * 300], "far outside the image"),
    "no size": ({"counts": GOOD["counts"]}, "its size is None"),
    "one side": ({"size": [24], "counts": GOOD["counts"]}, "expected [height, width]"),
    "zero side": ({"size": [0, 32], "counts": GOOD["counts"]}, "expected [height, width]"),
    "negative side": ({"size": [-24, -32], "counts": GOOD["counts"]}, "expected [height, width]"),
    "truth as side": ({"size": [True, 768], "counts": GOOD["counts"]}, "expected [height, width]"),
    "huge size": ({"size": [10**9, 10**9], "counts": GOOD["counts"]}, "more than the limit of 268,435,456"),
    "other size": ({"size": [24, 33], "counts": GOOD["counts"]}, "do not add up to its size 24 x 33"),
    "no counts": ({"size": [24, 32]}, "counts are NoneType"),
    "empty counts": ({"size": [24, 32], "counts": ""}, "not compressed run lengths"),
    "no runs": ({"size": [24, 32], "counts": []}, "do not add up"),
    "cut counts": ({"size": [24, 32], "counts": GOOD["counts"][:-3]}, "do not add up"),
    "cut number": ({"size": [24, 32], "counts": "P"}, "truncated"),
    "foreign letters": ({"size": [24, 32], "counts": "!!"}, "characters that never occur"),
    "beyond ascii": ({"size": [24, 32], "counts": "é"}, "characters that never occur"),
    "lone surrogate": ({"size": [24, 32], "counts": "\ud800"}, "characters that never occur"),
    "endless number": ({"size": [24, 32], "counts": "o" * 20 + "0"}, "longer than any image"),
    "negative run": ({"size": [24, 32], "counts": "O"}, "do not add up"),
    "negative count": ({"size": [24, 32], "counts": [-1, 769]}, "whole numbers"),
    "float count": ({"size": [24, 32], "counts": [1.5, 766.5]}, "whole numbers"),
    "huge count": ({"size": [24, 32], "counts": [10**30]}, "do not add up"),
    "counts that wrap": ({"size": [24, 32], "counts": [2**63 - 1, 2**63 - 1, 770]}, "do not add up"),
    "quoted nothing": ({"size": [24, 32], "counts": "b''"}, "not compressed run lengths"),
}


@pytest.mark.parametrize(("segmentation", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_segmentations_are_refused(segmentation, message):
    with pytest.raises(BprError) as caught:
        rle.decode(segmentation, (24, 32))
    assert message in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(min_codepoint=48, max_codepoint=111), max_size=60), st.integers(1, 60), st.integers(1, 60))
def test_no_text_does_harm(text, height, width):
    try:
        mask = rle.decode({"size": [height, width], "counts": text}, ANY)
    except BprError:
        return
    assert mask.size == (height, width)


def test_a_huge_frame_with_a_small_mask_takes_no_time():
    size = [16000, 16000]
    start = time.perf_counter()
    mask = rle.decode({"size": size, "counts": [1000, 5, 16000 * 16000 - 1005]}, ANY)
    assert mask.area == 5
    assert rle.encode(mask, rle.Form.COUNTS)["counts"] == [1000, 5, 16000 * 16000 - 1005]
    assert time.perf_counter() - start < 1


def test_an_outline_of_more_pixels_than_can_be_drawn():
    with pytest.raises(BprError, match="its polygons are 9588000 pixels long"):
        rle.decode([[0, 0, 15980, 15980] * 300], (16000, 16000))
