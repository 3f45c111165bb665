"""Writes the demo's data set: pictures, coarse predictions of the three tasks in their usual formats, and the truth.

What is in the directory::

    images/NAME.jpg  image_info.json               the pictures, and a COCO list of them
    instances/predictions.json                     COCO results
    semantic/NAME.png                              category ids, with a palette
    panoptic/NAME.png  panoptic.json               COCO panoptic
    photo/portrait.jpg  portrait_mask.png          one photograph with one mask drawn by hand
    truth/instances.json  semantic/  panoptic/  panoptic.json  portrait_mask.png
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as rle_tools

from bpr_cli.demo import portrait
from bpr_cli.demo.degrade import low_resolution_labels, mask_head
from bpr_cli.demo.scenes import CATEGORIES, Scene, category_of, make_scenes
from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.typing import BoolArray

JPEG_QUALITY = 92
MASK_VALUE = 255
Record = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One picture of the demo as arrays, for measuring and for pictures; nothing has to be read back.

    Attributes:
        name: stem of its files.
        image: uint8 RGB, (H, W, 3), as written (before JPEG compression).
        instances: coarse mask of every record of the results file that is of this picture, in its order.
        true_instances: the truth of each of them.
        labels, true_labels: category ids, int32, (H, W).
        segment_ids, true_segment_ids: panoptic ids, int32, (H, W).
    """

    name: str
    image: NDArray[np.uint8]
    instances: tuple[BoolArray, ...]
    true_instances: tuple[BoolArray, ...]
    labels: NDArray[np.int32]
    true_labels: NDArray[np.int32]
    segment_ids: NDArray[np.int32]
    true_segment_ids: NDArray[np.int32]


@dataclass(frozen=True)
class Truth:
    """Where the truth lies.

    Attributes:
        instances: COCO ground truth JSON.
        semantic: folder of label PNGs.
        panoptic: folder of panoptic PNGs.
        panoptic_json: the JSON that goes with them.
        photo_mask: mask PNG of the photograph, 0 and 255.
    """

    instances: Path
    semantic: Path
    panoptic: Path
    panoptic_json: Path
    photo_mask: Path


@dataclass(frozen=True)
class DemoSet:
    """Where the demo's files lie.

    Attributes:
        root: the directory that holds everything.
        images: folder of the scenes' pictures.
        instances: COCO results JSON.
        image_info: COCO JSON with the ``images`` that the results are of.
        semantic: folder of label PNGs.
        panoptic: folder of panoptic PNGs.
        panoptic_json: the JSON that goes with them.
        photo: the photograph.
        photo_mask: its coarse mask, 0 and 255.
        truth: the counterparts to measure with.
        cases: the scenes as arrays.
    """

    root: Path
    images: Path
    instances: Path
    image_info: Path
    semantic: Path
    panoptic: Path
    panoptic_json: Path
    photo: Path
    photo_mask: Path
    truth: Truth
    cases: tuple[Case, ...]


def write_demo(directory: Path, seed: int = 0) -> DemoSet:
    """Make the scenes and their coarse predictions and write everything under ``directory``.

    The same seed gives the same files. Files of an earlier demo are overwritten, other files left alone.
    """
    photo = portrait.photograph()
    rng = np.random.default_rng(seed)
    cases = tuple(_predict(scene, rng) for scene in make_scenes(photo, seed))
    demo = _layout(directory, cases)
    files = (demo.instances, demo.photo, demo.truth.photo_mask)
    for folder in (demo.images, demo.semantic, demo.panoptic, demo.truth.semantic, demo.truth.panoptic):
        folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
    _write_images(demo)
    _write_instances(demo)
    _write_label_maps(demo)
    _write_panoptic(demo.panoptic, demo.panoptic_json, {case.name: case.segment_ids for case in cases})
    _write_panoptic(demo.truth.panoptic, demo.truth.panoptic_json, {c.name: c.true_segment_ids for c in cases})
    _write_photo(demo)
    return demo


def _predict(scene: Scene, rng: np.random.Generator) -> Case:
    """Coarse predictions of a scene."""
    true_instances = tuple(mask for _, mask in scene.instances)
    return Case(
        name=scene.name,
        image=scene.image,
        instances=tuple(mask_head(mask, rng) for mask in true_instances),
        true_instances=true_instances,
        labels=low_resolution_labels(scene.labels, rng),
        true_labels=scene.labels,
        segment_ids=low_resolution_labels(scene.segment_ids, rng),
        true_segment_ids=scene.segment_ids,
    )


def _layout(root: Path, cases: tuple[Case, ...]) -> DemoSet:
    """The names of all files."""
    return DemoSet(
        root=root,
        images=root / "images",
        instances=root / "instances" / "predictions.json",
        image_info=root / "image_info.json",
        semantic=root / "semantic",
        panoptic=root / "panoptic",
        panoptic_json=root / "panoptic.json",
        photo=root / "photo" / "portrait.jpg",
        photo_mask=root / "photo" / "portrait_mask.png",
        truth=Truth(
            instances=root / "truth" / "instances.json",
            semantic=root / "truth" / "semantic",
            panoptic=root / "truth" / "panoptic",
            panoptic_json=root / "truth" / "panoptic.json",
            photo_mask=root / "truth" / "portrait_mask.png",
        ),
        cases=cases,
    )


