"""The ``bpr`` command line: its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from bpr_cli.cli import check, demo, evaluate, extract, options, refine, train, weights
from bpr_cli.version import __version__

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
