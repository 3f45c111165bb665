"""``bpr evaluate``, and its report as tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bpr_cli.cli.command import app_of, explaining
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import COMPARED, Json, OptionsOf, Predictions, command_of
from bpr_cli.errors import counted, join_names
from bpr_cli.evaluation.report.model import PAPER_PQ, Metric, OracleRow, Report, Row
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Failure
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.settings import Count, option
from bpr_cli.system.cluster import WITHOUT_GPUS, ClusterSettings
from bpr_cli.system.store import shown
from bpr_cli.truth.pairs import Missing


def show_failures(console: Console, failures: Sequence[Failure]) -> None:
    """Print an error per failure, and one note on all images without a prediction, which may be many."""
    elsewhere = "--out and --json list them all"
    console.failures([each for each in failures if not isinstance(each, Missing)], elsewhere)
    missing = [each.name for each in failures if isinstance(each, Missing)]
    if missing:
        lack = f"{counted(len(missing), 'image')} without a prediction"
        console.note(f"{lack} left out: {join_names(missing)}; {elsewhere}")


def show_report(console: Console, report: Report) -> None:
    """Print the summary, groups, sizes, classes, oracle upper bound and notes of a report."""
    images = f"{report.images} {'image' if report.images == 1 else 'images'}"
    failed = f", {len(report.failures)} left out" if report.failures else ""
    console.table(f"{report.task}: {images}{failed}, scores in percent", *summary_table(report))
    if report.others:
        console.table("all sets side by side, percent", *sets_table(report))
    note = ", percent (in brackets: change from the baseline)" if report.has_baseline else ", percent"
    tables = (("by tolerance", report.tolerances), ("by group", report.groups), ("by size", report.sizes))
    for title, rows in tables:
        if rows:
            console.table(f"{title}{note}", *rows_table(rows))
    defined = [row for row in report.classes if any(metric.value is not None for metric in row.metrics)]
    if defined:
        hidden = len(report.classes) - len(defined)
        left_out = f"; {hidden} of {len(report.classes)} classes have no figures" if hidden else ""
        console.table(f"by class{note}{left_out}", *rows_table(defined))
    if report.oracle:
        title = (
            "oracle upper bound: scores if all pixels that close to the predicted boundary were correct, percent (gain)"
        )
        console.table(title, *oracle_table(report.oracle))
    for note in report.notes:
        console.note(note)


def summary_table(report: Report) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows of the summary: each score before and after with the difference, or the scores alone."""
    [metrics] = without_repeated([report.summary])
    if not report.has_baseline:
        return ("", "value"), [(metric.name, number(metric.value)) for metric in metrics]
    rows = [
        (metric.name, number(metric.baseline), number(metric.value), signed(metric.difference)) for metric in metrics
    ]
    return ("", "before", "after", "difference"), rows


def sets_table(report: Report) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows of all sets: the first baseline, the others, and the predictions."""
    paths = {given.role: given.path for given in report.inputs}
    columns = ("", paths["baseline"], *(other.path for other in report.others), paths["predictions"])
    by_metric = zip(report.summary, *(other.summary for other in report.others), strict=True)
    rows = [
        (metric.name, number(metric.baseline), *(number(each.value) for each in others), number(metric.value))
        for metric, *others in by_metric
    ]
    return columns, rows


def rows_table(rows: Sequence[Row]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows of a table of scores."""
    scores = without_repeated([row.metrics for row in rows])
    columns = ("", *(metric.name for metric in scores[0]))
    return columns, [(row.name, *map(cell, metrics)) for row, metrics in zip(rows, scores, strict=True)]


def without_repeated(scores: Sequence[Sequence[Metric]]) -> Sequence[Sequence[Metric]]:
    """The scores of each row, without ``PAPER_PQ`` if it is boundary PQ in all of them.

    >>> same, other = ([Metric("boundary PQ", 50.0), Metric(PAPER_PQ, value)] for value in (50.0, 51.0))
    >>> [[len(row) for row in without_repeated(rows)] for rows in ([same], [same, other])]
    [[1], [2, 2]]
    """
    figures = [{metric.name: (metric.value, metric.baseline) for metric in row} for row in scores]
    if any(each[PAPER_PQ] != each["boundary PQ"] for each in figures if PAPER_PQ in each):
        return scores
    return [[metric for metric in row if metric.name != PAPER_PQ] for row in scores]


def oracle_table(rows: Sequence[OracleRow]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Columns and rows of the oracle: each score now, then with all pixels within each distance correct."""
    columns = ("correct within", "0 px", *(f"{row.distance} px" for row in rows))
    by_metric = zip(*(row.metrics for row in rows), strict=True)
    return columns, [(same[0].name, number(same[0].baseline), *map(cell, same)) for same in by_metric]


def cell(metric: Metric) -> str:
    """A score, with its difference if there is a baseline."""
    change = metric.difference
    return number(metric.value) if change is None else f"{number(metric.value)} ({signed(change)})"


def number(value: float | None) -> str:
    """A percentage, or a dash for None."""
    return "-" if value is None else f"{value:.1f}"


def signed(value: float | None) -> str:
    """A difference with its sign, never a negative zero, or a dash for None."""
    return "-" if value is None else f"{round(value, 1) + 0.0:+.1f}"


SCORES = {
    "AP": "Average precision of instances, the mean over IoU thresholds of 0.5 to 0.95; AP50: at 0.5",
    "IoU": "Intersection over union of areas; mIoU: the mean over classes",
    "PQ": "Panoptic quality: SQ, the IoU of matched segments, times RQ, how many match",
    "boundary F": "F score of outlines that match within --tolerance pixels",
    "AF": "Mean boundary F: over classes of label maps, or instances that are found",
    "boundary ...": "AP, IoU or PQ of a band along the outlines instead of areas",
}
"""What a user of the field may not know by these names, in percent."""

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
    cluster: Annotated[dict[str, Any], OptionsOf(ClusterSettings, WITHOUT_GPUS)],
    baseline: Annotated[
        list[Path] | None,
        typer.Option(
            "--baseline",
            "-b",
            metavar="PATH",
            help="Predictions to compare with, e.g. before refinement; repeat for several",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            "-i",
            metavar="PATH",
            help="Images, for the pictures of the report and the sizes of YOLO polygons",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Directory of the report (HTML, CSV, JSON), created if missing"
        ),
    ] = None,
    processes: Annotated[
        Count | None,
        option(
            "Processes that measure images; the figures are the same (default: 1, and on a cluster as many as it has "
            "room for)",
            metavar="NUMBER",
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
    from bpr_cli.evaluation.evaluation import evaluate as run  # noqa: PLC0415

    report = run(
        predictions,
        ground_truth,
        baseline=baseline,
        images=images,
        out=out,
        settings=settings,
        **options,
        processes=processes,
        cluster=ClusterSettings(**cluster),
        progress=True,
    )
    console = Console(results=not json)
    show_failures(console, report.failures)
    show_report(console, report)
    if out is not None:
        console.message(f"written: {shown(out / 'report.html')}, report.csv and report.json")
    if json:
        console.json(report.summary_json())
    raise typer.Exit(1 if report.failures else 0)


app = app_of(command_of(evaluate), EXAMPLES, command=explaining("Scores, in percent", SCORES))
