"""``bpr weights``: list, show, convert, start, average, join, judge, quantise and check weights."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from bpr_cli.cli.card import explanations, report
from bpr_cli.cli.command import Command, Group, explaining
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import Json, OptionsOf, command_of
from bpr_cli.errors import BprError
from bpr_cli.settings import Count, Fraction, Natural, option
from bpr_cli.training.settings import JudgeSettings
from bpr_cli.weights.card import DEFAULT_WEIGHTS, WeightsCard, shipped_weights

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

  bpr weights start hrnetv2_w18_small.pth hrnet18s.safetensors
"""

AVERAGE_EXAMPLES = """
Example:

  bpr train sets/mine --init fast --out runs/mine
  bpr weights average fast runs/mine/last.safetensors both.safetensors
"""

JOIN_EXAMPLES = """
Example:

  bpr train sets/mine --recipe whole --init fast --out runs/whole
  bpr weights join fast runs/whole/last.safetensors both.safetensors
"""

JUDGE_EXAMPLES = """
Example:

  bpr extract predictions/ --images images/ --ground-truth masks/ \\
      --scheme image --out sets/mine
  bpr weights judge trained.safetensors judged.safetensors sets/mine
"""

QUANTISE_EXAMPLES = """
Example:

  bpr extract predictions/ --images images/ --ground-truth masks/ \\
      --scheme image --out sets/mine
  bpr weights quantise trained.safetensors quick.safetensors sets/mine
  bpr refine predictions/ --images images/ --out refined/ \\
      --weights quick.safetensors --precision int8
"""

app = typer.Typer(
    cls=Group,
    add_completion=False,
    help="List, show, convert, start, average, join, judge, quantise and check weights.",
)

Name = Annotated[str, typer.Argument(metavar="NAME_OR_FILE", help="Shipped weights by name, or a weights file")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the new file if it exists")]
Sets = Annotated[
    list[Path], typer.Argument(metavar="SETS", help="Patch sets of whole images: bpr extract --scheme image")
]
Share = Annotated[
    bool,
    typer.Option("--share", help="Write only the card; the tensors stay in NAME_OR_FILE, in the same folder"),
]


def list_(json: Json = False) -> None:
    """List the weights that come with the program.

    Exit code: 0 if all are usable, 1 if some are not; they are named.
    """
    # Imported here, because PyTorch takes seconds and help texts must not wait for it.
    from bpr_cli.weights.convert import WeightsSummary, summarise_weights  # noqa: PLC0415
    from bpr_cli.weights.files import load_weights  # noqa: PLC0415

    console = Console(results=not json)
    names, summaries = shipped_weights(), dict[str, WeightsSummary]()
    for name in names:
        try:
            summaries[name] = summarise_weights(load_weights(name))
        except BprError as error:
            console.error(str(error))
    rows = [
        (
            f"{name} *" if name == DEFAULT_WEIGHTS else name,
            summary.card.network,
            f"{summary.parameters:,}",
            megabytes(summary.bytes) + (f", and {of[0]}" if (of := summary.card.tensors_of) else ""),
            summary.card.licence,
        )
        for name, summary in summaries.items()
    ]
    console.table("shipped weights (* is the default)", ("", "network", "parameters", "size", "licence"), rows)
    if json:
        console.json(
            [{"name": name, "default": name == DEFAULT_WEIGHTS} | asdict(each) for name, each in summaries.items()]
        )
    raise typer.Exit(0 if len(summaries) == len(names) else 1)


def show(name: Name, json: Json = False) -> None:
    """Show the origin and the settings of weights."""
    from bpr_cli.weights.convert import summarise_weights  # noqa: PLC0415
    from bpr_cli.weights.files import load_weights  # noqa: PLC0415

    report(summarise_weights(load_weights(name)), json)


def convert(
    weights: Name,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="New file: .safetensors, or .pth for a checkpoint in the layout of MMSegmentation"
        ),
    ],
    changes: Annotated[dict[str, Any], OptionsOf(WeightsCard, changes=True)],
    overwrite: Overwrite = False,
    share: Share = False,
) -> None:
    """Write weights as safetensors or as a checkpoint.

    Reads and writes safetensors files with a card of settings (bpr's own
    format) and MMSegmentation checkpoints. Options change the card; other
    values stay the same. A checkpoint without a card gets the paper's
    settings.
    """
    from bpr_cli.weights.convert import convert_weights  # noqa: PLC0415

    converted = convert_weights(weights, out, overwrite=overwrite, share=share, **changes)
    made = f"{converted.card.network} as {converted.card.name}: {converted.path}"
    Console().message(f"{made}, SHA-256 {converted.digest}")


def start(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Encoder trained on ImageNet, as .pth: EfficientNet-Lite0, or a backbone of MMSegmentation",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New .safetensors file")],
    overwrite: Overwrite = False,
    network: Annotated[str | None, option("Network (default: the one whose encoder the checkpoint is)")] = None,
    decoder: Annotated[
        str | None, option("Weights of this network that give all other layers", metavar="NAME_OR_FILE")
    ] = None,
    seed: Annotated[Natural, option("Random seed of all other layers")] = 0,
) -> None:
    """Make a network to train, with an encoder pre-trained on ImageNet.

    EfficientNet-Lite0 starts a lite-unet; HRNetV2-W18 (small), W18 and W48,
    ResNet-18 and ResNet-50 (V1c) in the layout of MMSegmentation start the
    networks of the paper. With --decoder only the encoder begins anew: it has
    forgotten the images that the weights were trained on, so that the network
    harms fewer masks of images of other kinds.
    """
    from bpr_cli.weights.files import check_new, save_weights  # noqa: PLC0415
    from bpr_cli.weights.start import start_from_imagenet  # noqa: PLC0415

    check_new(out, overwrite)
    started, card = start_from_imagenet(checkpoint, network, seed, decoder)
    save_weights(out, started, card)
    Console().message(f"{card.network}, to be trained with bpr train --init {out}")


