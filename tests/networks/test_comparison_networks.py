"""The networks of the paper's comparison (Table 6): layout, predictions, training."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bpr_cli.networks.registry import NETWORKS, build_network
from bpr_cli.weights.files import layout_of, load_weights, recognise
from tests.networks import by_hand

KEYS = {
    "hrnet18s": "hrnet18s_128",
    "hrnet48": "hrnet48_256",
    "resnet18": "fcn_r18_v1c_refine",
    "resnet50": "fcn_r50_v1c_refine",
    "deeplabv3plus-r50": "deeplabv3plus_r50_v1c_refine",
    "fast-scnn": "fast_scnn_4ch",
}
"""The authors' list of names, shapes and types, by network."""

PARAMETERS = {
    "hrnet18s": 3_935_278,
    "hrnet18": 9_636_818,
    "hrnet48": 65_846_978,
    "resnet18": 12_671_618,
    "resnet50": 47_124_610,
    "deeplabv3plus-r50": 41_216_754,
    "fast-scnn": 1_151_122,
}
"""Counted from these lists; that of ``hrnet18`` from its settings (the HRNet paper gives 9.6 M)."""

BY_HAND = {
    "resnet18": by_hand.resnet_fcn,
    "resnet50": by_hand.resnet_fcn,
    "deeplabv3plus-r50": by_hand.deeplab,
    "fast-scnn": by_hand.fast_scnn,
}

WITH_DROPOUT = set(BY_HAND)


def on_meta(name: str) -> nn.Module:
    with torch.device("meta"):
        return build_network(name)


@pytest.fixture(scope="module", params=PARAMETERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name: str) -> nn.Module:
    return lively(name)


def lively(name: str) -> nn.Module:
    """The network with random weights and a random batch norm everywhere, so that nothing is hidden by a zero."""
    torch.manual_seed(1)
    network = build_network(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def patches(count: int, height: int, width: int) -> Tensor:
    x = torch.randn(count, 4, height, width)
    x[:, 3] = x[:, 3].sign()
    return x


def test_tensors_are_those_of_the_authors_in_name_shape_type_and_order(name, shared_fixtures: Path):
    if name not in KEYS:
        pytest.skip("the authors list no keys of hrnet18")
    listed = (shared_fixtures / "keys" / f"{KEYS[name]}.keys.txt").read_text().splitlines()
    state = on_meta(name).state_dict()
    assert [f"{key} {tuple(tensor.shape)} {tensor.dtype}" for key, tensor in state.items()] == listed


def test_number_of_parameters(name):
    assert sum(parameter.numel() for parameter in on_meta(name).parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("each", NETWORKS)
def test_the_layout_alone_tells_the_network(each):
    assert recognise(layout_of(on_meta(each).state_dict())) == each


@pytest.mark.parametrize(("height", "width"), [(32, 32), (47, 70)])
def test_logits_are_those_of_the_plain_computation(name, network, height, width):
    if name not in BY_HAND:
        pytest.skip("the HRNets have reference arrays")
    exact = copy.deepcopy(network).double().eval()
    x = patches(2, height, width).double()
    with torch.inference_mode():
        torch.testing.assert_close(exact(x), BY_HAND[name](exact.state_dict(), x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("height", "width"), [(33, 47), (100, 256)])
def test_any_size_comes_back(network, height, width):
    with torch.inference_mode():
        assert network.eval()(patches(1, height, width)).shape == (1, 2, height, width)


def test_every_parameter_learns(network):
    network.train()(patches(2, 32, 32)).square().mean().backward()
    for parameter, tensor in network.named_parameters():
        assert tensor.grad is not None, parameter
        assert torch.isfinite(tensor.grad).all(), parameter
        assert tensor.grad.any(), parameter
        tensor.grad = None


def test_only_training_drops_channels(name, network):
    x = patches(2, 32, 32)
    with torch.no_grad():
        assert torch.equal(network.train()(x), network(x)) == (name not in WITH_DROPOUT)
        assert torch.equal(network.eval()(x), network(x))


def test_a_patch_is_predicted_independently(network):
    x = patches(3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(x)[1:2], network(x[1:2]), rtol=1e-4, atol=1e-4)


def test_both_image_and_mask_matter(network):
    x = patches(1, 32, 32)
    with torch.inference_mode():
        logits = network.eval()(x)
        for channel in range(4):
            changed = x.clone()
            changed[:, channel] *= -1
            assert not torch.equal(network(changed), logits)


def test_batch_norm_follows_the_authors_settings(name):
    momentum = 0.01 if name == "fast-scnn" else 0.1
    norms = [module for module in on_meta(name).modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, momentum)}


@pytest.mark.parametrize(
    "trained",
    [pytest.param(name, marks=pytest.mark.slow if count > 5e6 else ()) for name, count in PARAMETERS.items()],
)
def test_a_checkpoint_of_a_training_run_is_loaded(trained, tmp_path):
    state = lively(trained).state_dict()
    path = tmp_path / "iter_160000.pth"
    wrapped = {f"module.{key}": tensor for key, tensor in state.items()}
    wrapped["module.auxiliary_head.conv_seg.weight"] = torch.zeros(2, 64, 1, 1)
    optimizer = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.01, "params": [0]}]}
    torch.save({"meta": {"iter": 160000, "CLASSES": ("bg", "fg")}, "state_dict": wrapped, "optimizer": optimizer}, path)
    loaded = load_weights(path)
    path.unlink()  # pytest keeps the folders of its last runs, and the largest file has 263 MB
    assert loaded.card.network == trained
    assert (loaded.card.patch_size, loaded.card.input_size) == (64, 256 if trained == "hrnet48" else 128)
    for key, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, state[key]), key


@pytest.mark.parametrize("resnet", ["resnet18", "resnet50"])
def test_residual_blocks_begin_as_their_shortcuts(resnet):
    for block in build_network(resnet).eval().backbone.layer1[1:]:
        x = torch.rand(1, block.conv1.in_channels, 8, 8)
        with torch.inference_mode():
            assert torch.equal(block(x), x)
