"""``bpr extract``: make a patch set for training."""

from __future__ import annotations

from dataclasses import asdict
from functools import reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import COMPARED, Json, OptionsOf, command_of
from bpr_cli.errors import counted
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.patchset.settings import SIMULATION, PatchSetSettings
from bpr_cli.settings import Count, option
from bpr_cli.system.cluster import WITHOUT_GPUS, ClusterSettings

if TYPE_CHECKING:
    from bpr_cli.patchset.extract import ExtractResult

NAME_WIDTH = 36
"""Longest name of a source in the closing table, in characters."""

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
        typer.Option(
            "--images", "-i", metavar="PATH", help="Directory of the images: one for all PREDICTIONS, or one for each"
        ),
    ],
    ground_truth: Annotated[
        list[Path],
        typer.Option(
            "--ground-truth",
            "-g",
            metavar="PATH",
            help="Ground truth in the format of the predictions, or gtFine: one for all, or one for each",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="PATH", help="Directory of the patch set, created if missing")
    ],
    options: Annotated[dict[str, Any], OptionsOf(ReadSettings, COMPARED)],
    values: Annotated[dict[str, Any], OptionsOf(PatchSetSettings)],
    cluster: Annotated[dict[str, Any], OptionsOf(ClusterSettings, WITHOUT_GPUS)],
    predictions: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PREDICTIONS", help="Predictions of one or several models: directories or JSON files"),
    ] = None,
    simulated: Annotated[
        bool,
        typer.Option("--simulate", help="Make coarse masks from the ground truth too", rich_help_panel=SIMULATION),
    ] = False,
    workers: Annotated[Count | None, option("Images processed in parallel (default: the cores, at most 4)")] = None,
    processes: Annotated[
        Count | None,
        option(
            "Processes that share the images; the set is the same (default: 1, and on a cluster as many as it has room "
            "for)",
            metavar="NUMBER",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh; an existing patch set is removed")
    ] = False,
    json: Json = False,
) -> None:
    """Make a patch set for training from predictions and ground truth.

    Writes training patches (image, coarse mask, ground truth) along the
    boundaries of coarse masks to a few shard files. Without predictions,
    --simulate makes coarse masks from the ground truth. Interrupted runs
    resume when you repeat the command.
    """
    # Imported here, so that help texts need not wait for OpenCV and the readers.
    from bpr_cli.patchset.extract import extract as run  # noqa: PLC0415

    result = run(
        predictions,
        images,
        ground_truth,
        out,
        PatchSetSettings(**{"simulate": int(simulated), **values}),
        **options,
        workers=workers,
        processes=processes,
        cluster=ClusterSettings(**cluster),
        overwrite=overwrite,
        progress=True,
    )
    console = Console()
    console.failures(result.failures, "--json names them all")
    show(console, result)
    if json:
        console.json(summary(result))
    raise typer.Exit(1 if result.failures else 0)


app = app_of(command_of(extract), EXAMPLES)


def show(console: Console, result: ExtractResult) -> None:
    """Print the closing table, and why masks did not match."""
    patch_set = result.patch_set
    if result.resumed:
        console.message(f"done before: {counted(result.resumed, 'image')}; --overwrite starts afresh")
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
    total = reduce(add, (source.counts for source in patch_set.sources))
    if unmatched := total.segments - total.matched:
        reasons = total.why_unmatched(patch_set.settings.min_iou)
        console.message(f"{unmatched} of {total.segments} masks did not match: {reasons}")


def shortened(name: str) -> str:
    """A long path cut to its end, which is the most specific part."""
    return name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"


def summary(result: ExtractResult) -> dict[str, object]:
    """The content that ``--json`` prints."""
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
