"""The formats by name, and which one a file or directory is in."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import Inputs, PredictionSet
from bpr_cli.formats.binary import FOREGROUNDS, MaskSet
from bpr_cli.formats.cityscapes import CityscapesSet, result_files
from bpr_cli.formats.coco import CocoSet, is_coco
from bpr_cli.formats.folder import value_files
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.json_files import describe, read_json
from bpr_cli.formats.label_maps import LabelMapSet
from bpr_cli.formats.panoptic import PanopticSet, is_panoptic
from bpr_cli.formats.png import ColourError, read_gray
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.formats.source import Source
from bpr_cli.system.paths import list_folder

FORMATS: dict[str, type[PredictionSet]] = {
    "coco": CocoSet,
    "cityscapes": CityscapesSet,
    "labels": LabelMapSet,
    "panoptic": PanopticSet,
    "masks": MaskSet,
}
"""What ``--format`` takes, and what opens it."""

_SAMPLE = 16


def open_predictions(predictions: Path, images: Path, options: ReadSettings | None = None) -> PredictionSet:
    """Open a set of predictions, recognise its format, and find the image of every item.

    The format is taken from ``options.format``, or else from the files:

    1. A directory with result files (``…_pred.txt``, or text files of ``mask.png labelID score`` lines) is
       ``cityscapes``.
    2. A JSON file, or a directory with exactly one JSON file directly in it, is ``coco`` when its records have a
       ``segmentation`` and ``panoptic`` when its annotations have ``segments_info``. Other JSON files are ignored
       beside PNG files.
    3. PNG files are judged by the values of up to 16 of them, evenly spaced over the sorted list. Colours mean
       ``panoptic`` if a panoptic JSON file with the folder's name lies next to the folder. Only 0 and 255, or only 0
       and 1, mean ``masks``, unless the task asked for is semantic; anything else means ``labels``.

    Args:
        predictions: a file or a directory.
        images: a directory of images, or one image.
        options: what to force instead of recognising it.

    Raises:
        BprError: nothing of it can be refined: missing or empty paths, an unknown format, content that is none of
            the formats, or no usable item at all.
    """
    options = options or ReadSettings()
    opened = open_source(Source(Path(predictions)), ImageIndex.scan(Path(images)), options)
    image_info = None if options.image_info is None else str(options.image_info)
    opened.inputs = Inputs(str(predictions), str(images), image_info, sorted(options.ignore_labels))
    return opened


def open_source(source: Source, index: ImageIndex, options: ReadSettings) -> PredictionSet:
    """Open a set as ``open_predictions`` does, with the images given as an index."""
    name = options.format or _recognise(source, options.task)
    opened = FORMATS[name](source, index, options)
    if options.task not in (None, opened.task):
        raise BprError(
            f"{source.path} holds {opened.task.value} predictions (format {name}), but the task asked for is "
            f"{options.task.value if options.task else ''}; leave the task out or check the path"
        )
    _refuse_nothing(opened, source)
    return opened


def open_as(kind: type[PredictionSet], source: Source, index: ImageIndex, options: ReadSettings) -> PredictionSet:
    """Open a set whose format is known.

    Raises:
        BprError: it is not in that format, or none of its items can be used.
    """
    opened = kind(source, index, options)
    _refuse_nothing(opened, source)
    return opened


def _refuse_nothing(opened: PredictionSet, source: Source) -> None:
    if opened.items:
        return
    reasons = [failure.reason for failure in opened.failures]
    if len(reasons) == 1:
        raise BprError(reasons[0])
    raise BprError(f"{source.path}: none of its {len(reasons)} items can be used ({'; '.join(reasons[:3])})")


def _recognise(source: Source, task: Task | None) -> str:
    if result_files(source):
        return "cityscapes"
    if source.documents and (len(source.documents) == 1 or not source.pngs):
        name = _recognise_document(source)
        if name is not None:
            return name
    if source.pngs:
        return _recognise_pngs(source, task)
    raise BprError(
        f"{source.path} {_content(source)}, expected COCO or panoptic JSON, PNG masks or label maps, or Cityscapes "
        "result files"
    )


def _recognise_document(source: Source) -> str | None:
    if is_panoptic(source.document):
        return "panoptic"
    if is_coco(source.document):
        return "coco"
    if source.pngs:
        return None
    raise BprError(
        f"{source.document_path} holds {describe(source.document)}, expected COCO results (objects with image_id and "
        "segmentation) or panoptic results (annotations with segments_info)"
    )


def _content(source: Source) -> str:
    if source.is_file:
        return f"is a {source.path.suffix or 'file without an ending'} file"
    return f"holds {join_names(path.name for path in list_folder(source.path))}"


def _recognise_pngs(source: Source, task: Task | None) -> str:
    values: set[int] = set()
    errors: list[BprError] = []
    colours: list[BprError] = []
    sample = _spread(value_files(source))
    for file in sample:
        try:
            values.update(np.unique(read_gray(source.root / file)).tolist())
        except BprError as error:
            if isinstance(error, ColourError) and not colours and _is_panoptic_folder(source):
                return "panoptic"
            errors.append(error)
            colours += [error] if isinstance(error, ColourError) else []
    # Broken files become failures of their items, unless nothing else is there.
    if len(errors) == len(sample):
        raise colours[0] if colours else errors[0]
    binary = any(values <= {0, foreground} for foreground in FOREGROUNDS)
    return "masks" if binary and task is not Task.SEMANTIC else "labels"


def _spread(files: list[Path]) -> list[Path]:
    positions = np.linspace(0, len(files) - 1, min(len(files), _SAMPLE)).astype(int)
    return [files[position] for position in positions]


def _is_panoptic_folder(source: Source) -> bool:
    return source.sibling_document is not None and is_panoptic(read_json(source.sibling_document))
