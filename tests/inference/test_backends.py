"""The programs that run networks: alike, chosen as told, and refused where they cannot be had."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from bpr_cli.errors import BprError
from bpr_cli.inference import backends
from bpr_cli.inference.predictor import Predictor
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.networks.registry import NETWORKS
from tests.inference.engines import loaded, random_patches, undecided_network


def decider(network: torch.nn.Module, backend: str, flip: bool = False, **changed: object) -> Predictor:
    settings = InferenceSettings(weights="unused", device="cpu", backend=backend, **changed)  # type: ignore[arg-type]
    return Predictor(loaded(network, patch_size=16, padding=8), settings, flip)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("name", sorted({*NETWORKS} - {*backends.NOT_IN_ONNX}))
def test_openvino_decides_as_pytorch_does(name, flip):
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    network, patches = undecided_network(name), random_patches(11)
    ours = decider(network, "openvino", flip=flip).decide(patches)
    theirs = decider(network, "pytorch", flip=flip).decide(patches)
    assert np.abs(ours.astype(int) - theirs).max() <= 1


@pytest.mark.parametrize("name", backends.NOT_IN_ONNX)
def test_networks_that_openvino_cannot_be_given_stay_with_pytorch(name):
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    network = undecided_network(name)
    with pytest.raises(BprError, match=r"OpenVINO cannot run the weights fake\.safetensors: .*; use --backend pytorch"):
        decider(network, "openvino")
    weights = loaded(network, patch_size=16, padding=8)
    weights = replace(weights, card=replace(weights.card, network=name))
    assert Predictor(weights, InferenceSettings(weights="unused", device="cpu")).backend.name == "pytorch"


def test_auto_is_pytorch_where_nothing_else_is_installed(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    assert decider(undecided_network("unet-s"), "auto").backend.name == "pytorch"


def test_what_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda _: None)
    with pytest.raises(BprError, match=r"the backend openvino needs the packages openvino and onnx; install them"):
        decider(undecided_network("unet-s"), "openvino")


def test_a_precision_that_openvino_would_replace_is_refused():
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    with pytest.raises(BprError, match=r"precision is float16, and OpenVINO has only float32"):
        decider(undecided_network("unet-s"), "openvino", precision="float16")


def test_openvino_sends_no_telemetry():
    pytest.importorskip("openvino")
    code = "import sys; from bpr_cli.inference.backends import import_openvino as go; go().Core(); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "HOME": "/proc"}
    )
    assert done.stderr == ""
    assert not [name for name in done.stdout.split() if name.startswith("openvino_telemetry.")]


def test_unknown_backends_are_refused():
    with pytest.raises(BprError, match=r"backend is 'tvm'; expected one of auto, pytorch, openvino"):
        InferenceSettings(backend="tvm")  # type: ignore[arg-type]
