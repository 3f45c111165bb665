"""The networks of the paper's comparison once more, each as one function of a checkpoint's tensors.

Written from the architectures' papers and the authors' configurations, without a class of the program: slow and plain,
to hold the modules against.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

State = Mapping[str, Tensor]


def norm(state: State, name: str, x: Tensor) -> Tensor:
    mean, var, weight, bias = (
        state[f"{name}.{part}"].view(1, -1, 1, 1) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * weight + bias


def conv(state: State, name: str, x: Tensor, **options: int) -> Tensor:
    """With the padding that keeps the size, if no other is given."""
    weight = state[f"{name}.weight"]
    options.setdefault("padding", weight.shape[-1] // 2 * options.get("dilation", 1))
    return F.conv2d(x, weight, **options)


def conv_norm(state: State, name: str, x: Tensor, **options: int) -> Tensor:
    return norm(state, f"{name}.bn", conv(state, f"{name}.conv", x, **options))


def conv_norm_relu(state: State, name: str, x: Tensor, **options: int) -> Tensor:
    return conv_norm(state, name, x, **options).relu()


def separable(state: State, name: str, x: Tensor, **options: int) -> Tensor:
    x = conv_norm_relu(state, f"{name}.depthwise_conv", x, groups=x.shape[1], **options)
    return conv_norm_relu(state, f"{name}.pointwise_conv", x)


def resize(x: Tensor, size) -> Tensor:
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def classify(state: State, x: Tensor) -> Tensor:
    return F.conv2d(x, state["decode_head.conv_seg.weight"], state["decode_head.conv_seg.bias"])


def residual(state: State, name: str, x: Tensor, stride: int, dilation: int) -> Tensor:
    """A basic block, or a bottleneck where there is a third convolution."""
    if f"{name}.conv3.weight" in state:
        out = norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", x)).relu()
        out = norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", out, stride=stride, dilation=dilation)).relu()
        out = norm(state, f"{name}.bn3", conv(state, f"{name}.conv3", out))
    else:
        out = norm(state, f"{name}.bn1", conv(state, f"{name}.conv1", x, stride=stride, dilation=dilation)).relu()
        out = norm(state, f"{name}.bn2", conv(state, f"{name}.conv2", out))
    if f"{name}.downsample.0.weight" in state:
        x = norm(state, f"{name}.downsample.1", conv(state, f"{name}.downsample.0", x, stride=stride))
    return (out + x).relu()


def resnet_features(state: State, x: Tensor) -> list[Tensor]:
    image, mask = x[:, :3], x[:, 3:]
    x = conv(state, "backbone.stem.0", image, stride=2) + conv(state, "backbone.conv_mask", mask, stride=2)
    x = norm(state, "backbone.stem.1", x).relu()
    x = norm(state, "backbone.stem.4", conv(state, "backbone.stem.3", x)).relu()
    x = norm(state, "backbone.stem.7", conv(state, "backbone.stem.6", x)).relu()
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    features = []
    # Strides and dilations of the first and of the other blocks of each stage.
    for stage, (stride, first, others) in enumerate([(1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)], 1):
        index = 0
        while f"backbone.layer{stage}.{index}.conv1.weight" in state:
            name = f"backbone.layer{stage}.{index}"
            x = residual(state, name, x, stride if index == 0 else 1, first if index == 0 else others)
            index += 1
        features.append(x)
    return features


def resnet_fcn(state: State, x: Tensor) -> Tensor:
    last = resnet_features(state, x)[-1]
    out = conv_norm_relu(state, "decode_head.convs.0", last)
    out = conv_norm_relu(state, "decode_head.convs.1", out)
    out = conv_norm_relu(state, "decode_head.conv_cat", torch.cat([last, out], 1))
    return resize(classify(state, out), x.shape[2:])


def deeplab(state: State, x: Tensor) -> Tensor:
    first, _, _, last = resnet_features(state, x)
    image = conv_norm_relu(state, "decode_head.image_pool.1", last.mean((2, 3), keepdim=True)).expand(
        -1, -1, *last.shape[2:]
    )
    scales = [
        image,
        conv_norm_relu(state, "decode_head.aspp_modules.0", last),
        separable(state, "decode_head.aspp_modules.1", last, dilation=12),
        separable(state, "decode_head.aspp_modules.2", last, dilation=24),
        separable(state, "decode_head.aspp_modules.3", last, dilation=36),
    ]
    out = conv_norm_relu(state, "decode_head.bottleneck", torch.cat(scales, 1))
    detail = conv_norm_relu(state, "decode_head.c1_bottleneck", first)
    out = torch.cat([resize(out, first.shape[2:]), detail], 1)
    out = separable(state, "decode_head.sep_bottleneck.0", out)
    out = separable(state, "decode_head.sep_bottleneck.1", out)
    return resize(classify(state, out), x.shape[2:])


def fast_scnn(state: State, x: Tensor) -> Tensor:
    down = "backbone.learning_to_downsample"
    fine = conv_norm_relu(state, f"{down}.conv", x, stride=2, padding=0)
    fine = separable(state, f"{down}.dsconv1", fine, stride=2)
    fine = separable(state, f"{down}.dsconv2", fine, stride=2)

    deep = fine
    extractor = "backbone.global_feature_extractor"
    for group, stride in ((1, 2), (2, 2), (3, 1)):
        for index in range(3):
            name = f"{extractor}.bottleneck{group}.{index}.conv"
            entered = deep
            deep = conv_norm(state, f"{name}.0", deep).clamp(0, 6)
            deep = conv_norm(state, f"{name}.1", deep, stride=1 if index else stride, groups=deep.shape[1]).clamp(0, 6)
            deep = conv_norm(state, f"{name}.2", deep)
            if index:
                deep = deep + entered
    means = [
        resize(conv_norm_relu(state, f"{extractor}.ppm.{index}.1", F.adaptive_avg_pool2d(deep, side)), deep.shape[2:])
        for index, side in enumerate((1, 2, 3, 6))
    ]
    deep = conv_norm_relu(state, f"{extractor}.out", torch.cat([deep, *means], 1))

    fusion = "backbone.feature_fusion"
    deep = conv_norm_relu(state, f"{fusion}.dwconv", resize(deep, fine.shape[2:]))
    fused = (
        conv_norm(state, f"{fusion}.conv_lower_res", deep) + conv_norm(state, f"{fusion}.conv_higher_res", fine)
    ).relu()
    out = separable(state, "decode_head.convs.0", fused)
    out = separable(state, "decode_head.convs.1", out)
    return resize(classify(state, out), x.shape[2:])
