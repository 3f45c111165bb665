"""DeepLabV3+ on a dilated ResNet with a second stem for the mask.

One of the networks compared in the paper (Hu et al., IJCV 2022, Table 6), as implemented in MMSegmentation 0.7
(DeepLabV3+: Chen et al., ECCV 2018).

Attribute names follow the parameter names of MMSegmentation checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bpr_cli.networks.blocks import Classifier, ConvNorm, EncoderDecoder, SeparableConv, resized
from bpr_cli.networks.resnet import RESNET50, Backbone, ResNetSettings

CHANNELS = 512
FINE_CHANNELS = 48
DILATIONS = (12, 24, 36)


class DeepLabV3Plus(EncoderDecoder):
    """ResNet, a pyramid of dilated convolutions on its last stage, and a skip connection from the first stage.

    In training mode it needs at least two patches, because batch norm cannot normalise the global mean of a single one.
    """

    def __init__(self, settings: ResNetSettings = RESNET50) -> None:
        super().__init__(Backbone(settings), Head(settings.channels[0], settings.channels[-1]))


class Head(Classifier):
    """Applies several dilations to the last feature map, then refines the result with the first map."""

    def __init__(self, fine: int, coarse: int) -> None:
        super().__init__(CHANNELS)
        self.image_pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), ConvNorm(coarse, CHANNELS))
        self.aspp_modules = nn.ModuleList(
            [
                ConvNorm(coarse, CHANNELS),
                *(SeparableConv(coarse, CHANNELS, dilation=dilation) for dilation in DILATIONS),
            ]
        )
        self.bottleneck = ConvNorm((2 + len(DILATIONS)) * CHANNELS, CHANNELS, 3)
        self.c1_bottleneck = ConvNorm(fine, FINE_CHANNELS)
        self.sep_bottleneck = nn.Sequential(
            SeparableConv(CHANNELS + FINE_CHANNELS, CHANNELS), SeparableConv(CHANNELS, CHANNELS)
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits at the size of the first map: (P, 2, T / 4, T / 4)."""
        first, last = features[0], features[-1]
        scales = [resized(self.image_pool(last), last), *(module(last) for module in self.aspp_modules)]
        context = self.bottleneck(torch.cat(scales, dim=1))
        detail = self.c1_bottleneck(first)
        return self.classify(self.sep_bottleneck(torch.cat([resized(context, detail), detail], dim=1)))
