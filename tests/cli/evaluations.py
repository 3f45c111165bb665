"""Small evaluations of every kind: ground truth ``truth``, predictions ``after`` and a worse baseline ``before``."""

from pathlib import Path

import numpy as np

from tests.formats.format_builders import compressed, disc, panoptic_png, photo, png, save

SIZE = (40, 48)
NAMES = ("a", "b", "c")
KINDS = ("masks", "labels", "coco", "panoptic", "cityscapes")

TRUTH = disc(SIZE, (20, 24), 12)
AFTER = disc(SIZE, (20, 25), 12)
BEFORE = disc(SIZE, (22, 28), 11)
SHAPES = {"truth": TRUTH, "after": AFTER, "before": BEFORE}

CATEGORIES = [{"id": 1, "name": "disc", "isthing": 1}, {"id": 2, "name": "ground", "isthing": 0}]
IMAGES = [{"id": n, "file_name": f"{name}.png", "height": 40, "width": 48} for n, name in enumerate(NAMES, 1)]
CAR = 26


def make(kind: str, folder: Path) -> dict[str, str]:
    """Write an evaluation of a kind; gives the paths of truth, after and before within the folder."""
    for name in NAMES:
        photo(folder / "images" / f"{name}.png", SIZE)
    return _MAKERS[kind](folder)


def arguments(paths: dict[str, str]) -> list[str]:
    """What follows ``bpr evaluate``."""
    return [paths["after"], "--ground-truth", paths["truth"], "--baseline", paths["before"]]


def labels_of(mask: np.ndarray) -> np.ndarray:
    """Label 2 inside, 1 outside, and a void frame at the top."""
    labels = mask.astype(np.uint8) + 1
    labels[:2] = 255
    return labels


def _masks(folder: Path) -> dict[str, str]:
    for side, mask in SHAPES.items():
        for name in NAMES:
            png(folder / side / f"{name}.png", mask.astype(np.uint8) * 255)
    return {side: side for side in SHAPES}


def _labels(folder: Path) -> dict[str, str]:
    for side, mask in SHAPES.items():
        for name in NAMES:
            png(folder / side / f"{name}.png", labels_of(mask))
    return {side: side for side in SHAPES}


def _coco(folder: Path) -> dict[str, str]:
    annotations = [
        {
            "id": n,
            "image_id": n,
            "category_id": 1,
            "iscrowd": 0,
            "area": int(TRUTH.sum()),
            "segmentation": compressed(TRUTH),
        }
        for n in (1, 2, 3)
    ]
    save(folder / "truth.json", {"images": IMAGES, "annotations": annotations, "categories": CATEGORIES[:1]})
    for side in ("after", "before"):
        records = [coco_record(n, SHAPES[side]) for n in (1, 2, 3)]
        save(folder / f"{side}.json", records)
    return {side: f"{side}.json" for side in SHAPES}


def coco_record(image_id: int, mask: np.ndarray, **fields: object) -> dict[str, object]:
    """A record of COCO results."""
    return {"image_id": image_id, "category_id": 1, "score": 0.9, "segmentation": compressed(mask), **fields}


def _panoptic(folder: Path) -> dict[str, str]:
    for side, mask in SHAPES.items():
        annotations = []
        for n, name in enumerate(NAMES, 1):
            panoptic_png(folder / side / f"{name}.png", np.where(mask, 7, 300))
            segments = [{"id": 7, "category_id": 1, "iscrowd": 0}, {"id": 300, "category_id": 2, "iscrowd": 0}]
            annotations.append({"image_id": n, "file_name": f"{name}.png", "segments_info": segments})
        save(folder / f"{side}.json", {"images": IMAGES, "annotations": annotations, "categories": CATEGORIES})
    return {side: side for side in SHAPES}


def _cityscapes(folder: Path) -> dict[str, str]:
    for name in NAMES:
        frame = f"ulm_{name}_000019"
        photo(folder / "images" / f"{frame}_leftImg8bit.png", SIZE)
        ids = np.where(TRUTH, 1000 * CAR + 1, 7).astype(np.uint16)
        png(folder / "truth/val/ulm" / f"{frame}_gtFine_instanceIds.png", ids)
        png(folder / "truth/val/ulm" / f"{frame}_gtFine_labelIds.png", np.where(TRUTH, CAR, 7).astype(np.uint8))
        for side in ("after", "before"):
            png(folder / side / "masks" / f"{frame}_0.png", SHAPES[side].astype(np.uint8) * 255)
            result = folder / side / f"{frame}_leftImg8bit_pred.txt"
            result.write_text(f"masks/{frame}_0.png {CAR} 0.9\n")
    return {side: side for side in SHAPES}


_MAKERS = {"masks": _masks, "labels": _labels, "coco": _coco, "panoptic": _panoptic, "cityscapes": _cityscapes}
