"""``bpr evaluate``: how good predictions are, before and after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import Json, OptionsOf, Predictions, command_of
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.settings import ReadSettings

if TYPE_CHECKING:
    from bpr_cli.evaluation.inputs import EvaluationInputs

EXAMPLES = """
Examples:

  bpr evaluate refined/ --ground-truth gtFine/val/ \\
      --baseline preds/ --images leftImg8bit/val/ --out report/

  bpr evaluate results.json --ground-truth instances_val2017.json

  bpr evaluate preds/ --ground-truth labels/ \\
      --label-set classes.txt --oracle 1,2,3
"""


def evaluate(
    predictions: Predictions,
    ground_truth: Annotated[
        Path,
        typer.Option(
            "--ground-truth",
            "-g",
            metavar="PATH",
            help="Ground truth in the format of the predictions, gtFine, or COCO annotations",
        ),
    ],
    reading: Annotated[dict[str, Any], OptionsOf(ReadSettings, ("format", "task"))],
    settings: EvaluateSettings,
    baseline: Annotated[
        Path | None,
        typer.Option("--baseline", "-b", metavar="PATH", help="Predictions to compare with, e.g. before refinement"),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option("--images", "-i", metavar="PATH", help="Images, only for the pictures of the report"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Directory of the report (HTML, CSV, JSON), created if missing"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure predictions against ground truth.

    Reads COCO and Cityscapes instances, label maps, panoptic results and
    binary masks; the metrics equal those of the official tools. With a
    baseline, shows both and the difference. Needs neither images nor a
    network.
    """
    # Metrics take a while to import, and help texts must not wait for them.
    from bpr_cli.evaluation.inputs import EvaluationPaths, open_evaluation  # noqa: PLC0415
    from bpr_cli.formats.output_checks import check_outputs  # noqa: PLC0415

    read = ReadSettings(**reading)
    paths = EvaluationPaths(predictions, ground_truth, baseline, images, read.format, read.task)
    if out is not None:
        check_outputs(out, paths.all)
    raise typer.Exit(run(open_evaluation(paths, settings), out, json))


app = app_of(command_of(evaluate), EXAMPLES)


def run(inputs: EvaluationInputs, out: Path | None, json: bool) -> int:
    """Measure, show and write the report, and return the exit code."""
    from bpr_cli.cli.figures import show_report  # noqa: PLC0415
    from bpr_cli.evaluation.evaluation import Evaluation  # noqa: PLC0415
    from bpr_cli.evaluation.report.files import write_report  # noqa: PLC0415
    from bpr_cli.system.terminal import show_progress  # noqa: PLC0415

    console = Console()
    evaluation = Evaluation(inputs)
    with show_progress(True, "measuring", len(inputs.pairs)) as advance:
        report = evaluation.run(advance)
    console.failures(report.failures, "--out and --json name them all")
    show_report(console, report)
    if out is not None:
        for path in write_report(report, out, evaluation.layers):
            console.note(f"written: {path}")
    if json:
        console.result(report.summary_json())
    return 1 if report.failures else 0
