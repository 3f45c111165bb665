import pytest
import torch

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import NETWORKS, build_network


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_scores_two_classes_a_pixel(name):
    network = build_network(name).eval()
    with torch.inference_mode():
        logits = network(torch.zeros(1, 4, 64, 64))
    assert logits.shape == (1, 2, 64, 64)
    assert logits.dtype == torch.float32


def test_an_unknown_name_is_answered_with_the_valid_ones():
    with pytest.raises(BprError, match=r"no network 'resnet'; the networks are .*hrnet18s"):
        build_network("resnet")
