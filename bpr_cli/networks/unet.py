"""A compact encoder-decoder with logits at full patch resolution.

Space-to-depth folds 2 x 2 pixels of the input into channels, so no pixel is lost and only the last two layers run at
full resolution. The network is about ten times cheaper than HRNetV2-W18s for a patch of the same extent: logits of
HRNet have a quarter of the input's resolution, so it needs an enlarged patch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

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


STEM_CHANNELS = 32

HALF_REACH, FULL_REACH = 4, 3
"""Receptive-field margins of the decoder in pixels, at half and at full resolution. Each has three 3 x 3 convolutions;
the margin at half resolution includes those at full resolution."""


class Stage(NamedTuple):
    """A sequence of inverted bottlenecks; the first one has the stride and changes the channels."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
)
"""EfficientNet-Lite0 without its last two stages, at 1/2, 1/4, 1/8, 1/16 and 1/16 of the patch's resolution."""

SKIPS = (0, 1, 2, 4)
"""Stages whose features go to the decoder: the last one at each resolution."""

WIDTHS = (16, 32, 48, 64, 96, 128)
"""Channels of the decoder at 1, 1/2, 1/4, 1/8, 1/16 and 1/32 of the patch's resolution."""


class LiteUNet(nn.Module):
    """EfficientNet-Lite0 encoder with two stems, U-Net decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.image_stem = SameConv2d(INPUT_CHANNELS - 1, STEM_CHANNELS, 3, stride=2)
        self.mask_stem = SameConv2d(1, STEM_CHANNELS, 3, stride=2)
        self.stem_norm = _norm(STEM_CHANNELS)
        entering = (STEM_CHANNELS, *(stage.channels for stage in STAGES))
        self.encoder = nn.ModuleList(_stage(before, stage) for before, stage in zip(entering, STAGES, strict=False))
        self.deepest = nn.Sequential(
            ConvBlock(STAGES[-1].channels, WIDTHS[-1], stride=2), *(ResidualBlock(WIDTHS[-1]) for _ in range(2))
        )
        steps = list(zip(WIDTHS[:1:-1], WIDTHS[-2:0:-1], reversed(SKIPS), strict=True))
        self.narrow = nn.ModuleList(nn.Conv2d(below, width, 1) for below, width, _ in steps)
        self.skip = nn.ModuleList(nn.Conv2d(STAGES[index].channels, width, 1) for _, width, index in steps)
        self.up = nn.ModuleList(ResidualBlock(width) for _, width, _ in steps)
        self.half_view = ConvBlock(4 * INPUT_CHANNELS, WIDTHS[1])
        self.full_view = ConvBlock(INPUT_CHANNELS, WIDTHS[0])
        self.last_narrow = nn.Conv2d(WIDTHS[1], WIDTHS[0], 1)
        self.finish = ConvBlock(2 * WIDTHS[0], WIDTHS[0])
        self.classify = nn.Conv2d(WIDTHS[0], CLASSES, 3, 1, 1)
        if not self.mask_stem.weight.is_meta:  # as in EncoderDecoder
            nn.init.normal_(self.mask_stem.weight, std=0.05)

    def forward(self, x: Tensor, margin: int = 0) -> Tensor:
        """Predict patches.

        Args:
            x: float, (P, 4, T, T): normalised RGB and the coarse mask as -1 / +1; T a multiple of 32.
            margin: width in pixels of the border whose logits are not needed. The last layers, which take most of the
                time, skip pixels that affect no other logits.

        Returns:
            Logits of background and foreground, (P, 2, T - 2 * margin, T - 2 * margin).
        """
        half, full = max(margin // 2 - HALF_REACH, 0), max(margin - FULL_REACH, 0)
        features = self.encode(x)
        deep = self.deepest(features[-1])
        *steps, last = zip(self.narrow, self.skip, self.up, reversed(SKIPS), strict=True)
        for narrow, skip, block, index in steps:
            deep = block(F.relu(_doubled(narrow(deep)) + skip(features[index])))
        narrow, skip, block, index = last
        # The decoder sees all pixels again at half resolution.
        view = self.half_view(_inside(F.pixel_unshuffle(x, 2), half))
        deep = block(F.relu(_inside(_doubled(narrow(deep)), half) + skip(_inside(features[index], half)) + view))
        whole = _inside(_doubled(self.last_narrow(deep)), full - 2 * half)
        logits: Tensor = self.classify(self.finish(torch.cat([whole, self.full_view(_inside(x, full))], dim=1)))
        return _inside(logits, margin - full)

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that ImageNet weights can initialise: those of the encoder, except the mask's stem."""
        return chain.from_iterable(part.parameters() for part in (self.image_stem, self.stem_norm, self.encoder))

    def encode(self, x: Tensor) -> list[Tensor]:
        """Features of every stage of the encoder, (P, C, h, w) each."""
        deep = F.relu6(self.stem_norm(self.image_stem(x[:, :3]) + self.mask_stem(x[:, 3:])))
        features = []
        for stage in self.encoder:
            deep = stage(deep)
            features.append(deep)
        return features


class SameConv2d(nn.Conv2d):
    """A convolution without bias, with the padding of TensorFlow's ``SAME``, for inputs of even size.

    With a stride this padding is asymmetric, and weights that were trained with it need it.
    """

    def __init__(self, entering: int, leaving: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        before, after = (kernel - stride) // 2, (kernel - stride + 1) // 2
        both = before if before == after else 0
        super().__init__(entering, leaving, kernel, stride, padding=both, groups=groups, bias=False)
        self.margins = (before, after) * 2 if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        """(P, C, h, w) to (P, C', h / stride, w / stride)."""
        return super().forward(F.pad(x, self.margins) if self.margins else x)


class InvertedBottleneck(nn.Module):
    """1x1 expansion, depthwise filter, 1x1 projection (Sandler et al., CVPR 2018), with a shortcut if shapes allow."""

    def __init__(self, entering: int, stage: Stage, stride: int) -> None:
        super().__init__()
        inner, leaving = entering * stage.expansion, stage.channels
        self.widen = nn.Sequential(nn.Conv2d(entering, inner, 1, bias=False), _norm(inner), nn.ReLU6(inplace=True))
        if stage.expansion == 1:
            self.widen = nn.Sequential()
        self.filter = nn.Sequential(
            SameConv2d(inner, inner, stage.kernel, stride, groups=inner), _norm(inner), nn.ReLU6(inplace=True)
        )
        self.narrow = nn.Sequential(nn.Conv2d(inner, leaving, 1, bias=False), _norm(leaving))
        self.shortcut = entering == leaving and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(P, C, h, w) to (P, C', h / stride, w / stride)."""
        out: Tensor = self.narrow(self.filter(self.widen(x)))
        return x + out if self.shortcut else out


def _stage(entering: int, stage: Stage) -> nn.Sequential:
    first = InvertedBottleneck(entering, stage, stage.stride)
    return nn.Sequential(first, *(InvertedBottleneck(stage.channels, stage, 1) for _ in range(stage.blocks - 1)))


def _norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm of EfficientNet with slower running averages, for fine-tuning with small batches."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)


def _inside(x: Tensor, margin: int) -> Tensor:
    """``x`` without ``margin`` pixels at every edge."""
    return x[..., margin : x.shape[-2] - margin, margin : x.shape[-1] - margin]


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
