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
        self.network = deepcopy(network).eval()
        self._decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Follow the network after a step, counted from 0: weights and statistics of batch norms alike."""
        keep = decay_at(step, self._decay)
        for kept, new in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1 - keep)
            else:
                kept.copy_(new)
