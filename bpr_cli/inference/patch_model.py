"""The network with all that turns patches into probabilities."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bpr_cli.networks.lite_unet import LiteUNet
from bpr_cli.patches.paste import CERTAIN
from bpr_cli.weights.card import WeightsCard

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class PatchModel(nn.Module):
    """Normalise, decide, resize and cut: uint8 patches to uint8 probabilities, so that little crosses to a GPU."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, card: WeightsCard, dtype: torch.dtype = torch.float32, flip: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.flip = flip
        self.mask_patch = card.mask_patch
        self.patch_size = card.patch_size
        self.context_size = card.patch_size + 2 * card.padding
        self.margin = network_margin(card) if isinstance(network, LiteUNet) else 0
        self.register_buffer("mean", torch.tensor(card.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Decide patches.

        Args:
            image: uint8, (P, T, T, 3), RGB.
            mask: uint8, (P, T, T), 0 or 1.

        Returns:
            Foreground probability of the patch without its context, in units of 1/255: uint8, (P, S, S).
        """
        x = self.network_input(image, mask)
        foreground = self.foreground(x)
        if self.flip:
            foreground = (foreground + self.foreground(x.flip(-1)).flip(-1)) / 2
        begin = (foreground.shape[-1] - self.patch_size) // 2
        inner = slice(begin, begin + self.patch_size)
        return (foreground[:, inner, inner] * CERTAIN).round().to(torch.uint8)

    def foreground(self, x: Tensor) -> Tensor:
        """Foreground probability of network input (P, 4, T, T): float32, (P, C, C), at the resolution of the patch.

        C is the side of patch and context, or less where the network may leave out a margin.
        """
        # Here and not around the call: the threads of DataParallel do not inherit the dtype.
        with torch.autocast(x.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            logits: Tensor = self.network(x, self.margin) if self.margin else self.network(x)
        logits = logits.float()
        side = self.context_size - 2 * self.margin * self.context_size // x.shape[-1]
        if logits.shape[-1] != side:
            logits = F.interpolate(logits, size=(side, side), mode="bilinear")
        return logits.softmax(dim=1)[:, 1]

    def network_input(self, image: Tensor, mask: Tensor) -> Tensor:
        """RGB by mean and standard deviation, the mask as -1 / +1 or hidden: float32, (P, 4, T, T), channels last."""
        rgb = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        signed = mask.unsqueeze(1).float() * 2 - 1
        if not self.mask_patch:
            signed = torch.zeros_like(signed)
        return torch.cat([rgb, signed], dim=1).contiguous(memory_format=torch.channels_last)


def network_margin(card: WeightsCard) -> int:
    """Pixels at every edge of the network's input whose logits count for no pixel of the patch.

    They are whole pixels of the context too, so that what is left is resized as it would be among the others. For
    resizing, one pixel of the context stays.
    """
    context_size = card.patch_size + 2 * card.padding
    resized = context_size != card.input_size
    unit = context_size // math.gcd(context_size, card.input_size)
    unused = max(card.padding - resized, 0) // unit * unit
    return unused * card.input_size // context_size
