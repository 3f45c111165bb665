"""``bpr check``: whether predictions can be refined, and what that will take."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bpr_cli.cli import aliases as options
from bpr_cli.cli.command import Command
from bpr_cli.cli.console import Console
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.open import open_predictions
from bpr_cli.refinement.settings import RefineSettings

if TYPE_CHECKING:
    from bpr_cli.refinement.check import CheckSummary

EXAMPLES = """
Examples:

  bpr check preds/ --images leftImg8bit/val/

  bpr check results.json --images val2017/ \\
      --image-info instances_val2017.json --json | jq .failures
"""


def check(
    predictions: options.Predictions,
    images: options.Images,
    format_: options.FormatName = None,
    task: options.TaskName = None,
    image_info: options.ImageInfo = None,
    ignore_label: options.LabelsToLeave = None,
    nms_threshold: options.NmsThreshold = None,
    scheme: options.SchemeName = None,
    weights: options.Weights = None,
    scales: options.Scales = None,
    flip: options.Flip = None,
    device: options.Device = None,
    precision: options.PrecisionName = None,
    batch_size: options.BatchSize = None,
    workers: options.Workers = None,
    json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Check predictions before refining them.

    Reads all predictions, matches them with their images, and names what is
    broken. Counts images, segments and patches, and estimates time and memory
    by a few passes of the network. Writes nothing; exit codes are those of
    bpr refine, whose --dry-run is the same.
    """
    settings = options.refine_settings(
        weights=weights,
        nms_threshold=nms_threshold,
        scheme=scheme,
        scales=options.numbers("--scales", scales),
        flip=flip,
        device=device,
        precision=precision,
        batch_size=batch_size,
        workers=workers,
    )
    opened = open_predictions(predictions, images, options.read_options(format_, task, image_info, ignore_label))
    raise typer.Exit(run_check(opened, settings, json))


def run_check(
    predictions: PredictionSet,
    settings: RefineSettings,
    json: bool,
    out: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Check, and where it is known also what is in the output, show what was found, and return the exit code."""
    # PyTorch takes seconds to import: only once the input can be opened.
    from bpr_cli.refinement.check import check_predictions  # noqa: PLC0415
    from bpr_cli.refinement.job import check_start  # noqa: PLC0415
    from bpr_cli.refinement.refiner import Refiner  # noqa: PLC0415

    console = Console()
    refiner = Refiner(settings)
    if out is not None:
        check_start(refiner, predictions, out, overwrite)
    with console.progress("checking", len(predictions.items)) as advance:
        summary = check_predictions(refiner, predictions, lambda _: advance())
    for failure in summary.failures:
        console.error(failure.reason)
    if summary.images:
        show(console, summary)
    if json:
        console.result(asdict(summary))
    return options.exit_code(summary.images, summary.failures)


def show(console: Console, summary: CheckSummary) -> None:
    """The closing table."""
    memory = summary.estimate.memory
    rows = [
        ("images", f"{summary.images}"),
        *([("broken", f"{len(summary.failures)}")] if summary.failures else []),
        ("segments", f"{summary.segments}"),
        ("patches", f"{summary.patches}"),
        ("patches per second", f"{summary.estimate.patches_per_second:.1f}"),
        ("time of the network", duration(summary.estimate.seconds)),
        *([("memory, at most", f"{memory / 1e9:.1f} GB")] if memory is not None else []),
    ]
    title = f"{summary.format} with {summary.weights.name} on {', '.join(summary.devices)}; nothing was written"
    console.table(title, ("to be refined", ""), rows)


def duration(seconds: float) -> str:
    """A time for people."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


app = typer.Typer(add_completion=False)
app.command(cls=Command, epilog=EXAMPLES)(check)
