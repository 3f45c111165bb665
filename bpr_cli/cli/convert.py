"""``bpr convert``: write predictions in another format."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import Json, OptionsOf, Predictions, command_of
from bpr_cli.errors import counted
from bpr_cli.formats.reading import FORMATS, Format, ReadSettings
from bpr_cli.settings import checked, option

EXAMPLES = """
Examples:

  bpr convert results.json yolo/ --format yolo --images val2017/ \\
      --image-info instances_val2017.json

  bpr convert runs/segment/predict/labels/ out.json --format coco --images images/

  bpr convert masks/ shapes/ --format labelme --ids objects --images frames/
"""

_READ = ("task", "ids", "image_info", "image_pattern", "ignore_labels", "threshold", "polygon_tolerance", "max_pixels")


def convert(
    predictions: Predictions,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output directory; for coco, also a .json file")],
    target: Annotated[str, typer.Option("--format", metavar="|".join(FORMATS), help="Format to write")],
    options: Annotated[dict[str, Any], OptionsOf(ReadSettings, _READ)],
    source: Annotated[Format | None, option("Format of PREDICTIONS (default: auto-detect)", flags=("--from",))] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            "--images",
            "-i",
            metavar="PATH",
            help="Directory of the images, or a single image; needed where PREDICTIONS do not state sizes, as in yolo",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files in OUT")] = False,
    json: Json = False,
) -> None:
    """Write predictions in another format.

    Reads every format that bpr reads. What the new format cannot hold, such as
    confidences or overlaps, is named.
    """
    # Imported here, so that help texts need not wait for NumPy and OpenCV.
    from bpr_cli.conversion.job import convert as run  # noqa: PLC0415

    read = ReadSettings(format=source, **options)
    summary = run(
        predictions, out, checked("--format", target, Format), images, read, overwrite=overwrite, progress=True
    )
    console = Console()
    console.failures(summary.failures, "--json names them all")
    for note in summary.notes:
        console.note(note)
    done = f"{counted(summary.segments, 'mask')} of {counted(summary.images, 'image')}"
    console.message(f"{done} -> {summary.output} (format {summary.format})")
    if json:
        console.json(asdict(summary))
    raise typer.Exit(1 if summary.failures else 0)


app = app_of(command_of(convert), EXAMPLES)
