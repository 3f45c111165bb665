"""HRNetV2 with a second stem for the mask, and a fully convolutional head.

The network of Boundary Patch Refinement (Tang et al., CVPR 2021, Sect. 3.2; HRNetV2: Wang et al., TPAMI 2020). Four
parallel branches at 1/4, 1/8, 1/16 and 1/32 of the input exchange features after every module. The mask patch has its
own stem convolution, whose output is added to that of the image before the first batch norm.

Attribute names follow the parameter names of MMSegmentation checkpoints, so the authors' released weights load
strictly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from bpr_cli.networks.blocks import (
    BasicBlock,
    Bottleneck,
    Classifier,
    ConvNorm,
    EncoderDecoder,
    conv,
    conv_norm,
    conv_norm_relu,
    resized,
)

STEM_CHANNELS = 64


@dataclass(frozen=True)
class HRNetSettings:
    """Sizes that distinguish the members of the family.

    Attributes:
        width: channels of the finest branch; each coarser branch has twice as many as the one before.
        stem_blocks: number of bottleneck blocks before the branches split.
        modules: number of exchange modules in the stages with two, three and four branches.
        blocks: number of residual blocks per branch between two exchanges.
    """

    width: int
    stem_blocks: int
    modules: tuple[int, int, int]
    blocks: int

    def channels(self, branches: int) -> list[int]:
        """Channels of the first ``branches`` branches, finest first."""
        return [self.width << index for index in range(branches)]


W18_SMALL = HRNetSettings(width=18, stem_blocks=2, modules=(1, 3, 2), blocks=2)
W18 = HRNetSettings(width=18, stem_blocks=4, modules=(1, 4, 3), blocks=4)
W48 = HRNetSettings(width=48, stem_blocks=4, modules=(1, 4, 3), blocks=4)


class HRNet(EncoderDecoder):
    """HRNetV2 with a head that mixes its four branches pixel by pixel."""

    def __init__(self, settings: HRNetSettings = W18_SMALL) -> None:
        super().__init__(Backbone(settings), Head(sum(settings.channels(4))))


class Backbone(nn.Module):
    """The stems, then stages of two, three and four branches."""

    def __init__(self, settings: HRNetSettings) -> None:
        super().__init__()
        self.conv1 = conv(3, STEM_CHANNELS, stride=2)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = conv(STEM_CHANNELS, STEM_CHANNELS, stride=2)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.layer1 = _bottlenecks(STEM_CHANNELS, settings.stem_blocks)
        self.transition1 = Transition([STEM_CHANNELS * Bottleneck.growth], settings.channels(2))
        self.stage2 = _stage(settings, branches=2)
        self.transition2 = Transition(settings.channels(2), settings.channels(3))
        self.stage3 = _stage(settings, branches=3)
        self.transition3 = Transition(settings.channels(3), settings.channels(4))
        self.stage4 = _stage(settings, branches=4)
        self.conv_mask = conv(1, STEM_CHANNELS, stride=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of (P, 4, T, T) patches: four maps (P, C, h, w), finest (h = w = T / 4) first."""
        features = [self.layer1(self._stem(x))]
        features = self.stage2(self.transition1(features))
        features = self.stage3(self.transition2(features))
        refined: list[Tensor] = self.stage4(self.transition3(features))
        return refined

    def _stem(self, x: Tensor) -> Tensor:
        """Sum of the image and mask stems, at a quarter of the size: (P, 64, T / 4, T / 4)."""
        joined = self.conv1(x[:, :3]) + self.conv_mask(x[:, 3:])
        out = functional.relu(self.bn1(joined), inplace=True)
        return functional.relu(self.bn2(self.conv2(out)), inplace=True)


class Head(Classifier):
    """Upsamples all branches to the size of the finest, stacks them and mixes them pixel by pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, dropout=0)
        self.convs = nn.Sequential(ConvNorm(channels, channels))

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits at the size of the finest branch: (P, 2, T / 4, T / 4)."""
        return self.classify(self.convs(torch.cat([resized(feature, features[0]) for feature in features], dim=1)))


class Transition(nn.ModuleList):
    """Passes the branches of one stage to the next, which has one more.

    Branches that keep their channels pass unchanged. The new branch comes from the coarsest one by a convolution of
    stride 2.
    """

    def __init__(self, before: list[int], after: list[int]) -> None:
        kept = [
            nn.Identity() if old == new else conv_norm_relu(old, new)
            for old, new in zip(before, after[: len(before)], strict=True)
        ]
        # The checkpoints nest the new branch one level deeper than a kept one.
        added = nn.Sequential(conv_norm_relu(before[-1], after[-1], stride=2))
        super().__init__([*kept, added])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """One map more than came in."""
        return [pass_on(feature) for pass_on, feature in zip(self, [*features, features[-1]], strict=True)]


class ExchangeModule(nn.Module):
    """Residual blocks on every branch; then each branch receives the sum of all branches at its own size."""

    def __init__(self, channels: list[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(count, count) for _ in range(blocks))) for count in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_bridge(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Maps of unchanged shapes."""
        features = [branch(feature) for branch, feature in zip(self.branches, features, strict=True)]
        return [
            self._fused(bridges, features, like)
            for bridges, like in zip(self.fuse_layers, features, strict=True)
            if isinstance(bridges, nn.ModuleList)
        ]

    @staticmethod
    def _fused(bridges: nn.ModuleList, features: list[Tensor], like: Tensor) -> Tensor:
        """ReLU of the sum of all branches, each brought to the channels and size of ``like``.

        If the input size is not a multiple of 32, an upsampled branch is slightly too large and is shrunk.
        """
        total = resized(bridges[0](features[0]), like)
        for bridge, feature in zip(bridges[1:], features[1:], strict=True):
            total = total + resized(bridge(feature), like)
        return functional.relu(total, inplace=True)


def _stage(settings: HRNetSettings, branches: int) -> nn.Sequential:
    """The exchange modules of the stage with ``branches`` branches."""
    count = settings.modules[branches - 2]
    return nn.Sequential(*(ExchangeModule(settings.channels(branches), settings.blocks) for _ in range(count)))


def _bottlenecks(channels: int, count: int) -> nn.Sequential:
    """``count`` bottleneck blocks; the first one widens to four times the channels."""
    widened = [Bottleneck(channels * Bottleneck.growth, channels) for _ in range(count - 1)]
    return nn.Sequential(Bottleneck(channels, channels), *widened)


def _bridge(channels: list[int], source: int, target: int) -> nn.Module:
    """The layers that convert the features of one branch to another."""
    if source == target:
        return nn.Identity()
    if source > target:
        enlarge = nn.Upsample(scale_factor=2 ** (source - target), mode="bilinear")
        return nn.Sequential(*conv_norm(channels[source], channels[target], kernel=1), enlarge)
    # Each halving is a convolution. Only the last one changes the channels; it has no ReLU, which follows the sum.
    halvings: list[nn.Module] = [
        conv_norm_relu(channels[source], channels[source], stride=2) for _ in range(target - source - 1)
    ]
    return nn.Sequential(*halvings, conv_norm(channels[source], channels[target], stride=2))
