"""Records of patches: what comes back, and what is refused."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.patchset.record import PatchSample, decode_sample, encode_sample
from tests.patchset.patch_cases import assert_same, noise


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_a_record_brings_every_pixel_back(side, seed):
    sample = noise(seed, side)
    assert_same(decode_sample(encode_sample(sample, None), side), sample)


@given(st.integers(0, 2**32 - 1), st.integers(40, 100))
def test_jpeg_keeps_masks_exactly_and_a_smooth_image_nearly(seed, quality):
    sample = noise(seed, 24)
    smooth = cv2.resize(sample.image[:3, :3], (24, 24))
    back = decode_sample(encode_sample(PatchSample(smooth, sample.coarse, sample.truth), quality), 24)
    assert_same(PatchSample(smooth, back.coarse, back.truth), PatchSample(smooth, sample.coarse, sample.truth))
    assert np.abs(back.image.astype(int) - smooth).mean() < 12


def test_jpeg_is_much_smaller_on_a_photograph_like_patch():
    rng = np.random.default_rng(3)
    image = cv2.resize(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
    image = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    disc = (np.hypot(*np.mgrid[-48:48, -48:48]) < 30).astype(np.uint8)
    sample = PatchSample(image, disc, disc)
    assert 3 * len(encode_sample(sample, 85)) < len(encode_sample(sample, None))


def record_of(image: bytes, planes: bytes) -> bytes:
    return struct.pack("<I", len(image)) + image + planes


GOOD = encode_sample(noise(1, 24), None)
IMAGE = GOOD[4 : 4 + struct.unpack_from("<I", GOOD)[0]]
PLANES = GOOD[4 + len(IMAGE) :]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (b"", "too few"),
        (b"abc", "too few"),
        (struct.pack("<I", 2**32 - 1) + b"a", "its image ends at byte"),
        (record_of(b"", PLANES), "neither PNG nor JPEG"),
        (record_of(b"GIF89a", PLANES), "neither PNG nor JPEG"),
        (record_of(IMAGE, b""), "its masks"),
        (record_of(IMAGE, b"nothing"), "its masks are damaged"),
        (record_of(IMAGE, PLANES[:-5]), "its masks are not 24 x 24"),
        (record_of(IMAGE, zlib.compress(b"\0" * 215)), "its masks are not 24 x 24"),
        (record_of(IMAGE, zlib.compress(b"\0" * 10**7)), "its masks are not 24 x 24"),
        (encode_sample(noise(1, 23), None), "is 23 x 23 pixels, expected 24 x 24"),
        (record_of(b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\0\0\xff\xff" * 2 + b"\x08\x02\0\0\0", PLANES), "image"),
    ],
)
def test_a_record_that_is_none_is_refused(record, said):
    with pytest.raises(BprError, match=said):
        decode_sample(record, 24)
