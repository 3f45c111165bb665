"""Fast-SCNN on four input channels.

One of the networks compared in the paper (Hu et al., IJCV 2022, Table 6), as implemented in MMSegmentation 0.7
(Fast-SCNN: Poudel et al., BMVC 2019). The mask patch is a fourth input channel.

Attribute names follow the parameter names of MMSegmentation checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from bpr_cli.networks.blocks import Classifier, ConvNorm, EncoderDecoder, SeparableConv, resized

INPUT_CHANNELS = 4
FINE_CHANNELS = 64
CHANNELS = 128
EXPANSION = 6
POOL_SIZES = (1, 2, 3, 6)
BATCH_NORM_MOMENTUM = 0.01


class FastSCNN(EncoderDecoder):
    """A fast path down to 1/8 of the input, a deep branch at lower resolution, and the fusion of both.

    In training mode it needs at least two patches, because batch norm cannot normalise the global mean of a single one.
    """

    def __init__(self) -> None:
        super().__init__(Backbone(), Head())
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = BATCH_NORM_MOMENTUM


class Backbone(nn.Module):
    """Both branches and their fusion."""

    def __init__(self) -> None:
        super().__init__()
        self.learning_to_downsample = LearningToDownsample()
        self.global_feature_extractor = GlobalFeatureExtractor()
        self.feature_fusion = FeatureFusion()

    def forward(self, x: Tensor) -> list[Tensor]:
        """The fused features of (P, 4, T, T) patches: one map (P, 128, h, w), h = w = about T / 8."""
        fine = self.learning_to_downsample(x)
        return [self.feature_fusion(fine, self.global_feature_extractor(fine))]


class LearningToDownsample(nn.Module):
    """Three convolutions of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        # No padding, as in MMSegmentation 0.7, because checkpoints were trained this way.
        self.conv = ConvNorm(INPUT_CHANNELS, 32, 3, stride=2, padding=0)
        self.dsconv1 = SeparableConv(32, 48, stride=2)
        self.dsconv2 = SeparableConv(48, FINE_CHANNELS, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(P, 4, T, T) to (P, 64, h, w)."""
        out: Tensor = self.dsconv2(self.dsconv1(self.conv(x)))
        return out


class GlobalFeatureExtractor(nn.Module):
    """Inverted residuals down to a quarter of the size, then pyramid pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.bottleneck1 = _inverted_residuals(FINE_CHANNELS, 64, stride=2)
        self.bottleneck2 = _inverted_residuals(64, 96, stride=2)
        self.bottleneck3 = _inverted_residuals(96, CHANNELS, stride=1)
        narrow = CHANNELS // len(POOL_SIZES)
        self.ppm = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(size), ConvNorm(CHANNELS, narrow)) for size in POOL_SIZES
        )
        self.out = ConvNorm(2 * CHANNELS, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """(P, 64, h, w) to (P, 128, h / 4, w / 4)."""
        deep = self.bottleneck3(self.bottleneck2(self.bottleneck1(x)))
        means = [resized(pool(deep), deep) for pool in self.ppm]
        out: Tensor = self.out(torch.cat([deep, *means], dim=1))
        return out


class FeatureFusion(nn.Module):
    """Upsamples the deep branch and adds it to the fine one."""

    def __init__(self) -> None:
        super().__init__()
        self.dwconv = ConvNorm(CHANNELS, CHANNELS)
        self.conv_lower_res = ConvNorm(CHANNELS, CHANNELS, activation=nn.Identity)
        self.conv_higher_res = ConvNorm(FINE_CHANNELS, CHANNELS, activation=nn.Identity)

    def forward(self, fine: Tensor, deep: Tensor) -> Tensor:
        """(P, 64, h, w) and (P, 128, h / 4, w / 4) to (P, 128, h, w)."""
        deep = self.conv_lower_res(self.dwconv(resized(deep, fine)))
        return functional.relu(self.conv_higher_res(fine) + deep)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise 3x3, 1x1 projection (Sandler et al., 2018), with a shortcut if shapes allow."""

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        wide = entering * EXPANSION
        self.conv = nn.Sequential(
            ConvNorm(entering, wide, activation=nn.ReLU6),
            ConvNorm(wide, wide, 3, nn.ReLU6, stride=stride, groups=wide),
            ConvNorm(wide, leaving, activation=nn.Identity),
        )
        self.has_shortcut = stride == 1 and entering == leaving

    def forward(self, x: Tensor) -> Tensor:
        """(P, entering, h, w) to (P, leaving, h, w), except for the stride."""
        out: Tensor = self.conv(x)
        return x + out if self.has_shortcut else out


class Head(Classifier):
    """Two separable convolutions on the last feature map."""

    def __init__(self) -> None:
        super().__init__(CHANNELS)
        self.convs = nn.Sequential(SeparableConv(CHANNELS, CHANNELS), SeparableConv(CHANNELS, CHANNELS))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits at the size of the last map: (P, 2, h, w)."""
        return self.classify(self.convs(features[-1]))


def _inverted_residuals(entering: int, leaving: int, stride: int) -> nn.Sequential:
    """Three blocks, the first of which has the stride."""
    return nn.Sequential(
        InvertedResidual(entering, leaving, stride), *(InvertedResidual(leaving, leaving, 1) for _ in range(2))
    )
