"""Reads checkpoints (``.pth`` and ``.pt``) in MMSegmentation layout without running code from the file.

A checkpoint is a Python pickle, which can run code when it is loaded. Here it is only loaded by PyTorch's restricted
reader (``weights_only``), which is safe since PyTorch 2.6 (CVE-2025-32434), the oldest version that bpr supports.
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
"""Metadata that MMSegmentation expects in a checkpoint besides the weights."""

PARALLEL_PREFIX = "module."
AUXILIARY_PREFIX = "auxiliary_head."
"""Prefix of MMSegmentation's auxiliary head, which is only used in training."""

LARGEST_FILE = 4 << 30
"""Size limit in bytes. The largest networks here, with optimiser state, need less than a quarter of it."""


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        tensors: the state dict.
        metadata: strings in its ``meta`` entry, by name.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the state dict of a checkpoint, without wrappers and without heads that are only used in training.

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
    """Encode a checkpoint that MMSegmentation can read. Equal content gives equal bytes."""
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
    """Refuse files that would fill the memory: the current format is a zip file, so it may be a zip bomb."""
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
        # PyTorch's warnings are for programmers; problems that concern users are raised as errors.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Memory-mapped, so that a tensor that claims more bytes than the file has cannot read other memory.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    # A damaged pickle can make the reader raise any exception.
    except Exception as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(r"[Uu]nsupported class ([\w.]+)", str(error))
        what = f"it holds the Python object {named[1][:80]}" if named else "it is damaged or holds Python objects"
        raise BprError(
            f"{what}, which could run code, so it was not opened; if you trust it, save only its tensors "
            "in the program it comes from: torch.save({'state_dict': model.state_dict()}, 'plain.pth')"
        ) from None


def _unwrapped(content: object) -> object:
    """Follow ``state_dict`` and ``model`` entries down to the parameters."""
    while isinstance(content, Mapping):
        inner = next((content[key] for key in NESTS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    return content


def _is_plain(value: object) -> bool:
    """Whether a value is a dense tensor with data: not sparse, nested, quantised or on the meta device."""
    if type(value) not in (Tensor, nn.Parameter) or not isinstance(value, Tensor):
        return False
    return value.layout is torch.strided and not (value.is_meta or value.is_nested or value.is_quantized)


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefix ``module.`` that (Distributed)DataParallel adds to names."""
    state = dict(state)
    while all(name.startswith(PARALLEL_PREFIX) for name in state):
        state = {name.removeprefix(PARALLEL_PREFIX): tensor for name, tensor in state.items()}
    return state
