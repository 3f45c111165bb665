"""Shows the notes of a command: each sentence once, however many files it holds for."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

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
            Console().note(f"note: {record.getMessage()}")

    def close(self) -> None:
        """Tell how often notes were left out."""
        for kind, count in self._count.items():
            if count > 1:
                Console().note(f"note: {self._first[kind]} (and {count - 1} more like it)")
        super().close()


@contextmanager
def notes_shown() -> Iterator[None]:
    """Print notes while a command runs, and keep the warnings of image libraries back: what they tell is checked."""
    handler = NoteHandler()
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.propagate = True
        handler.close()
