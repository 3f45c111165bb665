"""The programs that can run a network: PyTorch on every device, OpenVINO on a CPU where it is installed."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bpr_cli.errors import BprError
from bpr_cli.inference.devices import CPU
from bpr_cli.inference.fold import folded
from bpr_cli.inference.patch_model import DTYPES, PatchModel
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.weights.files import LoadedWeights

OPENVINO_PACKAGES = ("openvino", "onnx")
"""What the extra ``openvino`` installs: networks travel to OpenVINO as ONNX. (Its own converter for PyTorch takes
seconds longer, and reports its use over the internet.)"""

OPENVINO_PRECISIONS = {"float32": "FP32", "bfloat16": "BF16"}
"""How OpenVINO calls what it can compute in."""

ONNX_OPSET = 17

NOT_IN_ONNX = ("fast-scnn",)
"""Networks that cannot travel: this one pools to grids that do not divide its features."""


class Backend(Protocol):
    """Runs a ``PatchModel``; ``name`` is how settings and reports call it, ``packages`` are what it consists of."""

    name: str
    packages: tuple[str, ...]

    def __call__(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Decide the patches of one pass; see ``PatchModel.forward``, here with arrays."""


class PyTorchBackend:
    """PyTorch on one or several devices; passes are split over them by DataParallel."""

    name = "pytorch"
    packages: tuple[str, ...] = ("torch",)

    def __init__(
        self, weights: LoadedWeights, settings: InferenceSettings, flip: bool, devices: list[torch.device], _: int
    ) -> None:
        self._device = devices[0]
        network = folded(weights.network) if self._device == CPU else weights.network
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        dtype = DTYPES[settings.precision]
        model = PatchModel(network, weights.card, dtype, flip).eval().to(self._device)
        self._model = nn.DataParallel(model, devices) if len(devices) > 1 else model

    @torch.inference_mode()
    def __call__(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See ``Backend``."""
        decided: Tensor = self._model(*(torch.from_numpy(part).to(self._device) for part in (image, mask)))
        probabilities: NDArray[np.uint8] = decided.to(CPU).numpy()
        return probabilities


class OpenVINOBackend:
    """OpenVINO on the CPU, with as many threads as PyTorch would take; it must be there, see ``check_openvino``.

    Raises:
        BprError: it cannot run the network.
    """

    name = "openvino"
    packages: tuple[str, ...] = OPENVINO_PACKAGES

    def __init__(
        self, weights: LoadedWeights, settings: InferenceSettings, flip: bool, _: list[torch.device], pass_size: int
    ) -> None:
        options = {
            "INFERENCE_PRECISION_HINT": OPENVINO_PRECISIONS[settings.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            # Pinned threads would fight for their core with those that cut and paste.
            "ENABLE_CPU_PINNING": False,
        }
        side = weights.card.input_size
        example = [torch.zeros(pass_size, side, side, *channels, dtype=torch.uint8) for channels in ((3,), ())]
        try:
            core = import_openvino().Core()
            graph = core.read_model(onnx_bytes(PatchModel(weights.network, weights.card, flip=flip), example), b"")
            self._request = core.compile_model(graph, "CPU", options).create_infer_request()
        except RuntimeError as error:
            raise BprError(
                f"OpenVINO cannot run the weights {weights.path}: {str(error)[:300]}; use --backend pytorch"
            ) from error

    def __call__(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See ``Backend``."""
        decided: NDArray[np.uint8] = self._request.infer({"image": image, "mask": mask})[0]
        return decided


MAKERS: dict[str, Callable[[LoadedWeights, InferenceSettings, bool, list[torch.device], int], Backend]] = {
    "pytorch": PyTorchBackend,
    "openvino": OpenVINOBackend,
}


def make_backend(
    weights: LoadedWeights, settings: InferenceSettings, flip: bool, devices: list[torch.device], pass_size: int
) -> Backend:
    """The backend that is asked for; for ``auto`` OpenVINO on a CPU where it is installed and can run the
    network, else PyTorch.

    Args:
        weights: the network and how it wants its patches.
        settings: ``backend`` and ``precision`` count.
        flip: average every patch with its mirror image.
        devices: to run on, at least one.
        pass_size: patches it will be given at a time.

    Raises:
        BprError: the backend cannot be had with these settings here.
    """
    wanted = settings.backend
    if wanted == "auto":
        fits = devices == [CPU] and weights.card.network not in NOT_IN_ONNX
        wanted = "openvino" if fits and settings.precision in openvino_precisions() else "pytorch"
    elif wanted == "openvino":
        check_openvino(settings.precision, devices)
    return MAKERS[wanted](weights, settings, flip, devices, pass_size)


def openvino_precisions() -> list[str]:
    """What OpenVINO computes in on this CPU without emulating it; nothing where it is not installed."""
    if not all(find_spec(package) for package in OPENVINO_PACKAGES):
        return []
    capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [name for name, short in OPENVINO_PRECISIONS.items() if short in capabilities]


def import_openvino() -> ModuleType:
    """OpenVINO without its telemetry, which sends word over the internet and writes into the home as it is imported."""
    # A module that is None cannot be imported, and OpenVINO does without this one.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module("openvino")


def onnx_bytes(model: PatchModel, example: list[Tensor]) -> bytes:
    """A model as ONNX, for inputs of the shapes of the example.

    The exporter is the one that needs no further package. Its warnings are for authors of networks; tests compare what
    comes out with PyTorch for every network.
    """
    out = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            tuple(example),
            out,  # type: ignore[arg-type]  # this exporter takes it, and no file can be left behind
            input_names=["image", "mask"],
            opset_version=ONNX_OPSET,
            dynamo=False,
        )
    return out.getvalue()


def check_openvino(precision: str, devices: list[torch.device]) -> None:
    """Refuse to go on where OpenVINO cannot run, is not installed, or would silently take another precision.

    Raises:
        BprError: one of these.
    """
    if devices != [CPU]:
        raise BprError(f"the backend openvino runs on the CPU only, and the device is {devices[0]}; use --device cpu")
    there = openvino_precisions()
    if not there:
        raise BprError(
            f"the backend openvino needs the packages {' and '.join(OPENVINO_PACKAGES)}; "
            "install them with pip install 'bpr-cli[openvino]', or use --backend pytorch"
        )
    if precision not in there:
        raise BprError(
            f"precision is {precision}, and OpenVINO has only {' and '.join(there)} on this CPU; "
            "take one of these, or use --backend pytorch"
        )
