"""Cityscapes and COCO in miniature, in the layout of the data sets themselves, with predictions of several models.

The panoptic files are made by the script of Cityscapes. Scenes are drawn, or cut out of ``street`` of the shared data.
"""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from cityscapesscripts.preparation.createPanopticImgs import convert2panoptic

from tests.formats.format_builders import compressed, disc, panoptic_ids, panoptic_png, pixels, png, save

SIZE = (80, 112)
ROAD, BUILDING, PERSON, CAR = 7, 11, 24, 26
STREET = {
    1: 23, 2: 11, 3: 17, 4: 7, 5: 8, 6: 21, 7: 20, 8: 13, 9: 26, 10: 24, 11: 33,
}  # fmt: skip
"""Label ids of Cityscapes by category id of ``street``."""

Scene = tuple[np.ndarray, np.ndarray]
"""RGB image (H, W, 3) and its Cityscapes instance ids (H, W)."""


def drawn_scene(number: int) -> Scene:
    """A car and a person on a road before a building."""
    random = np.random.default_rng(number)
    ids = np.full(SIZE, BUILDING, np.int32)
    ids[45:] = ROAD
    ids[disc(SIZE, (46, 40 + 3 * number), 19)] = CAR * 1000
    ids[disc(SIZE, (42, 84), 12)] = PERSON * 1000
    colours = random.integers(0, 256, (40_000, 3))
    image = colours[ids] * 0.8 + random.integers(0, 50, (*SIZE, 3))
    return cv2.GaussianBlur(image.astype(np.uint8), (3, 3), 0), ids


