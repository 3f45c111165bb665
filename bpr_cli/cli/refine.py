"""``bpr refine``: refine predictions, or only check them with ``--dry-run``, as ``bpr check`` does."""

from __future__ import annotations

import shlex
from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import OUT, Images, Json, Predictions, command_of
from bpr_cli.errors import BprError, counted
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.settings import Count, Natural, option
from bpr_cli.system.cluster import ClusterSettings
from bpr_cli.system.shards import Shard
from bpr_cli.system.store import shown

MOVEMENT_BOUNDS = (0.1, 1.0, 3.0)
"""Bounds in pixels between segments that hardly moved, moved a little, clearly, and far."""

if TYPE_CHECKING:
    from bpr_cli.refinement.check import CheckSummary
    from bpr_cli.refinement.report import RefineSummary

EXAMPLES = """
Examples:

  bpr refine mask.png --images photo.jpg --out refined.png

  bpr refine results.json --images val2017/ \\
      --image-info instances_val2017.json --out refined/

  bpr refine preds/ --images leftImg8bit/val/ --out refined/

  bpr refine preds/ --images photos/ --out refined/ --shard 2/8
"""


def refine(
    predictions: Predictions,
    images: Images,
    out: Annotated[Path | None, OUT],
    options: ReadSettings,
    settings: RefineSettings,
    cluster: ClusterSettings,
    pictures: Annotated[
        Natural, option("Draw before/after pictures of the NUMBER images that changed most", metavar="NUMBER")
    ] = 0,
    processes: Annotated[
        Count | None,
        option(
            "Processes that refine images, e.g. one per GPU, or several that feed one GPU; results are the same "
            "(default: 1, and on a cluster as many as it has room for)",
            metavar="NUMBER",
        ),
    ] = None,
    shard: Annotated[
        str | None,
        option(
            "Refine one of N equal parts, by a process of its own: I/N such as 2/8, or the task of a scheduler (slurm, "
            "slurm/N, job-index/N); bpr merge completes the output",
            metavar="I/N",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Start afresh instead of resuming, and replace files of others in --out")
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
    only_checks = dry_run or not out
    part = None if shard is None else Shard.parse(shard)
    if part and only_checks:
        raise BprError("--shard does not apply to a check, which reads all images; leave it out")
    if part and pictures:
        raise BprError("--pictures does not apply to a shard, which knows only its own images; leave it out")
    if cluster.cluster and only_checks:
        raise BprError("--cluster does not apply to a check, which this process does alone; leave it out")
    console = Console(results=only_checks and not json)
    summary: RefineSummary | CheckSummary
    # Imported here, so that help texts need not wait for NumPy and OpenCV. PyTorch is imported after the input checks.
    if only_checks or not out:
        from bpr_cli.refinement.check import check  # noqa: PLC0415

        summary = check(predictions, images, out, settings, options, overwrite=overwrite, progress=True)
        show_check(console, summary)
    else:
        from bpr_cli.refinement.job import refine as run  # noqa: PLC0415

        summary = run(
            predictions,
            images,
            out,
            settings,
            options,
            pictures=pictures,
            processes=processes,
            cluster=cluster,
            shard=part,
            overwrite=overwrite,
            progress=True,
        )
        if summary.resumed:
            console.message(f"done before: {counted(summary.resumed, 'image')}; --overwrite starts afresh")
        show_refinement(console, summary, [] if part else [*seeing(summary), *measuring(summary)])
        if part:
            command = shlex.join(("bpr", "merge", shown(out)))
            console.message(f"shard {part} has ended; when all have, complete the output: {command}")
    if json:
        console.json(asdict(summary))
    raise typer.Exit(exit_code(summary))


app = app_of(command_of(refine), EXAMPLES)


def show_refinement(console: Console, summary: RefineSummary, next_steps: list[str]) -> None:
    """Print the result of a refinement, and what to do next."""
    show_problems(console, summary)
    if summary.images:
        where = f"{', '.join(summary.devices)} ({summary.backend})"
        title = f"format {summary.format}, weights {summary.weights.name}, on {where} -> {summary.output}"
        console.table(title, ("refined", ""), refinement_rows(summary))
        for line in [*closing_lines(summary), *next_steps]:
            console.message(line)


def refinement_rows(summary: RefineSummary) -> list[tuple[str, str]]:
    """Rows of the closing table of a refinement."""
    failed = [("failed", f"{len(summary.failures)}")] if summary.failures else []
    kept = [("kept coarse by a limit", f"{summary.kept_coarse}")] if summary.settings.has_limits else []
    return [
        ("images", f"{summary.images}"),
        *failed,
        ("segments", f"{summary.segments}"),
        *movement_rows([movement for item in summary.items for movement in item.movements]),
        ("mean boundary displacement", f"{summary.boundary_movement:.2f} px"),
        *kept,
        ("patches", f"{summary.patches}"),
        ("time", f"{summary.elapsed:.1f} s"),
    ]


def movement_rows(movements: Sequence[float]) -> list[tuple[str, str]]:
    """How many segments moved their boundaries how far, given the mean movement of each in pixels.

    >>> movement_rows([0.0, 0.5, 2.0, 3.0])
    [('  hardly moved', '1'), ('  moved up to 1 px', '1'), ('  moved 1 to 3 px', '1'), ('  moved 3 px and more', '1')]
    """
    names = ("hardly moved", "moved up to 1 px", "moved 1 to 3 px", "moved 3 px and more")
    counts = Counter(bisect(MOVEMENT_BOUNDS, movement) for movement in movements)
    return [(f"  {name}", f"{counts[number]}") for number, name in enumerate(names)]


def closing_lines(summary: RefineSummary) -> list[str]:
    """What the time went into, what had nothing to refine, what to look at first, and where the pictures are."""
    weights = summary.weights
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in summary.seconds.items())
    return [
        f"busy, summed over threads: {stages}",
        *([f"terms of the weights {weights.name}: {weights.licence}"] if weights.licence else []),
        *unrefined(summary),
        *nothing_to_refine(summary),
        *look_first(summary),
        *([f"pictures: {shown(Path(summary.pictures[0]).parent)}"] if summary.pictures else []),
    ]


def unrefined(summary: RefineSummary) -> list[str]:
    """What became of the records of a COCO file that could not be refined; other formats have no file for them."""
    kept = summary.failures and summary.format == "coco"
    return ["records that failed are in the output as they were; bpr evaluate measures them, too"] if kept else []


def nothing_to_refine(summary: RefineSummary) -> list[str]:
    """How many images had no boundary to refine, if only some; a note tells if it was all of them."""
    empty = sum(item.patches == 0 for item in summary.items)
    if not 0 < empty < summary.images:
        return []
    return [f"nothing to refine in {empty} of {summary.images} images: no mask, or none with a boundary in the image"]


def look_first(summary: RefineSummary) -> list[str]:
    """The segments that moved furthest, one a line: their pictures, or else images; none if there is no choice."""
    if summary.segments < 2 or not summary.furthest:
        return []
    drawn = [each for each in summary.furthest if each.picture]
    named = (
        f"{each.picture or each.image} ({' '.join(filter(None, [each.segment, 'moved']))} {each.movement:.1f} px)"
        for each in drawn or summary.furthest
    )
    return ["look first at:", *(f"  {each}" for each in named)]


def seeing(summary: RefineSummary) -> list[str]:
    """How to see what a refinement of files did."""
    is_hidden = summary.inputs is not None and not summary.pictures
    return [f"to see what changed, repeat the command with --pictures {min(summary.images, 6)}"] if is_hidden else []


def measuring(summary: RefineSummary) -> list[str]:
    """A command that measures what a refinement of files did."""
    if summary.inputs is None:
        return []
    given, images = summary.inputs.predictions, summary.inputs.images
    measured = ("bpr", "evaluate", summary.output, "--ground-truth", "TRUTH", "--baseline", given, "--images", images)
    partly = ("--allow-missing",) if summary.failures else ()
    return [f"to measure it against ground truth: {shlex.join((*measured, '--out', 'report', *partly))}"]


def show_check(console: Console, summary: CheckSummary) -> None:
    """Print the result of a check."""
    show_problems(console, summary)
    if summary.images:
        verdict = "nothing was written" if summary.failures else "nothing is broken, nothing was written"
        where = ", ".join(summary.devices)
        title = f"format {summary.format}, weights {summary.weights.name}, on {where}: {verdict}"
        console.table(title, ("to be refined", ""), check_rows(summary))
        console.result(
            "the time is that of the network; reading, pasting and writing take more, and so do further patches where "
            "boundaries move far"
        )


def check_rows(summary: CheckSummary) -> list[tuple[str, str]]:
    """Rows of the closing table of a check."""
    broken = [("broken", f"{len(summary.failures)}")] if summary.failures else []
    memory = summary.estimate.memory
    return [
        ("images", f"{summary.images}"),
        *broken,
        ("segments", f"{summary.segments}"),
        ("patches, about", f"{summary.patches}"),
        ("patches per second", f"{summary.estimate.patches_per_second:.1f}"),
        ("network time, about", duration(summary.estimate.seconds)),
        *([("memory, at most", f"{memory / 1e9:.1f} GB")] if memory is not None else []),
    ]


def duration(seconds: float) -> str:
    """Format a time in hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def show_problems(console: Console, summary: RefineSummary | CheckSummary) -> None:
    """Print a line per failure and note."""
    for failure in summary.failures:
        console.error(failure.reason)
    for note in summary.notes:
        console.note(note)


def exit_code(summary: RefineSummary | CheckSummary) -> int:
    """Exit code: 0 if all images are done, 1 if an image or a record of one failed, 2 if all images failed."""
    if not summary.failures:
        return 0
    return 1 if summary.images else 2
