"""Files that are never half there."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside the target, then rename: a kill at any moment leaves the old file or the new one.

    Args:
        path: its folder is made where missing.
        content: the whole file.

    Raises:
        OSError: the folder or the file cannot be written; nothing is left behind.
    """
    # The name of a temporary file must not grow with the final name, which may already have the longest length allowed.
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
