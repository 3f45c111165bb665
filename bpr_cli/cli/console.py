"""What commands print: tables, messages, failures and the notes on how an input was read.

Tables go to standard output, everything else to standard error.
"""

from __future__ import annotations

import ctypes
import json
import logging
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bpr_cli.errors import LOGGER, BprError, printable, with_urls

if TYPE_CHECKING:
    from rich.table import Table

    from bpr_cli.formats.base import Failure


LONGEST_WORD, LEAST = 14, 8
"""Characters of a text column: words up to this length are kept whole until figures fold; what remains in any case."""

_FIGURE = re.compile(r"|-|[-+]?\d.*")
_FRAME, _GAP = 3, 1
"""Characters around each column: with a frame, and without one."""


def table_of(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table:
    """Lay out a table.

    It has a frame if no figure need fold for it. Where even folded figures do not fit, it is wider than ``width``.

    Args:
        columns: headings.
        rows: cells. A column whose cells are empty, dashes or begin with a digit holds figures, which are aligned
            right; the first column never does.
        width: characters of a line.
    """
    from rich.box import HEAVY_HEAD  # noqa: PLC0415 - help texts need not wait for rich
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    cells = [[printable(cell) for cell in row] for row in rows]
    by_column = [[row[index] for row in cells] for index in range(len(columns))]
    figures = [index > 0 and all(map(_FIGURE.fullmatch, column)) for index, column in enumerate(by_column)]
    frame, gaps = _FRAME * len(columns) + 1, _GAP * (len(columns) - 1)
    widths = _widths(columns, by_column, figures, width - frame, fold_figures=False)
    if widths:
        table = Table(box=HEAVY_HEAD, width=sum(widths) + frame)
    else:
        widths = _widths(columns, by_column, figures, width - gaps)
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, width=sum(widths) + gaps)
    for heading, is_figure, fitted in zip(columns, figures, widths, strict=True):
        table.add_column(Text(heading), justify="right" if is_figure else "left", overflow="fold", width=fitted)
    for row in cells:
        table.add_row(*map(Text, row))
    return table


def _widths(
    columns: Sequence[str],
    cells: Sequence[Sequence[str]],
    figures: Sequence[bool],
    room: int,
    fold_figures: bool = True,
) -> list[int]:
    """Widths of all columns; none if they do not fit into ``room`` characters without folding figures.

    Args:
        columns: headings; they fold between words.
        cells: cells of each column.
        figures: whether each column holds figures.
        room: characters for the cells.
        fold_figures: whether figures may fold between words.
    """
    from rich.cells import cell_len  # noqa: PLC0415 - as above

    widest = [max(map(cell_len, column), default=0) for column in cells]
    lines = (" ".join([heading, *column]) for heading, column in zip(columns, cells, strict=True))
    words = [max(map(cell_len, line.split(" "))) for line in lines]
    widths = [max(cell_len(heading), cell) for heading, cell in zip(columns, widest, strict=True)]
    every = range(len(columns))
    text, numbers = ([index for index in every if figures[index] is kind] for kind in (False, True))
    _shrink(widths, every, [max(word, cell) for word, cell in zip(words, widest, strict=True)], room)
    _shrink(widths, text, [min(word, LONGEST_WORD) for word in words], room)
    if sum(widths) > room and fold_figures:
        for index in numbers:  # all alike, even where fewer would do
            widths[index] = words[index]
        _shrink(widths, text, [min(word, LEAST) for word in words], room)
    return widths if fold_figures or sum(widths) <= room else []


def _shrink(widths: list[int], which: Sequence[int], least: Sequence[int], room: int) -> None:
    """Narrow the widest of some columns, one character at a time, until all columns fit or have their least width."""
    while sum(widths) > room:
        wide = [index for index in which if widths[index] > least[index]]
        if not wide:
            return
        widths[max(wide, key=widths.__getitem__)] -= 1


SHOWN = 20
"""Number of failures that are listed one by one."""


class Console:
    """Messages and tables for people, and JSON for programs.

    A command whose files are its result, such as ``bpr refine``, shows its closing table on standard error.

    rich is imported on first use, so that help texts need not wait for it.
    """

    def __init__(self, results: bool = False) -> None:
        """Begin to write.

        Args:
            results: whether tables and ``result`` lines are the result of the command and go to standard output.
                Otherwise, and where standard output is kept for JSON, they go to standard error.
        """
        from bpr_cli.system.terminal import message_console, result_console  # noqa: PLC0415

        self._messages = message_console()
        self._results = result_console() if results else self._messages

    def message(self, text: str) -> None:
        """Print a message."""
        self._messages.print(printable(text))

    def note(self, sentence: str) -> None:
        """Print a note: how an input was read, or what a result must be read with."""
        self.message(f"note: {sentence}")

    def error(self, message: str) -> None:
        """Print an error on one line."""
        from rich.text import Text  # noqa: PLC0415

        self._messages.print(Text.assemble(("error:", "bold red"), " ", printable(message)))

    def failures(self, failures: Sequence[Failure], elsewhere: str) -> None:
        """Print one line per failure; after ``SHOWN`` lines, print how many are left and where all are listed."""
        for failure in failures[:SHOWN]:
            self.error(failure.reason)
        if len(failures) > SHOWN:
            self.error(f"and {len(failures) - SHOWN} more; {elsewhere}")

    def json(self, content: object) -> None:
        """Print a machine-readable result.

        Raises:
            BprError: standard output cannot be written.
        """
        with _standard_output():
            # Plain ASCII, because file names may hold characters that standard output cannot encode.
            typer.echo(with_urls(json.dumps(content, indent=2)))

    def result(self, line: str) -> None:
        """Print one line of a result.

        Raises:
            BprError: standard output cannot be written.
        """
        with _standard_output():
            self._results.print(printable(line))

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table under its title; see ``table_of``.

        Raises:
            BprError: standard output cannot be written.
        """
        from rich.text import Text  # noqa: PLC0415

        with _standard_output():
            # Printed separately, because rich would wrap a table title with a long path to the width of the columns.
            self._results.print(Text(printable(title), "bold"))
            table = table_of(columns, rows, self._results.width)
            self._results.print(table, width=table.width)


@contextmanager
def _standard_output() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:  # the reader closed the pipe; Typer exits silently
        raise
    except OSError as error:
        with suppress(OSError):  # otherwise Python would flush the rest at exit and fail again
            sys.stdout.close()
        raise BprError(f"standard output cannot be written: {error.strerror or error}") from error


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
