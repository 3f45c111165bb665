"""Building blocks of the networks in MMSegmentation layout.

Attribute names follow the parameter names of MMSegmentation checkpoints.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

CLASSES = 2

HEAD_DROPOUT = 0.1
"""Dropout rate of channels before the last convolution of a head."""


class EncoderDecoder(nn.Module):
    """Backbone and head: image and coarse mask in, two logits per pixel out.

    Args:
        backbone: maps (P, 4, T, T) to a list of feature maps (P, C, h, w).
        decode_head: maps these to logits (P, 2, h, w); its last convolution is called ``conv_seg``.
    """

    def __init__(self, backbone: nn.Module, decode_head: Classifier) -> None:
        super().__init__()
        self.backbone = backbone
        self.decode_head = decode_head
        # Tensors on the meta device have no values, and initialising them would import PyTorch's compiler.
        if not decode_head.conv_seg.weight.is_meta:
            self.apply(_initialise)
            nn.init.normal_(decode_head.conv_seg.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Predict patches.

        Args:
            x: float, (P, 4, T, T): normalised RGB in channels 0 to 2, the coarse mask as -1 and +1 in channel 3.

        Returns:
            Logits of background and foreground, float, (P, 2, T, T).
        """
        logits: Tensor = self.decode_head(self.backbone(x))
        return resized(logits, x)


class Classifier(nn.Module):
    """The last layers of every head: channel dropout, then one logit per class and pixel."""

    def __init__(self, channels: int, dropout: float = HEAD_DROPOUT) -> None:
        super().__init__()
        self.conv_seg = nn.Conv2d(channels, CLASSES, kernel_size=1)
        self.dropout = nn.Dropout2d(dropout)

    def classify(self, x: Tensor) -> Tensor:
        """(P, C, h, w) to logits (P, 2, h, w)."""
        logits: Tensor = self.conv_seg(self.dropout(x))
        return logits


class ConvNorm(nn.Module):
    """Convolution, batch norm and an activation; ``options`` are those of ``conv``."""

    def __init__(
        self, entering: int, leaving: int, kernel: int = 1, activation: type[nn.Module] = nn.ReLU, **options: int
    ) -> None:
        super().__init__()
        self.conv = conv(entering, leaving, kernel, **options)
        self.bn = nn.BatchNorm2d(leaving)
        self.activation = activation(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(P, entering, h, w) to (P, leaving, h, w), except for the stride."""
        out: Tensor = self.activation(self.bn(self.conv(x)))
        return out


class SeparableConv(nn.Module):
    """Depthwise 3x3 convolution, then a 1x1 convolution across channels (Chollet, 2017)."""

    def __init__(self, entering: int, leaving: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.depthwise_conv = ConvNorm(entering, entering, 3, stride=stride, dilation=dilation, groups=entering)
        self.pointwise_conv = ConvNorm(entering, leaving)

    def forward(self, x: Tensor) -> Tensor:
        """(P, entering, h, w) to (P, leaving, h, w), except for the stride."""
        out: Tensor = self.pointwise_conv(self.depthwise_conv(x))
        return out


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (He et al., 2016); the first one has the stride and the dilation."""

    growth = 1

    def __init__(self, entering: int, inner: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv1 = conv(entering, inner, stride=stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv(inner, inner)
        self.bn2 = nn.BatchNorm2d(inner)
        self.downsample = _shortcut(entering, inner, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(P, entering, h, w) to (P, inner, h, w), except for the stride."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        return functional.relu(self.bn2(self.conv2(out)) + self.downsample(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3 and widening 1x1 convolution with a shortcut (He et al., 2016); the 3x3 has stride and dilation."""

    growth = 4

    def __init__(self, entering: int, inner: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        leaving = inner * self.growth
        self.conv1 = conv(entering, inner, kernel=1)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = conv(inner, inner, stride=stride, dilation=dilation)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = conv(inner, leaving, kernel=1)
        self.bn3 = nn.BatchNorm2d(leaving)
        self.downsample = _shortcut(entering, leaving, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(P, entering, h, w) to (P, 4 * inner, h, w), except for the stride."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = functional.relu(self.bn2(self.conv2(out)), inplace=True)
        return functional.relu(self.bn3(self.conv3(out)) + self.downsample(x), inplace=True)


def conv(
    entering: int,
    leaving: int,
    kernel: int = 3,
    stride: int = 1,
    padding: int | None = None,
    dilation: int = 1,
    groups: int = 1,
) -> nn.Conv2d:
    """A convolution that by default keeps the size, except for its stride; no bias, because a batch norm follows."""
    kept = kernel // 2 * dilation if padding is None else padding
    return nn.Conv2d(entering, leaving, kernel, stride, kept, dilation, groups, bias=False)


def conv_norm(entering: int, leaving: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution and batch norm as a ``Sequential``, whose parts are numbered instead of named."""
    return nn.Sequential(conv(entering, leaving, kernel, stride), nn.BatchNorm2d(leaving))


def conv_norm_relu(entering: int, leaving: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm and ReLU as a ``Sequential``."""
    return nn.Sequential(*conv_norm(entering, leaving, kernel, stride), nn.ReLU(inplace=True))


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Resize ``x``, (P, C, h, w), to the height and width of ``like``: bilinear, half-pixel centres."""
    if x.shape[2:] == like.shape[2:]:
        return x
    return functional.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


def _shortcut(entering: int, leaving: int, stride: int) -> nn.Module:
    """The shortcut of a residual block: the identity where shapes allow."""
    if entering == leaving and stride == 1:
        return nn.Identity()
    return conv_norm(entering, leaving, kernel=1, stride=stride)


def _initialise(module: nn.Module) -> None:
    """Initialise convolutions so that ReLUs keep the variance of gradients (He et al., 2015)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
