"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.networks.deeplab import DeepLabV3Plus
from bpr_cli.networks.fast_scnn import FastSCNN
from bpr_cli.networks.hrnet import W18, W18_SMALL, W48, HRNet
from bpr_cli.networks.resnet import RESNET18, RESNET50, ResNetFCN
from bpr_cli.networks.unet import LiteUNet, UNet

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "hrnet18s": partial(HRNet, W18_SMALL),
    "hrnet18": partial(HRNet, W18),
    "hrnet48": partial(HRNet, W48),
    "resnet18": partial(ResNetFCN, RESNET18),
    "resnet50": partial(ResNetFCN, RESNET50),
    "deeplabv3plus-r50": partial(DeepLabV3Plus, RESNET50),
    "fast-scnn": FastSCNN,
    "lite-unet": LiteUNet,
    "unet-s": UNet,
}
"""Constructors by name. Networks map float (P, 4, T, T) to logits (P, 2, T, T); see ``EncoderDecoder.forward``."""


def build_network(name: str) -> nn.Module:
    """Build a network with random weights, in training mode.

    Raises:
        BprError: there is no network of that name.
    """
    if name not in NETWORKS:
        raise BprError(f"there is no network {name[:80]!r}; the networks are {', '.join(sorted(NETWORKS))}")
    return NETWORKS[name]()
