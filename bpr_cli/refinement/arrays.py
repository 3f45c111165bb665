"""Images and maps in the kinds that Python programs have: NumPy arrays, PyTorch tensors, Pillow images, paths, lists.

Everything becomes a NumPy array of one layout, and results go back to the kind that was given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from bpr_cli.errors import BprError, shorten
from bpr_cli.formats.images import read_image, rgb_of_picture, to_eight_bits
from bpr_cli.formats.png import ColourError, gray_of_colour, read_gray
from bpr_cli.typing import ByteArray, Size

ImageLike = ArrayLike | Tensor | Image.Image | os.PathLike[str]
"""What an image may be given as; see ``rgb_of``."""

_NUMBERS = "biuf"
"""Kinds of NumPy types: bool, signed and unsigned integers, floats."""
_NUMPY_FLOATS = (torch.float16, torch.float32, torch.float64)
_CHANNELS = (1, 3, 4)
_WITH_CHANNELS = ("LA", "RGB", "RGBA")
_IMAGE = "(H, W, 3), (3, H, W), (H, W) or with alpha (H, W, 4), of at least one pixel"
_PLANE = "one value per pixel, (H, W), of at least one pixel"


def rgb_of(image: ImageLike, size: Size | None = None, name: str = "image") -> ByteArray:
    """Convert an image to RGB: uint8, (H, W, 3), contiguous.

    Args:
        image: a path, which is read as the command line reads it; a Pillow image of any mode, as it was opened; or
            numbers of these shapes: (H, W, 3), (3, H, W), (H, W), (H, W, 1), (1, H, W), and with alpha, which is
            dropped, (H, W, 4) and (4, H, W). ``to_eight_bits`` tells their range; True is white.
        size: (H, W) of its masks. It decides between channels first and last where an image may have either; without
            it, tensors have channels first and arrays last.
        name: name of the argument in messages.

    Raises:
        BprError: it is none of these.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(Path(image), masks=size)
    if isinstance(image, Image.Image):
        return rgb_of_picture(_loaded(image, name), name)
    array = as_array(image, name)
    layouts = [array[:, :, None]] if array.ndim == 2 else []
    if array.ndim == 3:
        layouts = [each for each in (array, array.transpose(1, 2, 0)) if each.shape[2] in _CHANNELS]
    if not layouts or array.size == 0:
        raise unusable(image, name, _IMAGE)
    fitting = [each for each in layouts if each.shape[:2] == size] or layouts
    pixels = fitting[-1 if isinstance(image, Tensor) else 0][:, :, :3]
    scaled = _eight_bits(pixels, name)
    return np.ascontiguousarray(np.broadcast_to(scaled, (*scaled.shape[:2], 3)))


def _eight_bits(pixels: NDArray[Any], name: str) -> ByteArray:
    if pixels.dtype == np.uint8:
        return pixels
    return pixels * np.uint8(255) if pixels.dtype == np.bool_ else to_eight_bits(pixels, name)


@dataclass(frozen=True)
class Plane:
    """One value per pixel, and the kind in which it was given.

    Attributes:
        name: name of the argument in messages.
        given: the argument.
        values: bool, integers or floats, (H, W).
        axis: axis of the channels of ``given``, whose values are equal: (H, W, 1), (1, H, W) or (H, W, 3); None for
            (H, W).
        channels: number of channels; 1 for (H, W).
    """

    name: str
    given: object
    values: NDArray[Any]
    axis: int | None = None
    channels: int = 1

    @classmethod
    def of(cls, given: object, name: str) -> Plane:
        """Read a mask or label map; a path is read as the command line reads it.

        Raises:
            BprError: the argument does not hold one number per pixel.
        """
        array = as_array(given, name)
        if array.ndim not in (2, 3) or array.size == 0:
            raise unusable(given, name, _PLANE)
        if array.ndim == 2:
            return cls(name, given, array)
        axis = 0 if array.shape[0] == 1 and (array.shape[2] > 1 or isinstance(given, Tensor)) else 2
        channels = array.shape[axis]
        if channels == 1:
            return cls(name, given, array.squeeze(axis), axis)
        if channels == 3:
            return cls(name, given, _gray(array, given, name), axis, channels)
        raise unusable(given, name, _PLANE)

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        return self.values.shape[0], self.values.shape[1]

    def shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        """Other values, (H, W), in the shape that was given."""
        if self.axis is None:
            return values
        return np.repeat(np.expand_dims(values, self.axis), self.channels, self.axis)

    def back(self, values: NDArray[Any]) -> Any:  # noqa: ANN401 - the kind that was given
        """Other values, (H, W), of the same type in the shape and kind that was given."""
        return as_given(self.shaped(values), self.given)


