"""Exponential moving average of a network's weights: less noisy than the last ones, and usually better."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

HEAD_START = 10
"""Steps that the average takes to have a memory: it must not remember the random start."""


def decay_at(step: int, decay: float) -> float:
    """The decay of a step, counted from 0: grows to ``decay``, as the first steps are soon outdated."""
    return min(decay, (1 + step) / (HEAD_START + step))


class WeightAverage:
    """A copy of a network that follows it slowly.

    Attributes:
        network: the copy, in eval mode.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Begin with the network as it is.

        Args:
            network: to follow, on its final device; its tensors may be changed but not replaced.
            decay: see ``decay_at``.
        """
        self.network = deepcopy(network).eval()
        self._decay = decay
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        self._mixed = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the network after a step, counted from 0: weights and statistics of batch norms alike."""
        # All tensors in one call: a GPU would spend more time on starting hundreds of them than on computing.
        kept, new = ([pair[side] for pair in self._mixed] for side in (0, 1))
        torch._foreach_lerp_(kept, new, 1 - decay_at(step, self._decay))
        for kept_tensor, new_tensor in self._copied:
            kept_tensor.copy_(new_tensor)
