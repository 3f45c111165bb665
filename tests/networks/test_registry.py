import pytest
import torch

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


def test_an_unknown_name_is_answered_with_the_valid_ones():
    with pytest.raises(BprError, match=r"no network 'resnet'; the networks are .*hrnet18s"):
        build_network("resnet")
