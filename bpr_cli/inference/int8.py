"""The network in 8-bit integers: convolutions whose input and weights are rounded.

Which numbers the input of each convolution holds is measured once, on patches (``int8_numbers``), and stays in the card
of the weights. Rounding also shifts the mean of every output channel; the shifts are measured and taken off (Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from functools import partial
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from bpr_cli.errors import BprError
from bpr_cli.inference.patch_model import folded

FEWEST_CHANNELS = 4
"""Convolutions that sum over fewer input channels stay in float32: integers would save them little time, and rounding
harms them most. Depthwise ones are among them."""

INPUT_STEPS = 255
WEIGHT_STEPS = 63
"""Largest integers. Those of weights have 7 bits, so that sums of two products fit into 16 bits, which CPUs without
instructions for 8 bits need; all CPUs then give the same integers."""

SMALLEST = 1e-8
"""Least distance of two rounded numbers."""


class RoundedInput(nn.Module):
    """Rounds numbers from ``low`` (0 or less) to ``high`` (0 or more) to 256 values, of which one is 0."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.scale = max((high - low) / INPUT_STEPS, SMALLEST)
        self.zero = min(round(-low / self.scale), INPUT_STEPS)

    def forward(self, x: Tensor) -> Tensor:
        """Keep the shape."""
        rounded: Tensor = torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, 0, INPUT_STEPS)
        return rounded


class RoundedWeights(nn.Module):
    """Rounds the weights of every output channel, (C, ...), to multiples of a 63rd of the largest."""

    scales: Tensor
    zeros: Tensor

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        largest = weights.detach().abs().flatten(1).amax(dim=1)
        self.register_buffer("scales", (largest / WEIGHT_STEPS).clamp(min=SMALLEST))
        self.register_buffer("zeros", torch.zeros(len(weights), dtype=torch.int32))

    def forward(self, weights: Tensor) -> Tensor:
        """Keep the shape."""
        # Engines know only weights of 8 bits; the scales keep these within 7.
        rounded: Tensor = torch.fake_quantize_per_channel_affine(weights, self.scales, self.zeros, 0, -128, 127)
        return rounded


def rounded(network: nn.Module, numbers: Sequence[float]) -> nn.Module:
    """Copy a network and let its convolutions round to 8-bit integers.

    The rounded numbers stay floating-point numbers here. Engines that know such steps compute with integers.

    Args:
        network: network in eval mode on the CPU; it is not changed.
        numbers: those of ``int8_numbers``.

    Raises:
        BprError: the numbers fit no network with these convolutions.

    Example:
        >>> numbers = int8_numbers(weights.network, x)
        >>> logits = rounded(weights.network, numbers)(x)  # (P, 4, T, T) to (P, 2, T, T)
    """
    network = deepcopy(folded(network))
    found, left = convolutions(network), iter(numbers)
    expected = sum(2 + conv.out_channels for conv in found.values())
    if len(numbers) != expected:
        raise BprError(f"the weights have {len(numbers)} numbers for int8, expected {expected}; use another precision")
    for name, conv in found.items():
        low, high = islice(left, 2)
        add_to_bias(conv, torch.tensor([*islice(left, conv.out_channels)]))
        network.set_submodule(name, rounding(conv, low, high))
    return network


@torch.inference_mode()
def int8_numbers(network: nn.Module, x: Tensor) -> tuple[float, ...]:
    """Measure what ``rounded`` needs: the range of the input of every convolution, and the shifts of its output.

    Args:
        network: network in eval mode on the CPU; it is not changed.
        x: patches as the network takes them, float, (P, 4, T, T); some hundred show what its layers hold.

    Returns:
        For every convolution, in the order of the modules: lowest and highest input, both with 0 in between, and what
        is added to each output channel.
    """
    network = folded(network)
    ranges, means = measured(network, x)
    copied, shifts = deepcopy(network), dict[str, Tensor]()
    for name, conv in convolutions(copied).items():
        layer = rounding(conv, *ranges[name])
        copied.set_submodule(name, layer)

        def correct(_: nn.Module, __: object, output: Tensor, name: str = name) -> Tensor:
            shifts[name] = means[name] - output.mean(dim=(0, 2, 3))
            return output + shifts[name][:, None, None]

        # Each layer is corrected for what the corrected layers before it give, which takes a single pass.
        layer.register_forward_hook(correct)
    copied(x)
    return tuple(
        float(f"{number:.6g}") for name in convolutions(network) for number in (*ranges[name], *shifts[name].tolist())
    )


def measured(network: nn.Module, x: Tensor) -> tuple[dict[str, tuple[float, float]], dict[str, Tensor]]:
    """The range of the input of every convolution, with 0, and the mean of each output channel, (C,)."""
    ranges, means = dict[str, tuple[float, float]](), dict[str, Tensor]()

    def note(_: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str) -> None:
        ranges[name] = min(float(inputs[0].min()), 0.0), max(float(inputs[0].max()), 0.0)
        means[name] = output.mean(dim=(0, 2, 3))

    hooks = [conv.register_forward_hook(partial(note, name=name)) for name, conv in convolutions(network).items()]
    network(x)
    for hook in hooks:
        hook.remove()
    return ranges, means


def convolutions(network: nn.Module) -> dict[str, nn.Conv2d]:
    """The convolutions that are rounded, by name, in the order of the modules."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d) and module.in_channels // module.groups >= FEWEST_CHANNELS
    }


def rounding(conv: nn.Conv2d, low: float, high: float) -> nn.Sequential:
    """Let a convolution round its input and its weights."""
    parametrize.register_parametrization(conv, "weight", RoundedWeights(conv.weight))
    return nn.Sequential(RoundedInput(low, high), conv)


def add_to_bias(conv: nn.Conv2d, shifts: Tensor) -> None:
    """Add to every output channel, (C,)."""
    conv.bias = nn.Parameter(shifts if conv.bias is None else conv.bias + shifts, requires_grad=False)
