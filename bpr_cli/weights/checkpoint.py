"""Checkpoints (``.pth`` and ``.pt``) in the way of MMSegmentation: written, and read without running what they carry.

Such a file is a Python pickle, which can run code when it is opened. It is only ever opened by torch's reader for
plain tensors (``weights_only``).
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
"""What MMSegmentation asks a checkpoint for beside the weights."""

PARALLEL_PREFIX = "module."
AUXILIARY_PREFIX = "auxiliary_head."
"""A second head of MMSegmentation: it adds a loss in training and decides nothing."""

SAFE_TORCH = "2.6"
"""Before it, ``weights_only`` could be tricked into running code (CVE-2025-32434)."""

LARGEST_FILE = 4 << 30
"""Bytes; with optimiser state, checkpoints of the largest networks here have less than a quarter."""


@dataclass(frozen=True)
class Checkpoint:
    """What is in a checkpoint.

    Attributes:
        tensors: the state dict.
        metadata: the texts beside it, by name.
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, and free its state dict of what programs wrap around it and of heads that only training needs.

    Raises:
        BprError: damaged, unsafe or without a state dict; the sentence's subject is the file, not named.
    """
    _check_torch()
    _check_size(path)
    content = _load(path)
    state = _unwrapped(content)
    if not isinstance(state, Mapping) or not state:
        raise BprError("it holds no state dict (parameter names with tensors)")
    for name, value in state.items():
        if not (isinstance(name, str) and _is_plain(value)):
            raise BprError(f"it holds no state dict: {str(name)[:80]!r} is no plain tensor but {type(value).__name__}")
    plain = _without_prefix(state)
    tensors = {name: tensor for name, tensor in plain.items() if not name.startswith(AUXILIARY_PREFIX)}
    return Checkpoint(tensors, _texts(content))


def checkpoint_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """A checkpoint as MMSegmentation reads it; equal content makes equal bytes."""
    buffer = io.BytesIO()
    torch.save({META: {**MMSEGMENTATION_META, **metadata}, "state_dict": OrderedDict(tensors)}, buffer)
    return buffer.getvalue()


def _texts(content: object) -> dict[str, str]:
    """The texts in the ``meta`` of a checkpoint."""
    meta = content.get(META) if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return {}
    return {name: text for name, text in meta.items() if isinstance(name, str) and isinstance(text, str)}


def _check_torch() -> None:
    """Refuse to open any pickle with a torch that does not keep its promise."""
    if torch.__version__ < SAFE_TORCH:
        raise BprError(
            f"torch {torch.__version__} cannot open such a checkpoint safely; install torch {SAFE_TORCH} or newer, or "
            "give a .safetensors file"
        )


def _check_size(path: Path) -> None:
    """Refuse what would fill the memory, or cannot be mapped: the current format is a zip file, which may be a bomb."""
    try:
        parts = _parts(path)
    # A damaged directory can make the zip reader fail in many ways.
    except (zipfile.BadZipFile, ArithmeticError, LookupError, NotImplementedError, ValueError, struct.error):
        raise BprError("it is a damaged zip file; copy or download it again") from None
    size = sum(part.file_size for part in parts) or path.stat().st_size
    if size > LARGEST_FILE:
        raise BprError(f"it unpacks to {size >> 20} MiB, more than the {LARGEST_FILE >> 20} MiB of any such checkpoint")
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise BprError("its parts are compressed, which those of a checkpoint never are; save it again with torch.save")


def _parts(path: Path) -> list[zipfile.ZipInfo]:
    """The parts of a zip file; none of other files."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return archive.infolist()


def _load(path: Path) -> object:
    """What ``torch.save`` wrote, if it is made of tensors and plain values."""
    try:
        # torch's warnings speak to those who program with it; what matters to a user comes as an error.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # Mapped, so that a tensor that claims more bytes than the file holds reaches no other memory, whatever this
            # torch itself checks.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    # A damaged pickle can make the reader fail in any way at all.
    except Exception as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error)) or re.search(r"[Uu]nsupported class ([\w.]+)", str(error))
        what = f"it holds the Python object {named[1][:80]}" if named else "it is damaged or holds Python objects"
        raise BprError(
            f"{what}, which could run code when opened, so it was left unopened; if you trust it, save the tensors "
            "alone in the program it comes from: torch.save({'state_dict': model.state_dict()}, 'plain.pth')"
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
    """A dense tensor whose numbers are there: not sparse, nested, quantised or on the meta device."""
    if type(value) not in (Tensor, nn.Parameter) or not isinstance(value, Tensor):
        return False
    return value.layout is torch.strided and not (value.is_meta or value.is_nested or value.is_quantized)


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the ``module.`` that (Distributed)DataParallel puts before each."""
    state = dict(state)
    while all(name.startswith(PARALLEL_PREFIX) for name in state):
        state = {name.removeprefix(PARALLEL_PREFIX): tensor for name, tensor in state.items()}
    return state
