"""One image and one mask in all the kinds, types and layouts that Python programs have."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

Conversion = Callable[[np.ndarray], Any]

NUMBERS = (np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64, np.float16, np.float32, np.float64)
TENSORS = (torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32)


def reversed_strides(array: np.ndarray) -> np.ndarray:
    return array[::-1].copy()[::-1]


def every_second(array: np.ndarray) -> np.ndarray:
    return np.repeat(array, 2, axis=1)[:, ::2]


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


def chw(array: np.ndarray) -> np.ndarray:
    return array.transpose(2, 0, 1)


def with_alpha(array: np.ndarray) -> np.ndarray:
    return np.dstack([array, np.full(array.shape[:2], 7, array.dtype)])


MEMORY: dict[str, Conversion] = {
    "as it is": lambda array: array,
    "Fortran order": np.asfortranarray,
    "reversed strides": reversed_strides,
    "every second column": every_second,
    "read-only": read_only,
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
}

IMAGES: dict[str, Conversion] = {
    **{f"{kind.__name__} 0..255": lambda rgb, kind=kind: rgb.astype(kind) for kind in NUMBERS},
    "float32 0..1": lambda rgb: rgb.astype(np.float32) / 255,
    "float64 0..1": lambda rgb: rgb / 255,
    "uint16 of 16 bits": lambda rgb: rgb.astype(np.uint16) * 257,
    "RGBA": with_alpha,
    "channels first": chw,
    "RGBA, channels first": lambda rgb: chw(with_alpha(rgb)),
}

WRAPPED_IMAGES: dict[str, Conversion] = {
    "array": lambda array: array,
    "tensor": lambda array: torch.from_numpy(np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))),
    "list": lambda array: array.tolist(),
}

MASKS: dict[str, Conversion] = {
    "bool": lambda mask: mask,
    **{f"{kind.__name__} 0/1": lambda mask, kind=kind: mask.astype(kind) for kind in NUMBERS},
    **{f"{kind.__name__} 0/255": lambda mask, kind=kind: mask.astype(kind) * kind(255) for kind in NUMBERS},
    "int8 0/-1": lambda mask: -mask.astype(np.int8),
}

SHAPES: dict[str, Conversion] = {
    "(H, W)": lambda mask: mask,
    "(H, W, 1)": lambda mask: mask[:, :, None],
    "(1, H, W)": lambda mask: mask[None],
}


def paletted(mask: np.ndarray) -> Image.Image:
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette([0, 0, 0, 200, 10, 30])
    return picture


PICTURES: dict[str, Conversion] = {
    "1": Image.fromarray,
    "L": lambda mask: Image.fromarray(mask.astype(np.uint8) * 255),
    "P": paletted,
    "I;16": lambda mask: Image.fromarray(mask.astype(np.uint16) * 65535),
    "I": lambda mask: Image.fromarray(mask.astype(np.int32)),
    "F": lambda mask: Image.fromarray(mask.astype(np.float32)),
    **{
        mode: lambda mask, mode=mode: Image.fromarray(mask).convert("L").convert(mode) for mode in ("LA", "RGB", "RGBA")
    },
}
