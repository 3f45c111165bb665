"""How ``fast.safetensors`` and ``best.safetensors`` were trained: in three stages, three hours on two CPU cores.

    python weights/train.py --data DATA --imagenet efficientnet-lite0.pth --out fast.safetensors

DATA holds ``objects``, ``street`` and ``cells`` as the model cards describe them; only their train parts are read.
IMAGENET is a checkpoint of EfficientNet-Lite0. The schedule goes by the clock, so another machine makes other steps:
2,500, 2,383 and 3,164 there. ``best`` holds the same tensors: patches of 32 px, 16 px of context, scales 2, 1, flip.

It was written after the run from the loop that made them: data, chances, losses and schedule are the same, random
numbers are not, and the first stage there ended a little further down the cosine (0.54 of it, 0.5 here). It draws from
whole images and not from patch sets, so every zoom and shift is there.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bpr_cli.formats.images import read_image
from bpr_cli.inference.patch_model import PatchModel
from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boundary import boundary_pixels
from bpr_cli.patchset.matching import AnnotatedMask, match_masks, void_for
from bpr_cli.patchset.record import VOID
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.sources import SourcePaths, open_sources
from bpr_cli.training.augmentation import pasted
from bpr_cli.training.loss import cross_entropy, jaccard_loss, pixel_weights
from bpr_cli.training.settings import LossSettings, OptimiserSettings
from bpr_cli.training.trainer import RATE_FACTOR, WeightAverage, build_optimiser, cosine
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import save_weights
from bpr_cli.weights.imagenet import MEAN, STD, start_from_imagenet

FILES = {
    "objects": [
        ("objects/predictions/esp/train", "objects/images/train", "objects/masks/train"),
        ("objects/predictions/esp05/train", "objects/images/train", "objects/masks/train"),
        ("objects/predictions/yolo/train.segm.json", "objects/images/train", "objects/instances_train.json"),
    ],
    "street": [
        ("street/predictions/esp/train", "street/images/train", "street/labels/train"),
        ("street/predictions/esp05/train", "street/images/train", "street/labels/train"),
    ],
    "cells": [("cells/predictions/otsu/train.segm.json", "cells/images/train", "cells/instances_train.json")],
}
"""Predictions, images and ground truth inside DATA."""

MIN_IOU = {"objects": 0.35, "street": 0, "cells": 0.3}
"""Coarse masks of objects are taken where their IoU with a true one is higher; classes of maps always."""

SIDE, RING = 128, 16
"""Pixels that the network is shown; those of them at every edge that count less."""

WIDE = 192
"""Side of the patches in which coarse masks are simulated and objects pasted, before the middle is cut out."""

BATCH_SIZE, SEED = 32, 1
LOSS = LossSettings(boundary_weight=2, boundary_width=2, context_weight=0.3, jaccard=0)
ADAMW = OptimiserSettings("adamw", 0.002, encoder_rate=0.25, momentum=0.9, weight_decay=0.02, decay_all=True, clip=2)
LOWEST_RATE, WARMUP_STEPS, AVERAGE_DECAY = 0.02, 150, 0.998

CARD = WeightsCard(
    name="fast",
    network="lite-unet",
    patch_size=64,
    min_patch_size=32,
    padding=16,
    input_size=SIDE,
    core=0.2,
    mean=MEAN,
    std=STD,
    training_data="DAVIS 2016, CamVid and Data Science Bowl 2018; the encoder ImageNet",
    licence="research and non-commercial use, after the terms of the training data",
    recipe="weights/train.py",
)

Array = NDArray[np.uint8]
Random = np.random.Generator


@dataclass(frozen=True)
class Zooms:
    """Single zooms with their chances; the rest is drawn from a range on a logarithmic scale."""

    single: dict[float, float]
    lowest: float
    highest: float

    def draw(self, random: Random) -> float:
        left = random.random()
        for zoom, chance in self.single.items():
            if left < chance:
                return zoom
            left -= chance
        return float(np.exp(random.uniform(np.log(self.lowest), np.log(self.highest))))


@dataclass(frozen=True)
class Stage:
    """What differs between the stages: chances, factors, and the part of the cosine that the learning rate goes."""

    sources: dict[str, float]
    zooms: dict[str, Zooms]
    composite: float
    pasted_from: dict[str, float]  # "own": the frames of the same video
    gamma: float
    darken: float
    light: float
    jaccard: float
    begin: float
    end: float
    minutes: float


EVERYWHERE, CELLS = Zooms({1.0: 0.4, 0.5: 0.15}, 0.45, 2), Zooms({}, 0.8, 4)
SECOND = Stage(
    sources={"objects": 0.50, "street": 0.33, "cells": 0.17},
    zooms={
        "objects": Zooms({1.0: 0.35, 0.5: 0.15, 2.0: 0.08}, 0.45, 2.2),
        "street": Zooms({2.0: 0.5, 1.0: 0.15}, 0.6, 2.6),
        "cells": CELLS,
    },
    composite=0.6,
    pasted_from={"own": 0.4, "objects": 0.4, "street": 0.2},
    gamma=0.2,
    darken=0.08,
    light=0,
    jaccard=0.5,
    begin=0.5,
    end=1,
    minutes=48,
)
STAGES = (
    Stage(
        sources={"objects": 0.55, "street": 0.30, "cells": 0.15},
        zooms={"objects": EVERYWHERE, "street": EVERYWHERE, "cells": CELLS},
        composite=0.5,
        pasted_from={"objects": 0.75, "street": 0.25},
        gamma=0,
        darken=0,
        light=0,
        jaccard=0,
        begin=0,
        end=0.5,
        minutes=48,
    ),
    SECOND,
    replace(SECOND, light=0.3, begin=0.45, minutes=79),
)


@dataclass(frozen=True)
class Pair:
    """A true mask with what is not known around it, and a coarse one for it, or none.

    ``centres`` are boundary pixels of the coarse mask, or of the true one where there is none: int16, (N, 2), x, y.
    """

    image: Array
    truth: Mask
    void: Mask
    coarse: Mask | None = None

    @cached_property
    def centres(self) -> NDArray[np.int16]:
        found = boundary_pixels(self.coarse or self.truth)
        return np.stack([found.x, found.y], axis=1).astype(np.int16)


class Source(NamedTuple):
    """Groups are drawn with equal chance: frames of one video, masks of one class, nuclei of one image."""

    real: list[list[Pair]]
    true: list[list[Pair]]


def read(data: Path, name: str) -> Source:
    """All coarse masks of a source with what is true of them, and all true masks."""
    real: dict[object, list[Pair]] = {}
    true: dict[object, list[Pair]] = {}
    images: dict[Path, Array] = {}
    for number, paths in enumerate(FILES[name]):
        given = SourcePaths(*(data / path for path in paths))
        (source,) = open_sources([given], PatchSetSettings())
        for work in source.images:
            truth, image = source.read_truth(work), images.setdefault(work.path, read_image(work.path))

            def group_of(segment: AnnotatedMask, stem: str = work.path.stem) -> object:
                return {"objects": stem.rsplit("_", 1)[0], "street": segment.category, "cells": stem}[name]

            for matched in match_masks(source.read_coarse(work), truth, MIN_IOU[name]):
                if matched.truth.area:
                    pair = Pair(image, matched.truth, matched.void, matched.coarse.mask)
                    real.setdefault(group_of(matched.coarse), []).append(pair)
            for segment in truth.masks if number == 0 else ():
                pair = Pair(image, segment.mask, void_for(truth, segment.category))
                true.setdefault(group_of(segment), []).append(pair)
    return Source(list(real.values()), list(true.values()))


class Sampler:
    """Draws training patches; every draw depends on the generator alone."""

    def __init__(self, sources: dict[str, Source], stage: Stage, random: Random) -> None:
        self.sources, self.stage, self.random = sources, stage, random

    def batch(self) -> tuple[Array, Array, Array]:
        """Images (P, T, T, 3), coarse masks (P, T, T) and truths (P, T, T), uint8."""
        drawn = [self.draw(self.pick(self.stage.sources)) for _ in range(BATCH_SIZE)]
        images, coarse, truth = (np.stack(planes) for planes in zip(*drawn, strict=True))
        return images, coarse, truth

    def pick(self, chances: dict[str, float]) -> str:
        return str(self.random.choice(list(chances), p=list(chances.values())))

    def any_of(self, items: list) -> object:
        return items[self.random.integers(len(items))]

    def draw(self, name: str) -> tuple[Array, Array, Array]:
        for _ in range(100):
            simulated = self.random.random() < (0.25 if name == "street" else 0.45)
            group = self.any_of(self.sources[name].true if simulated else self.sources[name].real)
            pair = self.any_of(group)
            if len(pair.centres) == 0:
                continue
            zoom = self.stage.zooms[name].draw(self.random)
            place = self.any_of(pair.centres) + self.random.integers(-14, 15, 2) / max(zoom, 0.5)
            image, coarse, truth = (self.make if simulated else self.cut)(pair, place, zoom, name, group)
            middle = slice(24, -24)
            inner = coarse[middle, middle]
            if inner.any() and not inner.all() and (truth[middle, middle] == VOID).mean() <= 0.6:
                return self.varied(image, coarse, truth, simulated)
        raise RuntimeError(f"no usable patch of {name} in 100 draws: check the coarse masks")

    def cut(self, pair: Pair, place: NDArray, zoom: float, *_: object) -> tuple[Array, Array, Array]:
        image, truth = window(pair, place, zoom, SIDE)
        return image, warped(as_array(pair.coarse), place, zoom, SIDE, cv2.INTER_NEAREST), truth

    def make(self, pair: Pair, place: NDArray, zoom: float, name: str, group: list) -> tuple[Array, Array, Array]:
        image, truth = window(pair, place, zoom, WIDE)
        if name == "objects" and self.random.random() < self.stage.composite:
            image, truth = self.composed(image, truth, group)
        coarse = simulate((truth == 1).astype(np.uint8), self.random)
        middle = slice((WIDE - SIDE) // 2, (WIDE + SIDE) // 2)
        return image[middle, middle], coarse[middle, middle], truth[middle, middle]

    def composed(self, image: Array, truth: Array, group: list[Pair]) -> tuple[Array, Array]:
        """Another object in front, or this object before another background."""
        random, kind = self.random, self.pick(self.stage.pasted_from)
        other = self.any_of(group if kind == "own" else self.any_of(self.sources[kind].true))
        if len(other.centres) == 0:
            return image, truth
        zoom = float(np.exp(random.uniform(np.log(0.5), np.log(1.6))))
        place = self.any_of(other.centres) + random.integers(-70, 71, 2) / zoom
        other_image, other_truth = window(other, place, zoom, WIDE)
        if random.random() < 0.5:
            other_image, other_truth = other_image[:, ::-1], other_truth[:, ::-1]
        if random.random() < 0.5:
            return pasted(image, truth == 1, other_image, random), truth
        left = np.where(other_truth == 1, 0, truth).astype(np.uint8)
        return (pasted(other_image, other_truth == 1, image, random), left) if (left == 1).any() else (image, truth)

    def varied(self, image: Array, coarse: Array, truth: Array, simulated: bool) -> tuple[Array, Array, Array]:
        random = self.random
        columns = slice(None, None, -1 if random.random() < 0.5 else 1)
        rows = slice(None, None, -1 if random.random() < 0.1 else 1)
        image, coarse, truth = (np.ascontiguousarray(plane[rows, columns]) for plane in (image, coarse, truth))
        if not simulated and random.random() < 0.25:
            coarse = np.roll(coarse, random.integers(-3, 4, 2), (0, 1))
        if not simulated and random.random() < 0.2:
            element = np.ones((int(random.integers(2, 6)),) * 2, np.uint8)
            coarse = (cv2.erode if random.random() < 0.5 else cv2.dilate)(coarse, element)
        if random.random() < 0.04:
            coarse = (truth == 1).astype(np.uint8)
        return photographed(image, self.stage, random), coarse, truth


def warped(plane: NDArray, place: NDArray, zoom: float, side: int, interpolation: int) -> NDArray:
    """``side`` pixels around a place, so many times as large; half-pixel centres, reflected beyond the image."""
    x, y = np.asarray(place, float) - side / 2 / zoom + 0.5 / zoom - 0.5
    matrix = np.array([[1 / zoom, 0, x], [0, 1 / zoom, y]])
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(plane, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def window(pair: Pair, place: NDArray, zoom: float, side: int) -> tuple[Array, Array]:
    """The image and the truth (0, 1 and ``VOID``) around a place."""
    place = np.round(place) if zoom == 1 else place
    truth = np.where(as_array(pair.truth), 1, VOID * as_array(pair.void)).astype(np.uint8)
    return (
        warped(pair.image, place, zoom, side, cv2.INTER_LINEAR),
        warped(truth, place, zoom, side, cv2.INTER_NEAREST),
    )


def as_array(mask: Mask) -> Array:
    return mask.to_array().astype(np.uint8)


def photographed(image: Array, stage: Stage, random: Random) -> Array:
    """With other light, colours, lenses and compression."""
    pixels = image.astype(np.float32)
    if random.random() < stage.light:
        pixels = pixels * lights(len(image), random)
    if random.random() < 0.15:
        pixels = cv2.GaussianBlur(pixels, (0, 0), random.uniform(0.4, 1.3))
    if random.random() < 0.5:
        grey = pixels.mean(2, keepdims=True)
        pixels = grey + (pixels - grey) * random.uniform(0.2, 1.6)
    if random.random() < 0.7:
        middle = pixels.mean()
        pixels = (pixels - middle) * random.uniform(0.65, 1.5) + middle * random.uniform(0.7, 1.3)
    if random.random() < 0.5:
        pixels = pixels * random.uniform(0.85, 1.15, 3)
    if random.random() < 0.05:
        pixels = pixels[:, :, random.permutation(3)]
    if random.random() < 0.2:
        pixels = pixels + random.normal(0, random.uniform(2, 12), pixels.shape)
    if random.random() < stage.gamma:
        pixels = 255 * np.clip(pixels / 255, 0, 1) ** np.exp(random.uniform(-0.8, 0.9))
    if random.random() < stage.darken:
        pixels = pixels * random.uniform(0.15, 0.8)
    image = np.clip(pixels, 0, 255).astype(np.uint8)
    if random.random() < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(30, 90))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image


def lights(side: int, random: Random) -> NDArray[np.float32]:
    """Factors, (S, S, 3), of shadows and lights whose edges tell nothing of the object: ellipses and stripes."""
    lit = np.zeros((side, side), np.uint8)
    for _ in range(random.integers(1, 3)):
        place = random.uniform(0, side, 2)
        if random.random() < 0.5:
            radii = np.exp(random.uniform(np.log(6), np.log(90), 2)).astype(int).tolist()
            cv2.ellipse(lit, place.astype(int).tolist(), radii, random.uniform(0, 180), 0, 360, 1, -1)
        else:
            angle = random.uniform(0, 2 * np.pi)
            along = 300 * np.array([np.cos(angle), np.sin(angle)])
            across = np.array([-along[1], along[0]]) / 300 * np.exp(random.uniform(np.log(8), np.log(200)))
            corners = place + np.array([along, -along, across - along, across + along])
            cv2.fillConvexPoly(lit, corners.astype(np.int32), 1)
    soft = cv2.GaussianBlur(lit.astype(np.float32), (0, 0), np.exp(random.uniform(np.log(0.6), np.log(12))))
    factor = np.exp(random.uniform(-0.9, 0.6)) * random.uniform(0.92, 1.08, 3)
    return (1 + soft[..., None] * (factor - 1)).astype(np.float32)


def resized(plane: NDArray, spacing: float) -> tuple[int, int]:
    """Width and height of a plane that has one pixel every so many."""
    height, width = plane.shape
    return max(2, round(width / spacing)), max(2, round(height / spacing))


def simulate(truth: Array, random: Random) -> Array:
    """A coarse mask as models make them: blobs missing or too much, few pixels, wobbling, blurred, polygonal."""
    soft = truth.astype(np.float32)
    if random.random() < 0.45:
        with_blobs(soft, truth, random)
    if random.random() < 0.65:
        small = cv2.resize(
            soft, resized(soft, np.exp(random.uniform(np.log(2), np.log(18)))), interpolation=cv2.INTER_AREA
        )
        soft = cv2.resize(small, soft.shape[::-1], interpolation=cv2.INTER_LINEAR)
    if random.random() < 0.75:
        width, height = resized(soft, random.uniform(8, 60))
        reach = np.exp(random.uniform(np.log(0.5), np.log(9)))
        fields = random.normal(0, reach, (2, height, width)).astype(np.float32)
        x, y = (cv2.resize(field, soft.shape[::-1], interpolation=cv2.INTER_CUBIC) for field in fields)
        rows, columns = np.indices(soft.shape, dtype=np.float32)
        soft = cv2.remap(soft, columns + x, rows + y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    elif random.random() < 0.5:
        soft = cv2.GaussianBlur(soft, (0, 0), random.uniform(0.8, 6))
    mask = (soft > random.uniform(0.3, 0.7)).astype(np.uint8)
    if random.random() < 0.15:
        outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        polygons = [cv2.approxPolyDP(outline, random.uniform(1, 6), True) for outline in outlines]
        mask = cv2.fillPoly(np.zeros_like(mask), polygons, 1)
    return mask


def with_blobs(soft: NDArray[np.float32], truth: Array, random: Random) -> None:
    """Set one to three ellipses near the boundary, in place."""
    element = np.ones((3, 3), np.uint8)
    y, x = np.nonzero(cv2.dilate(truth, element) != cv2.erode(truth, element))
    for _ in range(random.integers(1, 4) if len(x) else 0):
        place, radii = random.integers(len(x)), random.uniform(4, 34, 2).astype(int).tolist()
        middle = int(x[place] + random.normal(0, 8)), int(y[place] + random.normal(0, 8))
        blob = cv2.ellipse(np.zeros_like(truth), middle, radii, random.uniform(0, 180), 0, 360, 1, -1)
        soft[blob > 0] = float(random.random() < 0.5)


def feed(waiting: multiprocessing.Queue, data: Path, number: int) -> None:
    """Make the batches of a stage, beside the network."""
    cv2.setNumThreads(0)
    sources = {name: read(data, name) for name in FILES}
    sampler = Sampler(sources, STAGES[number], np.random.default_rng([SEED, number]))
    while True:
        waiting.put(sampler.batch())


def batches(data: Path, number: int, seconds: float) -> Iterator[tuple[float, list[Tensor]]]:
    """The batches of a stage for so long, one at least, each with the share of the stage that is over."""
    context = multiprocessing.get_context("spawn")
    waiting = context.Queue(6)
    feeder = context.Process(target=feed, args=(waiting, data, number), daemon=True)
    feeder.start()
    batch, began, share = waiting.get(), time.monotonic(), 0.0
    while share < 1:
        yield share, [torch.from_numpy(plane) for plane in batch]
        share = (time.monotonic() - began) / seconds if seconds else 1
        batch = waiting.get() if share < 1 else batch
    feeder.terminate()
    feeder.join()


def losses_of(logits: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean of the cross-entropy; the Jaccard term over the patches that have true foreground."""
    # To the weights void is background, so that they do not depend on what nobody knows.
    weights = pixel_weights((truth == 1).to(torch.uint8), RING, LOSS) * (truth != VOID)
    present = (truth[:, RING:-RING, RING:-RING] == 1).any(2).any(1).float().mean()
    jaccard = jaccard_loss(logits, truth, RING) / present.clamp(min=1 / BATCH_SIZE)
    return cross_entropy(logits, truth, weights) / weights.mean(), jaccard


