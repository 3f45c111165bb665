"""Backends and devices: PyTorch on CPU and GPUs; if installed, OpenVINO on the CPU and ONNX Runtime on either."""

from __future__ import annotations

import os
import re
import sys
from copy import deepcopy
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bpr_cli.errors import BprError, lacking
from bpr_cli.inference.compiled import compiled_model
from bpr_cli.inference.int8 import rounded
from bpr_cli.inference.onnx import NOT_IN_ONNX, blank_patches
from bpr_cli.inference.onnx_runtime import OnnxRuntimeBackend, check_onnxruntime
from bpr_cli.inference.patch_model import DTYPES, PatchModel, folded, note_if_slow
from bpr_cli.inference.settings import BackendName, InferenceSettings, Precision
from bpr_cli.inference.streams import Streams
from bpr_cli.typing import ByteArray
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import LoadedWeights

CPU = torch.device("cpu")

OPENVINO_PACKAGES = ("openvino", "onnx")
"""Packages of the extra ``openvino``. OpenVINO reads networks as ONNX, because its own converter for PyTorch is seconds
slower and sends telemetry."""

OPENVINO_PRECISIONS = {"float32": "FP32", "bfloat16": "BF16", "int8": "INT8"}
"""OpenVINO's names of precisions."""

ENGINES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}
"""Names of backends in messages."""


class Backend(Protocol):
    """Runs a ``PatchModel``; several threads may call it at the same time.

    Attributes:
        name: name in settings and reports.
        packages: packages that results depend on.
        pass_size: number of patches in every call.
        streams: threads in which the calls are best made; None for the calling thread.
    """

    name: str
    packages: tuple[str, ...]
    pass_size: int
    streams: Streams | None

    def __call__(self, image: ByteArray, mask: ByteArray) -> ByteArray:
        """Predict the patches of one pass: ``PatchModel.forward`` with arrays."""


class PyTorchBackend:
    """PyTorch on one or several devices; DataParallel splits passes between them.

    On a CPU, each of as many passes as PyTorch has threads is computed by one of them.
    """

    name = "pytorch"
    packages: tuple[str, ...] = ("torch",)

    def __init__(self, model: PatchModel, devices: list[torch.device], pass_size: int) -> None:
        self.pass_size = pass_size
        self._device = devices[0]
        self.streams = Streams(torch.get_num_threads()) if self._device == CPU else None
        # On a GPU a copy, because the weights stay on the CPU, where they can be pickled for any machine.
        model.network = folded(model.network if self._device == CPU else deepcopy(model.network))
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model = model.eval().to(self._device)
        self._model = nn.DataParallel(model, devices) if len(devices) > 1 else model

    @torch.inference_mode()
    def __call__(self, image: ByteArray, mask: ByteArray) -> ByteArray:
        """See ``Backend``."""
        predicted: Tensor = self._model(*(torch.from_numpy(part).to(self._device) for part in (image, mask)))
        probabilities: ByteArray = predicted.to(CPU).numpy()
        return probabilities


