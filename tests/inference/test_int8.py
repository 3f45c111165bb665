"""The network in 8-bit integers: rounding, its numbers, and OpenVINO's integers beside rounded numbers in PyTorch."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.inference.backends import openvino_core
from bpr_cli.inference.int8 import RoundedInput, RoundedWeights, convolutions, int8_numbers, rounded
from bpr_cli.inference.onnx import blank_patches, onnx_bytes
from bpr_cli.inference.patch_model import PatchModel, folded
from bpr_cli.inference.predictor import Predictor
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.patches.crop import Patches
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.convert import average_weights
from bpr_cli.weights.files import LoadedWeights, load_weights, save_weights
from tests.inference.engines import CARDS, loaded, untrained_network
from tests.training.toy_data import toy


def network_inputs(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 4, 32, 32, generator=torch.Generator().manual_seed(seed))


def discs(count: int, side: int, seed: int) -> Patches:
    """Bright discs whose coarse masks are too small and moved, enlarged four times."""
    samples = [toy(number, side // 4) for number in range(seed, seed + count)]
    planes = (np.stack([getattr(sample, name) for sample in samples]) for name in ("image", "coarse"))
    return Patches(*(plane.repeat(4, axis=1).repeat(4, axis=2) for plane in planes))


@pytest.fixture(scope="module")
def quick() -> LoadedWeights:
    """The default weights, quantised on discs."""
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    weights = load_weights("fast")
    patches = discs(48, weights.card.input_size, seed=0)
    model = PatchModel(weights.network, weights.card)
    x = model.network_input(torch.from_numpy(patches.image), torch.from_numpy(patches.mask))
    return replace(weights, card=replace(weights.card, int8=int8_numbers(weights.network, x)))


@given(st.floats(-20, 0), st.floats(0, 20), st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_inputs_are_rounded_to_256_values_one_of_which_is_0(low, high, values):
    layer = RoundedInput(low, high)
    found = layer(torch.tensor([*values, 0.0])).double().numpy()
    assert found[-1] == 0
    steps = found / layer.scale
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert steps.max() - steps.min() <= 255.01
    inside = np.clip(values, low, high)
    # Half a step of rounding, and half a step by which 0 moves the ends.
    assert np.abs(found[:-1] - inside).max() <= 1.01 * layer.scale + 1e-5


def test_weights_are_rounded_to_63rds_of_the_largest_of_each_channel():
    weights = torch.tensor([[1.0, -0.51, 0.0085], [63.0, 10.4, -10.6]])
    expected = torch.tensor([[63, -32, 1], [63, 10, -11]]) * torch.tensor([[1 / 63], [1.0]])
    torch.testing.assert_close(RoundedWeights(weights)(weights), expected)


def test_channels_keep_their_means():
    network, x = untrained_network("lite-unet"), network_inputs(64)
    numbers = int8_numbers(network, x)
    expected, kept, moved = (
        channel_means(each, x)
        for each in (folded(network), rounded(network, numbers), rounded(network, without_shifts(network, numbers)))
    )
    assert expected.keys() == kept.keys()
    errors = [
        sum(float((means[name] - mean).abs().mean()) for name, mean in expected.items()) for means in (kept, moved)
    ]
    assert errors[0] < errors[1] / 4


def without_shifts(network: nn.Module, numbers: tuple[float, ...]) -> list[float]:
    left, out = iter(numbers), []
    for conv in convolutions(folded(network)).values():
        out += [*islice(left, 2), *(0 * shift for shift in islice(left, conv.out_channels))]
    return out


def channel_means(network: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    means = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            key = (
                name.removesuffix(".1")
                if isinstance(network.get_submodule(name.rpartition(".")[0]), nn.Sequential)
                else name
            )
            module.register_forward_hook(lambda _, __, out, key=key: means.__setitem__(key, out.mean(dim=(0, 2, 3))))
    with torch.inference_mode():
        network(x)
    return means


def test_integers_decide_as_floating_point_numbers_do(quick):
    patches = discs(16, quick.card.input_size, seed=100)
    exact, rough = (
        Predictor(quick, InferenceSettings(device="cpu", precision=precision)).predict(patches).astype(int)
        for precision in ("float32", "int8")
    )
    assert 0.1 < (exact > 127).mean() < 0.9
    assert ((rough > 127) != (exact > 127)).mean() < 0.02


def test_openvino_computes_what_rounding_says(quick):
    patches = discs(16, quick.card.input_size, seed=100)
    model = PatchModel(rounded(quick.network, quick.card.int8), quick.card).eval()
    with torch.inference_mode():
        expected = model(torch.from_numpy(patches.image), torch.from_numpy(patches.mask)).numpy()
    found = Predictor(quick, InferenceSettings(device="cpu", precision="int8")).predict(patches)
    # Sums that lie between two integers may be rounded either way. Sums that overflow would be wrong by far more.
    assert ((found > 127) != (expected > 127)).mean() < 0.002


def test_openvino_uses_integers():
    pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    network = untrained_network("lite-unet")
    card = WeightsCard("small", "lite-unet", patch_size=16, padding=8, input_size=32)
    model = PatchModel(rounded(network, int8_numbers(network, network_inputs(16))), card)
    core = openvino_core()
    compiled = core.compile_model(core.read_model(onnx_bytes(model, blank_patches(card, 8)), b""), "CPU")
    told = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kinds = [
        (str(info["layerType"].value), str(info["runtimePrecision"].value)) for info in told if "layerType" in info
    ]
    convolved = [precision for kind, precision in kinds if kind == "Convolution"]
    assert sum(precision in ("u8", "i8") for precision in convolved) >= len(convolutions(network))


def test_numbers_survive_a_weights_file(tmp_path):
    network = untrained_network("unet-s")
    card = replace(CARDS["unet-s"], int8=int8_numbers(network, network_inputs(8)))
    save_weights(tmp_path / "quick.safetensors", network, card)
    assert load_weights(tmp_path / "quick.safetensors").card.int8 == card.int8


def test_averages_have_no_numbers(tmp_path):
    network = untrained_network("unet-s")
    card = replace(CARDS["unet-s"], int8=int8_numbers(network, network_inputs(8)))
    save_weights(tmp_path / "quick.safetensors", network, card)
    both = average_weights(tmp_path / "quick.safetensors", tmp_path / "quick.safetensors", tmp_path / "out.safetensors")
    assert both.card.int8 == ()


def test_numbers_of_another_network_are_refused():
    network = untrained_network("unet-s")
    with pytest.raises(BprError, match="numbers for int8, expected"):
        rounded(network, int8_numbers(network, network_inputs(8))[:-1])


def test_weights_without_numbers_are_refused():
    settings = InferenceSettings(weights="unused", device="cpu", precision="int8")
    with pytest.raises(BprError, match="have no numbers for it; add them with bpr weights quantise"):
        Predictor(loaded(untrained_network("unet-s")), settings)


@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
def test_backends_without_integers_are_refused(backend):
    settings = InferenceSettings(weights="unused", device="cpu", precision="int8", backend=backend)
    with pytest.raises(BprError, match="computes without integers; use --backend openvino"):
        Predictor(loaded(untrained_network("unet-s")), settings)
