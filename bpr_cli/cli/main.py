"""The ``bpr`` command: its subcommands and the one place where expected errors become a line."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from bpr_cli.cli import check, demo, evaluate, extract, options, refine, train, weights
from bpr_cli.cli.console import Console
from bpr_cli.errors import BprError
from bpr_cli.version import __version__

UNUSABLE = 2
"""Exit code for wrong usage and unusable input."""

INTERRUPTED = 130
"""Exit code that Typer, like shells, gives to a command stopped by Ctrl-C."""

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some items failed and are named, 2 wrong usage or unusable input.",
)
app.command(epilog=refine.EXAMPLES)(refine.refine)
app.command(epilog=check.EXAMPLES)(check.check)
app.command(epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(epilog=extract.EXAMPLES)(extract.extract)
app.command(epilog=train.EXAMPLES)(train.train)
app.command(epilog=demo.EXAMPLES)(demo.demo)
app.add_typer(weights.app, name="weights")


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"bpr {__version__}")
        raise typer.Exit


@app.callback()
def bpr(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Sharpen the boundaries of segmentation masks that already exist."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; an expected error is one line and exit code 2.

    Args:
        arguments: what follows the program's name; by default those that the program was started with.
    """
    switches = options.Switches()
    try:
        app(arguments, prog_name="bpr", obj=switches)
    except BprError as error:
        if switches.debug:
            traceback.print_exc()
        Console().error(str(error))
        sys.exit(UNUSABLE)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            Console().error("interrupted; files that are there are complete, start again for the rest")
        raise
