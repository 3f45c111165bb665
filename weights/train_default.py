"""The loop that trained ``default.safetensors``: patches along real and simulated coarse masks, on a CPU.

    python weights/train_default.py --data DATA --out weights/default.safetensors

DATA holds ``objects`` and ``street`` as the model card ``default.md`` describes them; only their train parts are read.
"""

from __future__ import annotations

import argparse
import json
import queue
import threading
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rle
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bpr_cli.masks import Mask
from bpr_cli.networks.card import WeightsCard
from bpr_cli.networks.unet import UNet
from bpr_cli.networks.weights import save_weights
from bpr_cli.patches.boundary import boundary_pixels
from bpr_cli.refine.decider import PatchModel

PATCH_SIZE, PADDING = 64, 16
SIDE = PATCH_SIZE + 2 * PADDING
VOID = 255
MIN_COARSE_IOU = 0.4
POOL_SIZE = 128
SNAPSHOT_STEP, SNAPSHOT_SHARE = 1750, 0.25
"""An earlier state, before the learning rate falls, that has its share in the result: it is less sure of itself."""

CARD = WeightsCard(
    name="default",
    network="unet-s",
    patch_size=PATCH_SIZE,
    padding=PADDING,
    input_size=SIDE,
    training_data="DAVIS 2016 training videos (CC BY-NC 4.0) and CamVid (no licence stated; research use), with the "
    "coarse masks of YOLOv5n-seg and ESPNetv2 and simulated ones",
    licence="research and non-commercial use, after the terms of the training data",
    description="First default weights: objects in video frames and classes of street scenes.",
    recipe="weights/train_default.py with its defaults",
)