def average(
    weights: Name,
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Weights of the same network, trained on from these")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New .safetensors file")],
    share: Annotated[Fraction, option("Weight of the other weights, 0 to 1")] = 0.5,
    overwrite: Overwrite = False,
) -> None:
    """Average weights with others that were trained on from them.

    The result keeps most of what each does well, for example on the data of
    both trainings. Its card is that of the first weights; bpr weights convert
    changes it.
    """
    from bpr_cli.weights.convert import average_weights  # noqa: PLC0415

    made = average_weights(weights, other, out, share, overwrite=overwrite)
    Console().message(f"written: {made.path}, SHA-256 {made.digest}")


def join(
    weights: Name,
    whole: Annotated[str, typer.Argument(metavar="WHOLE", help="Weights of bpr train --recipe whole")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New .safetensors file")],
    overwrite: Overwrite = False,
) -> None:
    """Join weights for patches with others for whole masks.

    The second network sees every mask of 96 pixels and more as a whole,
    before the first one sees its patches, and mends the large errors of which
    it is sure. Weights whose card names a recipe without whole masks are
    refused; where a card does not tell, nothing is checked.
    """
    from bpr_cli.weights.convert import join_weights  # noqa: PLC0415

    made = join_weights(weights, whole, out, overwrite=overwrite)
    Console().message(f"written: {made.path}, SHA-256 {made.digest}")


def judge(
    weights: Name,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New .safetensors file")],
    sets: Sets,
    settings: JudgeSettings,
    share: Share = False,
    overwrite: Overwrite = False,
) -> None:
    """Teach weights which of their changes to take back.

    Refines masks and label maps of the sets: predicted, simulated, nearly
    exact and exact ones. Then fits judges, one for masks and one for maps:
    small networks that tell right changes from wrong ones. A final one tells
    whether a mask is better with the changes that are left. bpr refine asks
    them, so that masks and maps that were right come back as they were. Takes
    about a second a mask and two a map on a CPU.

    Weights hardly harm the images that they were trained on. So the image of
    every other mask is changed in size, direction, shape, colours or sharpness.
    Where other weights were trained without one of the sets, give both as
    --unseen and --stand-in: what harms exact masks there teaches too.
    """
    from bpr_cli.patchset.store import PatchSet  # noqa: PLC0415
    from bpr_cli.training.judge import fit_judge  # noqa: PLC0415

    patches = [PatchSet(path) for path in sets]
    counts = fit_judge(weights, patches, out, settings, overwrite=overwrite, share=share, progress=True)
    console = Console()
    for name, learned in counts.items():
        console.message(f"learned from {learned.masks} masks and {learned.maps} maps of {name} that refinement changed")
    console.message(f"written: {out}")


def quantise(
    weights: Name,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="New .safetensors file")],
    sets: Sets,
    patches: Annotated[Count, option("About how many patches the network is shown")] = 256,
    seed: Annotated[Natural, option("Random seed of the patches")] = 0,
    share: Share = False,
    overwrite: Overwrite = False,
) -> None:
    """Prepare weights for --precision int8.

    Shows the network some hundred patches of the sets, and notes in the card
    which numbers its layers hold, so that OpenVINO can compute in 8-bit
    integers. Takes about a minute. The tensors stay the same.
    """
    from bpr_cli.patchset.store import PatchSet  # noqa: PLC0415
    from bpr_cli.training.quantise import quantise_weights  # noqa: PLC0415

    opened = [PatchSet(path) for path in sets]
    shown = quantise_weights(weights, opened, out, patches=patches, seed=seed, overwrite=overwrite, share=share)
    Console().message(f"measured on {shown} patches, written: {out}")


def check(name: Name, json: Json = False) -> None:
    """Check that weights are complete and work.

    Compares every tensor with the network's, checks the values, and runs the
    network on one patch. Exit code: 0 if the weights are usable, 2 if not.
    """
    from bpr_cli.weights.convert import summarise_weights, try_weights  # noqa: PLC0415
    from bpr_cli.weights.files import load_weights  # noqa: PLC0415

    loaded = load_weights(name)
    try_weights(loaded)
    summary = summarise_weights(loaded)
    console = Console(results=not json)
    console.result(f"{summary.path} can be used: {summary.tensors} tensors of {summary.card.network}")
    console.result(f"SHA-256 {summary.digest}")
    if json:
        console.json(asdict(summary))


EXPLAINED = explaining("Values", explanations())

for name, command, examples in (
    ("list", list_, None),
    ("show", show, None),
    ("convert", convert, CONVERT_EXAMPLES),
    ("start", start, START_EXAMPLES),
    ("average", average, AVERAGE_EXAMPLES),
    ("join", join, JOIN_EXAMPLES),
    ("judge", judge, JUDGE_EXAMPLES),
    ("quantise", quantise, QUANTISE_EXAMPLES),
    ("check", check, None),
):
    app.command(name, cls=EXPLAINED if command is show else Command, epilog=examples)(command_of(command))


def megabytes(count: int) -> str:
    """Format a number of bytes in megabytes."""
    return f"{count / 1e6:.1f} MB"
