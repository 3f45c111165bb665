"""Settings of inference: weights, device, precision and backend. Imports neither NumPy nor PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bpr_cli.settings import Count, Settings, option
from bpr_cli.weights.card import DEFAULT_WEIGHTS

PANEL = "Network and device"

FloatPrecision = Literal["float32", "bfloat16", "float16"]
Precision = Literal[FloatPrecision, "int8"]
ExportFormat = Literal["onnx", "openvino", "torchscript"]
Weights = Annotated[str, option("Shipped weights by name, or a weights file", panel=PANEL, metavar="NAME_OR_FILE")]
BackendName = Literal["auto", "pytorch", "openvino", "onnxruntime"]


@dataclass(frozen=True)
class InferenceSettings(Settings):
    """Weights, device, precision, backend and batch size.

    On a CPU, results do not depend on the batch size. On a GPU, pixels with a probability close to 0.5 may differ.
    """

    weights: Weights = DEFAULT_WEIGHTS
    device: Annotated[
        str,
        option(
            "auto (all GPUs, else the CPU), cpu, cuda (all GPUs), GPUs such as cuda:0,1, or mps (Apple)", panel=PANEL
        ),
    ] = "auto"
    precision: Annotated[
        Precision,
        option(
            "Numbers of the network; int8 needs OpenVINO, and weights that know it, as those that ship", panel=PANEL
        ),
    ] = "float32"
    backend: Annotated[
        BackendName,
        option("Inference engine; auto takes OpenVINO on a CPU where it is installed, else PyTorch", panel=PANEL),
    ] = "auto"
    batch_size: Annotated[
        Count, option("Patches per forward pass; halved automatically when memory is short", panel=PANEL)
    ] = 64


@dataclass(frozen=True)
class ExportSettings(Settings):
    """Which weights are exported, and in which form."""

    weights: Weights = DEFAULT_WEIGHTS
    format: Annotated[ExportFormat, option("Format of the file")] = "onnx"
    batch: Annotated[Count | None, option("Number of patches in every call (default: any number)")] = None
