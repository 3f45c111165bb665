import pytest
import torch
from torch import nn

from bpr_cli.inference.fold import folded
from bpr_cli.networks.registry import NETWORKS, build_network

STEMS_AT_MOST = 1


def used(name: str) -> nn.Module:
    """A network whose batch norms have seen noise, so that leaving one out would show."""
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


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_a_folded_network_decides_alike_at_any_size(name):
    network = used(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    lean = folded(network)
    assert norms(lean) <= STEMS_AT_MOST < norms(network)
    for side in (32, 96):
        x = torch.randn(2, 4, side, side)
        with torch.inference_mode():
            expected = network(x)
            torch.testing.assert_close(lean(x), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
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
