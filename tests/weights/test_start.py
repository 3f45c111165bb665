"""Networks that start from an encoder trained on ImageNet."""

from pathlib import Path

import pytest
import torch

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import build_network
from bpr_cli.weights.files import load_weights
from bpr_cli.weights.start import start_from_imagenet

# Expansion, kernel, entering and leaving channels of the 16 blocks (Tan and Le, EfficientNet, Table 1).
BLOCKS = [
    *[(1, 3, 32, 16)],
    *[(6, 3, 16, 24), (6, 3, 24, 24)],
    *[(6, 5, 24, 40), (6, 5, 40, 40)],
    *[(6, 3, 40, 80), (6, 3, 80, 80), (6, 3, 80, 80)],
    *[(6, 5, 80, 112), (6, 5, 112, 112), (6, 5, 112, 112)],
    *[(6, 5, 112, 192), (6, 5, 192, 192), (6, 5, 192, 192), (6, 5, 192, 192)],
    *[(6, 3, 192, 320)],
]


def checkpoint() -> dict[str, torch.Tensor]:
    """All tensors of EfficientNet-Lite0 with its head."""
    torch.manual_seed(3)
    out = {"_conv_stem.weight": torch.randn(32, 3, 3, 3), "_fc.weight": torch.randn(1000, 1280)}
    norms = {"_bn0": 32, "_bn1": 1280}
    for number, (expansion, kernel, entering, leaving) in enumerate(BLOCKS):
        name, inner = f"_blocks.{number}", entering * expansion
        if expansion > 1:
            out[f"{name}._expand_conv.weight"] = torch.randn(inner, entering, 1, 1)
            norms[f"{name}._bn0"] = inner
        out[f"{name}._depthwise_conv.weight"] = torch.randn(inner, 1, kernel, kernel)
        out[f"{name}._project_conv.weight"] = torch.randn(leaving, inner, 1, 1)
        norms |= {f"{name}._bn1": inner, f"{name}._bn2": leaving}
    for name, channels in norms.items():
        for value in ("weight", "bias", "running_mean", "running_var"):
            out[f"{name}.{value}"] = torch.rand(channels)
        out[f"{name}.num_batches_tracked"] = torch.tensor(7)
    return out


def saved(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def test_every_tensor_of_the_encoder_comes_from_the_checkpoint(tmp_path):
    theirs = checkpoint()
    network, _ = start_from_imagenet(saved(tmp_path / "lite0.pth", theirs))
    own = network.state_dict()
    torch.testing.assert_close(own["image_stem.weight"], theirs["_conv_stem.weight"], rtol=0, atol=0)
    torch.testing.assert_close(own["stem_norm.running_var"], theirs["_bn0.running_var"], rtol=0, atol=0)
    number = 0
    for stage in network.encoder:
        for block in stage:
            name = f"_blocks.{number}"
            pairs = [(block.filter, "_depthwise_conv", "_bn1"), (block.narrow, "_project_conv", "_bn2")]
            if len(block.widen):
                pairs.append((block.widen, "_expand_conv", "_bn0"))
            for part, convolution, norm in pairs:
                torch.testing.assert_close(part[0].weight, theirs[f"{name}.{convolution}.weight"], rtol=0, atol=0)
                for value in ("weight", "bias", "running_mean", "running_var"):
                    torch.testing.assert_close(part[1].state_dict()[value], theirs[f"{name}.{norm}.{value}"])
            number += 1
    assert number == 11


def test_the_rest_is_random_but_for_its_seed(tmp_path):
    path = saved(tmp_path / "lite0.pth", checkpoint())
    first, again, other = (start_from_imagenet(path, seed=seed)[0].classify.weight for seed in (0, 0, 1))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)


