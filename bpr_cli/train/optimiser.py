"""The optimiser that a recipe asks for."""

from __future__ import annotations

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from bpr_cli.train.recipe import OptimiserSettings

SECOND_MOMENT_DECAY = 0.999
"""Beta 2 of AdamW, PyTorch's default."""


def build_optimiser(network: nn.Module, settings: OptimiserSettings) -> Optimizer:
    """An optimiser of all weights of a network.

    Biases and the scales of batch norms, which have one dimension, are decayed only if the settings say so.
    """
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1 or settings.decay_all]
    others = [parameter for parameter in network.parameters() if not (parameter.ndim > 1 or settings.decay_all)]
    groups = [
        {"params": weights, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if settings.name == "sgd":
        return SGD(groups, lr=settings.learning_rate, momentum=settings.momentum)
    return AdamW(groups, lr=settings.learning_rate, betas=(settings.momentum, SECOND_MOMENT_DECAY))
