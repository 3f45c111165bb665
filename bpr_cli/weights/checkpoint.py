"""Checkpoints (``.pth`` and ``.pt``) in MMSegmentation layout, read without running code from the file.

Such a file is a Python pickle, which can run code when it is opened. Here only PyTorch's restricted reader
(``weights_only``) opens it. That reader is safe since PyTorch 2.6 (CVE-2025-32434), the oldest one bpr installs with.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bpr_cli.errors import BprError

NESTS = ("state_dict", "model")
META = "meta"
MMSEGMENTATION_META = {"CLASSES": ("bg", "fg"), "PALETTE": [[0, 0, 0], [255, 255, 255]]}
"""What MMSegmentation expects in a checkpoint besides the weights."""

PARALLEL_PREFIX = "module."
AUXILIARY_PREFIX = "auxiliary_head."
"""A second head of MMSegmentation. It adds a loss in training and takes no part in predictions."""

LARGEST_FILE = 4 << 30
"""Bytes. Checkpoints of the largest networks here have less than a quarter of it, optimiser state included."""


@dataclass(frozen=True)
class Checkpoint:
    """What is in a checkpoint.

    Attributes:
        tensors: the state dict.
        metadata: the strings in its ``meta`` entry, by name.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, without wrappers around its state dict and without heads that only training needs.

    Raises:
        BprError: the file is damaged, holds more than plain tensors, or has no state dict. The message does not name
            the file; the caller does.
    """
    _check_size(path)
    content = _load(path)
    state = _unwrapped(content)
    if not isinstance(state, Mapping) or not state:
        raise BprError("it holds no state dict (parameter names with tensors)")
    for name, value in state.items():
        if not (isinstance(name, str) and _is_plain(value)):
            raise BprError(
                f"it holds no state dict: {str(name)[:80]!r} is not a plain tensor but {type(value).__name__}"
            )
    plain = _without_prefix(state)
    tensors = {name: tensor for name, tensor in plain.items() if not name.startswith(AUXILIARY_PREFIX)}
    return Checkpoint(tensors, _texts(content))


def checkpoint_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A checkpoint that MMSegmentation can read. Equal content gives equal bytes."""
    buffer = io.BytesIO()
    torch.save({META: {**MMSEGMENTATION_META, **metadata}, "state_dict": OrderedDict(tensors)}, buffer)
    return buffer.getvalue()


def _texts(content: object) -> dict[str, str]:
    """The strings in the ``meta`` entry of a checkpoint."""
    meta = content.get(META) if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return {}
    return {name: text for name, text in meta.items() if isinstance(name, str) and isinstance(text, str)}


def _check_size(path: Path) -> None:
    """Refuse files that would fill the memory: the current format is a zip file, which may be a zip bomb."""
    try:
        parts = _parts(path)
    # A damaged directory can make the zip reader fail in many ways.
    except (zipfile.BadZipFile, ArithmeticError, LookupError, NotImplementedError, ValueError, struct.error):
        raise BprError("it is a damaged zip file; copy or download it again") from None
    size = sum(part.file_size for part in parts) or path.stat().st_size
    if size > LARGEST_FILE:
        raise BprError(f"it unpacks to {size >> 20} MiB, more than the {LARGEST_FILE >> 20} MiB that bpr reads")
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise BprError("its parts are compressed, unlike those of any checkpoint; save it again with torch.save")


def _parts(path: Path) -> list[zipfile.ZipInfo]:
    """The parts of a zip file; empty for other files."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()


def _load(path: Path) -> object:
    """The content of a file that ``torch.save`` wrote, if it consists of tensors and plain values."""
    try:
        # PyTorch's warnings address programmers; what matters to a user is raised as an error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Memory-mapped, so that a tensor that claims more bytes than the file holds cannot read other memory.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    # A damaged pickle can make the reader fail in any way at all.
    except Exception as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(r"[Uu]nsupported class ([\w.]+)", str(error))
        what = f"it holds the Python object {named[1][:80]}" if named else "it is damaged or holds Python objects"
        raise BprError(
            f"{what}, which could run code, so it was not opened; if you trust it, save only its tensors "
            "in the program it comes from: torch.save({'state_dict': model.state_dict()}, 'plain.pth')"
        ) from None


def _unwrapped(content: object) -> object:
    """Follow ``state_dict`` and ``model`` down to the parameters."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in NESTS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    return content


def _is_plain(value: object) -> bool:
    """Whether it is a dense tensor with values: not sparse, nested, quantised or on the meta device."""
    if type(value) not in (Tensor, nn.Parameter) or not isinstance(value, Tensor):
        return False
    return value.layout is torch.strided and not (value.is_meta or value.is_nested or value.is_quantized)


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the ``module.`` that (Distributed)DataParallel puts before each."""
    state = dict(state)
    while all(name.startswith(PARALLEL_PREFIX) for name in state):
        state = {name.removeprefix(PARALLEL_PREFIX): tensor for name, tensor in state.items()}
    return state
