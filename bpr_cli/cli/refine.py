"""``bpr refine``: the main job, and its dry run, which is also ``bpr check``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import OUT, Images, Json, Predictions, command_of
from bpr_cli.formats.settings import ReadSettings
from bpr_cli.refinement.settings import RefineSettings

if TYPE_CHECKING:
    from bpr_cli.formats.base import PredictionSet
    from bpr_cli.refinement.check import CheckSummary
    from bpr_cli.refinement.report import RefineSummary

EXAMPLES = """
Examples:

  bpr refine mask.png --images photo.jpg --out refined.png

  bpr refine results.json --images val2017/ \\
      --image-info instances_val2017.json --out refined/

  bpr refine preds/ --images leftImg8bit/val/ --out refined/
"""


def refine(
    predictions: Predictions,
    images: Images,
    out: Annotated[Path | None, OUT],
    reading: ReadSettings,
    settings: RefineSettings,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh instead of resuming an interrupted run")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all input, estimate time and memory, and write nothing")
    ] = False,
    json: Json = False,
) -> None:
    """Sharpen the boundaries of predicted masks.

    Reads the predictions of any instance, semantic or panoptic model,
    re-segments a thin band along each predicted boundary, and writes the
    refined masks in the input format. Needs no ground truth. Interrupted runs
    resume when you repeat the command.
    """
    # Help texts need none of these, and input is checked before PyTorch is imported, which takes seconds.
    from bpr_cli.formats.open import open_predictions  # noqa: PLC0415
    from bpr_cli.formats.output_checks import check_outputs  # noqa: PLC0415

    opened = open_predictions(predictions, images, reading)
    if out:
        check_outputs(out, refined=opened)
    console = Console()
    summary: RefineSummary | CheckSummary
    if dry_run or not out:
        summary = show_check(console, opened, settings, out, overwrite)
    else:
        summary = show_refinement(console, opened, settings, out, overwrite)
    if json:
        console.result(asdict(summary))
    raise typer.Exit(exit_code(summary))


app = app_of(command_of(refine), EXAMPLES)


def show_refinement(
    console: Console, predictions: PredictionSet, settings: RefineSettings, out: Path, overwrite: bool
) -> RefineSummary:
    """Refine, and show what was done."""
    from bpr_cli.refinement.job import refine_opened  # noqa: PLC0415
    from bpr_cli.refinement.refiner import Refiner  # noqa: PLC0415
    from bpr_cli.system.terminal import show_progress  # noqa: PLC0415

    refiner = Refiner(settings)
    with show_progress(True, "refining", len(predictions.items)) as advance:
        summary = refine_opened(refiner, predictions, out, overwrite, lambda _: advance())
    if summary.resumed:
        console.note(f"{summary.resumed} images were done before; --overwrite starts afresh")
    show_failures(console, summary)
    if summary.images:
        where = f"{', '.join(summary.devices)} ({summary.backend})"
        title = f"{summary.format} with {summary.weights.name} on {where} -> {summary.output}"
        console.table(title, ("refined", ""), refinement_rows(summary))
    return summary


def refinement_rows(summary: RefineSummary) -> list[tuple[str, str]]:
    """The closing table of a refinement."""
    failed = [("failed", f"{len(summary.failures)}")] if summary.failures else []
    kept = [("kept unrefined by a bound", f"{summary.kept_coarse}")] if summary.settings.has_limits else []
    return [
        ("images", f"{summary.images}"),
        *failed,
        ("segments", f"{summary.segments}"),
        ("patches", f"{summary.patches}"),
        ("mean boundary displacement", f"{summary.boundary_movement:.2f} px"),
        *kept,
        *(
            (f"{'crop' if stage == 'cut' else stage} time", f"{seconds:.1f} s")
            for stage, seconds in summary.seconds.items()
        ),
        ("total time", f"{summary.elapsed:.1f} s"),
    ]


def show_check(
    console: Console, predictions: PredictionSet, settings: RefineSettings, out: Path | None, overwrite: bool
) -> CheckSummary:
    """Check everything that a refinement would read and, where it is known, its output, and show what was found."""
    from bpr_cli.refinement.check import check_opened  # noqa: PLC0415
    from bpr_cli.refinement.refiner import Refiner  # noqa: PLC0415
    from bpr_cli.system.terminal import show_progress  # noqa: PLC0415

    refiner = Refiner(settings)
    with show_progress(True, "checking", len(predictions.items)) as advance:
        summary = check_opened(refiner, predictions, out, overwrite, lambda _: advance())
    show_failures(console, summary)
    if summary.images:
        title = f"{summary.format} with {summary.weights.name} on {', '.join(summary.devices)}; nothing was written"
        console.table(title, ("to be refined", ""), check_rows(summary))
    return summary


def check_rows(summary: CheckSummary) -> list[tuple[str, str]]:
    """The closing table of a check."""
    broken = [("broken", f"{len(summary.failures)}")] if summary.failures else []
    memory = summary.estimate.memory
    return [
        ("images", f"{summary.images}"),
        *broken,
        ("segments", f"{summary.segments}"),
        ("patches", f"{summary.patches}"),
        ("patches per second", f"{summary.estimate.patches_per_second:.1f}"),
        ("network time", duration(summary.estimate.seconds)),
        *([("memory, at most", f"{memory / 1e9:.1f} GB")] if memory is not None else []),
    ]


def duration(seconds: float) -> str:
    """A time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def show_failures(console: Console, summary: RefineSummary | CheckSummary) -> None:
    """A line for everything that failed."""
    for failure in summary.failures:
        console.error(failure.reason)


def exit_code(summary: RefineSummary | CheckSummary) -> int:
    """0: all images are done; 1: some failed; 2: all did."""
    if not summary.failures:
        return 0
    return 1 if summary.images else 2
