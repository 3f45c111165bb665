"""Generated scenes, with exact ground truth and coarse predictions of every task in the usual formats.

Shapes are drawn at ``FINE`` times the resolution of the image and averaged, so edges are antialiased as in a
photograph. The true label of a pixel is the one that covers most of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rle_tools

from bpr_cli.formats.json_files import Record
from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.simulate import mask_head, simulate_labels
from bpr_cli.typing import BoolArray, ByteArray, FloatArray, LabelArray, Size

SIZE: Size = (360, 480)
SCENES = 2
FINE = 4
DIVISOR = 1000
"""A panoptic id is category id * DIVISOR, plus a running number for things."""

CATEGORIES = {1: "sky", 2: "grass", 3: "stone", 4: "star", 5: "wheel", 6: "flower"}
COLORS = {
    1: (120, 180, 230),
    2: (90, 140, 60),
    3: (130, 110, 150),
    4: (240, 200, 60),
    5: (60, 60, 70),
    6: (200, 70, 90),
}
"""Colors of the surfaces and of the palette of label maps."""
THINGS = (3, 4, 5, 6)

Rng = np.random.Generator


@dataclass(frozen=True)
class Segmentation:
    """The ground truth of a scene, or a prediction for it.

    Attributes:
        things: masks of the things by panoptic id: bool, (H, W).
        ids: panoptic id of every pixel: int32, (H, W).
        labels: category id of every pixel: int32, (H, W).
    """

    things: Mapping[int, BoolArray]
    ids: LabelArray
    labels: LabelArray


def write_scenes(directory: Path, seed: int = 0) -> None:
    """Write scenes, coarse predictions and ground truth under a directory; the same seed gives the same files.

    The files are ``images``, ``image_info.json``, ``instances/predictions.json`` (COCO results), ``semantic`` (label
    maps), ``panoptic`` and ``panoptic.json``. The ground truth in ``truth`` has the same layout.
    """
    images, true = zip(*(make_scene(np.random.default_rng([seed, number])) for number in range(SCENES)), strict=True)
    coarse = [coarsen(each, np.random.default_rng([seed, number, 1])) for number, each in enumerate(true)]
    (directory / "images").mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images, start=1):
        Image.fromarray(image).save(directory / "images" / f"scene{number}.jpg", quality=92)
    write_json(directory / "image_info.json", {"images": _image_records(), "categories": _category_records(THINGS)})
    write_json(directory / "instances" / "predictions.json", _write_segmentations(directory, coarse))
    truth = directory / "truth"
    annotations = _write_segmentations(truth, true)
    document = {"images": _image_records(), "annotations": annotations, "categories": _category_records(THINGS)}
    write_json(truth / "instances.json", document)


def make_scene(rng: Rng) -> tuple[ByteArray, Segmentation]:
    """Draw sky, grass and six things that may occlude each other; returns the image, uint8 RGB (H, W, 3), and truth."""
    canvas = np.zeros((SIZE[0] * FINE, SIZE[1] * FINE), np.uint8)
    numbers = [1 * DIVISOR]
    for number, (category, mask) in enumerate(_shapes(rng)):
        canvas[mask > 0] = len(numbers)
        numbers.append(category * DIVISOR + (number if category in THINGS else 0))
    pixels = np.zeros((*canvas.shape, 3), np.float32)
    for index, panoptic_id in enumerate(numbers):
        inside = canvas == index
        pixels[inside] = _surface(panoptic_id // DIVISOR, rng)[inside]
    image = cv2.resize(pixels, SIZE[::-1], interpolation=cv2.INTER_AREA) + rng.normal(0, 3, (*SIZE, 3))
    shares = [
        cv2.resize((canvas == index).astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_AREA)
        for index in range(len(numbers))
    ]
    ids = np.array(numbers, np.int32)[np.argmax(shares, axis=0)]
    things = {int(each): ids == each for each in np.unique(ids) if each // DIVISOR in THINGS}
    return np.clip(np.round(image), 0, 255).astype(np.uint8), Segmentation(things, ids, ids // DIVISOR)


def coarsen(truth: Segmentation, rng: Rng) -> Segmentation:
    """Simulate model predictions: things from a mask head, maps from a low-resolution network."""
    things = {number: mask_head(mask.astype(np.float32), rng) > 0 for number, mask in truth.things.items()}
    return Segmentation(things, simulate_labels(truth.ids, rng), simulate_labels(truth.labels, rng))


def _shapes(rng: Rng) -> list[tuple[int, ByteArray]]:
    """Category and fine-resolution mask of everything in front of the sky, the farthest first."""
    x = np.linspace(0, SIZE[1], 60)
    skyline = 0.45 * SIZE[0] + 14 * np.sin(x / rng.uniform(30, 60)) + 6 * np.sin(x / rng.uniform(9, 15))
    grass = np.concatenate([np.stack([x, skyline], axis=1), [(SIZE[1], SIZE[0]), (0, SIZE[0])]])
    drawers: dict[int, Callable[[NDArray[np.float64], float, Rng], ByteArray]] = {
        3: _stone,
        4: _star,
        5: _wheel,
        6: _flower,
    }
    shapes = [(2, _filled(grass))]
    for place, category in enumerate(rng.permutation([*THINGS, *rng.choice(THINGS, 2)]).tolist()):
        center = np.array([80 + 160 * (place % 3), 100 + 150 * (place // 3)]) + rng.uniform(-18, 18, 2)
        shapes.append((category, drawers[category](center, rng.uniform(48, 66), rng)))
    return shapes


def _filled(points: NDArray[np.float64]) -> ByteArray:
    mask = np.zeros((SIZE[0] * FINE, SIZE[1] * FINE), np.uint8)
    return np.asarray(cv2.fillPoly(mask, [np.round(points * FINE).astype(np.int32)], 1), np.uint8)


def _around(center: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points at the given radii, in equal angular steps around a center."""
    angle = np.linspace(0, 2 * np.pi, len(radii), endpoint=False)
    return np.asarray(center + radii[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def _stone(center: NDArray[np.float64], radius: float, rng: Rng) -> ByteArray:
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    waves = [rng.normal(0, 0.1 / k) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 9)]
    return _filled(_around(center, radius * (0.95 + np.sum(waves, axis=0))))


def _star(center: NDArray[np.float64], radius: float, rng: Rng) -> ByteArray:
    return _filled(_around(center, radius * np.tile([1.0, 0.45], int(rng.integers(5, 8)))))


def _flower(center: NDArray[np.float64], radius: float, rng: Rng) -> ByteArray:
    angle = np.linspace(0, 2 * np.pi, 300, endpoint=False)
    return _filled(_around(center, radius * (0.8 + 0.2 * np.cos(rng.integers(5, 7) * angle))))


def _wheel(center: NDArray[np.float64], radius: float, rng: Rng) -> ByteArray:
    """A rim, a hub and spokes, with holes between them."""

    def disc(part: float) -> ByteArray:
        return _filled(_around(center, np.full(120, radius * part)))

    mask = disc(1.0) - disc(0.76) + disc(0.2)
    for angle in rng.uniform(0, 1) + np.arange(5) * 2 * np.pi / 5:
        tip = center + 0.85 * radius * np.array([np.cos(angle), np.sin(angle)])
        ends = [np.round(end * FINE).astype(int).tolist() for end in (center, tip)]
        cv2.line(mask, ends[0], ends[1], 1, round(0.14 * radius * FINE))
    return mask


def _surface(category: int, rng: Rng) -> FloatArray:
    """Color and texture over the entire fine canvas: float32 RGB, 0..255."""
    texture = np.zeros(SIZE, np.float32)
    for spacing, strength in ((2, 10.0), (6, 9.0), (40, 12.0)):
        grid = rng.normal(0, strength, (SIZE[0] // spacing + 1, SIZE[1] // spacing + 1)).astype(np.float32)
        texture += cv2.resize(grid, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    texture *= 0.3 if category == 1 else 1.0
    fine = cv2.resize(texture, (SIZE[1] * FINE, SIZE[0] * FINE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[..., None] + np.array(COLORS[category], np.float32), np.float32)


def _write_segmentations(root: Path, found: Sequence[Segmentation]) -> list[Record]:
    """Write the label maps and panoptic maps of some segmentations; returns COCO annotations of the things."""
    annotations: list[Record] = []
    panoptic: list[Record] = []
    palette = np.zeros((256, 3), np.uint8)
    palette[list(COLORS)] = list(COLORS.values())
    for folder in (root / "semantic", root / "panoptic"):
        folder.mkdir(parents=True, exist_ok=True)
    for image_id, each in enumerate(found, start=1):
        name = f"scene{image_id}.png"
        for number, mask in each.things.items():
            record = {"id": len(annotations) + 1, "image_id": image_id, "category_id": number // DIVISOR, "score": 0.9}
            annotations.append({**record, **_region(mask), "segmentation": _rle(mask)})
        labels = Image.fromarray(each.labels.astype(np.uint8))
        labels.putpalette(palette.tobytes())
        labels.save(root / "semantic" / name)
        ids = np.stack([each.ids & 255, each.ids >> 8 & 255, each.ids >> 16], axis=-1).astype(np.uint8)
        Image.fromarray(ids).save(root / "panoptic" / name)
        segments = [
            {"id": n, "category_id": n // DIVISOR, **_region(each.ids == n)} for n in np.unique(each.ids).tolist()
        ]
        panoptic.append({"image_id": image_id, "file_name": name, "segments_info": segments})
    document = {"images": _image_records(), "annotations": panoptic, "categories": _category_records(CATEGORIES)}
    write_json(root / "panoptic.json", document)
    return annotations


def _image_records() -> list[Record]:
    size = {"height": SIZE[0], "width": SIZE[1]}
    return [{"id": number, "file_name": f"scene{number}.jpg", **size} for number in range(1, SCENES + 1)]


def _category_records(ids: Iterable[int]) -> list[Record]:
    return [{"id": n, "name": CATEGORIES[n], "isthing": int(n in THINGS), "color": list(COLORS[n])} for n in ids]


def _region(mask: BoolArray) -> Record:
    """The COCO fields ``area``, ``bbox`` as (x, y, width, height), and ``iscrowd``."""
    x0, y0, x1, y1 = Mask.from_array(mask).box
    return {"area": int(np.count_nonzero(mask)), "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}


def _rle(mask: BoolArray) -> Record:
    rle = rle_tools.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")}


def write_json(path: Path, content: object) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
