import numpy as np
import pytest
import torch

from bpr_cli.inference.patch_model import PatchModel, network_margin
from bpr_cli.networks.registry import build_network
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
def test_what_the_network_leaves_out_counts_for_no_pixel_of_a_patch(sizes, flip):
    """Against all logits, resized and cut."""
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
