"""The user's cache: content that can be made again, kept to save time. Problems with it never stop a command."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path

from bpr_cli.system.atomic import write_atomically

MOST_FILES = 16
"""Files kept of each kind; the ones written first are deleted."""

_DIGEST_BYTES = 32


class Cache:
    """Files of one kind in the user's cache folder, by key.

    That is ``bpr`` in ``$XDG_CACHE_HOME``, ``~/.cache``, or on Windows ``%LOCALAPPDATA%``.

    Args:
        kind: name of a folder for files of one kind.
    """

    def __init__(self, kind: str) -> None:
        base = _base()
        self._folder = base and base / "bpr" / kind

    def read(self, key: str) -> bytes | None:
        """The content of a key; None if it is missing, damaged or cannot be read."""
        with suppress(OSError):
            content = self._folder and self._path(self._folder, key).read_bytes()
            if content and hashlib.sha256(content[_DIGEST_BYTES:]).digest() == content[:_DIGEST_BYTES]:
                return content[_DIGEST_BYTES:]
        return None

    def write(self, key: str, content: bytes) -> None:
        """Keep the content of a key, if the cache can be written."""
        if self._folder is None:
            return
        with suppress(OSError):
            write_atomically(self._path(self._folder, key), hashlib.sha256(content).digest() + content)
            files = sorted(self._folder.glob("*.bin"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
            for path in files[MOST_FILES:]:
                path.unlink(missing_ok=True)

    def _path(self, folder: Path, key: str) -> Path:
        return folder / f"{hashlib.sha256(key.encode()).hexdigest()}.bin"


def _base() -> Path | None:
    """The folder for all caches of the user; None if there is none."""
    name = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    if os.environ.get(name):
        base = Path(os.environ[name])
        return base if base.is_dir() else None
    with suppress(RuntimeError):  # the user has no home
        home = Path.home()
        return home / ".cache" if home.is_dir() else None
    return None
