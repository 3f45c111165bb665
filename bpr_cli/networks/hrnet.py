"""HRNetV2 with a second stem for the mask, and a fully convolutional head.

The network of Boundary Patch Refinement (Tang et al., CVPR 2021, Sect. 3.2; HRNetV2: Wang et al., TPAMI 2020): four
branches at 1/4, 1/8, 1/16 and 1/32 of the input run side by side and exchange features after every module. The mask
patch enters through a stem convolution of its own, whose output is added to the image's before the first batch norm.

Attribute names follow the parameter names of MMSegmentation checkpoints, so the authors' released weights load
strictly. Shape letters: P patches, T input size, C channels, h and w rows and columns of a feature map.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM_CHANNELS = 64
BOTTLENECK_GROWTH = 4
CLASSES = 2


@dataclass(frozen=True)
class HRNetSettings:
    """The numbers by which the members of the family differ.

    Attributes:
        width: channels of the finest branch; every coarser one has twice as many as the one before.
        stem_blocks: bottleneck blocks before the branches split.
        modules: exchange modules of the stages with two, three and four branches.
        blocks: residual blocks of a branch between two exchanges.
    """

    width: int
    stem_blocks: int
    modules: tuple[int, int, int]
    blocks: int

    def channels(self, branches: int) -> list[int]:
        """Channels of each of the first ``branches`` branches, finest first."""
        return [self.width << index for index in range(branches)]


W18_SMALL = HRNetSettings(width=18, stem_blocks=2, modules=(1, 3, 2), blocks=2)


class HRNet(nn.Module):
    """Refines patches: image and coarse mask in, two class scores a pixel out."""

    def __init__(self, settings: HRNetSettings = W18_SMALL) -> None:
        super().__init__()
        self.backbone = Backbone(settings)
        self.decode_head = Head(sum(settings.channels(4)))
        self.apply(_initialise)
        nn.init.normal_(self.decode_head.conv_seg.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Score every pixel of every patch.

        Args:
            x: float, (P, 4, T, T): normalised RGB in channels 0 to 2, the coarse mask as -1 and +1 in channel 3.

        Returns:
            Logits of background and foreground, float, (P, 2, T, T).
        """
        logits: Tensor = self.decode_head(self.backbone(x))
        return _resized(logits, x)


