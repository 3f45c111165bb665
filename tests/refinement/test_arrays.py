"""Images and maps in every kind become the same pixels, and results go back to the kind that was given."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.refinement.arrays import Plane, rgb_of
from tests.inference.engines import blob, picture
from tests.refinement.given_cases import IMAGES, MASKS, MEMORY, PICTURES, SHAPES, TENSORS, WRAPPED_IMAGES

SIZE = (9, 11)


def named(cases):
    return st.sampled_from(sorted(cases))


@given(kind=named(IMAGES), memory=named(MEMORY), wrapped=named(WRAPPED_IMAGES), seed=st.integers(0, 99))
def test_any_type_and_layout_of_an_image_gives_its_pixels(kind, memory, wrapped, seed):
    rgb = picture(SIZE, seed)
    given_image = WRAPPED_IMAGES[wrapped](MEMORY[memory](IMAGES[kind](rgb)))
    read = rgb_of(given_image, SIZE)
    assert read.dtype == np.uint8
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, rgb)


GRAY = {
    "(H, W)": lambda gray: gray,
    "(H, W, 1)": lambda gray: gray[:, :, None],
    "(1, H, W)": lambda gray: gray[None],
    "tensor": torch.from_numpy,
    "tensor (1, H, W)": lambda gray: torch.from_numpy(gray)[None],
    "Pillow": Image.fromarray,
    "floats": lambda gray: gray / 255,
}


@pytest.mark.parametrize("kind", GRAY)
def test_gray_images(kind):
    gray = picture(SIZE)[:, :, 0]
    np.testing.assert_array_equal(rgb_of(GRAY[kind](gray)), np.dstack([gray] * 3))


def test_black_and_white_images():
    np.testing.assert_array_equal(rgb_of(blob(SIZE))[:, :, 1], blob(SIZE) * 255)
    np.testing.assert_array_equal(rgb_of(Image.fromarray(blob(SIZE)))[:, :, 1], blob(SIZE) * 255)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P", "L", "LA", "1", "YCbCr"])
def test_pillow_images_are_what_pillow_shows(mode):
    image = Image.fromarray(picture(SIZE)).convert(mode)
    np.testing.assert_array_equal(rgb_of(image), np.asarray(image.convert("RGB")))


def test_pillow_images_are_taken_as_they_were_opened_and_paths_are_turned_upright(tmp_path):
    """Their EXIF tag is the caller's: viewers and annotation tools differ in whether they had applied it."""
    exif = Image.Exif()
    exif[274] = 3
    Image.fromarray(picture(SIZE)).save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as image:
        np.testing.assert_array_equal(rgb_of(image), picture(SIZE))
    np.testing.assert_array_equal(rgb_of(tmp_path / "turned.png"), picture(SIZE)[::-1, ::-1])


@pytest.mark.parametrize("as_path", [str, lambda path: path])
def test_paths(tmp_path, as_path):
    Image.fromarray(picture(SIZE)).save(tmp_path / "image.png")
    np.testing.assert_array_equal(rgb_of(as_path(tmp_path / "image.png")), picture(SIZE))
    Image.fromarray(blob(SIZE).astype(np.uint8)).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(Plane.of(as_path(tmp_path / "mask.png"), "mask").values, blob(SIZE))


@pytest.mark.parametrize("size", [(5, 3), (3, 5), (5, 4), (4, 3), (1, 3)])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("wrap", [np.asarray, torch.from_numpy])
def test_the_size_of_the_masks_tells_channels_first_from_last(size, first, wrap):
    rgb = picture(size)
    np.testing.assert_array_equal(rgb_of(wrap(rgb.transpose(2, 0, 1) if first else rgb), size), rgb)


def test_without_masks_tensors_have_channels_first_and_arrays_last():
    rgb = picture((3, 3))
    np.testing.assert_array_equal(rgb_of(rgb), rgb)
    np.testing.assert_array_equal(rgb_of(torch.from_numpy(rgb.transpose(2, 0, 1))), rgb)


NOT_IMAGES = {
    "None": (None, r"image is None; expected"),
    "a number": (3, r"image is 3; expected"),
    "a dict": ({}, r"image is an object of the type dict; expected"),
    "a generator": ((row for row in [[1]]), r"image is an object of the type generator; expected"),
    "five axes": (np.zeros((1, 1, 9, 11, 3)), r"image is an array of shape \(1, 1, 9, 11, 3\)"),
    "a batch": (torch.zeros(1, 3, 9, 11), r"image is a tensor of shape \(1, 3, 9, 11\) and dtype torch.float32 on cpu"),
    "two channels": (np.zeros((9, 11, 2)), r"image is an array of shape \(9, 11, 2\).*expected \(H, W, 3\)"),
    "no pixels": (np.zeros((0, 11, 3)), r"image is an array of shape \(0, 11, 3\)"),
    "complex": (np.zeros((9, 11, 3), complex), r"image is an array of shape .* complex128; expected .* numbers"),
    "text": (np.full((9, 11), "a"), r"image is an array of shape .*; expected .* numbers"),
    "uneven": ([[1, 2], [3]], r"image is a list of uneven shape; expected numbers"),
    "normalised": (np.full((9, 11, 3), -0.5), r"image has pixel values from -0.5 to -0.5, expected 0 or more"),
    "above 255": (np.full((9, 11, 3), 256.0), r"image has pixel values up to 256, expected 0..1 or 0..255"),
    "a little above 1": (np.full((9, 11, 3), 1.02), r"image has pixel values up to 1.02, expected 0..1 or 0..255"),
    "NaN": (np.full((9, 11, 3), np.nan), r"image has pixel values from nan to nan"),
    "64 bits": (np.full((9, 11, 3), 2**40), r"image has pixel values up to .*, expected at most 32 bits"),
    "sparse": (torch.eye(9).to_sparse(), r"image is a tensor of shape \(9, 9\).*; expected numbers"),
    "meta": (torch.zeros(9, 11, device="meta"), r"image is a tensor of shape \(9, 11\).* on meta; expected numbers"),
}


