"""The ``bpr`` command; turns expected errors and signals into one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper

from bpr_cli.errors import BprError
from bpr_cli.system.signals import end_quietly, stopping

UNUSABLE = 2
"""Exit code for wrong usage and unusable input."""

RESUMED = ("refine", "extract", "train")
"""Commands that can resume an interrupted run."""


def program() -> None:
    """Entry point of the ``bpr`` process."""
    end_quietly()
    if isinstance(sys.stdout, TextIOWrapper):  # it cannot encode every file name
        sys.stdout.reconfigure(errors="backslashreplace")
    main()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    An expected error prints one line and exits with code 2; a signal prints one line and exits with 128 + its number.

    Args:
        arguments: command-line arguments without the program's name; by default those of this process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    with stopping(how_to_go_on(given)):
        _run(arguments)


def _run(arguments: Sequence[str] | None) -> None:
    # Imported here, because a signal may arrive during these slow imports.
    from bpr_cli.cli.app import app  # noqa: PLC0415
    from bpr_cli.cli.command import Switches  # noqa: PLC0415
    from bpr_cli.cli.console import Console  # noqa: PLC0415

    switches = Switches()
    try:
        app(arguments, prog_name="bpr", obj=switches)
    except BprError as error:
        if switches.debug:
            traceback.print_exc()
        Console().error(str(error))
        sys.exit(UNUSABLE)


def how_to_go_on(arguments: Sequence[str]) -> str:
    """Advice to print after the program was stopped."""
    command = next((each for each in arguments if not each.startswith("-")), "")
    if command not in RESUMED:
        return "no partial file was left; repeat the same command to start over"
    without = ", without --overwrite," if "--overwrite" in arguments else ""
    return f"repeat the same command{without} to resume"
