"""Writes to the terminal: results to standard output, progress and notes to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import typer

from bpr_cli.errors import BprError, printable

if TYPE_CHECKING:
    from bpr_cli.formats.base import Failure

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
            typer.echo(json.dumps(content, indent=2))

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

        from bpr_cli.cli.tables import table_of  # noqa: PLC0415

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