def as_array(given: object, name: str) -> NDArray[Any]:
    """The numbers of anything that holds some: bool, integers or floats, of any shape.

    Tensors may be on any device; a path is read as a mask or label map; Pillow images give the values of their pixels,
    indices if they have a palette, and gray values if they have equal channels.

    Raises:
        BprError: the argument holds no numbers.
    """
    if isinstance(given, str | os.PathLike):
        return read_gray(Path(given))
    if np.ma.is_masked(given):
        raise unusable(given, name, "an array without masked pixels; call its method filled")
    try:
        if isinstance(given, Tensor):
            array = _array_of_tensor(given)
        elif isinstance(given, Image.Image):
            picture = np.asarray(_loaded(given, name))
            array = _gray(picture, given, name) if given.mode in _WITH_CHANNELS else picture
        else:
            array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise unusable(given, name, f"numbers ({error})") from error
    if array.dtype.kind not in _NUMBERS:
        raise unusable(given, name, "an array, tensor, Pillow image, path or list of numbers")
    return array


def _array_of_tensor(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point() and tensor.dtype not in _NUMPY_FLOATS:
        tensor = tensor.float()  # NumPy has neither bfloat16 nor 8-bit floats
    array: NDArray[Any] = tensor.numpy()
    return array


def _loaded(picture: Image.Image, name: str) -> Image.Image:
    try:
        picture.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise unusable(picture, name, f"an image that can be decoded ({error})") from error
    return picture


def _gray(pixels: NDArray[Any], given: object, name: str) -> NDArray[Any]:
    try:
        return gray_of_colour(pixels, name)
    except ColourError as error:
        raise unusable(given, name, f"{_PLANE}, or equal, opaque channels") from error


def as_given(values: NDArray[Any], given: object) -> Any:  # noqa: ANN401 - the kind that was given
    """An array in the kind of the argument: tensor, Pillow image, list, else array."""
    if isinstance(given, Tensor):
        return torch.from_numpy(values).to(given.device, given.dtype)
    if isinstance(given, Image.Image):
        return _as_picture(values, given)
    return values.tolist() if isinstance(given, list | tuple) else values


def _as_picture(values: NDArray[Any], given: Image.Image) -> Image.Image:
    if given.mode in _WITH_CHANNELS:
        return Image.fromarray(values).convert(given.mode)
    if given.mode != "P":
        return Image.fromarray(values)
    picture = given.copy()  # with its palette
    picture.frombytes(values.tobytes())
    return picture


def unusable(given: object, name: str, expected: str) -> BprError:
    """The error for an argument, with what was found and what was expected."""
    return BprError(f"{name} is {described(given)}; expected {expected}")


def described(given: object) -> str:  # noqa: PLR0911 - one for each kind
    """The type of an argument, and where it has them shape and dtype, for messages."""
    if isinstance(given, Tensor):
        return f"a tensor of shape {tuple(given.shape)} and dtype {given.dtype} on {given.device}"
    if isinstance(given, Image.Image):
        return f"a Pillow image of {given.width} x {given.height} pixels and mode {given.mode}"
    if isinstance(given, np.ndarray):
        return f"an array of shape {given.shape} and dtype {given.dtype}"
    if given is None or isinstance(given, str | int | float):
        return shorten(given)
    kind = type(given).__name__
    if not isinstance(given, list | tuple):
        return f"an object of the type {kind}"
    try:
        return f"a {kind} of shape {np.shape(given)}"
    except (TypeError, ValueError, RuntimeError):
        return f"a {kind} of uneven shape"