def _write_images(demo: DemoSet) -> None:
    for case in demo.cases:
        options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        _write_picture(demo.images / f"{case.name}.jpg", case.image[..., ::-1], options)


def _write_picture(path: Path, pixels: NDArray[np.uint8], options: Sequence[int] = ()) -> None:
    """Write a grey or BGR picture."""
    if not cv2.imwrite(str(path), np.ascontiguousarray(pixels), list(options)):
        raise BprError(f"{path}: could not be written; check that the directory is writable and not full")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _write_instances(demo: DemoSet) -> None:
    """COCO results, the images they are of, and COCO ground truth."""
    results: list[Record] = []
    annotations: list[Record] = []
    for image_id, case in enumerate(demo.cases, start=1):
        for index, (coarse, true) in enumerate(zip(case.instances, case.true_instances, strict=True)):
            category = _category_under(case, true)
            score = round(0.99 - 0.03 * index, 2)
            results.append({"image_id": image_id, "category_id": category, "score": score, **_region(coarse)})
            number = len(annotations) + 1
            annotations.append({"id": number, "image_id": image_id, "category_id": category, **_region(true)})
    images, categories = _image_records(demo.cases), _category_records(thing_only=True)
    _write_json(demo.instances, results)
    _write_json(demo.image_info, {"images": images, "categories": categories})
    truth = [{**record, "area": int(rle_tools.area(record["segmentation"])), "iscrowd": 0} for record in annotations]
    _write_json(demo.truth.instances, {"images": images, "annotations": truth, "categories": categories})


def _category_under(case: Case, true: BoolArray) -> int:
    """Category id of a true instance."""
    return int(case.true_labels[true][0])


def _region(mask: BoolArray) -> Record:
    """The fields of a COCO record that say where: compressed RLE and bounding box (x, y, width, height)."""
    rle = rle_tools.encode(np.asfortranarray(mask, dtype=np.uint8))
    x0, y0, x1, y1 = Mask.from_array(mask).box
    return {
        "segmentation": {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode("ascii")},
        "bbox": [x0, y0, x1 - x0, y1 - y0],
    }


def _image_records(cases: Iterable[Case]) -> list[Record]:
    return [
        {"id": i, "file_name": f"{case.name}.jpg", "height": case.image.shape[0], "width": case.image.shape[1]}
        for i, case in enumerate(cases, start=1)
    ]


def _category_records(*, thing_only: bool) -> list[Record]:
    return [
        {"id": category.id, "name": category.name, "isthing": int(category.is_thing), "color": list(category.colour)}
        for category in CATEGORIES
        if category.is_thing or not thing_only
    ]


def _write_label_maps(demo: DemoSet) -> None:
    """8-bit PNGs of category ids with a palette, so that they can be looked at."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    for category in CATEGORIES:
        palette[category.id] = category.colour
    for case in demo.cases:
        for folder, labels in ((demo.semantic, case.labels), (demo.truth.semantic, case.true_labels)):
            picture = Image.fromarray(labels.astype(np.uint8))
            picture.putpalette(palette.tobytes())
            picture.save(folder / f"{case.name}.png")


def _write_panoptic(folder: Path, json_path: Path, maps: dict[str, NDArray[np.int32]]) -> None:
    """COCO panoptic: one PNG an image with id = R + 256 G + 65536 B, one JSON for all."""
    annotations: list[Record] = []
    images: list[Record] = []
    for image_id, (name, ids) in enumerate(maps.items(), start=1):
        _write_picture(
            folder / f"{name}.png", np.stack([ids >> 16, ids >> 8 & 255, ids & 255], axis=-1).astype(np.uint8)
        )
        segments = [_segment_record(int(i), ids == i) for i in np.unique(ids)]
        annotations.append({"image_id": image_id, "file_name": f"{name}.png", "segments_info": segments})
        images.append({"id": image_id, "file_name": f"{name}.jpg", "height": ids.shape[0], "width": ids.shape[1]})
    content = {"images": images, "annotations": annotations, "categories": _category_records(thing_only=False)}
    _write_json(json_path, content)


def _segment_record(segment_id: int, mask: BoolArray) -> Record:
    x0, y0, x1, y1 = Mask.from_array(mask).box
    return {
        "id": segment_id,
        "category_id": int(category_of(segment_id)),
        "area": int(np.count_nonzero(mask)),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "iscrowd": 0,
    }


def _write_photo(demo: DemoSet) -> None:
    """The photograph byte for byte, and its two masks."""
    demo.photo.write_bytes(portrait.photograph_path().read_bytes())
    for path, mask in ((demo.photo_mask, portrait.coarse_mask()), (demo.truth.photo_mask, portrait.careful_mask())):
        _write_picture(path, mask.astype(np.uint8) * MASK_VALUE)
