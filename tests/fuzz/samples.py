"""Samples: the files that a reader is given, in memory, on the disk, and as no honest program writes them."""

from __future__ import annotations

import os
import shutil
from enum import Enum
from pathlib import Path


class Special(Enum):
    """What an archive of unknown origin may hold in the place of a file."""

    FOLDER = "a folder"
    PIPE = "a named pipe, which nobody writes to"
    LINK_OUT = "a link to a file outside"
    LINK_BACK = "a link to the folder it lies in"
    LINK_NOWHERE = "a link to nothing"


Sample = dict[str, "bytes | Special"]
"""Content by relative path."""

SECRET = "secret.png"
"""A file beside the sample's folder that no name in the sample may lead to."""


def load_sample(folder: Path) -> Sample:
    """The files under a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def save_sample(sample: Sample, folder: Path) -> None:
    """Write a sample into a new folder; what cannot have its name is left out."""
    folder.mkdir()
    for name, content in sample.items():
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _save(path, content)
        except (OSError, ValueError):
            continue


def _save(path: Path, content: bytes | Special) -> None:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is Special.FOLDER:
        path.mkdir()
    elif content is Special.PIPE:
        os.mkfifo(path)
    else:
        target = {Special.LINK_OUT: f"../{SECRET}", Special.LINK_BACK: ".", Special.LINK_NOWHERE: "nothing.png"}[
            content
        ]
        path.symlink_to(target)


def clear(folder: Path) -> None:
    """Remove all that is in a folder."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
