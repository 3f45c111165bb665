"""Command-line options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bpr_cli.cli.command import Debug
from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure
from bpr_cli.formats.settings import FORMATS, Format, ReadSettings, Task
from bpr_cli.refinement.settings import RefineSettings

DEFAULTS = RefineSettings()
__all__ = ["Debug"]
INPUT, ENGINE, BOUNDS = "Input", "Network and device", "Bounds"
"""Panels of the help text."""


Predictions = Annotated[Path, typer.Argument(help="Predictions: a directory, a JSON file or a single mask.")]
Images = Annotated[Path, typer.Option("--images", "-i", help="Directory of the images, or a single image.")]
FormatName = Annotated[
    Format | None,
    typer.Option("--format", help=f"Format, if not to be recognised: {', '.join(FORMATS)}.", rich_help_panel=INPUT),
]
TaskName = Annotated[
    Task | None, typer.Option("--task", help="Kind of segmentation, if not to be recognised.", rich_help_panel=INPUT)
]
ImageInfo = Annotated[
    Path | None,
    typer.Option(help="COCO JSON whose images list names the images of the results.", rich_help_panel=INPUT),
]
LabelsToLeave = Annotated[
    list[int] | None,
    typer.Option(help="Label of a label map to leave as it is; may be repeated (default: 255).", rich_help_panel=INPUT),
]
NmsThreshold = Annotated[
    float | None,
    typer.Option(
        help=f"Overlap of patches: more is slower, and 0.55 the paper's best (default: {DEFAULTS.nms_threshold})."
    ),
]
SchemeName = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        help="Where patches lie: dense along the boundary; for "
        f"comparison, grid, or instance: one around each mask (default: {DEFAULTS.scheme}).",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help=f"Shipped weights by name, or a weights file (default: {DEFAULTS.weights}).", rich_help_panel=ENGINE
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help=f"auto (all GPUs, else the CPU), cpu, cuda, or GPUs such as cuda:0,1 (default: {DEFAULTS.device}).",
        rich_help_panel=ENGINE,
    ),
]
Scales = Annotated[
    str | None,
    typer.Option(
        help="Rounds by the size of their patches: 2,1 looks from further away first (default: the weights' own).",
        rich_help_panel=ENGINE,
    ),
]
Flip = Annotated[
    bool | None,
    typer.Option(
        "--flip/--no-flip",
        help="Decide mirrored patches too and average, at twice the time (default: the weights' own).",
        rich_help_panel=ENGINE,
    ),
]
Core = Annotated[
    float | None,
    typer.Option(
        help="Masks keep what lies deeper inside them than this fraction of the square root of their area, 0 to 1; "
        "1 for nothing (default: the weights' own).",
        rich_help_panel=BOUNDS,
    ),
]
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision", help=f"float32, bfloat16 or float16 (default: {DEFAULTS.precision}).", rich_help_panel=ENGINE
    ),
]
BackendName = Annotated[
    str | None,
    typer.Option(
        "--backend",
        help=f"What runs the network: pytorch, openvino, or auto: the faster one (default: {DEFAULTS.backend}).",
        rich_help_panel=ENGINE,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        help=f"Patches a forward pass; halved by itself when memory is short (default: {DEFAULTS.batch_size}).",
        rich_help_panel=ENGINE,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="Threads that read, cut, paste and write beside the network (default: the cores, 4 at most).",
        rich_help_panel=ENGINE,
    ),
]
LabelSetName = Annotated[
    str | None,
    typer.Option(
        help="Classes of label maps: labelIds, trainIds, a file of one name a line, or a JSON file with categories "
        "(default: as found).",
        rich_help_panel=INPUT,
    ),
]
IgnoreLabels = Annotated[
    list[int] | None,
    typer.Option(
        help="Label of label maps that is void; may be repeated (default: 255 and the label set's).",
        rich_help_panel=INPUT,
    ),
]
ImageWorkers = Annotated[int | None, typer.Option(help="Images at a time (default: the cores, 4 at most).")]
Json = Annotated[bool, typer.Option("--json", help="Print a machine-readable summary on standard output.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where the results go; made when missing.")]


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """The numbers of an option such as ``2,1``; None stays None.

    Raises:
        BprError: they are no numbers.
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BprError(f"{option} is {text!r}, expected numbers such as 2,1") from None


def given(values: Mapping[str, object]) -> dict[str, object]:
    """What the user set; what is None was not set."""
    return {name: value for name, value in values.items() if value is not None}


def refine_settings(**values: object) -> RefineSettings:
    """The library's defaults, changed by what the user set."""
    return replace(DEFAULTS, **given(values))  # type: ignore[arg-type]


def read_options(
    format_: str | None, task: Task | None, image_info: Path | None, ignore_label: list[int] | None
) -> ReadSettings:
    """How to open predictions: the library's defaults, changed by what the user set."""
    values = {
        "format": format_,
        "task": task,
        "image_info": image_info,
        "ignore_labels": None if ignore_label is None else frozenset(ignore_label),
    }
    return replace(ReadSettings(), **given(values))  # type: ignore[arg-type]


def exit_code(done: int, failures: Sequence[Failure]) -> int:
    """0: all items are done; 1: some failed; 2: all did."""
    if not failures:
        return 0
    return 1 if done else 2
