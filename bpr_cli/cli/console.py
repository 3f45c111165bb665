"""The one place that writes to the terminal: results to standard output, everything else to standard error."""

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
"""How many failures are shown one by one."""


class Console:
    """Messages and tables for people, and JSON for programs.

    rich is imported when there is something to show, because help texts must not wait for it.
    """

    def __init__(self) -> None:
        from bpr_cli.system.terminal import message_console  # noqa: PLC0415

        self._messages = message_console()

    def note(self, message: str) -> None:
        """Say something in passing."""
        self._messages.print(printable(message))

    def error(self, message: str) -> None:
        """Say what went wrong, in one line."""
        from rich.text import Text  # noqa: PLC0415

        self._messages.print(Text.assemble(("error:", "bold red"), " ", printable(message)))

    def failures(self, failures: Sequence[Failure], elsewhere: str) -> None:
        """Say why items failed, one line each; after ``SHOWN`` of them, how many are left and what lists them all."""
        for failure in failures[:SHOWN]:
            self.error(failure.reason)
        if len(failures) > SHOWN:
            self.error(f"and {len(failures) - SHOWN} more; {elsewhere}")

    def result(self, content: object) -> None:
        """Print a machine-readable result, the only thing that goes to standard output.

        Raises:
            BprError: standard output is a file that cannot be written.
        """
        try:
            # ASCII, as file names may hold what the encoding of standard output, or any encoding, does not.
            typer.echo(json.dumps(content, indent=2))
        except BrokenPipeError:  # nobody listens any more, of which Typer says nothing
            raise
        except OSError as error:
            with suppress(OSError):  # what is left in it must not be tried again, and fail again, at the very end
                sys.stdout.close()
            raise BprError(f"standard output cannot be written: {error.strerror or error}") from error

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show a table under its title; all columns but the first hold numbers."""
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        # Not the title of the rich table, which would break a long path to the width of the columns.
        self._messages.print(Text(printable(title), "bold"))
        table = Table()
        for index, column in enumerate(columns):
            # Folded where the terminal is narrow: a number that is cut off would be another number.
            table.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self._messages.print(table)
