"""``bpr train``: train a network on patch sets."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bpr_cli.cli.command import app_of, explaining
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import Json, OptionsOf, command_of
from bpr_cli.errors import BprError
from bpr_cli.system.signals import Stopped
from bpr_cli.training.recipe import DEFAULT_RECIPE, load_recipe, parse_overrides, purpose_of, shipped_recipes, to_toml
from bpr_cli.training.settings import RECIPE, OptimiserSettings, Recipe, TrainSettings

if TYPE_CHECKING:
    from bpr_cli.training.train import TrainSummary

SHORTCUTS = ("steps", "batch_size", "input_size", "validate_every", "patience")
"""Recipe values that have their own option."""

PATCHES_HELP = "Patch sets to train on, made by bpr extract"
OUT_HELP = "Run directory; an existing run with the same settings, or fewer steps, is resumed"
"""Only ``--show-recipe`` needs neither, so that they cannot be required parameters."""

EXAMPLES = """
Examples:

  bpr train patches/ --out runs/first

  bpr train patches/ --out runs/paper --recipe paper \\
      --validation patches-val/ --device cuda --precision bfloat16

  torchrun --nproc-per-node 8 -m bpr_cli train patches/ \\
      --out runs/large --network hrnet48 --set ema_decay=0.9995
"""


def train(
    patches: Annotated[list[Path] | None, typer.Argument(metavar="PATCHES", help=f"{PATCHES_HELP} (required)")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="PATH", help=f"{OUT_HELP} (required)")] = None,
    *,
    recipe: Annotated[
        str,
        typer.Option(
            metavar="NAME_OR_FILE",
            help=f"One of the recipes below, or a recipe file (default: {DEFAULT_RECIPE})",
            rich_help_panel=RECIPE,
        ),
    ] = DEFAULT_RECIPE,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a value of the recipe; may be repeated",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    recipe_values: Annotated[dict[str, Any], OptionsOf(Recipe, SHORTCUTS)],
    optimiser_values: Annotated[dict[str, Any], OptionsOf(OptimiserSettings, ("learning_rate",))],
    show_recipe: Annotated[
        bool,
        typer.Option(
            "--show-recipe",
            help="Print the recipe with all its values as TOML, and train nothing",
            rich_help_panel=RECIPE,
        ),
    ] = False,
    values: Annotated[dict[str, Any], OptionsOf(TrainSettings)],
    json: Json = False,
) -> None:
    """Train a network on patch sets.

    Writes weights for bpr refine --weights: OUT/best.safetensors and
    OUT/last.safetensors. Interrupted runs resume when you repeat the command,
    and finished ones go on if you give more --steps.
    """
    shortcuts = recipe_values | {f"optimiser.{name}": value for name, value in optimiser_values.items()}
    overrides = {**parse_overrides(set_ or []), **shortcuts}
    settings = TrainSettings(load_recipe(recipe, overrides), **values)
    if show_recipe:
        typer.echo(to_toml(settings.recipe), nl=False)
        return
    if not patches or out is None:
        missing = f"--out is missing ({OUT_HELP})" if patches else f"PATCHES is missing ({PATCHES_HELP})"
        raise BprError(f"{missing}; see bpr train --help")
    # Imported here, because PyTorch takes seconds and wrong options should fail at once.
    from bpr_cli.training.train import train as run  # noqa: PLC0415

    summary = run(patches, out, settings, progress=True)
    if summary is None:  # only the first of several processes reports
        return
    console = Console()
    if json:
        console.json(asdict(summary))
    if summary.stopped_by:
        same = "the same command" + (", without --overwrite," if settings.overwrite else "")
        console.message(f"saved after step {summary.stopped_at} of {summary.steps}; repeat {same} to resume")
        raise typer.Exit(Stopped(summary.stopped_by).code)
    show(console, summary)
    if summary.stopped_early and summary.best:
        console.message(
            f"stopped after step {summary.stopped_at} of {summary.steps}: no validation was better than that of step "
            f"{summary.best.step}; to train on, repeat the command with more --patience"
        )


PURPOSES = {name: purpose_of(path) for name, path in shipped_recipes().items()}
app = app_of(command_of(train), EXAMPLES, command=explaining("Recipes", PURPOSES))


def show(console: Console, summary: TrainSummary) -> None:
    """Print the closing table."""
    rows = [("coarse masks", "", f"{summary.coarse.iou:.1f}", f"{summary.coarse.boundary_f:.1f}")]
    if summary.initial:
        rows.append(("initial weights", "0", f"{summary.initial.iou:.1f}", f"{summary.initial.boundary_f:.1f}"))
    for name, found in (("last", summary.last), ("best", summary.best)):
        if found:
            rows.append((name, f"{found.step}", f"{found.iou:.1f}", f"{found.boundary_f:.1f}"))
    title = f"{summary.network} on {summary.patches} patches -> {summary.output}, scores in percent"
    console.table(title, (f"{summary.coarse.patches} held-out patches", "step", "IoU", "boundary F, 1 px"), rows)
    initial, best = summary.initial, summary.best
    if initial and best and initial.iou + initial.boundary_f > best.iou + best.boundary_f:
        console.note("the initial weights score higher than all that followed; train for more steps, or keep them")
    for path in [*summary.weights.values(), summary.curves, summary.sheet]:
        console.message(f"written: {path}")
    console.message(
        "the weights have no judge yet, which takes wrong changes back: bpr weights judge teaches one from sets that "
        "bpr extract makes with --scheme image"
    )
