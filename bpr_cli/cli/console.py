"""Writes to the terminal: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from bpr_cli.errors import BprError, printable

if TYPE_CHECKING:
    from bpr_cli.formats.base import Failure

SHOWN = 20
"""Number of failures that are listed one by one."""


class Console:
    """Messages and tables for people, and JSON for programs.

    rich is imported on first use, so that help texts need not wait for it.
    """

    def __init__(self) -> None:
        from bpr_cli.system.terminal import message_console  # noqa: PLC0415

        self._messages = message_console()

    def note(self, message: str) -> None:
        """Print a message."""
        self._messages.print(printable(message))

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

    def result(self, content: object) -> None:
        """Print a machine-readable result, the only thing that goes to standard output.

        Raises:
            BprError: standard output cannot be written.
        """
        try:
            # Plain ASCII, because file names may hold characters that standard output cannot encode.
            typer.echo(json.dumps(content, indent=2))
        except BrokenPipeError:  # the reader closed the pipe; Typer exits silently
            raise
        except OSError as error:
            with suppress(OSError):  # otherwise Python would flush the rest at exit and fail again
                sys.stdout.close()
            raise BprError(f"standard output cannot be written: {error.strerror or error}") from error

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table under its title; all columns but the first hold numbers."""
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        # Printed separately, because rich would wrap a table title with a long path to the width of the columns.
        self._messages.print(Text(printable(title), "bold"))
        table = Table()
        for index, column in enumerate(columns):
            # Fold on narrow terminals, because a truncated number would be wrong.
            table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._messages.print(table)
