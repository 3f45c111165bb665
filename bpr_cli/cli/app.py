"""The ``bpr`` command line. A subcommand is imported only when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer

from bpr_cli.cli.command import Command, Debug, Group
from bpr_cli.version import __version__

COMMANDS = {
    "refine": "Sharpen the boundaries of predicted masks",
    "merge": "Complete an output that was refined in shards",
    "check": "Check predictions before refining them",
    "evaluate": "Measure predictions against ground truth",
    "convert": "Write predictions in another format",
    "extract": "Make a patch set for training from predictions and ground truth",
    "train": "Train a network on patch sets",
    "export": "Write weights as ONNX, OpenVINO or TorchScript",
    "web": "Write a page that refines masks in a browser",
    "demo": "Refine photographs and an example of every task, and draw pictures",
    "weights": "List, show, convert, start, average, join, judge, quantise and check weights",
}
"""Summary of each subcommand. ``bpr --help`` and shell completion need nothing else."""


class Commands(Group):
    """The group of subcommands; imports only the one that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401
        """Find the subcommand named first in ``args``; returns its name, the command and the remaining arguments."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and typer.main.get_command(import_module(f"bpr_cli.cli.{name}").app), rest


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"bpr {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 some items failed and are named, 2 wrong usage or unusable\ninput.",
)
for command_name, summary in COMMANDS.items():
    app.command(command_name, cls=Command, help=summary)(lambda: None)


@app.callback()
def bpr(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version")
    ] = False,
    debug: Debug = False,
) -> None:
    """Sharpen the boundaries of segmentation masks that already exist."""
