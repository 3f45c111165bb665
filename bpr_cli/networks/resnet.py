"""Dilated ResNets with a second stem for the mask, and a fully convolutional head.

Networks compared in the paper (Hu et al., IJCV 2022, Table 6), as implemented in MMSegmentation 0.7: ResNet-V1c (He et
al., 2016; three 3x3 convolutions as stem: He et al., CVPR 2019). The last two stages dilate instead of downsampling, so
that features stay at 1/8 of the input. The mask patch has its own stem convolution, whose output is added to that of
the image before the first batch norm.

Attribute names follow the parameter names of MMSegmentation checkpoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bpr_cli.networks.blocks import BasicBlock, Bottleneck, Classifier, ConvNorm, EncoderDecoder, conv, conv_norm_relu

STEM_CHANNELS = 64
STAGE_CHANNELS = (64, 128, 256, 512)
"""Channels of the inner convolutions of the blocks, by stage."""

STRIDES = (1, 2, 1, 1)
DILATIONS = (1, 1, 2, 4)


@dataclass(frozen=True)
class ResNetSettings:
    """Sizes that distinguish the members of the family.

    Attributes:
        block: class of the residual blocks.
        blocks: number of residual blocks in each of the four stages.
    """

    block: type[BasicBlock] | type[Bottleneck]
    blocks: tuple[int, int, int, int]

    @property
    def channels(self) -> tuple[int, ...]:
        """Output channels of each stage."""
        return tuple(inner * self.block.growth for inner in STAGE_CHANNELS)


RESNET18 = ResNetSettings(BasicBlock, (2, 2, 2, 2))
RESNET50 = ResNetSettings(Bottleneck, (3, 4, 6, 3))


class ResNetFCN(EncoderDecoder):
    """ResNet with a fully convolutional head on its last stage."""

    def __init__(self, settings: ResNetSettings) -> None:
        entering = settings.channels[-1]
        super().__init__(Backbone(settings), Head(entering, entering // 4))


class Backbone(nn.Module):
    """The stems and four stages of residual blocks."""

    def __init__(self, settings: ResNetSettings) -> None:
        super().__init__()
        half = STEM_CHANNELS // 2
        self.stem = nn.Sequential(
            *conv_norm_relu(3, half, stride=2), *conv_norm_relu(half, half), *conv_norm_relu(half, STEM_CHANNELS)
        )
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        entering = (STEM_CHANNELS, *settings.channels)
        self.layer1 = _stage(settings, 0, entering[0])
        self.layer2 = _stage(settings, 1, entering[1])
        self.layer3 = _stage(settings, 2, entering[2])
        self.layer4 = _stage(settings, 3, entering[3])
        self.conv_mask = conv(1, half, stride=2)
        _start_as_identities(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of (P, 4, T, T) patches: four maps (P, C, h, w), the first at T / 4, the others at T / 8."""
        features = []
        out = self.maxpool(self._stem(x))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            out = stage(out)
            features.append(out)
        return features

    def _stem(self, x: Tensor) -> Tensor:
        """Sum of the image and mask stems, at half the size: (P, 64, T / 2, T / 2)."""
        image_conv, *rest = self.stem
        out: Tensor = image_conv(x[:, :3]) + self.conv_mask(x[:, 3:])
        for layer in rest:
            out = layer(out)
        return out


class Head(Classifier):
    """Two convolutions on the last feature map, and a third on their output concatenated with that map."""

    def __init__(self, entering: int, channels: int) -> None:
        super().__init__(channels)
        self.convs = nn.Sequential(ConvNorm(entering, channels, 3), ConvNorm(channels, channels, 3))
        self.conv_cat = ConvNorm(entering + channels, channels, 3)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits at the size of the last map: (P, 2, h, w)."""
        last = features[-1]
        return self.classify(self.conv_cat(torch.cat([last, self.convs(last)], dim=1)))


def _stage(settings: ResNetSettings, index: int, entering: int) -> nn.Sequential:
    """The residual blocks of a stage.

    The first block has the stride, and half the dilation of the others, because its input comes from the previous stage
    (``contract_dilation`` in MMSegmentation).
    """
    inner, stride, dilation = STAGE_CHANNELS[index], STRIDES[index], DILATIONS[index]
    block = settings.block
    first = block(entering, inner, stride, max(dilation // 2, 1))
    widened = settings.channels[index]
    return nn.Sequential(first, *(block(widened, inner, dilation=dilation) for _ in range(settings.blocks[index] - 1)))


def _start_as_identities(backbone: nn.Module) -> None:
    """Initialise every residual block as identity, which helps to train deep networks (Goyal et al., 2017)."""
    for module in backbone.modules():
        if isinstance(module, BasicBlock):
            nn.init.zeros_(module.bn2.weight)
        elif isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)
