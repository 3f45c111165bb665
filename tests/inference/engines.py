"""Small networks, patches and images for tests of inference and refinement."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from bpr_cli.networks.registry import build_network
from bpr_cli.patches.crop import Patches
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import LoadedWeights

CARDS = {
    "unet-s": WeightsCard("small unet", "unet-s", patch_size=16, padding=8, input_size=32),
    "hrnet18s": WeightsCard("small hrnet", "hrnet18s", patch_size=16, padding=0, input_size=32),
}


def untrained_network(name: str) -> nn.Module:
    """A network with random weights whose probabilities spread over 0..1, so that small differences show."""
    torch.manual_seed(5)
    network = build_network(name)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        noise = torch.randn(8, 4, 32, 32)
        network.train()(noise)
        last = next(module for module in network.modules() if getattr(module, "out_channels", 0) == 2)
        last.bias.zero_()
        last.weight *= 2 / differences(network.eval()(noise)).std()
        last.bias[0] = differences(network(noise)).mean()
    return network


def differences(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, 1] - logits[:, 0]


def loaded(network: nn.Module, **sizes: int) -> LoadedWeights:
    """Any module as weights: by default patches of 4 pixels, shown as they are."""
    card = WeightsCard("fake", "fake", **{"patch_size": 4, "padding": 14, "input_size": 32, **sizes})
    return LoadedWeights(network.eval(), card, "0" * 64, Path("fake.safetensors"))


def random_patches(count: int, side: int = 32, seed: int = 0) -> Patches:
    random = np.random.default_rng(seed)
    image = random.integers(0, 256, (count, side, side, 3), np.uint8)
    return Patches(image, random.integers(0, 2, (count, side, side), np.uint8))


def blob(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """A bool mask of some discs and a hole."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    mask = np.zeros(size, bool)
    for turn in range(4):
        centre, radius = random.integers(0, size), random.integers(3, max(size) // 3 + 4)
        mask[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = turn != 2
    return mask


def picture(size: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def photograph(shown: np.ndarray) -> np.ndarray:
    """A plain object on dark noise, which every network sees: bool, (H, W), to RGB."""
    return np.where(shown[..., None], np.uint8([220, 180, 40]), picture(shown.shape) // 4)
