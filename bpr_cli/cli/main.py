"""The ``bpr`` command, and the one place where expected errors and signals become a line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from bpr_cli.errors import BprError
from bpr_cli.system.signals import end_quietly, stopping

UNUSABLE = 2
"""Exit code for wrong usage and unusable input."""

RESUMED = ("refine", "extract", "train")
"""Commands that go on with what an earlier start has done."""


def program() -> None:
    """Run the command line in a process of its own."""
    end_quietly()
    main()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; an expected error is one line and exit code 2, a signal one and 128 + its number.

    Args:
        arguments: what follows the program's name; by default those that the program was started with.
    """
    given = sys.argv[1:] if arguments is None else arguments
    with stopping(how_to_go_on(given)):
        _run(arguments)


def _run(arguments: Sequence[str] | None) -> None:
    # They take a while to import, in which the program may be asked to stop.
    from bpr_cli.cli.app import app  # noqa: PLC0415
    from bpr_cli.cli.command import Switches  # noqa: PLC0415
    from bpr_cli.cli.console import Console  # noqa: PLC0415

    switches = Switches()
    try:
        app(arguments, prog_name="bpr", obj=switches)
    except BprError as error:
        from bpr_cli.cli.console import Console  # noqa: PLC0415

        if switches.debug:
            traceback.print_exc()
        Console().error(str(error))
        sys.exit(UNUSABLE)


def how_to_go_on(arguments: Sequence[str]) -> str:
    """What to do after a stop."""
    command = next((each for each in arguments if not each.startswith("-")), "")
    if command not in RESUMED:
        return "no file is there in part; give the same command again to start over"
    without = ", without --overwrite," if "--overwrite" in arguments else ""
    return f"give the same command again{without} to go on"
