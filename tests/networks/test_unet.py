"""The network ``lite-unet``."""

import pytest
import torch
from torch.nn import functional

from bpr_cli.networks.unet import LiteUNet, SameConv2d
from bpr_cli.weights.start import _lite_names

# Tan and Le, EfficientNet, Table 1 (B0), which Lite0 shares: kernel, stride, expansion, channels, blocks.
PUBLISHED = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3))


@pytest.fixture(scope="module")
def network() -> LiteUNet:
    torch.manual_seed(0)
    return LiteUNet().eval()


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [4, 10])
def test_padding_is_that_of_tensorflow(kernel, stride, side):
    """``SAME``: as many outputs as strides begin in the input, and the smaller half of the padding comes first."""
    conv = SameConv2d(2, 3, kernel, stride)
    x = torch.randn(1, 2, side, side)
    outputs = -(-side // stride)
    total = max((outputs - 1) * stride + kernel - side, 0)
    first, last = total // 2, total - total // 2
    expected = functional.conv2d(functional.pad(x, (first, last, first, last)), conv.weight, stride=stride)
    assert expected.shape[-1] == outputs
    torch.testing.assert_close(conv(x), expected)


def test_the_encoder_is_that_of_the_paper(network):
    entering = 32
    for stage, (kernel, stride, expansion, channels, blocks) in zip(network.encoder, PUBLISHED, strict=True):
        assert len(stage) == blocks
        for index, block in enumerate(stage):
            inner = entering * expansion
            filtering = block.filter[0]
            assert filtering.weight.shape == (inner, 1, kernel, kernel)
            assert filtering.stride == ((stride, stride) if index == 0 else (1, 1))
            assert block.narrow[0].weight.shape == (channels, inner, 1, 1)
            assert block.shortcut == (index > 0)
            assert [conv.weight.shape for conv in block.widen if hasattr(conv, "kernel_size")] == (
                [(inner, entering, 1, 1)] if expansion > 1 else []
            )
            entering = channels


def test_pretrained_parameters_are_those_that_imagenet_initialises(network):
    """All tensors that ``bpr weights start`` fills, except the statistics of batch norms, which are not trained."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    filled = {own for own, _ in _lite_names() if "running" not in own}
    assert {names[id(each)] for each in network.pretrained_parameters()} == filled


@pytest.mark.parametrize("side", [32, 96, 128])
def test_features_are_at_the_resolutions_of_the_paper(network, side):
    with torch.inference_mode():
        features = network.encode(torch.zeros(2, 4, side, side))
    assert [feature.shape[1:] for feature in features] == [
        (channels, side // reduction, side // reduction)
        for channels, reduction in ((16, 2), (24, 4), (40, 8), (80, 16), (112, 16))
    ]


def test_every_parameter_learns():
    torch.manual_seed(1)
    network = LiteUNet()
    network(torch.randn(4, 4, 64, 64))[:, 1].square().mean().backward()
    assert [name for name, parameter in network.named_parameters() if not parameter.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("channel", [0, 2, 3])
def test_image_and_mask_reach_the_decision_from_near_and_far(network, channel):
    torch.manual_seed(2)
    x = torch.randn(1, 4, 64, 64)
    changed = x.clone()
    changed[0, channel, 20, 20] += 3
    with torch.inference_mode():
        moved = (network(changed) - network(x)).abs().amax(dim=1)[0]
    assert moved[20, 20] > 0
    assert moved[60, 60] > 0


@pytest.mark.parametrize("margin", [*range(14), 20, 27, 30])
def test_a_margin_that_nobody_asks_for_changes_nothing_else(network, margin):
    torch.manual_seed(3)
    x = torch.randn(2, 4, 64, 64)
    with torch.inference_mode():
        inner = network(x)[..., margin : 64 - margin, margin : 64 - margin]
        torch.testing.assert_close(network(x, margin), inner, rtol=1e-5, atol=1e-6)
