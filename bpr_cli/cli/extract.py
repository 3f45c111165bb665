"""``bpr extract``: a patch set to train on."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bpr_cli.cli import aliases as options
from bpr_cli.cli.aliases import INPUT
from bpr_cli.cli.command import Command
from bpr_cli.cli.console import Console
from bpr_cli.patchset.settings import PatchSetSettings

if TYPE_CHECKING:
    from bpr_cli.patchset.extract import ExtractResult

DEFAULTS = PatchSetSettings()
PATCHES, SIMULATION = "Patches", "Simulated masks"

NAME_WIDTH = 36
"""Characters of a source's name in the closing table."""

EXAMPLES = """
Examples:

  bpr extract results.json --images train2017/ \\
      --ground-truth instances_train2017.json --out patches/

  bpr extract preds_a/ preds_b/ --images images/ \\
      --ground-truth labels/ --max-patches 100000 --out patches/

  bpr extract --simulate --images images/ \\
      --ground-truth masks/ --out patches/
"""


def extract(
    images: Annotated[
        list[Path],
        typer.Option("--images", "-i", help="Directory of the images; one for all PREDICTIONS, or one for each."),
    ],
    ground_truth: Annotated[
        list[Path],
        typer.Option(
            "--ground-truth", "-g", help="Ground truth in the form of the predictions, or gtFine; one for all, or each."
        ),
    ],
    out: options.Out,
    predictions: Annotated[
        list[Path] | None, typer.Argument(help="Predictions of one or several models: directories or JSON files.")
    ] = None,
    format_: options.FormatName = None,
    task: options.TaskName = None,
    label_set: options.LabelSetName = None,
    ignore_label: options.IgnoreLabels = None,
    min_iou: Annotated[
        float | None,
        typer.Option(
            help=f"IoU with a true mask that a coarse mask must exceed (default: {DEFAULTS.min_iou}).",
            rich_help_panel=INPUT,
        ),
    ] = None,
    patch_size: Annotated[
        int | None,
        typer.Option(help=f"Side of the patches in pixels (default: {DEFAULTS.patch_size}).", rich_help_panel=PATCHES),
    ] = None,
    padding: Annotated[
        int | None,
        typer.Option(
            help=f"Context around the patches in pixels, with room to vary them (default: {DEFAULTS.padding}).",
            rich_help_panel=PATCHES,
        ),
    ] = None,
    scheme: Annotated[
        str | None,
        typer.Option(
            help="Where patches lie: dense along the boundary, cover: fewer of them, grid, instance: one around each "
            f"mask, or image: whole images, from which training crops its own patches (default: {DEFAULTS.scheme}).",
            rich_help_panel=PATCHES,
        ),
    ] = None,
    nms_threshold: Annotated[
        float | None,
        typer.Option(
            help=f"Overlap of patches of the scheme dense (default: {DEFAULTS.nms_threshold}).", rich_help_panel=PATCHES
        ),
    ] = None,
    keep_inferior: Annotated[
        bool | None,
        typer.Option(
            "--keep-inferior",
            help="Keep patches of label maps that hold one class only away from their border.",
            rich_help_panel=PATCHES,
        ),
    ] = None,
    max_patches: Annotated[
        int | None,
        typer.Option(
            "--max-patches",
            "--sample",
            help="Draw so many patches of all at random, without replacement (default: keep all).",
            rich_help_panel=PATCHES,
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help=f"Of the draw and of simulated masks (default: {DEFAULTS.seed}).", rich_help_panel=PATCHES),
    ] = None,
    jpeg: Annotated[
        int | None,
        typer.Option(
            help="Store images as JPEG of this quality, for a set to be carried over a network (default: PNG).",
            rich_help_panel=PATCHES,
        ),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Make coarse masks from the ground truth too.", rich_help_panel=SIMULATION),
    ] = False,
    simulations: Annotated[
        int | None,
        typer.Option(
            help="Simulated masks of every true one (default with --simulate: 1).", rich_help_panel=SIMULATION
        ),
    ] = None,
    workers: options.ImageWorkers = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove a patch set that is there already.")] = False,
    json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Make a patch set for training out of predictions and ground truth.

    Cuts patches along the boundaries of coarse masks, each with what is true
    of it. Started again after an interruption, it goes on where it was.
    Without predictions, --simulate makes coarse masks from the ground truth.
    """
    # OpenCV and the readers take a while to import, and help texts must not wait for them.
    from bpr_cli.patchset.extract import Extraction  # noqa: PLC0415
    from bpr_cli.patchset.sources import pair_paths  # noqa: PLC0415

    given = {
        "patch_size": patch_size,
        "padding": padding,
        "scheme": scheme,
        "nms_threshold": nms_threshold,
        "min_iou": min_iou,
        "keep_inferior": keep_inferior,
        "max_patches": max_patches,
        "seed": seed,
        "simulate": simulations if simulations is not None else int(simulate),
        "jpeg": jpeg,
        "label_set": label_set,
        "ignore_labels": None if ignore_label is None else tuple(ignore_label),
    }
    settings = replace(DEFAULTS, **options.given(given))  # type: ignore[arg-type]
    sources = pair_paths(predictions or [], images, ground_truth, settings)
    extraction = Extraction(sources, settings, format_, task)
    console = Console()
    with console.progress("extracting", extraction.images) as advance:
        result = extraction.run(out, workers, overwrite, advance)
    console.failures(result.failures, "--json names them all")
    show(console, result)
    if json:
        console.result(summary(result))
    raise typer.Exit(1 if result.failures else 0)


def show(console: Console, result: ExtractResult) -> None:
    """The closing table."""
    patch_set = result.patch_set
    if result.resumed:
        console.note(f"{result.resumed} images were done before; --overwrite starts afresh")
    rows = [
        (
            shortened(source.name),
            *(f"{count}" for count in (seen.images, seen.segments, seen.matched, seen.patches, seen.dropped)),
        )
        for source in patch_set.sources
        for seen in [source.counts]
    ]
    columns = ("source", "images", "masks", "matched", "patches", "dropped")
    console.table(f"{len(patch_set)} patches in {patch_set.path}, {patch_set.bytes / 1e6:.1f} MB", columns, rows)


def shortened(name: str) -> str:
    """The end of a long path, which tells more than its beginning."""
    return name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"


def summary(result: ExtractResult) -> dict[str, object]:
    """What ``--json`` prints."""
    patch_set = result.patch_set
    return {
        "out": str(patch_set.path),
        "digest": patch_set.digest,
        "patches": len(patch_set),
        "bytes": patch_set.bytes,
        "settings": asdict(patch_set.settings),
        "sources": [asdict(source) for source in patch_set.sources],
        "resumed_images": result.resumed,
        "failures": [asdict(failure) for failure in result.failures],
        "elapsed": round(result.elapsed, 3),
    }


app = typer.Typer(add_completion=False)
app.command(cls=Command, epilog=EXAMPLES)(extract)
