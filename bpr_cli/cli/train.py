"""``bpr train``: a network of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bpr_cli.cli import aliases as options
from bpr_cli.cli.aliases import ENGINE
from bpr_cli.cli.command import Command
from bpr_cli.cli.console import Console
from bpr_cli.system.signals import Stopped
from bpr_cli.training.recipe import DEFAULT_RECIPE, load_recipe, parse_overrides, shipped_recipes
from bpr_cli.training.settings import TrainSettings

if TYPE_CHECKING:
    from bpr_cli.training.train import Training, TrainSummary

RECIPE, VALIDATION, FILES = "Recipe", "Validation", "Files"
"""Panels of the help text."""

EXAMPLES = """
Examples:

  bpr train patches/ --out runs/first

  bpr train patches/ --out runs/paper --recipe paper \\
      --validation patches-val/ --device cuda --precision bfloat16

  torchrun --nproc-per-node 8 -m bpr_cli train patches/ \\
      --out runs/large --network hrnet48 --set ema_decay=0.9995
"""


def train(
    patches: Annotated[list[Path], typer.Argument(help="Patch sets to train on, made by bpr extract.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Run directory; one that holds the same run is gone on with.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help=f"{' or '.join(shipped_recipes())}, or a recipe file (default: {DEFAULT_RECIPE}).",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a value of the recipe, key=value; may be repeated.", rich_help_panel=RECIPE),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Number of steps.", rich_help_panel=RECIPE)] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Patches a step, over all processes and passes.", rich_help_panel=RECIPE)
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", "--lr", help="Highest learning rate.", rich_help_panel=RECIPE)
    ] = None,
    input_size: Annotated[
        int | None,
        typer.Option(
            help="Side that patches are resized to, a multiple of 32; 0: as they are.", rich_help_panel=RECIPE
        ),
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="Network (default: that of --init, or the recipe's).", rich_help_panel=ENGINE)
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Weights to begin with: a shipped name, .safetensors or .pth.", rich_help_panel=ENGINE),
    ] = None,
    padding: Annotated[
        int | None,
        typer.Option(
            help="Pixels of context to feed (default: the recipe's, or all there is).", rich_help_panel=ENGINE
        ),
    ] = None,
    mask_patch: Annotated[
        bool | None,
        typer.Option("--mask-patch/--no-mask-patch", help="Show the network the coarse mask.", rich_help_panel=ENGINE),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random (default: 0).", rich_help_panel=RECIPE)] = None,
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu, cuda, or a GPU such as cuda:1 (default: auto).", rich_help_panel=ENGINE),
    ] = None,
    precision: options.PrecisionName = None,
    accumulate: Annotated[
        int | None,
        typer.Option(help="Passes that a step is split into when memory is short.", rich_help_panel=ENGINE),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes that prepare batches (default: 1; the cores beside a GPU).", rich_help_panel=ENGINE
        ),
    ] = None,
    validation: Annotated[
        list[Path] | None,
        typer.Option(
            help="Patch set to validate on; may be repeated (default: images held out of PATCHES).",
            rich_help_panel=VALIDATION,
        ),
    ] = None,
    validation_share: Annotated[
        float | None, typer.Option(help="Share of the images to hold out (default: 0.05).", rich_help_panel=VALIDATION)
    ] = None,
    validation_patches: Annotated[
        int | None, typer.Option(help="Most patches to validate on (default: 2000).", rich_help_panel=VALIDATION)
    ] = None,
    validate_every: Annotated[
        int | None, typer.Option(help="Steps between validations.", rich_help_panel=VALIDATION)
    ] = None,
    save_every: Annotated[
        int | None, typer.Option(help="Steps between saved states (default: 200).", rich_help_panel=FILES)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the weights (default: that of --out).", rich_help_panel=FILES)
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights.", rich_help_panel=FILES)] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log for TensorBoard as well.", rich_help_panel=FILES)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh where --out holds a run.", rich_help_panel=FILES)
    ] = False,
    json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Train a network on patch sets.

    Writes weights for bpr refine --weights: OUT/best.safetensors and
    OUT/last.safetensors. Started again with the same settings, a training
    that was stopped or killed goes on where it was.
    """
    shortcuts = {
        "steps": steps,
        "batch_size": batch_size,
        "optimiser.learning_rate": learning_rate,
        "input_size": input_size,
        "validate_every": validate_every,
    }
    overrides = {**parse_overrides(set_ or []), **options.given(shortcuts)}
    settings = TrainSettings(
        load_recipe(recipe or DEFAULT_RECIPE, overrides),
        tensorboard=tensorboard,
        overwrite=overwrite,
        **options.given(  # type: ignore[arg-type]
            {
                "network": network,
                "init": init,
                "padding": padding,
                "mask_patch": mask_patch,
                "validation": tuple(validation) if validation else None,
                "validation_share": validation_share,
                "validation_patches": validation_patches,
                "seed": seed,
                "name": name,
                "licence": licence,
                "device": device,
                "precision": precision,
                "accumulate": accumulate,
                "workers": workers,
                "save_every": save_every,
            }
        ),
    )
    raise typer.Exit(run(patches, out, settings, json))


def run(patches: list[Path], out: Path, settings: TrainSettings, json: bool) -> int:
    """Train, show how it went, and return the exit code."""
    # PyTorch takes seconds to import: not before the command line is understood.
    from bpr_cli.training.train import open_training  # noqa: PLC0415

    console = Console()
    with open_training(patches, out, settings) as training:
        summary = run_shown(console, training)
    if summary is None:
        return 0
    if json:
        console.result(asdict(summary))
    if summary.stopped_by:
        same = "the same command" + (", without --overwrite," if settings.overwrite else "")
        console.note(f"saved after step {summary.stopped_at} of {summary.steps}; {same} goes on from there")
        return Stopped(summary.stopped_by).code
    show(console, summary)
    return 0


def run_shown(console: Console, training: Training) -> TrainSummary | None:
    """Train with a progress display, in the one process of several that speaks."""
    if not training.processes.leads:
        return training.run()
    if training.start:
        console.note(f"going on after step {training.start} of {training.steps}")
    with console.progress("training", training.steps, "steps", training.start) as advance:
        return training.run(lambda loss: advance("" if loss is None else f"loss {loss:.4f}"))


def show(console: Console, summary: TrainSummary) -> None:
    """The closing table."""
    rows = [("coarse masks", "", f"{summary.coarse.iou:.4f}", f"{summary.coarse.boundary_f:.4f}")]
    for name, found in (("last", summary.last), ("best", summary.best)):
        if found:
            rows.append((name, f"{found.step}", f"{found.iou:.4f}", f"{found.boundary_f:.4f}"))
    title = f"{summary.network} on {summary.patches} patches -> {summary.output}"
    console.table(title, (f"{summary.coarse.patches} held-out patches", "step", "IoU", "boundary F, 1 px"), rows)
    for path in summary.weights.values():
        console.note(f"written: {path}")


app = typer.Typer(add_completion=False)
app.command(cls=Command, epilog=EXAMPLES)(train)
