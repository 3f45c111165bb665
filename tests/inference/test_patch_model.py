import platform

import numpy as np
import pytest
import torch
from torch import nn

from bpr_cli.inference.patch_model import PatchModel, folded, network_margin, note_if_slow
from bpr_cli.networks.registry import NETWORKS, build_network
from bpr_cli.weights.card import WeightsCard

SIZES = [
    (64, 16, 128),
    (56, 12, 128),
    (48, 8, 128),
    (32, 16, 128),
    (32, 16, 64),
    (64, 0, 128),
    (50, 7, 64),
    (8, 60, 64),
]
"""Patch, context and input; some fit together badly."""


def card_of(patch_size: int, padding: int, input_size: int) -> WeightsCard:
    return WeightsCard("small", "lite-unet", patch_size=patch_size, padding=padding, input_size=input_size)


def part_of(plane: np.ndarray, patch_size: int) -> np.ndarray:
    begin = (plane.shape[-1] - patch_size) // 2
    return plane[:, begin : begin + patch_size, begin : begin + patch_size]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("flip", [False, True])
def test_skipped_logits_affect_no_pixel_of_a_patch(sizes, flip):
    """Compared with all logits, resized and cropped."""
    patch_size, padding, side = sizes
    torch.manual_seed(0)
    network, random = build_network("lite-unet").eval(), np.random.default_rng(0)
    network.classify.weight.data *= 30
    image = torch.from_numpy(random.integers(0, 256, (3, side, side, 3), np.uint8))
    mask = torch.from_numpy(random.integers(0, 2, (3, side, side), np.uint8))
    model = PatchModel(network, card_of(*sizes), flip=flip)
    with torch.inference_mode():
        found = model(image, mask)
        x = model.network_input(image, mask)
        whole = [network(x), network(x.flip(-1)).flip(-1)][: 1 + flip]
        context = patch_size + 2 * padding
        resized = [torch.nn.functional.interpolate(each, (context, context), mode="bilinear") for each in whole]
        expected = sum(each.softmax(1)[:, 1] for each in resized) / len(resized)
    assert expected.std() > 0.05
    np.testing.assert_allclose(found.numpy(), 255 * part_of(expected.numpy(), patch_size), atol=0.51)


@pytest.mark.parametrize("sizes", SIZES)
def test_margins_are_as_wide_as_they_may_be(sizes):
    """A whole number of pixels before and after resizing, which needs one pixel more than the patch has."""
    patch_size, padding, side = sizes
    context = patch_size + 2 * padding
    allowed = [c * side // context for c in range(padding + (context == side)) if c * side % context == 0]
    assert network_margin(card_of(*sizes)) == max(allowed, default=0)


STEMS_AT_MOST = 1


def used(name: str) -> nn.Module:
    """A network whose batch norms are not identities, so that leaving one out shows."""
    torch.manual_seed(3)
    network = build_network(name)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, std=0.2)
        network.train()(torch.randn(4, 4, 64, 64))
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


@pytest.fixture
def double_precision():
    """Rounding of float32 would hide small mistakes."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.usefixtures("double_precision")
def test_a_folded_network_has_the_same_logits_at_any_size(name):
    network = used(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    lean = folded(network)
    assert norms(lean) <= STEMS_AT_MOST < norms(network)
    for side in (32, 64):
        x = torch.randn(2, 4, side, side)
        with torch.inference_mode():
            expected = network(x)
            torch.testing.assert_close(lean(x), expected, rtol=0, atol=1e-10 * float(expected.abs().max()))
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_batch_norm_of_a_sum_stays():
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image, self.mask = nn.Conv2d(3, 2, 3, padding=1), nn.Conv2d(1, 2, 3, padding=1)
            self.norm = nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.image(x[:, :3]) + self.mask(x[:, 3:]))

    network = Joined().eval()
    assert folded(network) is network


def test_without_batch_norms_there_is_nothing_to_fold():
    network = nn.Conv2d(4, 2, 1).eval()
    assert folded(network) is network


@pytest.mark.parametrize(
    ("machine", "capability", "precision", "told"),
    [
        ("x86_64", "AVX2", "bfloat16", True),
        ("AMD64", "DEFAULT", "float16", True),
        ("x86_64", "AVX512", "bfloat16", False),
        ("arm64", "DEFAULT", "bfloat16", False),
        ("x86_64", "AVX2", "float32", False),
    ],
)
def test_processors_without_short_floats_are_told(machine, capability, precision, told, monkeypatch, caplog):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    note_if_slow(precision, torch.device("cpu"))
    note_if_slow(precision, torch.device("cuda"))
    told_once = f"this processor has no instructions for {precision}, which is several times slower than float32 here"
    assert caplog.messages == [told_once] * told
