"""Writers of every format that begin with masks instead of a file of the same format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpr_cli.conversion.losses import Holds
from bpr_cli.conversion.segments import ImageSegments, map_of
from bpr_cli.errors import BprError
from bpr_cli.formats import rle
from bpr_cli.formats.coco_json import Measures
from bpr_cli.formats.json_files import Json, Record, encode_json, write_document, write_json
from bpr_cli.formats.png import PngStyle, encode_gray, encode_ids
from bpr_cli.formats.records import CategoryRecord, SegmentRecord
from bpr_cli.formats.tiff_pages import write_labels
from bpr_cli.formats.yolo import polygon_line
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.outlines import polygon_of
from bpr_cli.system.paths import output_file, write_bytes
from bpr_cli.typing import LabelArray

_BYTE, _WORD = 255, 65535


@dataclass(frozen=True)
class Target:
    """Where and how masks are written.

    Attributes:
        out: output directory; for COCO files, or one.
        categories: the classes of the masks.
        tolerance: see ``ReadSettings.polygon_tolerance``.
        are_polygons: whether the masks were polygons, which formats with a choice then keep.
    """

    out: Path
    categories: Sequence[CategoryRecord]
    tolerance: float
    are_polygons: bool = False


@dataclass(frozen=True)
class Export:
    """A format that can be written.

    Attributes:
        holds: what it can hold.
        write: writes all images.
    """

    holds: Holds
    write: Callable[[Iterable[ImageSegments], Target], None]


def _to_coco(images: Iterable[ImageSegments], target: Target) -> None:
    """An annotation file with a score where there is one."""
    listed: list[Record] = []

    def annotations() -> Iterator[bytes]:
        number = 0
        for place, image in enumerate(images, 1):
            key = place if image.id is None else image.id
            listed.append({"id": key, "file_name": image.name, "height": image.size[0], "width": image.size[1]})
            for mask, record in image.segments:
                number += 1
                yield encode_json({"id": number, "image_id": key, **_fields(mask, record, target)})

    # The list of images is complete when the annotations before it are written.
    shell = {"annotations": [], "images": listed, "categories": [_category(each) for each in target.categories]}
    write_document(output_file(target.out, "annotations.json"), shell, annotations())


def _fields(mask: Mask, record: SegmentRecord, target: Target) -> Record:
    measures, as_polygons = Measures.of_mask(mask), target.are_polygons and not record.crowd
    fields = {
        "category_id": record.category,
        "segmentation": (
            rle.encode_polygons(mask, target.tolerance) if as_polygons else rle.encode(mask, rle.Form.COMPRESSED)
        ),
        "area": measures.area,
        "bbox": list(measures.bbox),
        "iscrowd": int(record.crowd),
    }
    return fields if record.score is None else {**fields, "score": record.score}


def _category(category: CategoryRecord) -> Record:
    found: Record = {"id": category.id, "name": category.name}
    return found if category.thing is None else {**found, "isthing": int(category.thing)}


def _to_yolo(images: Iterable[ImageSegments], target: Target) -> None:
    """Labels in ``labels/``, and ``data.yaml`` beside it. Classes are numbered from 0, unless one has that number."""
    import yaml  # noqa: PLC0415 - as in the reader

    ids = [category.id for category in target.categories]
    numbers = {number: number if 0 in ids else place for place, number in enumerate(ids)}
    for image in images:
        lines = [
            polygon_line(str(numbers[record.category]), mask, target.tolerance, _confidence(record))
            for mask, record in image.segments
            if mask.area
        ]
        write_bytes(target.out / "labels" / f"{image.stem}.txt", "".join(f"{line}\n" for line in lines).encode())
    names = {number: str(number) for number in range(max(numbers.values(), default=-1) + 1)}
    names |= {numbers[category.id]: category.name for category in target.categories}
    write_bytes(target.out / "data.yaml", yaml.safe_dump({"names": names}, allow_unicode=True).encode())


def _confidence(record: SegmentRecord) -> tuple[str, ...]:
    return () if record.score is None else (f"{record.score:.6g}",)


def _to_labelme(images: Iterable[ImageSegments], target: Target) -> None:
    """A file per image, with polygons."""
    names = {category.id: category.name for category in target.categories}
    for image in images:
        path = target.out / f"{image.stem}.json"
        shapes = [
            _shape(names[record.category], polygon_of(mask, target.tolerance).tolist(), record)
            for mask, record in image.segments
            if mask.area
        ]
        there = image.image.is_file()
        place = Path(os.path.relpath(image.image, path.parent)).as_posix() if there else Path(image.name).name
        document: Json = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": place, "imageData": None}
        document |= {"imageHeight": image.size[0], "imageWidth": image.size[1]}
        write_bytes(path, json.dumps(document, indent=2, ensure_ascii=False).encode())


def _shape(label: str, points: list[list[float]], record: SegmentRecord) -> Record:
    shape: Record = {"label": label, "points": points, "group_id": None, "shape_type": "polygon", "flags": {}}
    return shape if record.score is None else {**shape, "score": record.score}


def _to_cityscapes(images: Iterable[ImageSegments], target: Target) -> None:
    """A result file per image, and a PNG file per mask; without a confidence, 1 is written."""
    for image in images:
        lines = []
        for number, (mask, record) in enumerate(image.segments):
            name = f"{image.stem}_{number}.png"
            score = 1.0 if record.score is None else record.score
            _write_png(target.out / name, mask.to_array() * np.int32(_BYTE))
            lines.append(f"{Path(name).name} {record.category} {score:.6g}\n")
        write_bytes(target.out / f"{image.stem}_pred.txt", "".join(lines).encode())


def _to_panoptic(images: Iterable[ImageSegments], target: Target) -> None:
    """PNG files in ``panoptic/``, and ``panoptic.json`` beside them; ids are numbers from 1."""
    annotations, listed = [], []
    for place, image in enumerate(images, 1):
        key = place if image.id is None else image.id
        infos = []
        for number, (_, record) in enumerate(image.segments, 1):
            mask = Mask.from_array(image.numbers == number)
            measures = Measures.of_mask(mask)
            if mask.area:
                info = {"id": number, "category_id": record.category, "iscrowd": int(record.crowd)}
                infos.append({**info, "area": measures.area, "bbox": list(measures.bbox)})
        name = f"{image.stem}.png"
        write_bytes(target.out / "panoptic" / name, encode_ids(image.numbers))
        annotations.append({"image_id": key, "file_name": name, "segments_info": infos})
        listed.append({"id": key, "file_name": image.name, "height": image.size[0], "width": image.size[1]})
    categories = [{"isthing": 1, **_category(category)} for category in target.categories]
    document = {"images": listed, "annotations": annotations, "categories": categories}
    write_json(target.out / "panoptic.json", document)


def _to_labels(images: Iterable[ImageSegments], target: Target) -> None:
    """Label maps of classes. Background is 0, or 255 where 0 is a class."""
    numbers = [category.id for category in target.categories]
    outside = [number for number in numbers if not 0 <= number <= _WORD]
    if outside:
        raise BprError(f"the class {outside[0]} does not fit into a label map, expected 0 to {_WORD}")
    background = _BYTE if 0 in numbers else 0
    for image in images:
        labels = map_of(image, [record.category for _, record in image.segments], background)
        _write_png(target.out / f"{image.stem}.png", labels, max(numbers, default=0) > _BYTE)


def _to_objects(images: Iterable[ImageSegments], target: Target) -> None:
    """Maps of objects, numbered from 1 in the order of the masks."""
    for image in images:
        _write_png(target.out / f"{image.stem}.png", image.numbers, len(image.segments) >= _BYTE)


def _to_tiff(images: Iterable[ImageSegments], target: Target) -> None:
    """TIFF files of objects, numbered from 1."""
    for image in images:
        write_labels(target.out / f"{image.stem}.tif", image.numbers)


def _to_masks(images: Iterable[ImageSegments], target: Target) -> None:
    """The union of the masks of each image."""
    for image in images:
        _write_png(target.out / f"{image.stem}.png", map_of(image, [_BYTE] * len(image.segments)))


def _write_png(path: Path, values: LabelArray, deep: bool = False) -> None:
    write_bytes(path, encode_gray(values, PngStyle("I;16" if deep else "L")))


_NUMBERED = Holds(classes=False, overlaps=False, empty=False)
EXPORTS = {
    "coco": Export(Holds(names=True, scores=True, crowds=True, endings=True, ids=True, unnamed=False), _to_coco),
    "cityscapes": Export(Holds(scores=True), _to_cityscapes),
    "labels": Export(Holds(several=False, overlaps=False, empty=False), _to_labels),
    "panoptic": Export(
        Holds(names=True, overlaps=False, crowds=True, empty=False, ids=True, unnamed=False, void=True), _to_panoptic
    ),
    "masks": Export(Holds(classes=False, several=False, empty=False), _to_masks),
    "yolo": Export(Holds(names=True, scores=True, empty=False), _to_yolo),
    "labelme": Export(Holds(names=True, scores=True, empty=False, unnamed=False), _to_labelme),
    "objects": Export(_NUMBERED, _to_objects),
    "tiff": Export(_NUMBERED, _to_tiff),
}
"""The formats by their names, as in ``--format``."""
