"""COCO panoptic results."""

from pathlib import Path

import numpy as np

from tests.formats.format_builders import disc, panoptic_png, photo, save
from tests.fuzz.fuzzing import Reader
from tests.fuzz.readers.predictions import refine_nothing

IDS = np.where(disc(), 70000, 300)


def make(folder: Path) -> None:
    annotations = []
    for number, name in enumerate("ab", 1):
        photo(folder / f"images/{name}.png")
        panoptic_png(folder / f"preds/{name}.png", IDS)
        segments = [{"id": n, "category_id": 1, "area": 5, "bbox": [0, 0, 1, 1]} for n in (300, 70000)]
        annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
    images = [{"id": number, "file_name": f"{name}.png"} for number, name in enumerate("ab", 1)]
    save(folder / "preds.json", {"images": images, "annotations": annotations})


def read(folder: Path) -> None:
    refine_nothing(folder / "preds.json", folder / "images", folder.parent / "out")


READER = Reader("panoptic", make, read)
