"""The optimiser that a recipe asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from bpr_cli.training.settings import OptimiserSettings

SECOND_MOMENT_DECAY = 0.999
"""Beta 2 of AdamW, PyTorch's default."""

RATE_FACTOR = "rate_factor"
"""The key under which a group of weights says how many times the schedule's learning rate is its own."""


@runtime_checkable
class Pretrained(Protocol):
    """A network, some weights of which usually come from another training."""

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """These weights."""


def build_optimiser(network: nn.Module, settings: OptimiserSettings) -> Optimizer:
    """An optimiser of all weights of a network.

    Biases and the scales of batch norms, which have one dimension, are decayed only if the settings say so. Weights
    that the network declares as ``Pretrained`` learn at a rate of their own.
    """
    pretrained = {id(each) for each in network.pretrained_parameters()} if isinstance(network, Pretrained) else set()
    groups: dict[tuple[bool, bool], dict[str, Any]] = {}
    for parameter in network.parameters():
        decayed, known = parameter.ndim > 1 or settings.decay_all, id(parameter) in pretrained
        group = {
            "params": [],
            "weight_decay": settings.weight_decay if decayed else 0.0,
            RATE_FACTOR: settings.encoder_rate if known else 1.0,
        }
        groups.setdefault((decayed, known), group)["params"].append(parameter)
    if settings.name == "sgd":
        return SGD(groups.values(), lr=settings.learning_rate, momentum=settings.momentum)
    return AdamW(groups.values(), lr=settings.learning_rate, betas=(settings.momentum, SECOND_MOMENT_DECAY))
