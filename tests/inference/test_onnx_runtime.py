"""ONNX Runtime: predicts as PyTorch does, takes the best provider that is there, and refuses what it would not do."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bpr_cli.errors import BprError
from bpr_cli.inference import backends, onnx_runtime
from bpr_cli.inference.onnx_runtime import check_onnxruntime, providers_for
from bpr_cli.inference.predictor import Predictor
from bpr_cli.inference.settings import InferenceSettings
from tests.inference.engines import loaded, random_patches, untrained_network

CUDA, CORE_ML, DIRECT_ML, CPU = onnx_runtime.PROVIDERS


def predictor(network, backend="onnxruntime", device="cpu", flip=False):
    settings = InferenceSettings(weights="unused", device=device, backend=backend)
    return Predictor(loaded(network, patch_size=16, padding=8), settings, flip)


@pytest.fixture
def installed():
    for package in onnx_runtime.PACKAGES:
        pytest.importorskip(package)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", ["unet-s", "lite-unet", "hrnet18s"])
def test_it_predicts_as_pytorch_does(name, flip, installed):
    network, patches = untrained_network(name), random_patches(11)
    ours = predictor(network, flip=flip)
    theirs = predictor(network, "pytorch", flip=flip)
    assert ours.backend.name == "onnxruntime"
    assert np.abs(ours.predict(patches).astype(int) - theirs.predict(patches)).max() <= 1


def test_threads_predict_as_one_after_the_other(installed):
    shared = predictor(untrained_network("unet-s"))
    patches = [random_patches(11, seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(shared.predict, patches))
    for each, predicted in zip(patches, together, strict=True):
        np.testing.assert_array_equal(predicted, shared.predict(each))


def test_a_network_that_it_cannot_run_is_refused(installed):
    with pytest.raises(BprError, match=r"ONNX Runtime cannot run the weights fake\.safetensors: .*; use --backend pyt"):
        predictor(untrained_network("fast-scnn"))


def test_a_broken_file_is_an_error_like_those_of_other_engines(installed):
    with pytest.raises(RuntimeError, match="ONNX"):
        onnx_runtime.open_session(b"junk", [CPU])


@pytest.mark.parametrize(
    ("asked", "available", "expected"),
    [
        ("auto", [CPU], [CPU]),
        ("auto", ["AzureExecutionProvider", CPU], [CPU]),
        ("auto", [CPU, CORE_ML], [CORE_ML, CPU]),
        ("auto", [DIRECT_ML, CPU], [DIRECT_ML, CPU]),
        ("auto", ["TensorrtExecutionProvider", CUDA, CPU], [CUDA, CPU]),
        ("cpu", [CUDA, CORE_ML, CPU], [CPU]),
        ("mps", [CUDA, CORE_ML, CPU], [CORE_ML, CPU]),
        ("cuda:1", [CUDA, CORE_ML, CPU], [CUDA, CPU]),
    ],
)
def test_the_best_provider_that_is_there(asked, available, expected):
    assert providers_for(asked, available) == expected


class Session:
    """A session whose GPU works, or which ONNX Runtime moved to the CPU."""

    def __init__(self, provider):
        self.provider = provider

    def get_providers(self):
        return [self.provider, CPU]


@pytest.mark.parametrize("used", [CORE_ML, CPU])
def test_a_provider_other_than_the_cpu_is_told(used, installed, monkeypatch, caplog):
    monkeypatch.setattr(onnx_runtime, "open_session", lambda *_: Session(used))
    predictor(untrained_network("unet-s"), device="auto")
    assert (used in caplog.text) == (used != CPU)


def test_a_gpu_that_does_not_load_is_refused(installed, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "open_session", lambda *_: Session(CPU))
    monkeypatch.setattr(backends, "check_onnxruntime", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(BprError, match=r"ONNX Runtime cannot load its CUDAExecutionProvider"):
        predictor(untrained_network("unet-s"), device="cuda:0")


def test_wishes_that_it_cannot_fulfil(installed):
    devices = [torch.device("cuda", 0), torch.device("cuda", 1)]
    with pytest.raises(BprError, match=r"precision is bfloat16, and the backend onnxruntime has only float32"):
        check_onnxruntime(InferenceSettings(precision="bfloat16"), devices[:1])
    with pytest.raises(BprError, match=r"uses one GPU; choose it with --device cuda:0"):
        check_onnxruntime(InferenceSettings(device="cuda"), devices)


def test_it_must_be_installed(monkeypatch):
    monkeypatch.setattr(onnx_runtime, "find_spec", lambda _: None)
    with pytest.raises(BprError, match=r"needs the packages onnxruntime and onnx; install them"):
        predictor(untrained_network("unet-s"))
