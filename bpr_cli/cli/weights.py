"""``bpr weights``: look at weights, convert and check them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bpr_cli.cli import aliases as options
from bpr_cli.cli.command import Command, Group
from bpr_cli.cli.console import Console
from bpr_cli.weights.shipped import DEFAULT_WEIGHTS, shipped_weights

if TYPE_CHECKING:
    from bpr_cli.weights.convert import CardValue, WeightsSummary

CARD = "Card"

CONVERT_EXAMPLES = """
Examples:

  bpr weights convert hrnet48_256.pth hrnet48.safetensors \\
      --name paper --input-size 256 --licence Apache-2.0

  bpr weights convert trained.safetensors trained.pth
"""

START_EXAMPLES = """
Examples:

  bpr weights start efficientnet-lite0.pth start.safetensors
  bpr train patches/ --init start.safetensors --out run/
"""

app = typer.Typer(cls=Group, add_completion=False, help="List, show, convert and check weights.")

Name = Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="Shipped weights by name, or a weights file.")]


@app.command("list", cls=Command)
def list_(json: options.Json = False, _debug: options.Debug = False) -> None:
    """List the weights that come with the program."""
    # PyTorch takes seconds to import, and help texts must not wait for it.
    from bpr_cli.weights.convert import summarise_weights  # noqa: PLC0415
    from bpr_cli.weights.files import load_weights  # noqa: PLC0415

    summaries = {name: summarise_weights(load_weights(name)) for name in shipped_weights()}
    console = Console()
    rows = [
        (
            f"{name} *" if name == DEFAULT_WEIGHTS else name,
            summary.card.network,
            f"{summary.parameters:,}",
            megabytes(summary.bytes),
            summary.card.licence,
        )
        for name, summary in summaries.items()
    ]
    console.table("shipped weights (* is the default)", ("", "network", "parameters", "size", "licence"), rows)
    if json:
        console.result(
            [{"name": name, "default": name == DEFAULT_WEIGHTS} | asdict(each) for name, each in summaries.items()]
        )


@app.command(cls=Command)
def show(name: Name, json: options.Json = False, _debug: options.Debug = False) -> None:
    """Show where weights come from and what they expect."""
    from bpr_cli.weights.convert import summarise_weights  # noqa: PLC0415
    from bpr_cli.weights.files import load_weights  # noqa: PLC0415

    report(summarise_weights(load_weights(name)), json)


@app.command(cls=Command, epilog=CONVERT_EXAMPLES)
def convert(
    name: Name,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="The new file: .safetensors, or .pth for a checkpoint in MMSegmentation layout."
        ),
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the new file where it is there.")] = False,
    new_name: Annotated[
        str | None, typer.Option("--name", help="What messages and reports call the weights.", rich_help_panel=CARD)
    ] = None,
    patch_size: Annotated[
        int | None, typer.Option(help="Side of a patch, in image pixels.", rich_help_panel=CARD)
    ] = None,
    min_patch_size: Annotated[
        int | None, typer.Option(help="Side down to which patches shrink along small masks.", rich_help_panel=CARD)
    ] = None,
    padding: Annotated[
        int | None, typer.Option(help="Context around a patch, in image pixels.", rich_help_panel=CARD)
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(help="Side that patch and context are resized to.", rich_help_panel=CARD)
    ] = None,
    mask_patch: Annotated[
        bool | None,
        typer.Option("--mask-patch/--no-mask-patch", help="Show the coarse mask to the network.", rich_help_panel=CARD),
    ] = None,
    scales: Annotated[
        str | None,
        typer.Option(help="Rounds by the size of their patches, such as 2,1: the last one is 1.", rich_help_panel=CARD),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option("--flip/--no-flip", help="Decide mirrored patches too and average.", rich_help_panel=CARD),
    ] = None,
    core: Annotated[
        float | None,
        typer.Option(
            help="Masks keep what lies deeper inside them than this fraction of the square root of their area; "
            "1 for nothing.",
            rich_help_panel=CARD,
        ),
    ] = None,
    training_data: Annotated[
        str | None, typer.Option(help="What the weights were trained on.", rich_help_panel=CARD)
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Under which the weights may be used.", rich_help_panel=CARD)
    ] = None,
    description: Annotated[str | None, typer.Option(help="What the weights are for.", rich_help_panel=CARD)] = None,
    _debug: options.Debug = False,
) -> None:
    """Write weights as safetensors or as a checkpoint.

    Reads and writes both formats: the program's own, safetensors with a card
    of settings, and checkpoints as MMSegmentation reads them. What is not
    given stays as it is; a checkpoint without a card gets the paper's
    settings.
    """
    from bpr_cli.weights.convert import convert_weights  # noqa: PLC0415

    given: dict[str, CardValue | None] = {
        "name": new_name,
        "patch_size": patch_size,
        "min_patch_size": min_patch_size,
        "padding": padding,
        "input_size": input_size,
        "mask_patch": mask_patch,
        "scales": options.numbers("--scales", scales),
        "flip": flip,
        "core": core,
        "training_data": training_data,
        "licence": licence,
        "description": description,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    converted = convert_weights(name, out, overwrite=overwrite, **changes)
    Console().note(f"{converted.card.network} as {converted.card.name}: {converted.path}, SHA-256 {converted.digest}")


@app.command(cls=Command, epilog=START_EXAMPLES)
def start(
    checkpoint: Annotated[Path, typer.Argument(help="EfficientNet-Lite0 trained on ImageNet, as .pth.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The new .safetensors file.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the new file where it is there.")] = False,
    seed: Annotated[int, typer.Option(help="Of the weights that are random.")] = 0,
    _debug: options.Debug = False,
) -> None:
    """Make a lite-unet to train, with an encoder that knows ImageNet."""
    from bpr_cli.weights.files import check_new, save_weights  # noqa: PLC0415
    from bpr_cli.weights.imagenet import CARD as START_CARD  # noqa: PLC0415
    from bpr_cli.weights.imagenet import start_from_imagenet  # noqa: PLC0415

    check_new(out, overwrite)
    save_weights(out, start_from_imagenet(checkpoint, seed), START_CARD)
    Console().note(f"{START_CARD.network}, to be trained with bpr train --init {out}")


@app.command(cls=Command)
def check(name: Name, json: options.Json = False, _debug: options.Debug = False) -> None:
    """Check that weights are whole and work.

    Compares every tensor with its network's, looks at the values, and decides
    a patch. Exit code 0: they can be used; 2: they cannot.
    """
    from bpr_cli.weights.convert import summarise_weights, try_weights  # noqa: PLC0415
    from bpr_cli.weights.files import load_weights  # noqa: PLC0415

    loaded = load_weights(name)
    try_weights(loaded)
    summary = summarise_weights(loaded)
    console = Console()
    console.note(f"{summary.path} can be used: {summary.tensors} tensors of {summary.card.network}")
    console.note(f"SHA-256 {summary.digest}")
    if json:
        console.result(asdict(summary))


def report(summary: WeightsSummary, json: bool) -> None:
    """A line for everything that is known."""
    console = Console()
    content = asdict(summary)
    card = content.pop("card")
    for name, value in (card | content).items():
        console.note(f"{name.replace('_', ' '):<15}{shown(value)}")
    if json:
        console.result(asdict(summary))


def shown(value: object) -> str:
    """A value for people."""
    if isinstance(value, dict):
        value = tuple(f"{name}: {each}" for name, each in value.items())
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return "-" if value is None or value == "" else str(value)


def megabytes(count: int) -> str:
    """Bytes for people."""
    return f"{count / 1e6:.1f} MB"