class Backbone(nn.Module):
    """The stems, then stages of two, three and four branches."""

    def __init__(self, settings: HRNetSettings) -> None:
        super().__init__()
        self.conv1 = _conv(3, STEM_CHANNELS, stride=2)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.conv2 = _conv(STEM_CHANNELS, STEM_CHANNELS, stride=2)
        self.bn2 = nn.BatchNorm2d(STEM_CHANNELS)
        self.layer1 = _bottlenecks(STEM_CHANNELS, settings.stem_blocks)
        self.transition1 = Transition([STEM_CHANNELS * BOTTLENECK_GROWTH], settings.channels(2))
        self.stage2 = _stage(settings, branches=2)
        self.transition2 = Transition(settings.channels(2), settings.channels(3))
        self.stage3 = _stage(settings, branches=3)
        self.transition3 = Transition(settings.channels(3), settings.channels(4))
        self.stage4 = _stage(settings, branches=4)
        self.conv_mask = _conv(1, STEM_CHANNELS, stride=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features of (P, 4, T, T) patches: four maps (P, C, h, w), finest (h = w = T / 4) first."""
        features = [self.layer1(self._stem(x))]
        features = self.stage2(self.transition1(features))
        features = self.stage3(self.transition2(features))
        refined: list[Tensor] = self.stage4(self.transition3(features))
        return refined

    def _stem(self, x: Tensor) -> Tensor:
        """Image and mask joined and brought to a quarter of the size: (P, 64, T / 4, T / 4)."""
        joined = self.conv1(x[:, :3]) + self.conv_mask(x[:, 3:])
        out = functional.relu(self.bn1(joined), inplace=True)
        return functional.relu(self.bn2(self.conv2(out)), inplace=True)


class Head(nn.Module):
    """All branches at the finest one's size, stacked and mixed pixel by pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, CLASSES, kernel_size=1)
        self.convs = nn.ModuleList([PointwiseMix(channels)])

    def forward(self, features: list[Tensor]) -> Tensor:
        """Logits at the size of the finest branch: (P, 2, T / 4, T / 4)."""
        out = torch.cat([_resized(feature, features[0]) for feature in features], dim=1)
        for conv in self.convs:
            out = conv(out)
        logits: Tensor = self.conv_seg(out)
        return logits


class PointwiseMix(nn.Module):
    """1x1 convolution, batch norm, ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, channels, kernel=1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(P, C, h, w) to the same shape."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class Transition(nn.ModuleList):
    """Hands the branches of one stage to the next, which has one more.

    Branches that keep their channels pass unchanged; the new branch is made from the coarsest one by a convolution
    of stride 2.
    """

    def __init__(self, before: list[int], after: list[int]) -> None:
        kept = [
            nn.Identity() if old == new else _conv_norm_relu(old, new)
            for old, new in zip(before, after[: len(before)], strict=True)
        ]
        # The checkpoints nest the new branch one level deeper than a kept one.
        added = nn.Sequential(_conv_norm_relu(before[-1], after[-1], stride=2))
        super().__init__([*kept, added])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """One map more than came in."""
        return [pass_on(feature) for pass_on, feature in zip(self, [*features, features[-1]], strict=True)]


class ExchangeModule(nn.Module):
    """Residual blocks on every branch, then every branch receives the sum of all of them at its own size."""

    def __init__(self, channels: list[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(count) for _ in range(blocks))) for count in channels)
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
        """ReLU of the sum of all branches, each brought to the channels and size of ``like``."""
        total = _resized(bridges[0](features[0]), like)
        for bridge, feature in zip(bridges[1:], features[1:], strict=True):
            total = total + _resized(bridge(feature), like)
        return functional.relu(total, inplace=True)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al., 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(P, C, h, w) to the same shape."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(out)) + x, inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and widening 1x1 convolution around a shortcut (He et al., 2016)."""

    def __init__(self, entering: int, inner: int) -> None:
        super().__init__()
        leaving = inner * BOTTLENECK_GROWTH
        self.conv1 = _conv(entering, inner, kernel=1)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = _conv(inner, inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = _conv(inner, leaving, kernel=1)
        self.bn3 = nn.BatchNorm2d(leaving)
        same = entering == leaving
        self.downsample = nn.Identity() if same else _conv_norm(entering, leaving, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(P, entering, h, w) to (P, 4 * inner, h, w)."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = functional.relu(self.bn2(self.conv2(out)), inplace=True)
        return functional.relu(self.bn3(self.conv3(out)) + self.downsample(x), inplace=True)


def _stage(settings: HRNetSettings, branches: int) -> nn.Sequential:
    """The exchange modules that run with so many branches."""
    count = settings.modules[branches - 2]
    return nn.Sequential(*(ExchangeModule(settings.channels(branches), settings.blocks) for _ in range(count)))


def _bottlenecks(channels: int, count: int) -> nn.Sequential:
    """``count`` bottleneck blocks, the first of which widens to four times the channels."""
    widened = [Bottleneck(channels * BOTTLENECK_GROWTH, channels) for _ in range(count - 1)]
    return nn.Sequential(Bottleneck(channels, channels), *widened)


def _bridge(channels: list[int], source: int, target: int) -> nn.Module:
    """The way from one branch to another, but for the enlarging, which needs no parameters."""
    if source == target:
        return nn.Identity()
    if source > target:
        return _conv_norm(channels[source], channels[target], kernel=1)
    # Every halving is a convolution; channels change in the last one only, which has no ReLU: the sum gets it.
    halvings: list[nn.Module] = [
        _conv_norm_relu(channels[source], channels[source], stride=2) for _ in range(target - source - 1)
    ]
    return nn.Sequential(*halvings, _conv_norm(channels[source], channels[target], stride=2))


def _conv(entering: int, leaving: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size (but for its stride) and leaves the bias to the batch norm after it."""
    return nn.Conv2d(entering, leaving, kernel, stride=stride, padding=kernel // 2, bias=False)


def _conv_norm(entering: int, leaving: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_conv(entering, leaving, kernel, stride), nn.BatchNorm2d(leaving))


def _conv_norm_relu(entering: int, leaving: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_conv_norm(entering, leaving, kernel, stride), nn.ReLU(inplace=True))


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """``x`` (P, C, h, w) at the height and width of ``like``: bilinear, half-pixel centres."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    """Start convolutions so that ReLUs keep the variance of gradients (He et al., 2015)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
