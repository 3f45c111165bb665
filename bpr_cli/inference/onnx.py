"""Networks as ONNX, which OpenVINO and ONNX Runtime read."""

from __future__ import annotations

import io
import warnings
from threading import Lock

import torch
from torch import Tensor

from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.weights.card import WeightsCard

INPUTS, OUTPUT = ("image", "mask"), "foreground"
"""Names of the inputs and of the output; see ``PatchModel.forward``."""

OPSET = 17

EXPORTING = Lock()
"""Held while a network is exported: PyTorch exports one at a time, and warnings are silenced in all threads."""

NOT_IN_ONNX = ("fast-scnn",)
"""Networks that cannot be exported to ONNX: this one pools to grids that do not divide its feature maps."""


def blank_patches(card: WeightsCard, count: int) -> tuple[Tensor, Tensor]:
    """Images, uint8 (P, T, T, 3), and masks, uint8 (P, T, T), of ``count`` patches; all 0."""
    side = (count, card.input_size, card.input_size)
    return torch.zeros(*side, 3, dtype=torch.uint8), torch.zeros(side, dtype=torch.uint8)


def onnx_bytes(model: PatchModel, example: tuple[Tensor, Tensor], any_count: bool = False) -> bytes:
    """Export a model as ONNX, for inputs with the shapes of the example.

    This uses the exporter that needs no further package. Its warnings are for authors of networks and are silenced;
    tests compare the result with PyTorch for every network.

    Args:
        model: model on the CPU.
        example: image and mask, as ``PatchModel.forward`` takes them.
        any_count: whether the result takes any number of patches, instead of that of the example.
    """
    out = io.BytesIO()
    with EXPORTING, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(),
            example,
            out,  # type: ignore[arg-type]  # this exporter takes it, and no file can be left behind
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes={name: {0: "patches"} for name in (*INPUTS, OUTPUT)} if any_count else None,
            opset_version=OPSET,
            dynamo=False,
        )
    return out.getvalue()
