"""``bpr export``: write weights in the format of another program."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bpr_cli.cli.command import app_of
from bpr_cli.cli.console import Console
from bpr_cli.cli.options import Json, command_of
from bpr_cli.inference.settings import ExportSettings

EXAMPLES = """
Examples:

  bpr export --format onnx

  bpr export --format torchscript --out fast.torchscript

  bpr export --format openvino --weights best --batch 8 --out best.xml
"""


def export(
    settings: ExportSettings,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="PATH", help="Output file (default: the name of the weights, such as fast.onnx)"
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists")] = False,
    json: Json = False,
) -> None:
    """Write weights as ONNX, OpenVINO or TorchScript.

    The file takes patches of image and mask, and gives foreground
    probabilities; its metadata hold the card of the weights, which says how
    patches are made. It is run, and written only if it agrees with PyTorch.
    Files of ONNX end in .onnx, those of TorchScript in .torchscript, and
    OpenVINO's format consists of two, .xml and .bin.
    """
    # Imported here, because NumPy and PyTorch take seconds and help texts must not wait for them.
    from bpr_cli.inference.export import export_weights  # noqa: PLC0415
    from bpr_cli.patches.paste import CERTAIN  # noqa: PLC0415

    done = export_weights(settings, out, overwrite)
    console = Console()
    count = f"{done.batch} patches a call" if done.batch else "any number of patches a call"
    console.message(f"{done.weights} as {done.format}, {count}: {' and '.join(map(str, done.files))}")
    console.message(f"largest difference from PyTorch: {done.difference}/{CERTAIN}")
    if done.licence:
        console.message(f"terms of the weights {done.weights}: {done.licence}")
    if json:
        console.json(asdict(done) | {"files": [str(file) for file in done.files]})


app = app_of(command_of(export), EXAMPLES)
