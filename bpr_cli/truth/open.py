"""Ground truth: the formats of predictions, COCO annotations, and the ``gtFine`` folders of Cityscapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import labels
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item, PredictionSet, SegmentRecord
from bpr_cli.formats.coco import CocoUnion
from bpr_cli.formats.image_lookup import NoImages
from bpr_cli.formats.label_maps import PngFolder
from bpr_cli.formats.open import FORMATS, open_as, open_source
from bpr_cli.formats.png import read_gray
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.typing import LabelArray

INSTANCE_IDS = "_instanceIds"
LABEL_IDS = "_labelIds"
TRAIN_IDS = "_labelTrainIds"

FIRST_INSTANCE = 1000
"""Ids of instances are label id x 1000 + number; smaller ones are labels: of areas without instances, or of groups."""

_WITH_INSTANCES = frozenset(label.id for label in labels if label.hasInstances)
_KIND = "ground truth"


class InstanceIdSet(PngFolder):
    """Cityscapes ground truth of instances: ``…_gtFine_instanceIds.png``, label id x 1000 + number."""

    format = "instanceIds"
    noun = "Cityscapes instance ids"
    task = Task.INSTANCE
    family = "cityscapes"

    def read(self, item: Item) -> Prediction:
        """The instance ids of one image, as a map without void."""
        return LabelMap(read_gray(self.file(item)).astype(np.int32), frozenset())

    def map_records(self, item: Item, labels: LabelArray) -> dict[int, SegmentRecord]:  # noqa: ARG002
        """The instances and groups of a map; areas of classes without instances are left out."""
        found = instance_records(labels)
        return {record.id or 0: record for record in found if record.crowd or record.id != record.category}

    def encode(self, item: Item, refined: Prediction) -> bytes:  # noqa: ARG002
        """Ground truth is never written."""
        raise TypeError("ground truth is only read")


def instance_records(ids: NDArray[np.integer]) -> tuple[SegmentRecord, ...]:
    """The segments of a map of Cityscapes instance ids, by ascending id.

    Ids from 1000 on are label x 1000 + number. Smaller ones are labels: of an area without instances, or, for a class
    that has instances, of a group of objects.
    """
    records = []
    for number in np.unique(ids).tolist():
        label = number // FIRST_INSTANCE if number >= FIRST_INSTANCE else number
        group = number < FIRST_INSTANCE and label in _WITH_INSTANCES
        records.append(SegmentRecord(label, crowd=group, id=number))
    return tuple(records)


def open_without_images(predictions: Path, settings: ReadSettings) -> PredictionSet:
    """Open predictions as ``open_predictions`` does, but without their images.

    The ``image`` of an item is only what its image may be called.

    Raises:
        BprError: as ``open_predictions``.
    """
    return open_source(Source(predictions), NoImages(), settings)


def open_truth(
    path: Path, predictions: PredictionSet, settings: ReadSettings, ending: str | None = None
) -> PredictionSet:
    """Open the ground truth for a set of predictions, in the format that can be compared with them.

    Label maps are compared with label maps, masks with masks or with the unions of COCO annotations, COCO results with
    COCO annotations (or results), panoptic results with panoptic annotations, and Cityscapes results with
    ``…_instanceIds.png`` files.

    Args:
        path: a file or a folder.
        predictions: determine the format.
        settings: how the predictions were opened.
        ending: of the label maps to take from a ``gtFine`` folder: ``LABEL_IDS`` or ``TRAIN_IDS``; by default the
            first that there is.

    Raises:
        BprError: the path does not exist, or holds no ground truth of that format.
    """
    source = Source(path, kind=_KIND)
    family = predictions.family
    if family == "cityscapes":
        return _open_instance_ids(source)
    if family == "binary" and source.documents and not source.pngs:
        return CocoUnion(source, NoImages(), settings)
    if family == "coco" and source.pngs and not source.documents:
        raise BprError(
            f"{path} holds PNG files, expected a COCO annotation file for COCO results; give one, or write the "
            "predictions as Cityscapes results (a …_pred.txt an image and a PNG file a mask) to compare them with "
            f"…{INSTANCE_IDS}.png files"
        )
    if family in ("semantic", "binary"):
        source = Source(path, _ending_in(source, ending) or "", _KIND)
        if not source.pngs:
            raise BprError(
                f"{path} holds no PNG file, expected {_KIND} for {predictions.format} predictions: a PNG file for "
                "every image; check --ground-truth"
            )
    return open_as(type(predictions), source, NoImages(), settings)


def open_truth_alone(path: Path, settings: ReadSettings, ending: str | None = None) -> PredictionSet:
    """Open ground truth without predictions; its format is recognised like that of predictions.

    A ``gtFine`` folder gives its ``…_instanceIds.png`` files, or its label maps if the task is semantic, if an ending
    is given, or if there is nothing else.

    Args:
        path: a file or a folder.
        settings: what not to detect from the files.
        ending: of the label maps to take from a ``gtFine`` folder, see ``open_truth``.

    Raises:
        BprError: the path does not exist, or holds no ground truth.
    """
    source = Source(path, kind=_KIND)
    family = FORMATS[settings.format].family if settings.format else None
    wants_maps = settings.task is Task.SEMANTIC or family == "semantic" or ending is not None
    if family == "cityscapes" or (not wants_maps and _has(source, INSTANCE_IDS)):
        return _open_instance_ids(source)
    chosen = _ending_in(source, ending)
    if chosen:
        source, settings = Source(path, chosen, _KIND), replace(settings, format="labels")
    return open_source(source, NoImages(), settings)


def _ending_in(source: Source, wanted: str | None) -> str | None:
    """The ending of the label maps to take: the wanted one if there are any, or else that of a ``gtFine`` folder."""
    return next((known for known in (wanted, LABEL_IDS, TRAIN_IDS) if known and _has(source, known)), None)


def _has(source: Source, ending: str) -> bool:
    return any(file.stem.endswith(ending) for file in source.pngs)


def _open_instance_ids(source: Source) -> PredictionSet:
    narrowed = Source(source.path, INSTANCE_IDS, _KIND)
    if not narrowed.pngs:
        raise BprError(
            f"{source.path} holds no file called …{INSTANCE_IDS}.png, expected the gtFine folder for Cityscapes "
            "results; check --ground-truth"
        )
    return InstanceIdSet(narrowed, NoImages(), ReadSettings())
