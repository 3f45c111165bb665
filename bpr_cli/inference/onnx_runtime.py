"""ONNX Runtime, if installed: on NVIDIA GPUs, Apple machines, GPUs of Windows, and CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from bpr_cli.errors import BprError, lacking, note
from bpr_cli.inference.onnx import INPUTS, onnx_bytes
from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.inference.streams import Streams
from bpr_cli.typing import ByteArray

PACKAGES = ("onnxruntime", "onnx")
"""Packages of the extra ``onnxruntime``."""

CUDA, CORE_ML, CPU = "CUDAExecutionProvider", "CoreMLExecutionProvider", "CPUExecutionProvider"
PROVIDERS = (CUDA, CORE_ML, "DmlExecutionProvider", CPU)
"""ONNX Runtime's names of what networks run on, best first."""

ERRORS = ("Fail", "RuntimeException", "InvalidGraph", "InvalidProtobuf", "NotImplemented", "EPFail")
"""ONNX Runtime's names of errors in running a network; its exceptions have no class of their own."""

QUIET = 3
"""ONNX Runtime's level of logging for errors only."""


class OnnxRuntimeBackend:
    """ONNX Runtime on one GPU or on the CPU, there with as many threads as PyTorch would use.

    Raises:
        RuntimeError: ONNX Runtime cannot run the network.
        BprError: it cannot use the GPU that was asked for.
    """

    name = "onnxruntime"
    packages: tuple[str, ...] = (*PACKAGES, "onnxruntime-gpu", "onnxruntime-directml")
    streams: Streams | None = None

    def __init__(self, model: PatchModel, asked: str, device: torch.device, example: tuple[Tensor, Tensor]) -> None:
        """Load a network.

        Args:
            model: the network.
            asked: the device as the user gave it; on ``auto``, the best provider that is there is taken.
            device: the device that PyTorch would use.
            example: patches of one pass.
        """
        self.pass_size = len(example[0])
        providers = providers_for(asked, import_module("onnxruntime").get_available_providers())
        self._session = open_session(onnx_bytes(model, example), providers, device.index or 0)
        used = self._session.get_providers()[0]
        if asked != "auto" and used != provider_of(asked):
            raise BprError(
                f"the device is {asked}, but ONNX Runtime cannot load its {provider_of(asked)}; install what it needs, "
                "such as CUDA and cuDNN, or use --backend pytorch"
            )
        if used != CPU:
            note(f"ONNX Runtime runs the network with its {used}; --device cpu takes the CPU")

    def __call__(self, image: ByteArray, mask: ByteArray) -> ByteArray:
        """See ``Backend``."""
        with runtime_errors():
            predicted: ByteArray = self._session.run(None, dict(zip(INPUTS, (image, mask), strict=True)))[0]
        return predicted


@contextmanager
def runtime_errors() -> Iterator[None]:
    """Turn errors of ONNX Runtime into ``RuntimeError``, as other engines raise."""
    known = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    try:
        yield
    except tuple(getattr(known, name) for name in ERRORS if hasattr(known, name)) as error:
        raise RuntimeError(str(error)) from error


def open_session(content: bytes, providers: list[str], gpu: int = 0) -> Any:  # noqa: ANN401 - an optional package's
    """Load an ONNX file into ONNX Runtime.

    Args:
        content: the file.
        providers: names of providers; each operation runs on the first one that has it.
        gpu: number of the GPU.

    Raises:
        RuntimeError: ONNX Runtime cannot run the network.
    """
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = QUIET
    with_options = [(name, {"device_id": gpu} if name == CUDA else {}) for name in providers]
    with runtime_errors():
        return runtime.InferenceSession(content, options, providers=with_options)


def providers_for(asked: str, available: list[str]) -> list[str]:
    """The providers to use on a device, best first; the last one is always the CPU.

    Args:
        asked: the device as the user gave it.
        available: the providers that this build of ONNX Runtime has.
    """
    wanted = PROVIDERS if asked == "auto" else (provider_of(asked), CPU)
    return [name for name in dict.fromkeys(wanted) if name in available or name == CPU]


def provider_of(device: str) -> str:
    """The provider for a device as the user gave it: ``cpu``, ``mps`` or GPUs of CUDA."""
    return {"cpu": CPU, "mps": CORE_ML}.get(device, CUDA)


def check_onnxruntime(settings: InferenceSettings, devices: list[torch.device]) -> None:
    """Refuse ONNX Runtime where it would fail or silently use another precision or device.

    Raises:
        BprError: it is not installed, the precision is not float32, several GPUs were asked for, or one that
            this build cannot use.
    """
    if not all(find_spec(package) for package in PACKAGES):
        raise lacking("the backend onnxruntime (--backend pytorch works without it)", PACKAGES)
    if settings.precision != "float32":
        raise BprError(
            f"precision is {settings.precision}, and the backend onnxruntime has only float32; choose it, or use "
            "--backend pytorch"
        )
    if settings.device in ("auto", "cpu"):
        return
    if len(devices) > 1:
        raise BprError(
            f"the device is {settings.device}, and the backend onnxruntime uses one GPU; choose it with --device cuda:0"
        )
    wanted = provider_of(settings.device)
    if wanted not in import_module("onnxruntime").get_available_providers():
        raise BprError(
            f"the device is {settings.device}, but this build of ONNX Runtime has no {wanted}; "
            "install another in its place, such as onnxruntime-gpu, or use --backend pytorch"
        )
