"""A compact encoder-decoder with logits at full patch resolution.

Space-to-depth folds 2 x 2 pixels of the input into channels, so no pixel is lost and only the last two layers run at
full resolution. The network is about ten times cheaper than HRNetV2-W18s for a patch of the same extent: logits of
HRNet have a quarter of the input's resolution, so it needs an enlarged patch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

INPUT_CHANNELS = 4
CLASSES = 2


@dataclass(frozen=True)
class UNetSettings:
    """Size of the network.

    Attributes:
        widths: channels at 1/2, 1/4, 1/8, ... of the patch's resolution.
        depths: residual blocks at each of these resolutions on the way down.
        full_width: channels at full resolution.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    full_width: int


UNET_S = UNetSettings(widths=(32, 64, 96, 128, 160), depths=(1, 1, 1, 2, 2), full_width=8)


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, batch norm, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape (P, C, h, w)."""
        return F.relu(x + self.second(self.first(x)))


class UNet(nn.Module):
    """Encoder-decoder on space-to-depth input, with thin last layers at full resolution."""

    def __init__(self, settings: UNetSettings = UNET_S) -> None:
        super().__init__()
        widths = settings.widths
        inputs = (4 * INPUT_CHANNELS, *widths[:-1])
        self.down = nn.ModuleList(
            nn.Sequential(
                ConvBlock(before, width, stride=1 if level == 0 else 2),
                *(ResidualBlock(width) for _ in range(settings.depths[level])),
            )
            for level, (before, width) in enumerate(zip(inputs, widths, strict=True))
        )
        upward = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.narrow = nn.ModuleList(nn.Conv2d(below, width, 1) for below, width in upward)
        self.up = nn.ModuleList(ResidualBlock(width) for _, width in upward)
        self.unfold = nn.Conv2d(widths[0], 4 * settings.full_width, 1)
        self.finish = ConvBlock(settings.full_width + INPUT_CHANNELS, settings.full_width)
        self.classify = nn.Conv2d(settings.full_width, CLASSES, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict patches.

        Args:
            x: float, (P, 4, T, T): normalised RGB and the coarse mask as -1 / +1; T a multiple of twice the
                encoder's total stride (32 for ``UNET_S``).

        Returns:
            Logits of background and foreground, (P, 2, T, T).
        """
        features = []
        deep = F.pixel_unshuffle(x, 2)
        for stage in self.down:
            deep = stage(deep)
            features.append(deep)
        for narrow, block, feature in zip(self.narrow, self.up, features[-2::-1], strict=True):
            deep = block(F.interpolate(narrow(deep), scale_factor=2.0, mode="nearest") + feature)
        full = F.pixel_shuffle(self.unfold(deep), 2)
        logits: Tensor = self.classify(self.finish(torch.cat([full, x], dim=1)))
        return logits
