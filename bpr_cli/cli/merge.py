"""``bpr merge``: complete an output that was refined in shards."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import Json, command_of
from bpr_cli.cli.refine import exit_code, measuring, show_refinement

EXAMPLES = """
Examples:

  bpr refine preds/ --images photos/ --out refined/ --shard 1/2
  bpr refine preds/ --images photos/ --out refined/ --shard 2/2
  bpr merge refined/
"""


def merge(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The --out that bpr refine was given")],
    json: Json = False,
) -> None:
    """Complete an output that was refined in shards.

    Writes the common file, if the format has one, and the report. All files
    are byte for byte those of bpr refine without --shard. Names the shards
    that are missing or unfinished, if there are any, and writes nothing then.
    Needs neither the network nor a GPU.
    """
    from bpr_cli.refinement.merge import merge as run  # noqa: PLC0415 - help texts need not wait for it

    summary = run(out, progress=True)
    show_refinement(Console(), summary, measuring(summary))
    if json:
        Console().json(asdict(summary))
    raise typer.Exit(exit_code(summary))


app = app_of(command_of(merge), EXAMPLES)
