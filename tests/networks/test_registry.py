import pytest
import torch
from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import NETWORKS, build_network
from bpr_cli.weights.card import INPUT_STEP


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("size", [INPUT_STEP, 3 * INPUT_STEP])
def test_every_network_scores_two_classes_a_pixel_at_every_size_a_card_allows(name, size):
    network = build_network(name).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 4, size, size))
    assert logits.shape == (1, 2, size, size)
    assert logits.dtype == torch.float32


def test_networks_without_values_are_not_initialised(monkeypatch):
    """Random numbers on the meta device would import PyTorch's compiler, which takes seconds."""
    for name in ("normal_", "kaiming_normal_"):
        monkeypatch.setattr(nn.init, name, None)
    with torch.device("meta"):
        assert all(parameter.is_meta for name in NETWORKS for parameter in build_network(name).parameters())


def test_an_unknown_name_is_answered_with_the_valid_ones():
    with pytest.raises(BprError, match=r"no network 'resnet'; the networks are .*hrnet18s"):
        build_network("resnet")


class Own(nn.Module):
    """A network as users bring it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Half(Own):
    def forward(self, x):
        return self.conv(x)[..., ::2]


class Asks(Own):
    def __init__(self, width: int) -> None:
        super().__init__()


def test_a_network_of_another_module_is_imported_and_said_to_be(caplog):
    name = f"{__name__}:Own"
    built = build_network(name)
    assert type(built) is Own
    assert built.training
    assert caplog.messages == [f"the code of the module {__name__} is imported, because the network is {name}"]
    build_network(name)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module_here:Own", "cannot be imported .*PYTHONPATH"),
        (f"{__name__}:Gone", "cannot be imported"),
        (":Own", "cannot be imported"),
        (f"{__name__}:", "cannot be imported"),
        ("os:getcwd", "expected a class derived from torch.nn.Module"),
        ("pathlib:Path", "expected a class derived from torch.nn.Module"),
        (f"{__name__}:Half", r"gives \(1, 2, 64, 32\) for a patch .*expected logits of shape \(1, 2, 64, 64\)"),
        (f"{__name__}:Asks", "cannot be made without arguments .*width"),
    ],
)
def test_what_is_no_network_is_refused(name, said):
    with pytest.raises(BprError, match=said):
        build_network(name)
