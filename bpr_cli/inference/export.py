"""Exports a network with its pre- and post-processing to files that other programs run."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from bpr_cli.errors import BprError, lacking
from bpr_cli.inference.backends import OPENVINO_PACKAGES, import_openvino, openvino_core
from bpr_cli.inference.onnx import EXPORTING, INPUTS, NOT_IN_ONNX, blank_patches, onnx_bytes
from bpr_cli.inference.onnx_runtime import CPU, PACKAGES, open_session
from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.inference.settings import ExportFormat, ExportSettings
from bpr_cli.patches.paste import CERTAIN
from bpr_cli.system.atomic import write_atomically, writing
from bpr_cli.typing import ByteArray
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import METADATA_KEY, LoadedWeights, load_weights

ENDINGS: dict[ExportFormat, tuple[str, ...]] = {
    "onnx": (".onnx",),
    "openvino": (".xml", ".bin"),
    "torchscript": (".torchscript",),
}
"""Endings of the files that a format consists of; users name the first."""

NEEDED: dict[ExportFormat, tuple[str, ...]] = {"onnx": PACKAGES, "openvino": OPENVINO_PACKAGES, "torchscript": ()}
"""Packages that write a format and check what was written."""

TOLERANCE = 1
"""Largest accepted difference between an exported network and PyTorch, in units of 1/255: that of rounding."""

TRIAL_COUNTS = (1, 3)
"""Numbers of patches in the check of a file that takes any number."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        files: the files; OpenVINO's consist of two.
        format: their format.
        weights: name of the weights, from their card.
        licence: terms of the weights, from their card; empty if it states none.
        batch: patches in every call; None for any number.
        difference: largest difference from PyTorch that the check found, in units of 1/255.
    """

    files: tuple[Path, ...]
    format: ExportFormat
    weights: str
    licence: str
    batch: int | None
    difference: int


@dataclass(frozen=True)
class Artifact:
    """A network in the form of another program.

    Attributes:
        content: content of each file, in the order of ``ENDINGS``.
        predict: runs the content as the other program would: ``PatchModel.forward`` with arrays.
    """

    content: tuple[bytes, ...]
    predict: Callable[[ByteArray, ByteArray], ByteArray]


def export_weights(settings: ExportSettings, out: Path | None = None, overwrite: bool = False) -> Exported:
    """Export weights: uint8 patches in, foreground probabilities in units of 1/255 out, as ``PatchModel`` says.

    The card of the weights is in the metadata of the file, under the key ``bpr``, as JSON. The result is run, and
    written only if it agrees with PyTorch.

    Args:
        settings: which weights, and in which form.
        out: new file; by default the name of the weights with the ending of the format, in the working directory.
        overwrite: whether to replace existing files.

    Raises:
        BprError: the weights cannot be used, a package is missing, the network cannot be exported to this format, a
            file exists or cannot be written, or the result differs from PyTorch.
    """
    weights = load_weights(settings.weights)
    path = out or Path(f"{weights.path.stem}{ENDINGS[settings.format][0]}")
    check_output(path, ENDINGS[settings.format], overwrite)
    content, difference = checked_content(settings, weights)
    files = tuple(map(path.with_suffix, ENDINGS[settings.format]))
    # The first file last: it is the one that users name.
    for file, part in reversed(list(zip(files, content, strict=True))):
        with writing(file):
            write_atomically(file, part)
    return Exported(files, settings.format, weights.card.name, weights.card.licence, settings.batch, difference)


def checked_content(settings: ExportSettings, weights: LoadedWeights) -> tuple[tuple[bytes, ...], int]:
    """Content of the files of an export, in the order of ``ENDINGS``, which is run and compared with PyTorch.

    Also returns the largest difference, in units of 1/255.

    Raises:
        BprError: a package is missing, the network cannot be exported to this format, or the result differs.
    """
    check_export(settings, weights)
    model = PatchModel(weights.network, weights.card, flip=weights.card.flip).eval()
    artifact = EXPORTERS[settings.format](model, weights.card, settings.batch)
    counts = (settings.batch,) if settings.batch else TRIAL_COUNTS
    difference = max(largest_difference(model, artifact, weights.card, count) for count in counts)
    if difference > TOLERANCE:
        raise BprError(
            f"the weights {weights.path} as {settings.format} differ from PyTorch by up to {difference}/{CERTAIN}, "
            f"expected at most {TOLERANCE}/{CERTAIN}; nothing was written, choose another --format"
        )
    return artifact.content, difference


def check_output(path: Path, endings: tuple[str, ...], overwrite: bool) -> None:
    """Refuse a wrong name and existing files.

    Raises:
        BprError: the name does not end as files of this format do, or a file exists and ``overwrite`` is False.
    """
    if path.suffix != endings[0]:
        raise BprError(f"the output {path} should end in {endings[0]}, as files of this format do; give another --out")
    existing = [file for file in map(path.with_suffix, endings) if file.exists()]
    if existing and not overwrite:
        raise BprError(f"the output {existing[0]} exists; pass --overwrite to replace it, or give another --out")


def check_export(settings: ExportSettings, weights: LoadedWeights) -> None:
    """Refuse an export that cannot succeed.

    Raises:
        BprError: a package is missing, or the format cannot hold the network or the number of patches.
    """
    if missing := [package for package in NEEDED[settings.format] if not find_spec(package)]:
        raise lacking(f"the format {settings.format}", missing)
    if settings.format != "torchscript" and weights.card.network in NOT_IN_ONNX:
        raise BprError(
            f"the weights {weights.path} cannot be exported as {settings.format}: ONNX lacks an operation of "
            f"{weights.card.network}; use --format torchscript"
        )
    if settings.format == "torchscript" and settings.batch:
        raise BprError("batch is set, but TorchScript files take any number of patches; leave --batch away")


def largest_difference(model: PatchModel, artifact: Artifact, card: WeightsCard, count: int) -> int:
    """Largest difference between an artifact and PyTorch on ``count`` random patches, in units of 1/255."""
    random = np.random.default_rng(0)
    side = (count, card.input_size, card.input_size)
    image, mask = random.integers(0, 256, (*side, 3), np.uint8), random.integers(0, 2, side, np.uint8)
    with torch.inference_mode():
        expected = model(torch.from_numpy(image), torch.from_numpy(mask)).numpy()
    return int(np.abs(artifact.predict(image, mask).astype(int) - expected).max())


def to_onnx(model: PatchModel, card: WeightsCard, batch: int | None) -> Artifact:
    """Export as ONNX, with the card in ``metadata_props``."""
    onnx = import_module("onnx")
    described = onnx.load_from_string(onnx_bytes(model, blank_patches(card, batch or 2), any_count=batch is None))
    onnx.helper.set_model_props(described, {METADATA_KEY: card.to_json()})
    onnx.checker.check_model(described)
    content = described.SerializeToString()
    session = open_session(content, [CPU])
    return Artifact((content,), lambda *patches: session.run(None, dict(zip(INPUTS, patches, strict=True)))[0])


def to_openvino(model: PatchModel, card: WeightsCard, batch: int | None) -> Artifact:
    """Export as OpenVINO IR, with the card in its ``rt_info``; its numbers stay float32."""
    core = openvino_core()
    graph = core.read_model(onnx_bytes(model, blank_patches(card, batch or 2), any_count=batch is None), b"")
    graph.set_rt_info(card.to_json(), [METADATA_KEY])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.xml"
        import_openvino().save_model(graph, path, compress_to_fp16=False)
        content = tuple(path.with_suffix(ending).read_bytes() for ending in ENDINGS["openvino"])
        compiled = core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "FP32"})
    return Artifact(content, lambda *patches: compiled(dict(zip(INPUTS, patches, strict=True)))[0])


def to_torchscript(model: PatchModel, card: WeightsCard, _: int | None) -> Artifact:
    """Export as TorchScript, with the card as an extra file of the archive; it takes any number of patches."""
    out = io.BytesIO()
    with EXPORTING, warnings.catch_warnings(), torch.inference_mode():
        # PyTorch advises another format, which only PyTorch of the same version reads.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(model, blank_patches(card, 2), check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, out, _extra_files={METADATA_KEY: card.to_json()})
        loaded = torch.jit.load(io.BytesIO(out.getvalue()))  # type: ignore[no-untyped-call]

    def predict(*patches: ByteArray) -> ByteArray:
        with torch.inference_mode():
            predicted: ByteArray = loaded(*map(torch.from_numpy, patches)).numpy()
        return predicted

    return Artifact((out.getvalue(),), predict)


EXPORTERS: dict[ExportFormat, Callable[[PatchModel, WeightsCard, int | None], Artifact]] = {
    "onnx": to_onnx,
    "openvino": to_openvino,
    "torchscript": to_torchscript,
}
