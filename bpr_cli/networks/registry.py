"""Networks by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module

import torch
from torch import nn

from bpr_cli.errors import BprError, note, shorten
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


TRIAL_SIDE = 64
OWN = ":"
"""Separates module and class in the name of a network that is not from here."""


def build_network(name: str) -> nn.Module:
    """Build a network with random weights, in training mode.

    Args:
        name: a name in ``NETWORKS``, or ``package.module:Class`` for a class that Python can import and that needs no
            arguments. Its module is imported, which a note tells: weights from others may name a network too.

    Raises:
        BprError: there is no network of that name, or the class is no network for patches.
    """
    if OWN in name:
        return _own_network(name)
    if name not in NETWORKS:
        raise BprError(
            f"there is no network {name[:80]!r}; the networks are {', '.join(sorted(NETWORKS))}, and yours as "
            "package.module:Class"
        )
    return NETWORKS[name]()


def _own_network(name: str) -> nn.Module:
    """Build a network of another package, and try it on a patch."""
    try:
        network = _imported(name)()
    except TypeError as error:
        raise BprError(f"the network {name} cannot be made without arguments ({error}); give them defaults") from None
    expected, shape = (1, 2, TRIAL_SIDE, TRIAL_SIDE), _output_shape(network)
    if shape != expected:
        raise BprError(
            f"the network {name} gives {shape} for a patch of shape {(1, 4, TRIAL_SIDE, TRIAL_SIDE)}; expected logits "
            f"of shape {expected}, from red, green, blue and mask to background and foreground"
        )
    return network.train()


@cache
def _imported(name: str) -> type[nn.Module]:
    """The class of a network of another package."""
    module, _, attribute = name.partition(OWN)
    note("the code of the module %s is imported, because the network is %s", module, name)
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise BprError(
            f"the network {shorten(name, 80)} cannot be imported ({error}); install its package, or name its folder in "
            "the environment variable PYTHONPATH"
        ) from None
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise BprError(f"the network {name} is {shorten(found)}; expected a class derived from torch.nn.Module")
    return found


def _output_shape(network: nn.Module) -> object:
    """Shape of what a network gives for a patch, or the error that it raises."""
    try:
        with torch.no_grad():
            return tuple(network.eval()(torch.zeros(1, 4, TRIAL_SIDE, TRIAL_SIDE)).shape)
    except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
        return f"the error {shorten(str(error), 200)}"
