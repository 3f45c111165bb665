"""``bpr evaluate``: measure predictions against ground truth, with or without a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import COMPARED, Json, OptionsOf, Predictions, command_of
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.settings import ReadSettings

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
    options: Annotated[dict[str, Any], OptionsOf(ReadSettings, COMPARED)],
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
    # Imported here, so that help texts need not wait for the metrics.
    from bpr_cli.cli.report_tables import show_report  # noqa: PLC0415
    from bpr_cli.evaluation.evaluation import evaluate as run  # noqa: PLC0415

    report = run(
        predictions,
        ground_truth,
        baseline=baseline,
        images=images,
        out=out,
        settings=settings,
        **options,
        progress=True,
    )
    console = Console(results=not json)
    console.failures(report.failures, "--out and --json list them all")
    show_report(console, report)
    if out is not None:
        console.message(f"written: {out / 'report.html'}, report.csv and report.json")
    if json:
        console.json(report.summary_json())
    raise typer.Exit(1 if report.failures else 0)


app = app_of(command_of(evaluate), EXAMPLES)
