"""Finds weights files and tells them apart; imports no PyTorch."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.weights.card import shipped_weights

OWN_SUFFIX = ".safetensors"
CHECKPOINT_SUFFIXES = (".pth", ".pt")


def find_weights(name_or_path: str | Path) -> Path:
    """Find the file of a name or path.

    Raises:
        BprError: there is no such file, or its suffix is unknown.
    """
    shipped = shipped_weights()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    if not path.is_file():
        names = f"the shipped ones are {', '.join(shipped)}" if shipped else "none are shipped with this installation"
        found = "that is a folder" if path.is_dir() else "there is no such file"
        raise BprError(f"there are no weights {str(path)!r}: {found}, and {names}")
    if path.suffix.lower() not in (OWN_SUFFIX, *CHECKPOINT_SUFFIXES):
        raise BprError(
            f"the weights {path} cannot be used: expected a name that ends in {OWN_SUFFIX} (written by bpr) or in "
            f"{' or '.join(CHECKPOINT_SUFFIXES)} (a checkpoint in MMSegmentation layout)"
        )
    return path


def digest_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