Array = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """A coarse mask with its truth: uint8, (H, W); truth 0, 1 or VOID. ``centres``: (N, 2) boundary x, y."""

    image: Array
    coarse: Array
    truth: Array
    centres: NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Pairs that are drawn with equal chance: the frames of one video, or the masks of one class."""

    pairs: list[Pair]


def read_image(path: Path) -> Array:
    return np.asarray(Image.open(path).convert("RGB"))


def centres_of(coarse: Array) -> NDArray[np.int64]:
    found = boundary_pixels(Mask.from_array(coarse))
    return np.stack([found.x, found.y], axis=1)


def iou(first: Array, second: Array) -> float:
    either = np.count_nonzero(first | second)
    return np.count_nonzero(first & second) / either if either else 0.0


def object_groups(root: Path) -> list[Group]:
    """One group a video: the frames' true masks with every source's coarse mask of IoU above MIN_COARSE_IOU."""
    listing = json.loads((root / "instances_train.json").read_text())
    results = json.loads((root / "predictions/yolo/train.segm.json").read_text())
    by_id = {record["image_id"]: record["segmentation"] for record in results}
    videos: dict[str, list[Pair]] = {}
    for entry in listing["images"]:
        stem = Path(entry["file_name"]).stem
        image = read_image(root / "images/train" / entry["file_name"])
        truth = (np.asarray(Image.open(next((root / "masks").rglob(f"{stem}.png")))) > 0).astype(np.uint8)
        coarse = [np.asarray(Image.open(root / f"predictions/{s}/train/{stem}.png")) for s in ("esp", "esp05")]
        if entry["id"] in by_id:
            coarse.append(rle.decode(by_id[entry["id"]]))
        masks = [(mask > 0).astype(np.uint8) for mask in coarse]
        pairs = videos.setdefault(stem.rsplit("_", 1)[0], [])
        good = [mask for mask in masks if iou(mask, truth) > MIN_COARSE_IOU] or [truth]
        pairs.extend(Pair(image, mask, truth, centres_of(mask)) for mask in good)
    return [Group(pairs) for _, pairs in sorted(videos.items())]


def street_groups(root: Path) -> list[Group]:
    """One group a class: the predicted masks of the class with its true pixels; void pixels stay void."""
    classes: dict[int, list[Pair]] = {}
    for path in sorted((root / "images/train").iterdir()):
        image = read_image(path)
        truth = np.asarray(Image.open(root / "labels/train" / f"{path.stem}.png"))
        for source in ("esp", "esp05"):
            labels = np.asarray(Image.open(root / f"predictions/{source}/train/{path.stem}.png"))
            for label in np.unique(labels[labels != VOID]).tolist():
                coarse = (labels == label).astype(np.uint8)
                own = np.where(truth == VOID, VOID, truth == label).astype(np.uint8)
                centres = centres_of(coarse)
                if np.any(own == 1) and len(centres):
                    classes.setdefault(label, []).append(Pair(image, coarse, own, centres.astype(np.int16)))
    return [Group(pairs) for _, pairs in sorted(classes.items())]


class Sampler:
    """Draws augmented training patches; every draw depends on the generator alone."""

    def __init__(self, objects: list[Group], street: list[Group], rng: np.random.Generator) -> None:
        self.objects, self.street, self.rng = objects, street, rng
        self.pools: tuple[list[Pair], list[Pair]] = ([], [])

    def batch(self, size: int) -> tuple[Array, Array, Array]:
        """Images (P, T, T, 3), coarse masks (P, T, T) and truths (P, T, T), uint8."""
        drawn = [self.draw(self.objects if i % 2 else self.street) for i in range(size)]
        images, coarse, truth = (np.stack(part) for part in zip(*drawn, strict=True))
        return images, coarse, truth

    def draw(self, groups: list[Group]) -> tuple[Array, Array, Array]:
        for _ in range(50):
            pair = self.pair(groups)
            if len(pair.centres) == 0:
                continue
            image, coarse, truth = self.cut(pair)
            inner = coarse[PADDING:-PADDING, PADDING:-PADDING]
            if inner.any() and not inner.all():
                return self.augmented(image, coarse, truth)
        raise RuntimeError("no usable patch in 50 draws: check the coarse masks")

    def pair(self, groups: list[Group]) -> Pair:
        """A real coarse mask, or a simulated one from a slowly renewed pool (simulating is slow, cutting is not)."""
        simulated = self.rng.random() < (0.4 if groups is self.objects else 0.15)
        pool = self.pools[groups is self.street]
        if simulated and len(pool) == POOL_SIZE and self.rng.random() < 0.9:
            return pool[self.rng.integers(POOL_SIZE)]
        group = groups[self.rng.integers(len(groups))]
        pair = group.pairs[self.rng.integers(len(group.pairs))]
        if not simulated:
            return pair
        coarse = simulate(pair.truth == 1, self.rng)
        pair = Pair(pair.image, coarse, pair.truth, centres_of(coarse))
        if len(pool) == POOL_SIZE:
            pool.pop(0)
        pool.append(pair)
        return pair

    def cut(self, pair: Pair) -> tuple[Array, Array, Array]:
        zoom = np.exp(self.rng.uniform(np.log(0.7), np.log(1.5))) if self.rng.random() < 0.5 else 1.0
        x, y = pair.centres[self.rng.integers(len(pair.centres))] + self.rng.integers(-12, 13, 2)
        matrix = np.array([[1 / zoom, 0, x - SIDE / 2 / zoom], [0, 1 / zoom, y - SIDE / 2 / zoom]])
        options = {"dsize": (SIDE, SIDE), "borderMode": cv2.BORDER_REFLECT_101}
        nearest, linear = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        image = cv2.warpAffine(pair.image, matrix, flags=linear if zoom != 1 else nearest, **options)
        coarse = cv2.warpAffine(pair.coarse, matrix, flags=nearest, **options)
        return image, coarse, cv2.warpAffine(pair.truth, matrix, flags=nearest, **options)

    def augmented(self, image: Array, coarse: Array, truth: Array) -> tuple[Array, Array, Array]:
        if self.rng.random() < 0.5:
            image, coarse, truth = image[:, ::-1], coarse[:, ::-1], truth[:, ::-1]
        if self.rng.random() < 0.3:
            dx, dy = self.rng.integers(-3, 4, 2)
            coarse = np.roll(coarse, (dy, dx), axis=(0, 1))
        if self.rng.random() < 0.2:
            side = int(self.rng.integers(2, 5))
            change = cv2.erode if self.rng.random() < 0.5 else cv2.dilate
            coarse = change(np.ascontiguousarray(coarse), np.ones((side, side), np.uint8))
        return self.photometric(image), np.ascontiguousarray(coarse), np.ascontiguousarray(truth)

    def photometric(self, image: Array) -> Array:
        rng = self.rng
        pixels = image.astype(np.float32)
        if rng.random() < 0.15:
            pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.4, 1.2))
        if rng.random() < 0.5:
            grey = pixels.mean(axis=2, keepdims=True)
            pixels = grey + (pixels - grey) * rng.uniform(0.4, 1.6)
        if rng.random() < 0.7:
            centre = pixels.mean()
            pixels = (pixels - centre) * rng.uniform(0.7, 1.5) + centre * rng.uniform(0.75, 1.3)
        if rng.random() < 0.5:
            pixels = pixels * rng.uniform(0.85, 1.15, 3).astype(np.float32)
        if rng.random() < 0.2:
            pixels = pixels + rng.normal(0, rng.uniform(2, 12), pixels.shape)
        return np.clip(pixels, 0, 255).astype(np.uint8)


def simulate(truth: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """A coarse mask as models make them: low-resolution, smoothed, wobbling along its boundary."""
    soft = truth.astype(np.float32)
    height, width = truth.shape
    if rng.random() < 0.6:
        stride = rng.uniform(3, 14)
        small = (max(2, round(width / stride)), max(2, round(height / stride)))
        soft = cv2.resize(cv2.resize(soft, small, interpolation=cv2.INTER_AREA), (width, height))
    if rng.random() < 0.7:
        grid = rng.uniform(10, 50)
        small = (max(2, round(width / grid)), max(2, round(height / grid)))
        noise = rng.normal(0, 1, (2, *small[::-1])).astype(np.float32) * rng.uniform(1, 6, (2, 1, 1)).astype(np.float32)
        shift = [cv2.resize(axis, (width, height), interpolation=cv2.INTER_CUBIC) for axis in noise]
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        soft = cv2.remap(soft, x + shift[0], y + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return (soft > rng.uniform(0.35, 0.65)).astype(np.uint8)


def prefetched(sampler: Sampler, batch_size: int, steps: int) -> Iterator[tuple[Array, Array, Array]]:
    """Draw batches in a background thread, in a fixed order."""
    waiting: queue.Queue[tuple[Array, Array, Array]] = queue.Queue(maxsize=4)

    def fill() -> None:
        for _ in range(steps):
            waiting.put(sampler.batch(batch_size))

    threading.Thread(target=fill, daemon=True).start()
    for _ in range(steps):
        yield waiting.get()


def pixel_weights(truth: Array) -> Tensor:
    """Void 0; the context ring less than the patch; pixels near the true boundary twice."""
    weights = np.full(truth.shape, 0.3, dtype=np.float32)
    weights[:, PADDING:-PADDING, PADDING:-PADDING] = 1
    kernel = np.ones((5, 5), np.uint8)
    for weight, patch in zip(weights, truth, strict=True):
        inside = (patch == 1).astype(np.uint8)
        near = cv2.dilate(inside, kernel) != cv2.erode(inside, kernel)
        weight[near] *= 2
        weight[patch == VOID] = 0
    return torch.from_numpy(weights)


def loss_of(logits: Tensor, truth: Array) -> Tensor:
    target = torch.from_numpy((truth == 1).astype(np.int64))
    weights = pixel_weights(truth)
    return (F.cross_entropy(logits, target, reduction="none") * weights).sum() / weights.sum()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def train(data: Path, out: Path, steps: int, batch_size: int, seed: int) -> None:
    torch.manual_seed(seed)
    began = time.monotonic()
    objects, street = object_groups(data / "objects"), street_groups(data / "street")
    print(f"{len(objects)} videos, {len(street)} classes read in {time.monotonic() - began:.0f} s", flush=True)
    network = UNet().to(memory_format=torch.channels_last)
    average = deepcopy(network)
    network_input = PatchModel(network, CARD).network_input
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.08)
    sampler = Sampler(objects, street, np.random.default_rng(seed))
    snapshot = average
    recent: list[float] = []
    for step, (images, coarse, truth) in enumerate(prefetched(sampler, batch_size, steps), start=1):
        loss = loss_of(network(network_input(torch.from_numpy(images), torch.from_numpy(coarse))), truth)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        update_average(average, network, min(0.998, step / (step + 10)))
        recent.append(loss.item())
        if step % 50 == 0:
            print(f"step {step}/{steps} loss {np.mean(recent):.4f} {time.monotonic() - began:.0f} s", flush=True)
            recent.clear()
        if step == SNAPSHOT_STEP:
            snapshot = deepcopy(average)
    update_average(average, snapshot, 1 - SNAPSHOT_SHARE)
    save_weights(out, average.eval(), CARD)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3300)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    train(arguments.data, arguments.out, arguments.steps, arguments.batch_size, arguments.seed)


if __name__ == "__main__":
    main()
