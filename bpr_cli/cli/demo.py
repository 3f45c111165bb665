"""``bpr demo``: refine the bundled examples."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import Json, OptionsOf, command_of
from bpr_cli.refinement.settings import RefineSettings

if TYPE_CHECKING:
    from bpr_cli.demo.run import DemoResult, Score

EXAMPLES = """
Example:

  bpr demo --out demo/
"""


def demo(
    values: Annotated[dict[str, Any], OptionsOf(RefineSettings, ("weights", "device"))],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="PATH", help="Output directory, created if missing (default: demo)"),
    ] = Path("demo"),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files in --out")] = False,
    json: Json = False,
) -> None:
    """Refine photographs and an example of every task, and draw pictures.

    Writes photographs with predicted masks, and synthetic scenes with exact
    ground truth, refines them with the shipped weights, and shows the scores
    before and after.
    """
    # Imported here, because NumPy and PyTorch take seconds and help texts must not wait for them.
    from bpr_cli.formats.output_checks import check_empty, check_outputs  # noqa: PLC0415

    check_outputs(out)
    check_empty(out, overwrite)
    from bpr_cli.demo.run import run_demo  # noqa: PLC0415
    from bpr_cli.refinement.refiner import Refiner  # noqa: PLC0415

    console = Console()
    refiner = Refiner(RefineSettings(**values))
    results = run_demo(out, refiner, lambda name: console.message(f"refining {name}"))
    show(console, results)
    console.message("photos have no exact ground truth, and so no scores: look at their pictures")
    console.message(f"pictures: {out / 'pictures'}, refined predictions: {out / 'refined'}")
    if json:
        console.json([to_json(result) for result in results])


app = app_of(command_of(demo), EXAMPLES)


def show(console: Console, results: list[DemoResult]) -> None:
    """Print a table of scores, one row per part; photographs have none, because they lack exact ground truth."""
    rows = [
        (
            result.name,
            f"{result.images}",
            f"{result.segments}",
            *changes(result.before, result.after),
        )
        for result in results
    ]
    title = "Coarse -> refined: IoU and boundary F (1 px) in percent, mean over segments"
    console.table(title, ("", "images", "segments", "IoU", "boundary F"), rows)


def changes(before: Score | None, after: Score | None) -> tuple[str, str]:
    """IoU and boundary F in percent, before and after, with the differences."""
    if before is None or after is None:
        return "-", "-"
    pairs = ((before.iou, after.iou), (before.boundary_f, after.boundary_f))
    first, second = (f"{100 * old:.1f} -> {100 * new:.1f} ({100 * (new - old):+.1f})" for old, new in pairs)
    return first, second


def to_json(result: DemoResult) -> dict[str, object]:
    """The result as plain data for JSON."""
    return asdict(result) | {"refined": str(result.refined), "pictures": [str(path) for path in result.pictures]}