def test_trained_weights_give_all_layers_but_the_encoder(tmp_path):
    theirs, trained = checkpoint(), load_weights("fast")
    network, card = start_from_imagenet(saved(tmp_path / "lite0.pth", theirs), decoder="fast")
    fresh, _ = start_from_imagenet(tmp_path / "lite0.pth")
    own, alone, given = (each.state_dict() for each in (network, fresh, trained.network))
    inside = ("image_stem.", "stem_norm.", "encoder.")
    for name, tensor in own.items():
        if not name.endswith("num_batches_tracked"):
            source = alone if name.startswith(inside) else given
            torch.testing.assert_close(tensor, source[name], rtol=0, atol=0)
    assert card.licence == trained.card.licence
    assert trained.card.training_data in card.training_data
    assert not card.judge


def test_the_layers_of_another_network_are_refused(tmp_path, random_weights):
    path = saved(tmp_path / "lite0.pth", checkpoint())
    with pytest.raises(BprError, match=f"{random_weights} is of the network unet-s; expected lite-unet"):
        start_from_imagenet(path, decoder=random_weights)


def test_another_network_is_named(tmp_path):
    tensors = checkpoint()
    del tensors["_blocks.3._bn0.bias"]
    with pytest.raises(BprError, match=r"lite0.pth cannot be used: it has no tensor _blocks.3._bn0.bias; expected Eff"):
        start_from_imagenet(saved(tmp_path / "lite0.pth", tensors))
    tensors["_blocks.3._bn0.bias"] = torch.zeros(3)
    with pytest.raises(BprError, match=r"its tensor _blocks.3._bn0.bias is \(3,\); expected \(144,\) of EfficientNet"):
        start_from_imagenet(saved(tmp_path / "lite0.pth", tensors))


def test_the_command_writes_weights_that_training_can_begin_with(tmp_path, capsys):
    from bpr_cli.cli.main import main

    path, out = saved(tmp_path / "lite0.pth", checkpoint()), tmp_path / "start.safetensors"
    with pytest.raises(SystemExit) as stopped:
        main(["weights", "start", str(path), str(out)])
    assert stopped.value.code == 0
    loaded = load_weights(out)
    assert (loaded.card.network, loaded.card.mean, loaded.card.std) == ("lite-unet", (127,) * 3, (128,) * 3)
    with pytest.raises(SystemExit) as stopped:
        main(["weights", "start", str(path), str(out)])
    assert stopped.value.code == 2
    assert "start.safetensors already exist; pass --overwrite" in capsys.readouterr().err


def backbone(network: str) -> dict[str, torch.Tensor]:
    """What MMSegmentation's ImageNet checkpoint of a network holds: the tensors of its backbone, and a classifier."""
    torch.manual_seed(4)
    own = build_network(network).state_dict()
    names = [name for name in own if name.startswith("backbone.") and "conv_mask" not in name]
    tensors = {name.removeprefix("backbone."): torch.rand_like(own[name].float()).to(own[name].dtype) for name in names}
    return {**tensors, "fc.weight": torch.zeros(1000, 8)}


@pytest.mark.parametrize("network", ["hrnet18s", "resnet18", "resnet50"])
def test_the_networks_of_the_paper_start_from_the_backbones_of_mmsegmentation(tmp_path, network):
    theirs = backbone(network)
    started, card = start_from_imagenet(saved(tmp_path / "imagenet.pth", theirs))
    assert card.network == network
    own = started.state_dict()
    for name, tensor in theirs.items():
        if name != "fc.weight" and not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(own[f"backbone.{name}"], tensor, rtol=0, atol=0)
    stem = own["backbone.conv_mask.weight"]
    torch.testing.assert_close(started.train()(torch.randn(2, 4, 64, 64)).shape, torch.Size([2, 2, 64, 64]))
    assert stem.std() > 0


def test_a_network_that_shares_its_encoder_is_asked_for(tmp_path):
    path = saved(tmp_path / "imagenet.pth", backbone("resnet50"))
    assert start_from_imagenet(path, "deeplabv3plus-r50")[1].network == "deeplabv3plus-r50"
    with pytest.raises(BprError, match=r"(its|no) tensor .* the encoder of resnet18"):
        start_from_imagenet(path, "resnet18")
    path = saved(tmp_path / "other.pth", {"features.weight": torch.zeros(3)})
    with pytest.raises(BprError, match="no tensor of a network that bpr knows"):
        start_from_imagenet(path)