class OpenVINOBackend:
    """OpenVINO on the CPU, with as many threads as PyTorch would use.

    Raises:
        RuntimeError: OpenVINO cannot run the network.
    """

    name = "openvino"
    packages: tuple[str, ...] = OPENVINO_PACKAGES
    streams: Streams | None = None

    def __init__(
        self, model: PatchModel, precision: Precision, example: tuple[Tensor, Tensor], card: WeightsCard
    ) -> None:
        options = {
            # The rest of a network in integers stays float32, so that all CPUs decide alike.
            "INFERENCE_PRECISION_HINT": OPENVINO_PRECISIONS["float32" if precision == "int8" else precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            # Pinned threads would compete for their cores with the worker threads that crop and paste.
            "ENABLE_CPU_PINNING": False,
        }
        self.pass_size = len(example[0])
        compiled = compiled_model(openvino_core(), options, model, example, card)
        self._request = compiled.create_infer_request()
        # A request serves one thread at a time. More requests would not be faster: the one stream has all cores.
        self._lock = Lock()

    def __call__(self, image: ByteArray, mask: ByteArray) -> ByteArray:
        """See ``Backend``."""
        with self._lock:
            predicted: ByteArray = self._request.infer({"image": image, "mask": mask})[0]
        return predicted


def make_backend(
    weights: LoadedWeights, settings: InferenceSettings, flip: bool, devices: list[torch.device], pass_size: int
) -> Backend:
    """Make the backend of the settings.

    ``auto`` chooses OpenVINO on a CPU if it is installed and can run the network, otherwise PyTorch.

    Args:
        weights: the network and its settings.
        settings: ``backend``, ``precision`` and ``device`` are used.
        flip: average the predictions for each patch and its mirror image.
        devices: at least one.
        pass_size: number of patches in every pass.

    Raises:
        BprError: the backend is not installed, or cannot run this network with these settings.
    """
    wanted = settings.backend
    if settings.precision == "int8":
        wanted, weights = "openvino", in_int8(weights, wanted)
    if wanted == "auto":
        fits = devices == [CPU] and weights.card.network not in NOT_IN_ONNX
        wanted = "openvino" if fits and settings.precision in openvino_precisions() else "pytorch"
    elif wanted == "openvino":
        check_openvino(settings.precision, devices)
    elif wanted == "onnxruntime":
        check_onnxruntime(settings, devices)
    if wanted == "pytorch":
        note_if_slow(settings.precision, devices[0])
        model = PatchModel(weights.network, weights.card, DTYPES[settings.precision], flip)
        return PyTorchBackend(model, devices, pass_size)
    model, example = PatchModel(weights.network, weights.card, flip=flip), blank_patches(weights.card, pass_size)
    try:
        if wanted == "onnxruntime":
            return OnnxRuntimeBackend(model, settings.device, devices[0], example)
        return OpenVINOBackend(model, settings.precision, example, weights.card)
    except RuntimeError as error:
        raise BprError(
            f"{ENGINES[wanted]} cannot run the weights {weights.path}: {str(error)[:300]}; use --backend pytorch"
        ) from error


def in_int8(weights: LoadedWeights, wanted: BackendName) -> LoadedWeights:
    """The weights with a network that rounds to integers, which OpenVINO computes with.

    Raises:
        BprError: another backend is wanted, or the weights do not know how to round.
    """
    if wanted not in ("auto", "openvino"):
        raise BprError(
            f"precision is int8, and the backend {wanted} computes without integers; use --backend openvino, or "
            "another precision"
        )
    if not weights.card.int8:
        raise BprError(
            f"precision is int8, and the weights {weights.path} have no numbers for it; add them with bpr weights "
            "quantise, or use another precision"
        )
    return replace(weights, network=rounded(weights.network, weights.card.int8))


def openvino_precisions() -> list[str]:
    """Precisions that OpenVINO supports on this CPU without emulation; empty if OpenVINO is not installed."""
    if not all(find_spec(package) for package in OPENVINO_PACKAGES):
        return []
    capabilities = openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [name for name, short in OPENVINO_PRECISIONS.items() if short in capabilities]


def openvino_core() -> Any:  # noqa: ANN401 - of a package that may be missing
    """OpenVINO of this process."""
    return _core_of(os.getpid())


@cache
def _core_of(_process: int) -> Any:  # noqa: ANN401 - as above
    """OpenVINO of a process; one that forks may leave its threads behind.

    Each one gives the thread that makes it a stack for signal handlers, and sets the former stack again when it ends.
    If the former one is gone by then, the next signal crashes the process; so none ends before the process does.
    """
    return import_openvino().Core()


def import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which sends data and writes into the home directory on import."""
    # A module set to None cannot be imported; OpenVINO works without its telemetry module.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module("openvino")


def check_openvino(precision: Precision, devices: list[torch.device]) -> None:
    """Refuse OpenVINO if it would fail or silently use another precision.

    Raises:
        BprError: the device is not the CPU, OpenVINO is not installed, or it lacks the precision on this CPU.
    """
    if devices != [CPU]:
        raise BprError(f"the backend openvino runs on the CPU only, and the device is {devices[0]}; use --device cpu")
    available = openvino_precisions()
    if not available:
        other = "another --precision" if precision == "int8" else "--backend pytorch"
        raise lacking(f"the backend openvino ({other} works without it)", OPENVINO_PACKAGES)
    if precision not in available:
        raise BprError(
            f"precision is {precision}, and OpenVINO has only {' and '.join(available)} on this CPU; "
            "choose one of these, or use --backend pytorch"
        )


def parse_devices(text: str) -> list[torch.device]:
    """Parse ``auto``, ``cpu``, ``cuda`` (all GPUs), ``cuda:1``, ``cuda:0,1`` or ``mps`` (the GPU of Apple machines).

    Returns:
        At least one device; passes are split between them.

    Raises:
        BprError: the text is none of these, or names a GPU that PyTorch does not see.
    """
    if text == "mps":
        if not torch.backends.mps.is_available():
            raise BprError("device is 'mps', but PyTorch sees no Apple GPU; use --device cpu")
        return [torch.device("mps")]
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if text == "cpu" or (text == "auto" and available == 0):
        return [CPU]
    listed = re.fullmatch(r"cuda:(\d+(?:,\d+)*)", text)
    if text not in ("auto", "cuda") and listed is None:
        raise BprError(
            f"device is {text!r}; expected auto, cpu, cuda, GPUs by number such as cuda:0 or cuda:0,1, or mps"
        )
    numbers = list(dict.fromkeys(int(n) for n in listed[1].split(","))) if listed else list(range(available))
    missing = [number for number in numbers if number >= available]
    if missing or not numbers:
        raise BprError(
            f"device is {text!r}, but PyTorch sees {available} CUDA device{'' if available == 1 else 's'}; "
            "use --device cpu, or install a CUDA build of PyTorch and check the driver"
        )
    return [torch.device("cuda", number) for number in numbers]
