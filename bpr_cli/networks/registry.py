"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.networks.hrnet import HRNet
from bpr_cli.networks.unet import UNet

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "hrnet18s": HRNet,
    "unet-s": UNet,
}
"""Every network maps float (P, 4, T, T) to logits (P, 2, T, T); see ``HRNet.forward`` for the channels."""


def build_network(name: str) -> nn.Module:
    """A network with fresh random weights, in training mode.

    Raises:
        BprError: there is no network of that name.
    """
    if name not in NETWORKS:
        raise BprError(f"there is no network {name[:80]!r}; the networks are {', '.join(sorted(NETWORKS))}")
    return NETWORKS[name]()
