"""Whole images in a patch set: what was stored comes back, and broken records are reported."""

import json
import zlib

import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.matching import AnnotatedMask, ImageMasks, match_masks
from bpr_cli.patchset.record import VOID
from bpr_cli.patchset.whole import decode_header, decode_whole, encode_whole
from tests.formats.format_builders import disc

SIZE = (60, 90)
PIXELS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
LEFT, RIGHT, FOUND = (disc(SIZE, (30, x), 14) == 1 for x in (30, 64, 33))
UNKNOWN = np.zeros(SIZE, bool)
UNKNOWN[:5] = True


def annotated(array: np.ndarray, index: int, category: int | None, crowd: bool = False) -> AnnotatedMask:
    return AnnotatedMask(Mask.from_array(array), index, category, crowd)


TRUTH = ImageMasks((annotated(LEFT, 0, 7), annotated(RIGHT, 1, 8)), Mask.from_array(UNKNOWN))
COARSE = ImageMasks((annotated(FOUND, 0, 7),), Mask.from_array(~UNKNOWN & UNKNOWN))


def record(jpeg: int | None = None) -> bytes:
    return encode_whole(PIXELS, TRUTH, match_masks(COARSE, TRUTH, 0.3), jpeg)


def test_an_image_comes_back_with_its_masks():
    found = decode_whole(record())
    np.testing.assert_array_equal(found.pixels, PIXELS)
    pairs = [found.header.pair(number) for number in range(len(found.header.pairs))]
    assert [(pair.category, pair.coarse is None) for pair in pairs] == [(7, False), (7, True), (8, True)]
    for pair, truth in zip(pairs, (LEFT, LEFT, RIGHT), strict=True):
        np.testing.assert_array_equal(pair.truth.to_array(), truth)
        np.testing.assert_array_equal(pair.void.to_array(), UNKNOWN)
        np.testing.assert_array_equal(pair.truth_plane, np.where(truth, 1, np.where(UNKNOWN, VOID, 0)))
    np.testing.assert_array_equal(pairs[0].coarse.to_array(), FOUND)


def test_jpeg_is_smaller_and_close():
    found = decode_whole(record(95))
    assert len(record(95)) < len(record())
    assert np.abs(found.pixels.astype(int) - PIXELS).mean() < 10


def test_crowds_are_void_and_no_pairs():
    truth = ImageMasks((*TRUTH.masks, annotated(FOUND, 2, 8, crowd=True)), TRUTH.void)
    header = decode_header(encode_whole(PIXELS, truth, [], None))
    pairs = [header.pair(number) for number in range(len(header.pairs))]
    assert [pair.category for pair in pairs] == [7, 8]
    np.testing.assert_array_equal(pairs[1].void.to_array(), UNKNOWN | FOUND)


def test_every_cut_is_reported():
    whole = record(90)
    for length in range(0, len(whole), 7):
        with pytest.raises(BprError):
            decode_whole(whole[:length])


@pytest.mark.parametrize(
    "change",
    [
        {"size": [60, 91]},
        {"size": [60]},
        {"masks": []},
        {"masks": ["!"] * 9},
        {"pairs": [[7, 0, 1]]},
        {"pairs": [[7, 0, 99, None]]},
        {"pairs": [[7, None, 0, None]]},
        {"pairs": [[7, 0.5, 0, None]]},
        {"pairs": 5},
    ],
)
def test_a_forged_header_is_reported(change):
    whole = record()
    end = 4 + int.from_bytes(whole[:4], "little")
    header = zlib.compress(json.dumps({**json.loads(zlib.decompress(whole[4:end])), **change}).encode())
    with pytest.raises(BprError):
        decode_whole(len(header).to_bytes(4, "little") + header + whole[end:]).header.pair(0)
