"""``bpr evaluate``: how good predictions are, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bpr_cli.cli import aliases as options
from bpr_cli.cli.aliases import INPUT
from bpr_cli.cli.command import Command
from bpr_cli.cli.console import Console
from bpr_cli.errors import BprError
from bpr_cli.formats.output_checks import check_folder_apart

if TYPE_CHECKING:
    from bpr_cli.evaluation.opening import Opened

MEASURES = "Measures"

EXAMPLES = """
Examples:

  bpr evaluate refined/ --ground-truth gtFine/val/ \\
      --baseline preds/ --images leftImg8bit/val/ --out report/

  bpr evaluate results.json --ground-truth instances_val2017.json

  bpr evaluate preds/ --ground-truth labels/ \\
      --label-set classes.txt --oracle 1,2,3
"""


def evaluate(
    predictions: options.Predictions,
    ground_truth: Annotated[
        Path,
        typer.Option("--ground-truth", "-g", help="Ground truth like the predictions, gtFine, or COCO annotations."),
    ],
    baseline: Annotated[
        Path | None, typer.Option("--baseline", "-b", help="Predictions to compare with, such as those not refined.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option("--images", "-i", help="Images, only for the pictures of the report.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the report (HTML, CSV, JSON); made when missing.")
    ] = None,
    format_: options.FormatName = None,
    task: options.TaskName = None,
    label_set: options.LabelSetName = None,
    ignore_label: options.IgnoreLabels = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Leave out what does not match, or is broken.", rich_help_panel=INPUT),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Of boundary F, in pixels; below 1 a fraction of the diagonal (default: 1).", rich_help_panel=MEASURES
        ),
    ] = None,
    dilation_ratio: Annotated[
        float | None,
        typer.Option(
            help="Width of boundary IoU's bands as a fraction of the diagonal (default: 0.02).",
            rich_help_panel=MEASURES,
        ),
    ] = None,
    max_detections: Annotated[
        int | None,
        typer.Option(
            help="Predictions taken of an image and category (default: 100; LVIS: 300 of an image).",
            rich_help_panel=MEASURES,
        ),
    ] = None,
    oracle: Annotated[
        str | None,
        typer.Option(
            help="Distances such as 1,2,3: figures if all pixels that near to the predicted boundary were right.",
            rich_help_panel=MEASURES,
        ),
    ] = None,
    workers: options.ImageWorkers = None,
    json: options.Json = False,
    _debug: options.Debug = False,
) -> None:
    """Measure predictions against ground truth.

    COCO and Cityscapes instances, label maps, panoptic results and binary
    masks; the figures equal those of the official tools. With a baseline,
    shows both and the difference. Needs neither images nor a network.
    """
    # Metrics take a while to import, and help texts must not wait for them.
    from bpr_cli.evaluation.opening import Inputs, open_evaluation  # noqa: PLC0415
    from bpr_cli.evaluation.settings import EvaluateSettings  # noqa: PLC0415

    given = {
        "tolerance": tolerance,
        "dilation_ratio": dilation_ratio,
        "oracle": None if oracle is None else distances(oracle),
        "label_set": label_set,
        "ignore_labels": None if ignore_label is None else tuple(ignore_label),
        "max_detections": max_detections,
        "allow_missing": allow_missing,
        "workers": workers,
    }
    settings = EvaluateSettings(**options.given(given))  # type: ignore[arg-type]
    inputs = Inputs(predictions, ground_truth, baseline, images, format_, task)
    if out is not None:
        check_folder_apart(out, inputs.paths)
    raise typer.Exit(run(open_evaluation(inputs, settings), out, json))


def distances(text: str) -> tuple[int, ...]:
    """The distances of ``--oracle``, such as ``1,2,3``.

    Raises:
        BprError: they are no whole numbers.
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise BprError(f"--oracle is {text!r}, expected whole numbers of pixels such as 1,2,3") from error


def run(opened: Opened, out: Path | None, json: bool) -> int:
    """Measure, show and write the report, and return the exit code."""
    from bpr_cli.cli.figures import show_report  # noqa: PLC0415
    from bpr_cli.evaluation.outputs import write_report  # noqa: PLC0415
    from bpr_cli.evaluation.run import Evaluation  # noqa: PLC0415

    console = Console()
    evaluation = Evaluation(opened)
    with console.progress("measuring", len(opened.pairs)) as advance:
        report = evaluation.run(advance)
    console.failures(report.failures, "--out and --json name them all")
    show_report(console, report)
    if out is not None:
        for path in write_report(report, out, evaluation.layers):
            console.note(f"written: {path}")
    if json:
        console.result(report.summary_json())
    return 1 if report.failures else 0


app = typer.Typer(add_completion=False)
app.command(cls=Command, epilog=EXAMPLES)(evaluate)
