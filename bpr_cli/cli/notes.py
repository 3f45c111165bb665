"""Shows the notes of a command: each sentence once, however many files it holds for."""

from __future__ import annotations

import ctypes
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bpr_cli.cli.console import Console
from bpr_cli.system.notes import LOGGER


class NoteHandler(logging.Handler):
    """Prints the first note of each kind, and counts the others."""

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[str, str] = {}
        self._count: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a note, unless one with the same sentence was printed."""
        self._count[record.msg] += 1
        if record.msg not in self._first:
            self._first[record.msg] = record.getMessage()
            Console().note(record.getMessage())

    def close(self) -> None:
        """Tell how often notes were left out."""
        for kind, count in self._count.items():
            if count > 1:
                Console().note(f"{self._first[kind]} (and {count - 1} more like it)")
        super().close()


@contextmanager
def notes_shown() -> Iterator[None]:
    """Print notes while a command runs, and keep image libraries from printing: what they find becomes a sentence."""
    handler = NoteHandler()
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    warnings.filterwarnings("ignore", module=r"PIL\.")
    _silence_libtiff()
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = True
        handler.close()


def _silence_libtiff() -> None:
    """Keep the libtiff that comes with Pillow from printing errors past Python; Pillow reports them as well."""
    import PIL  # noqa: PLC0415 - only commands that run need it

    package = Path(PIL.__file__).parent
    for folder in (package.parent / "pillow.libs", package / ".dylibs"):
        for library in folder.glob("libtiff*"):
            with suppress(OSError, AttributeError):
                ctypes.CDLL(str(library)).TIFFSetErrorHandler(None)
