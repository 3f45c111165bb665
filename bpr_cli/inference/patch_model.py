"""The network with pre- and post-processing: patches in, foreground probabilities out."""

from __future__ import annotations

import math
import platform
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bpr_cli.errors import note
from bpr_cli.networks.unet import INPUT_CHANNELS, LiteUNet
from bpr_cli.patches.paste import CERTAIN
from bpr_cli.weights.card import WeightsCard

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

WITHOUT_SHORT_FLOATS = ("DEFAULT", "AVX2")
"""Instruction sets of x86 processors, as PyTorch names them, that hold none for floats of 16 bits."""

TRIAL_SIZE = 64
"""Side in pixels of the test patch that shows which convolution feeds which batch norm."""


def note_if_slow(precision: str, device: torch.device) -> None:
    """Tell if a processor computes floats of 16 bits by detours, several times as slowly as those of 32 bits."""
    is_x86 = platform.machine() in ("x86_64", "AMD64")
    detours = is_x86 and torch.backends.cpu.get_cpu_capability() in WITHOUT_SHORT_FLOATS
    if device.type == "cpu" and precision in ("bfloat16", "float16") and detours:
        note("this processor has no instructions for %s, which is several times slower than float32 here", precision)


class PatchModel(nn.Module):
    """Normalises patches, runs the network, and resizes and crops its output.

    Input and output are uint8, to reduce the copying to and from a GPU.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, card: WeightsCard, dtype: torch.dtype = torch.float32, flip: bool = False
    ) -> None:
        """Combine a network with its settings.

        Args:
            network: network that maps float (P, 4, T, T) to logits (P, 2, t, t).
            card: card with sizes and normalisation.
            dtype: floating-point type of the network's operations; its weights stay float32.
            flip: whether to average the predictions for each patch and its mirror image.
        """
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.flip = flip
        self.mask_patch = card.mask_patch
        self.output_size = card.output_size
        self.context_size = card.patch_size + 2 * card.padding
        self.margin = network_margin(card) if isinstance(network, LiteUNet) else 0
        self.register_buffer("mean", torch.tensor(card.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Predict patches.

        Args:
            image: uint8, (P, T, T, 3), RGB.
            mask: uint8, (P, T, T), 0 or 1.

        Returns:
            Foreground probability of the patch with its rim, in units of 1/255: uint8, (P, S, S).
        """
        x = self.network_input(image, mask)
        foreground = self.foreground(x)
        if self.flip:
            foreground = (foreground + self.foreground(x.flip(-1)).flip(-1)) / 2
        begin = (foreground.shape[-1] - self.output_size) // 2
        inner = slice(begin, begin + self.output_size)
        return (foreground[:, inner, inner] * CERTAIN).round().to(torch.uint8)

    def foreground(self, x: Tensor) -> Tensor:
        """Foreground probability for network input (P, 4, T, T): float32, (P, s, s), at the resolution of the patch.

        s is the side of patch and context, or less if the network skips a margin.
        """
        # Set here and not by the caller, because the threads of DataParallel do not inherit the dtype.
        with torch.autocast(x.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            logits: Tensor = self.network(x, self.margin) if self.margin else self.network(x)
        logits = logits.float()
        side = self.context_size - 2 * self.margin * self.context_size // x.shape[-1]
        if logits.shape[-1] != side:
            logits = F.interpolate(logits, size=(side, side), mode="bilinear")
        return logits.softmax(dim=1)[:, 1]

    def network_input(self, image: Tensor, mask: Tensor) -> Tensor:
        """Normalised RGB and the mask as -1 / +1, or 0 if the mask is hidden: float32, (P, 4, T, T), channels last."""
        rgb = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        signed = mask.unsqueeze(1).float() * 2 - 1
        if not self.mask_patch:
            signed = torch.zeros_like(signed)
        return torch.cat([rgb, signed], dim=1).contiguous(memory_format=torch.channels_last)


def network_margin(card: WeightsCard) -> int:
    """Width in pixels of the border of the network's input whose logits affect no pixel that is pasted back.

    The border is a whole number of pixels before and after resizing, so that the inner part is resized as without it.
    If logits are resized, one pixel of context is kept.
    """
    context_size = card.patch_size + 2 * card.padding
    resized = context_size != card.input_size
    unit = context_size // math.gcd(context_size, card.input_size)
    unused = max(card.padding - card.rim - resized, 0) // unit * unit
    return unused * card.input_size // context_size


def folded(network: nn.Module) -> nn.Module:
    """Copy a network and fold its batch norms into the convolutions before them: fewer operations, same function.

    A forward pass on a test patch shows which convolution feeds which batch norm. Other batch norms stay, such as the
    one after the sum of two stems.

    Args:
        network: network in eval mode on the CPU; maps float (P, 4, T, T) to logits (P, 2, T, T). A convolution that
            feeds a batch norm must feed nothing else. The network is not changed.

    Returns:
        A network with the same logits except for rounding, or the network itself if there is nothing to fold.
    """
    pairs = _convs_with_norms(network)
    if not pairs:
        return network
    names = {module: name for name, module in network.named_modules()}
    out = deepcopy(network)
    for conv, norm in pairs:
        out.set_submodule(names[conv], fuse_conv_bn_eval(conv, norm))
        out.set_submodule(names[norm], nn.Identity())
    return out


def _convs_with_norms(network: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Pairs of a convolution and the batch norm that its output feeds directly."""
    convs = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return []
    outputs: list[tuple[nn.Conv2d, Tensor]] = []
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def note_output(conv: nn.Conv2d, _: tuple[Tensor], output: Tensor) -> None:
        outputs.append((conv, output))

    def find_source(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        pairs.extend((conv, norm) for conv, output in outputs if output is inputs[0])

    hooks = [conv.register_forward_hook(note_output) for conv in convs]
    hooks += [norm.register_forward_pre_hook(find_source) for norm in norms]
    with torch.inference_mode():
        network(torch.zeros(1, INPUT_CHANNELS, TRIAL_SIZE, TRIAL_SIZE))
    for hook in hooks:
        hook.remove()
    return pairs