@pytest.mark.parametrize("name", NOT_IMAGES)
def test_what_is_no_image_is_refused_by_name(name):
    given_image, message = NOT_IMAGES[name]
    with pytest.raises(BprError, match=message):
        rgb_of(given_image)


def test_a_pillow_image_that_cannot_be_decoded(tmp_path):
    path = tmp_path / "cut.jpg"
    Image.fromarray(picture((90, 110))).save(path)
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(BprError, match=r"image is a Pillow image of 110 x 90 pixels and mode RGB; expected .*decoded"):
        rgb_of(Image.open(path))


@given(kind=named(MASKS), memory=named(MEMORY), shape=named(SHAPES), wrapped=st.sampled_from(["array", "list"]))
def test_arrays_and_lists_come_back_as_they_were(kind, memory, shape, wrapped):
    array = SHAPES[shape](MEMORY[memory](MASKS[kind](blob(SIZE))))
    plane = Plane.of(array.tolist() if wrapped == "list" else array, "mask")
    np.testing.assert_array_equal(plane.values != 0, blob(SIZE))
    back = plane.back(plane.values)
    if wrapped == "list":
        assert back == array.tolist()
    else:
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("dtype", [torch.bool, *TENSORS])
@pytest.mark.parametrize("shape", SHAPES)
def test_tensors_come_back_with_their_dtype_and_device(dtype, shape):
    tensor = torch.from_numpy(SHAPES[shape](blob(SIZE))).to(dtype)
    plane = Plane.of(tensor, "mask")
    assert torch.equal(plane.back(plane.values), tensor)
    assert plane.back(plane.values).dtype == dtype


def test_tensors_that_need_gradients():
    tensor = torch.from_numpy(blob(SIZE)).float().requires_grad_()
    assert not Plane.of(tensor, "mask").back(blob(SIZE)).requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_tensors_on_a_gpu():
    tensor = torch.from_numpy(blob(SIZE)).cuda()
    plane = Plane.of(tensor, "mask")
    assert plane.back(plane.values).device == tensor.device
    image = torch.from_numpy(picture(SIZE)).cuda()
    np.testing.assert_array_equal(rgb_of(image.permute(2, 0, 1), SIZE), picture(SIZE))


@pytest.mark.parametrize("mode", PICTURES)
def test_pillow_masks_come_back_in_their_mode(mode):
    image = PICTURES[mode](blob(SIZE))
    plane = Plane.of(image, "mask")
    np.testing.assert_array_equal(plane.values != 0, blob(SIZE))
    back = plane.back(plane.values)
    assert back.mode == image.mode == mode
    np.testing.assert_array_equal(np.asarray(back), np.asarray(image))
    assert back.getpalette() == image.getpalette()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_colour_arrays_with_equal_channels_are_masks_as_opencv_reads_them(dtype):
    array = np.dstack([blob(SIZE).astype(dtype)] * 3)
    plane = Plane.of(array, "mask")
    np.testing.assert_array_equal(plane.values, array[:, :, 0])
    np.testing.assert_array_equal(plane.back(plane.values), array)


NOT_PLANES = {
    "None": (None, r"mask is None; expected"),
    "an image": (picture(SIZE), r"mask is an array of shape \(9, 11, 3\).*expected one value per pixel.*equal, opaque"),
    "a stack": (np.zeros((2, 9, 11)), r"mask is an array of shape \(2, 9, 11\) and dtype float64; expected one value"),
    "one row of numbers": ([0, 1], r"mask is a list of shape \(2,\); expected one value per pixel"),
    "no pixels": (torch.zeros(9, 0), r"mask is a tensor of shape \(9, 0\) and dtype torch.float32 on cpu; expected"),
    "a photograph": (Image.fromarray(picture(SIZE)), r"mask is a Pillow image of 11 x 9 pixels and mode RGB; expected"),
    "masked pixels": (np.ma.masked_equal(picture(SIZE)[:, :, 0], picture(SIZE)[0, 0, 0]), r"mask is .*masked pixels"),
    "CMYK": (Image.new("CMYK", SIZE), r"mask is a Pillow image of 9 x 11 pixels and mode CMYK; expected"),
    "objects": (np.zeros(SIZE, object), r"mask is an array of shape \(9, 11\) and dtype object; expected .* numbers"),
}


@pytest.mark.parametrize("name", NOT_PLANES)
def test_what_is_no_mask_is_refused_by_name(name):
    given_mask, message = NOT_PLANES[name]
    with pytest.raises(BprError, match=message):
        Plane.of(given_mask, "mask")
