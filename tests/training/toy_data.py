"""Patch sets that can be learnt from in seconds: bright discs whose coarse masks are too small and moved."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bpr_cli.patchset.record import VOID, PatchSample, encode_sample
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.store import PatchOrigin, PatchSet, PatchSetWriter
from bpr_cli.training.recipe import load_recipe
from bpr_cli.training.settings import Recipe

TOY = PatchSetSettings(patch_size=16, padding=12)
"""40 pixels are stored; 32 of them can be fed with a padding of 8."""

SMALL = {
    "input_size": 0,
    "steps": 12,
    "batch_size": 4,
    "validate_every": 6,
    "optimiser.learning_rate": 0.003,
    "ema_decay": 0.9,
}


def disc(side: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return ((columns - x) ** 2 + (rows - y) ** 2 < radius**2).astype(np.uint8)


def toy(seed: int, side: int = TOY.side) -> PatchSample:
    random = np.random.default_rng(seed)
    x, y = side / 2 + random.uniform(-6, 6, 2)
    radius = random.uniform(5, 9)
    truth = disc(side, x, y, radius)
    coarse = disc(side, *(np.array([x, y]) + random.uniform(-2, 2, 2)), radius - 1.5)
    image = np.where(truth[..., None] == 1, random.integers(150, 256, 3), random.integers(0, 100, 3))
    image = np.clip(image + random.normal(0, 12, image.shape), 0, 255).astype(np.uint8)
    truth[0] = VOID
    return PatchSample(image, coarse, truth)


def toy_set(
    path: Path, count: int = 40, images: int = 10, settings: PatchSetSettings = TOY, first: int = 0
) -> PatchSet:
    """``count`` discs, spread over so many images."""
    writer = PatchSetWriter(path, settings)
    for number in range(first, first + count):
        box = (0, 0, settings.patch_size, settings.patch_size)
        origin = PatchOrigin("preds", f"image {number % images}.png", None, None, box, number)
        writer.add(encode_sample(toy(number, settings.side), settings.jpeg), origin)
    return writer.close()


def small_recipe(**changes: object) -> Recipe:
    """The modern recipe on a diet."""
    return load_recipe("modern", {**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}})


def still(recipe: Recipe) -> Recipe:
    """The recipe without any augmentation."""
    paper = load_recipe("paper")
    geometry = replace(paper.geometry, flip=0)
    image = replace(paper.image, distort=0)
    return replace(recipe, composite=0, image=image, geometry=geometry, coarse=paper.coarse)
