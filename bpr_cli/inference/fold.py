"""Batch norms worked into the convolutions before them, for inference: the same function in fewer steps."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bpr_cli.networks.unet import INPUT_CHANNELS

TRIAL_SIZE = 64
"""Side of the patch that shows which convolution feeds which batch norm, in pixels."""


def folded(network: nn.Module) -> nn.Module:
    """A network whose batch norms are part of the convolutions that feed them.

    Which ones do is seen by watching a patch pass. A batch norm of anything else stays, as that of the sum of two
    stems does.

    Args:
        network: in eval mode, on the CPU; float (P, 4, T, T) to logits (P, 2, T, T). Every convolution that feeds a
            batch norm feeds nothing else. It stays as it is.

    Returns:
        A network with the same logits but for rounding; the network itself where there is nothing to fold.
    """
    pairs = _pairs(network)
    if not pairs:
        return network
    names = {module: name for name, module in network.named_modules()}
    out = deepcopy(network)
    for conv, norm in pairs:
        out.set_submodule(names[conv], fuse_conv_bn_eval(conv, norm))
        out.set_submodule(names[norm], nn.Identity())
    return out


def _pairs(network: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Every convolution whose output a batch norm takes as it is, with that batch norm."""
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return []
    made: list[tuple[nn.Conv2d, Tensor]] = []
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def note(conv: nn.Conv2d, _: tuple[Tensor], out: Tensor) -> None:
        made.append((conv, out))

    def pair(norm: nn.BatchNorm2d, entering: tuple[Tensor]) -> None:
        pairs.extend((conv, norm) for conv, out in made if out is entering[0])

    hooks = [conv.register_forward_hook(note) for conv in convs]
    hooks += [norm.register_forward_pre_hook(pair) for norm in norms]
    with torch.inference_mode():
        network(torch.zeros(1, INPUT_CHANNELS, TRIAL_SIZE, TRIAL_SIZE))
    for hook in hooks:
        hook.remove()
    return pairs
