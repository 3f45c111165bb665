"""Compiled networks from the cache give the same results as compiled anew; other weights are never taken for them."""

import numpy as np
import pytest

from bpr_cli.inference import compiled as module
from bpr_cli.inference.predictor import Predictor
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.weights.files import load_weights
from tests.inference.engines import random_patches

pytest.importorskip("openvino")
pytest.importorskip("onnx")

SETTINGS = InferenceSettings(weights="unused", device="cpu", backend="openvino", batch_size=8)


@pytest.fixture
def exports(tmp_path, monkeypatch):
    """An empty cache, and the exports that were made since."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []

    def export(*arguments):
        made.append(arguments)
        return original(*arguments)

    original = module.onnx_bytes
    monkeypatch.setattr(module, "onnx_bytes", export)
    return made


def test_the_second_time_nothing_is_exported_and_results_are_the_same(exports, weights_of):
    weights, patches = load_weights(weights_of("unet-s")), random_patches(11)
    first = Predictor(weights, SETTINGS).predict(patches)
    second = Predictor(load_weights(weights_of("unet-s")), SETTINGS).predict(patches)
    assert len(exports) == 1
    np.testing.assert_array_equal(first, second)


def test_what_changes_the_network_is_compiled_anew(exports, weights_of):
    weights, patches = load_weights(weights_of("unet-s")), random_patches(11)
    first = Predictor(weights, SETTINGS).predict(patches)
    flipped = Predictor(weights, SETTINGS, flip=True).predict(patches)
    next(weights.network.parameters()).data.mul_(2)
    other = Predictor(weights, SETTINGS).predict(patches)
    assert len(exports) == 3
    assert (first != flipped).any()
    assert (first != other).any()


def test_a_damaged_cache_is_passed_over(exports, weights_of, tmp_path):
    weights, patches = load_weights(weights_of("unet-s")), random_patches(11)
    first = Predictor(weights, SETTINGS).predict(patches)
    (file,) = tmp_path.glob("bpr/openvino/*")
    file.write_bytes(file.read_bytes()[:-7])
    np.testing.assert_array_equal(Predictor(weights, SETTINGS).predict(patches), first)
    assert len(exports) == 2
