"""Patch sets that are learned in seconds: bright discs whose coarse masks are too small and moved."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.matching import AnnotatedMask, ImageMasks, match_masks
from bpr_cli.patchset.record import VOID, PatchSample, encode_sample
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.store import PatchOrigin, PatchSet, PatchSetWriter
from bpr_cli.patchset.whole import encode_whole
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


def image_set(path: Path, names: list[str], categories: tuple[int, ...] = (1, 2), first: int = 0) -> PatchSet:
    """Whole images with a bright disc for each category, all but the last of them predicted too small."""
    writer = PatchSetWriter(path, PatchSetSettings(scheme="image"))
    for number, name in enumerate(names, first):
        random = np.random.default_rng(number)
        image = random.integers(0, 90, (80, 120, 3), np.uint8)
        true, coarse = [], []
        for place, category in enumerate(categories):
            x, y = 30 + 40 * place + random.uniform(-5, 5), random.uniform(30, 50)
            shape = np.pad(disc(80, min(x, 70), y, 11), ((0, 0), (0, 40)))
            image[shape == 1] = random.integers(150, 250, 3)
            true.append(AnnotatedMask(Mask.from_array(shape), place, category))
            smaller = cv2.erode(shape, np.ones((5, 5), np.uint8))
            coarse.append(AnnotatedMask(Mask.from_array(smaller), place, category))
        void = np.zeros((80, 120), bool)
        void[:2] = True
        truth = ImageMasks(tuple(true), Mask.from_array(void))
        found = ImageMasks(tuple(coarse[:-1] or coarse), Mask.from_array(~void & void))
        record = encode_whole(image, truth, match_masks(found, truth, 0.1), None)
        writer.add(record, PatchOrigin("preds", f"{name}.png", None, None, (0, 0, 120, 80), 0))
    return writer.close()


def small_recipe(**changes: object) -> Recipe:
    """The recipe modern with fewer and smaller steps."""
    return load_recipe("modern", {**SMALL, **{key.replace("__", "."): value for key, value in changes.items()}})


def still(recipe: Recipe) -> Recipe:
    """The recipe without any augmentation."""
    paper = load_recipe("paper")
    geometry = replace(paper.geometry, flip=0)
    image = replace(paper.image, distort=0)
    return replace(recipe, composite=0, image=image, geometry=geometry, coarse=paper.coarse)
