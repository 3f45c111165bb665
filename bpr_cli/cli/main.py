"""The ``bpr`` command: its subcommands and the one place where expected errors become a line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from bpr_cli import BprError, __version__
from bpr_cli.cli import demo, refine
from bpr_cli.cli.console import Console

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some items failed and are named, 2 wrong usage or unusable input.",
)
app.command(epilog=refine.EXAMPLES)(refine.refine)
app.command(epilog=demo.EXAMPLES)(demo.demo)


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
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Sharpen the boundaries of segmentation masks that already exist."""


def main() -> None:
    """Run the command line; an expected error is one line and exit code 2."""
    try:
        app()
    except BprError as error:
        if "--debug" in sys.argv:
            raise
        Console().error(str(error))
        sys.exit(2)
