"""Backends and devices: equal results, choice by settings, and refusals."""

import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import copy, deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from bpr_cli.errors import BprError
from bpr_cli.inference import backends
from bpr_cli.inference.backends import parse_devices
from bpr_cli.inference.predictor import Predictor
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.networks.registry import NETWORKS
from tests.inference.engines import loaded, random_patches, untrained_network


def predictor(network: torch.nn.Module, backend: str, flip: bool = False, **changed: object) -> Predictor:
    settings = InferenceSettings(weights="unused", device="cpu", backend=backend, **changed)  # type: ignore[arg-type]
    return Predictor(loaded(network, patch_size=16, padding=8), settings, flip)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", sorted({*NETWORKS} - {*backends.NOT_IN_ONNX}))
def test_openvino_predicts_as_pytorch_does(name, flip):
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    network, patches = untrained_network(name), random_patches(11)
    ours = predictor(network, "openvino", flip=flip).predict(patches)
    theirs = predictor(network, "pytorch", flip=flip).predict(patches)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("backend", ["pytorch", "openvino"])
def test_threads_predict_as_one_after_the_other(backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
        pytest.importorskip("onnx")
    shared = predictor(untrained_network("unet-s"), backend)
    patches = [random_patches(11, seed=seed) for seed in range(12)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(shared.predict, patches))
    for each, predicted in zip(patches, together, strict=True):
        np.testing.assert_array_equal(predicted, shared.predict(each))


def test_threads_make_predictors_at_the_same_time():
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    patches = random_patches(3)
    first = predictor(untrained_network("unet-s"), "openvino")
    with ThreadPoolExecutor(4) as threads:
        others = list(threads.map(pickle.loads, [pickle.dumps(first)] * 4))
    for other in others:
        np.testing.assert_array_equal(other.predict(patches), first.predict(patches))


@pytest.mark.parametrize("backend", ["pytorch", "openvino"])
def test_copies_and_pickles_predict_alike(backend):
    if backend == "openvino":
        pytest.importorskip("openvino")
        pytest.importorskip("onnx")
    original, patches = predictor(untrained_network("unet-s"), backend, flip=True), random_patches(11)
    for other in (copy(original), deepcopy(original), pickle.loads(pickle.dumps(original))):
        np.testing.assert_array_equal(other.predict(patches), original.predict(patches))


@pytest.mark.parametrize("name", backends.NOT_IN_ONNX)
def test_networks_that_openvino_cannot_be_given_stay_with_pytorch(name):
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    network = untrained_network(name)
    with pytest.raises(BprError, match=r"OpenVINO cannot run the weights fake\.safetensors: .*; use --backend pytorch"):
        predictor(network, "openvino")
    weights = loaded(network, patch_size=16, padding=8)
    weights = replace(weights, card=replace(weights.card, network=name))
    assert Predictor(weights, InferenceSettings(weights="unused", device="cpu")).backend.name == "pytorch"


def test_auto_is_pytorch_where_nothing_else_is_installed(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    assert predictor(untrained_network("unet-s"), "auto").backend.name == "pytorch"


def test_a_missing_backend_is_refused(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(BprError, match=r"the backend openvino .*needs the packages openvino and onnx; install them"):
        predictor(untrained_network("unet-s"), "openvino")


@pytest.mark.parametrize(("precision", "remedy"), [("float32", "--backend pytorch"), ("int8", "another --precision")])
def test_a_missing_backend_tells_what_works_without_it(precision, remedy, monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(BprError, match=rf"{remedy} works without it"):
        backends.check_openvino(precision, [backends.CPU])


def test_a_precision_that_openvino_would_replace_is_refused():
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    with pytest.raises(BprError, match=r"precision is float16, and OpenVINO has only float32"):
        predictor(untrained_network("unet-s"), "openvino", precision="float16")


def test_openvino_sends_no_telemetry():
    pytest.importorskip("openvino")
    code = "import sys; from bpr_cli.inference.backends import openvino_core; openvino_core(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "HOME": "/proc"}
    )
    assert done.stderr == ""
    assert not [name for name in done.stdout.split() if name.startswith("openvino_telemetry.")]


IN_TURN = """
import signal
from tests.inference.engines import untrained_network
from tests.inference.test_backends import predictor

predictors = [predictor(untrained_network("unet-s"), "openvino") for _ in range(2)]
while predictors:
    predictors.pop(0)
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.skipif(os.name == "nt", reason="handlers have no stack of their own there")
def test_signals_are_handled_after_predictors_ended_in_the_order_of_their_beginning():
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    done = subprocess.run([sys.executable, "-c", IN_TURN], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "handled\n")


def test_unknown_backends_are_refused():
    with pytest.raises(BprError, match=r"backend is 'tvm'; expected one of auto, pytorch, openvino, onnxruntime"):
        InferenceSettings(backend="tvm")  # type: ignore[arg-type]


@pytest.fixture
def gpus(monkeypatch):
    def there_are(count: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return there_are


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("auto", 0, ["cpu"]),
        ("auto", 1, ["cuda:0"]),
        ("auto", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        ("cpu", 0, ["cpu"]),
        ("cpu", 2, ["cpu"]),
        ("cuda", 2, ["cuda:0", "cuda:1"]),
        ("cuda:1", 2, ["cuda:1"]),
        ("cuda:0,1", 2, ["cuda:0", "cuda:1"]),
        ("cuda:2,0", 3, ["cuda:2", "cuda:0"]),
        ("cuda:1,1", 2, ["cuda:1"]),
        ("cuda:10", 11, ["cuda:10"]),
    ],
)
def test_devices_by_name(gpus, text, count, expected):
    gpus(count)
    assert [str(device) for device in parse_devices(text)] == expected


@pytest.mark.parametrize(
    "text", ["", "gpu", "CUDA", "cuda:", "cuda:a", "cuda:0,", "cuda:,0", "cuda:-1", "cuda:0 1", "mps:0"]
)
def test_other_names_are_refused(gpus, text):
    gpus(2)
    with pytest.raises(BprError, match="expected auto, cpu, cuda") as caught:
        parse_devices(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("there", [False, True])
def test_the_gpu_of_apple_machines(monkeypatch, there):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there)
    if there:
        assert [str(device) for device in parse_devices("mps")] == ["mps"]
    else:
        with pytest.raises(BprError, match="device is 'mps', but PyTorch sees no Apple GPU; use --device cpu"):
            parse_devices("mps")


@pytest.mark.parametrize(
    ("text", "count", "seen"),
    [
        ("cuda", 0, "sees 0 CUDA devices"),
        ("cuda:0", 0, "sees 0 CUDA devices"),
        ("cuda:1", 1, "sees 1 CUDA device;"),
        ("cuda:0,5", 2, "sees 2 CUDA devices"),
        ("cuda:99999999999999999999", 1, "sees 1 CUDA device;"),
    ],
)
def test_a_gpu_that_is_not_there(gpus, text, count, seen):
    gpus(count)
    with pytest.raises(BprError, match=seen):
        parse_devices(text)
