"""``bpr refine``: the main job."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bpr_cli.cli import aliases as options
from bpr_cli.cli.aliases import BOUNDS
from bpr_cli.cli.check import run_check
from bpr_cli.cli.command import Command
from bpr_cli.cli.console import Console
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.output_checks import check_names, check_output, check_overwriting
from bpr_cli.refinement.report import RefineSummary
from bpr_cli.refinement.settings import RefineSettings

EXAMPLES = """
Examples:

  bpr refine mask.png --images photo.jpg --out refined.png

  bpr refine results.json --images val2017/ \\
      --image-info instances_val2017.json --out refined/

  bpr refine preds/ --images leftImg8bit/val/ --out refined/
"""


def refine(
    predictions: options.Predictions,
    images: options.Images,
    out: options.Out,
    format_: options.FormatName = None,
    task: options.TaskName = None,
    image_info: options.ImageInfo = None,
    ignore_label: options.LabelsToLeave = None,
    nms_threshold: options.NmsThreshold = None,
    scheme: options.SchemeName = None,
    max_area_change: Annotated[
        float | None,
        typer.Option(
            help="A segment whose area changes by more than this fraction of it, such as 0.5, keeps its coarse mask.",
            rich_help_panel=BOUNDS,
        ),
    ] = None,
    min_iou_with_coarse: Annotated[
        float | None,
        typer.Option(
            help="A segment whose IoU with its coarse mask is below this, such as 0.5, keeps its coarse mask.",
            rich_help_panel=BOUNDS,
        ),
    ] = None,
    core: options.Core = None,
    weights: options.Weights = None,
    scales: options.Scales = None,
    flip: options.Flip = None,
    device: options.Device = None,
    precision: options.PrecisionName = None,
    backend: options.BackendName = None,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Refine all again, also what an earlier start has done.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all input, estimate time and memory, and write nothing.")
    ] = False,
    json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Sharpen the boundaries of predicted masks.

    Reads the predictions of any instance, semantic or panoptic model,
    re-decides patches along the predicted boundaries, and writes the refined
    predictions in the format they came in. Needs no ground truth. Started
    again after an interruption, it goes on where it was.
    """
    settings = options.refine_settings(
        weights=weights,
        nms_threshold=nms_threshold,
        scheme=scheme,
        scales=options.numbers("--scales", scales),
        flip=flip,
        core=core,
        device=device,
        precision=precision,
        backend=backend,
        max_area_change=max_area_change,
        min_iou_with_coarse=min_iou_with_coarse,
        batch_size=batch_size,
        workers=workers,
    )
    check_output(predictions, images, out)
    opened = open_predictions(predictions, images, options.read_options(format_, task, image_info, ignore_label))
    check_overwriting(opened, out)
    check_names(opened, out)
    if dry_run:
        raise typer.Exit(run_check(opened, settings, json, out, overwrite))
    raise typer.Exit(run(opened, settings, out, overwrite, json))


def run(predictions: PredictionSet, settings: RefineSettings, out: Path, overwrite: bool, json: bool) -> int:
    """Refine, show what was done, and return the exit code."""
    # PyTorch takes seconds to import: only once all input is checked.
    from bpr_cli.refinement.job import refine_to  # noqa: PLC0415
    from bpr_cli.refinement.refiner import Refiner  # noqa: PLC0415

    console = Console()
    refiner = Refiner(settings)
    with console.progress("refining", len(predictions.items)) as advance:
        summary = refine_to(refiner, predictions, out, overwrite, lambda _: advance())
    if summary.resumed:
        console.note(f"{summary.resumed} images were done before; --overwrite starts afresh")
    for failure in summary.failures:
        console.error(failure.reason)
    if summary.images:
        show(console, summary)
    if json:
        console.result(asdict(summary))
    return options.exit_code(summary.images, summary.failures)


def show(console: Console, summary: RefineSummary) -> None:
    """The closing table."""
    rows = [
        ("images", f"{summary.images}"),
        ("segments", f"{summary.segments}"),
        ("patches", f"{summary.patches}"),
        ("boundaries moved by, mean", f"{summary.boundary_movement:.2f} px"),
        *([("kept coarse by a bound", f"{summary.kept_coarse}")] if summary.settings.has_limits else []),
        *((f"{stage}, busy", f"{seconds:.1f} s") for stage, seconds in summary.seconds.items()),
        ("in all", f"{summary.elapsed:.1f} s"),
    ]
    if summary.failures:
        rows.insert(1, ("failed", f"{len(summary.failures)}"))
    where = f"{', '.join(summary.devices)} ({summary.backend})"
    title = f"{summary.format} with {summary.weights.name} on {where} -> {summary.output}"
    console.table(title, ("refined", ""), rows)


app = typer.Typer(add_completion=False)
app.command(cls=Command, epilog=EXAMPLES)(refine)