def street_scene(street: Path, number: int) -> Scene:
    """A part of a frame of ``street`` with its largest thing."""
    document = json.loads((street / "panoptic/gt_val.json").read_text())
    things = {each["id"] for each in document["categories"] if each["isthing"]}
    record = document["annotations"][7 * number]
    found = panoptic_ids(street / "panoptic/gt_val" / record["file_name"])
    ids, largest = np.zeros(found.shape, np.int32), (0, (0, 0))
    for index, segment in enumerate(record["segments_info"]):
        mask, label = found == segment["id"], STREET[segment["category_id"]]
        thing = segment["category_id"] in things
        ids[mask] = label * 1000 + index if thing else label
        if thing:
            largest = max(largest, (int(mask.sum()), tuple(int(each.mean()) for each in np.nonzero(mask))))
    top, left = (
        int(np.clip(centre - side // 2, 0, length - side))
        for centre, side, length in zip(largest[1], SIZE, found.shape, strict=True)
    )
    image = pixels(street / "images/val" / record["file_name"])
    part = slice(top, top + SIZE[0]), slice(left, left + SIZE[1])
    return image[part], ids[part]


def make_miniature(root: Path, scene_of: Callable[[int], Scene]) -> None:
    """All data and predictions that the page on the papers names."""
    places = {"train": ("aachen", 3), "val": ("frankfurt", 1), "test": ("berlin", 1)}
    number = 0
    for part, (city, count) in places.items():
        for _ in range(count):
            name = f"{city}_{number:06}_000019"
            image, ids = scene_of(number)
            png(root / f"cityscapes/leftImg8bit/{part}/{city}/{name}_leftImg8bit.png", image)
            if part != "test":
                _write_truth(root / f"cityscapes/gtFine/{part}/{city}/{name}_gtFine", ids)
                png(root / f"preds/semantic_{part}/{name}_pred.png", _labels(_moved(ids)).astype(np.uint8))
            for model in ("maskrcnn", "maskrcnn_coco", "pointrend", "segfix"):
                _write_results(root / f"preds/{model}_{part}", name, _moved(ids, 1 + len(model) % 3))
            number += 1
    gt = root / "cityscapes/gtFine"
    with contextlib.redirect_stdout(io.StringIO()):
        convert2panoptic(cityscapesPath=str(gt), outputFolder=str(gt), useTrainId=False, setNames=["train", "val"])
    for part in ("train", "val"):
        _write_panoptic(gt / f"cityscapes_panoptic_{part}.json", root / f"preds/panoptic_{part}.json")
    _write_coco(root, scene_of)


def _labels(ids: np.ndarray) -> np.ndarray:
    return np.where(ids >= 1000, ids // 1000, ids)


def _moved(ids: np.ndarray, pixels: int = 2) -> np.ndarray:
    """The ids as a model predicts them: moved, without leaving a gap at the border."""
    moved = cv2.warpAffine(
        ids.astype(np.float32),
        np.float32([[1, 0, pixels], [0, 1, pixels]]),
        ids.shape[::-1],
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return moved.astype(np.int32)


def _write_truth(stem: Path, ids: np.ndarray) -> None:
    png(stem.with_name(f"{stem.name}_instanceIds.png"), ids.astype(np.uint16))
    png(stem.with_name(f"{stem.name}_labelIds.png"), _labels(ids).astype(np.uint8))


def _write_results(folder: Path, name: str, ids: np.ndarray) -> None:
    """Results of one image, named as the authors of the paper name them."""
    lines = []
    for index, instance in enumerate(each for each in np.unique(ids).tolist() if each >= 1000):
        file = f"{name}_leftImg8bit_{index}_{instance // 1000}.png"
        png(folder / file, (ids == instance).astype(np.uint8) * 255)
        lines.append(f"{file} {instance // 1000} {0.9 - index / 100}\n")
    (folder / f"{name}_leftImg8bit_pred.txt").write_text("".join(lines))


def _write_panoptic(truth: Path, out: Path) -> None:
    """Panoptic predictions: the ground truth, moved."""
    document = json.loads(truth.read_text())
    for record in document["annotations"]:
        moved = _moved(panoptic_ids(truth.with_suffix("") / record["file_name"]).astype(np.int32))
        panoptic_png(out.with_suffix("") / record["file_name"], moved)
        kept = set(np.unique(moved).tolist())
        record["segments_info"] = [
            {name: segment[name] for name in ("id", "category_id")}
            for segment in record["segments_info"]
            if segment["id"] in kept
        ]
    save(out, document)


def _write_coco(root: Path, scene_of: Callable[[int], Scene]) -> None:
    """COCO images, annotations and results, and the annotations of LVIS with the categories of COCO."""
    categories = [{"id": 1, "name": "person", "frequency": "f"}, {"id": 3, "name": "car", "frequency": "f"}]
    for part, first, count in (("train", 20, 3), ("val", 30, 2)):
        images, annotations, results = [], [], []
        for number in range(first, first + count):
            image, ids = scene_of(number % 4)
            path = root / f"coco/{part}2017/{number:012}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image[..., ::-1])
            size = {"height": SIZE[0], "width": SIZE[1]}
            lists = {"neg_category_ids": [], "not_exhaustive_category_ids": []}
            images.append({"id": number, "file_name": path.name, **size, **lists})
            for instance in (each for each in np.unique(ids).tolist() if each >= 1000):
                common = {"image_id": number, "category_id": 3 if instance // 1000 == CAR else 1}
                mask = ids == instance
                record = {"id": len(annotations) + 1, "iscrowd": 0, "area": int(mask.sum()), "bbox": _box(mask)}
                annotations.append({**common, **record, "segmentation": compressed(mask)})
                results.append({**common, "score": 0.8, "segmentation": compressed(_moved(ids) == instance)})
        document = {"images": images, "annotations": annotations, "categories": categories}
        save(root / f"coco/annotations/instances_{part}2017.json", document)
        save(root / f"preds/coco_{part}.segm.json", results)
    save(root / "coco/annotations/lvis_val_cocofied.json", document)


def _box(mask: np.ndarray) -> list[int]:
    rows, columns = np.nonzero(mask)
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1]