def train(data: Path, imagenet: Path, out: Path, time_factor: float) -> None:
    network = start_from_imagenet(imagenet, SEED).to(memory_format=torch.channels_last).train()
    network_input = PatchModel(network, CARD).network_input
    optimiser, average = build_optimiser(network, ADAMW), WeightAverage(network, AVERAGE_DECAY)
    step = 0
    for number, stage in enumerate(STAGES):
        for share, (images, coarse, truth) in batches(data, number, 60 * stage.minutes * time_factor):
            progress = stage.begin + (stage.end - stage.begin) * share
            rate = cosine(progress, ADAMW.learning_rate, LOWEST_RATE * ADAMW.learning_rate)
            for group in optimiser.param_groups:
                group["lr"] = group[RATE_FACTOR] * rate * min(1, step / WARMUP_STEPS)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = network(network_input(images, coarse))
            entropy, jaccard = losses_of(logits, truth)
            optimiser.zero_grad(set_to_none=True)
            (entropy + stage.jaccard * jaccard).backward()
            nn.utils.clip_grad_norm_(network.parameters(), ADAMW.clip)
            optimiser.step()
            step += 1
            average.update(step)
            if step % 25 == 0:
                print(f"step {step}, {progress:.1%}: loss {entropy:.4f}, Jaccard {jaccard:.4f}", flush=True)
    save_weights(out, average.network, CARD)
    print(f"{step} steps", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--imagenet", type=Path, required=True, help="EfficientNet-Lite0 as .pth")
    parser.add_argument("--out", type=Path, required=True, help="a .safetensors file")
    parser.add_argument("--time-factor", type=float, default=1, help="0.1: a tenth of the time, for a quick try")
    arguments = parser.parse_args()
    train(arguments.data, arguments.imagenet, arguments.out, arguments.time_factor)


if __name__ == "__main__":
    main()
