"""Opens ground truth: formats of predictions, COCO annotations, and Cityscapes ``gtFine`` folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import labels
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.cityscapes import result_files
from bpr_cli.formats.coco import CocoSet, CocoUnion
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.label_maps import PngFolder
from bpr_cli.formats.open import FORMATS, open_as, open_source
from bpr_cli.formats.png import read_gray
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.formats.records import SegmentRecord
from bpr_cli.formats.shapes import ShapeFiles
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.typing import LabelArray, Size

INSTANCE_IDS = "_instanceIds"
LABEL_IDS = "_labelIds"
TRAIN_IDS = "_labelTrainIds"

FIRST_INSTANCE = 1000
"""Smallest id of an instance, label id x 1000 + number. Smaller ids are labels of stuff or of groups of objects."""

_WITH_INSTANCES = frozenset(label.id for label in labels if label.hasInstances)
_KIND = "ground truth"


class InstanceIdSet(PngFolder):
    """Cityscapes instance ground truth: ``…_gtFine_instanceIds.png`` with values label id x 1000 + number."""

    format = "instanceIds"
    noun = "Cityscapes instance ids"
    task = Task.INSTANCE
    family = "cityscapes"

    def read(self, item: Item) -> Prediction:
        """Read the instance ids of one image, as a label map without void."""
        return LabelMap(read_gray(self.file(item), self.max_pixels).astype(np.int32), frozenset())

    def map_records(self, item: Item, labels: LabelArray) -> dict[int, SegmentRecord]:  # noqa: ARG002
        """Metadata of the instances and groups in a map; classes without instances are left out."""
        found = instance_records(labels)
        return {record.id or 0: record for record in found if record.crowd or record.id != record.category}

    def encode(self, item: Item, refined: Prediction) -> bytes:  # noqa: ARG002
        """Ground truth is never written."""
        raise TypeError("ground truth is only read")


def instance_records(ids: NDArray[np.integer]) -> tuple[SegmentRecord, ...]:
    """Metadata of the segments in a map of Cityscapes instance ids, by ascending id.

    Ids from 1000 are label x 1000 + number. Smaller ids are labels: of a group of objects if the class has instances,
    else of stuff.
    """
    records = []
    for number in np.unique(ids).tolist():
        label = number // FIRST_INSTANCE if number >= FIRST_INSTANCE else number
        group = number < FIRST_INSTANCE and label in _WITH_INSTANCES
        records.append(SegmentRecord(label, crowd=group, id=number))
    return tuple(records)


class NoImages(ImageIndex):
    """An index for tasks that need no images; it returns a possible name of the image instead of a path.

    Only the sizes of images may be needed, for polygons of fractions.
    """

    def __init__(self, images: ImageIndex | None = None) -> None:
        """Make an index; ``images`` knows the sizes of images, if they were given."""
        super().__init__(Path(), [])
        self._images = images

    def find(self, names: Sequence[str], beside: Path | None = None) -> Path:  # noqa: ARG002
        """The first name, as a path that need not exist."""
        return Path(names[0])

    def may_lie_in(self, folder: Path) -> bool:
        """Whether files in a folder may be images that were given."""
        return self._images is not None and self._images.may_lie_in(folder)

    def size(self, image: Path, max_pixels: int) -> Size:
        """(H, W) of the image that has this name among the given ones.

        Raises:
            BprError: no images were given, because the name comes from a prediction and no such file may be opened; or
                none has this name.
        """
        if self._images:
            found = self._images.lone or self._images.find([str(image)])
            return self._images.size(found, max_pixels)
        raise BprError(
            f"the size of the image {str(image)!r} is not stated, expected height and width in an images list; give "
            "the list, or the images with --images"
        )


def open_without_images(predictions: Path, settings: ReadSettings, index: NoImages | None = None) -> PredictionSet:
    """Open predictions like ``open_predictions``, but without their images.

    The ``image`` of an item is only a possible name of its image.

    Args:
        predictions: file or folder.
        settings: values that are given instead of detected.
        index: knows the sizes of images, if they were given.

    Raises:
        BprError: see ``open_predictions``.
    """
    return open_source(Source(predictions), index or NoImages(), settings)


def open_truth(
    path: Path,
    predictions: PredictionSet,
    settings: ReadSettings,
    ending: str | None = None,
    index: NoImages | None = None,
) -> PredictionSet:
    """Open the ground truth for a set of predictions, in a format that can be compared with them.

    Label maps are compared with label maps, masks with masks or with the unions of COCO annotations, COCO results, YOLO
    polygons and labelme files with COCO annotations or files of their kind, panoptic results with panoptic annotations,
    and Cityscapes results with ``…_instanceIds.png`` files.

    Args:
        path: file or folder.
        predictions: the predictions, whose format determines that of the ground truth.
        settings: settings that the predictions were opened with.
        ending: ending of the label maps in a ``gtFine`` folder: ``LABEL_IDS`` or ``TRAIN_IDS``; by default, the first
            one found.
        index: knows the sizes of images, if they were given.

    Raises:
        BprError: the path does not exist, or holds no ground truth of that format.
    """
    source = Source(path, kind=_KIND)
    index = index or NoImages()
    family = predictions.family
    if family == "cityscapes":
        return _open_instance_ids(source, settings)
    if family == "binary" and source.documents and not source.pngs:
        return CocoUnion(source, index, settings)
    if isinstance(predictions, ShapeFiles) and not predictions.recognise(source, settings) and source.documents:
        return open_as(CocoSet, source, index, settings)
    if isinstance(predictions, ShapeFiles) and source.pngs and not source.documents:
        raise BprError(
            f"{path} holds PNG files, expected COCO annotations or other {predictions.noun}, as the predictions are; "
            "convert one of the two: maps of objects by bpr convert --format coco --ids objects, or the predictions by "
            "bpr convert --format masks, --format labels or --format objects"
        )
    if isinstance(predictions, CocoSet) and source.pngs and not source.documents:
        raise BprError(
            f"{path} holds PNG files, expected a COCO annotation file for COCO results; give one, or write the "
            "predictions as Cityscapes results (one …_pred.txt per image and one PNG file per mask) to compare them "
            f"with …{INSTANCE_IDS}.png files"
        )
    if family in ("semantic", "binary"):
        source = Source(path, _ending_in(source, ending) or "", _KIND)
        if not source.pngs:
            found = "is" if path.is_file() else "holds"
            raise BprError(
                f"{path} {found} no PNG file, expected {_KIND} for {predictions.format} predictions: a PNG file for "
                "every image; check --ground-truth"
            )
    truth = open_as(type(predictions), source, index, settings)
    _check_swapped(predictions, truth)
    return truth


def _check_swapped(predictions: PredictionSet, truth: PredictionSet) -> None:
    """Refuse annotations that are given as predictions, unless they may be predictions without scores."""
    if not isinstance(predictions, CocoSet) or not isinstance(truth, CocoSet) or not predictions.contents.are_unscored:
        return
    if truth.contents.have_scores:
        raise BprError(
            f"{predictions.path} has no scores, but the ground truth {truth.path} has some; are the two swapped?"
        )
    if truth.contents.records == predictions.contents.records:
        raise BprError(
            f"{predictions.path} holds the same records as the ground truth {truth.path}, expected predictions; check "
            "the two"
        )


def open_truth_alone(path: Path, settings: ReadSettings, ending: str | None = None) -> PredictionSet:
    """Open ground truth without predictions; the format is detected as for predictions.

    From a ``gtFine`` folder, the ``…_instanceIds.png`` files are opened; or its label maps if the task is semantic, an
    ending is given, or there are no other files.

    Args:
        path: file or folder.
        settings: values that are given instead of detected.
        ending: ending of the label maps in a ``gtFine`` folder; see ``open_truth``.

    Raises:
        BprError: the path does not exist, or holds no ground truth.
    """
    source = Source(path, kind=_KIND)
    family = FORMATS[settings.format].family if settings.format else None
    wants_maps = settings.task is Task.SEMANTIC or family == "semantic" or ending is not None
    if family == "cityscapes" or (not wants_maps and _has(source, INSTANCE_IDS)):
        return _open_instance_ids(source, settings)
    chosen = _ending_in(source, ending)
    if chosen:
        source, settings = Source(path, chosen, _KIND), replace(settings, format="labels")
    return open_source(source, NoImages(), settings)


def _ending_in(source: Source, wanted: str | None) -> str | None:
    """The ending of the label maps to open: the wanted one if such files exist, else that of a ``gtFine`` folder."""
    return next((known for known in (wanted, LABEL_IDS, TRAIN_IDS) if known and _has(source, known)), None)


def _has(source: Source, ending: str) -> bool:
    return any(file.stem.endswith(ending) for file in source.pngs)


def _open_instance_ids(source: Source, settings: ReadSettings) -> PredictionSet:
    narrowed = Source(source.path, INSTANCE_IDS, _KIND)
    if not narrowed.pngs:
        if result_files(source):
            raise BprError(
                f"{source.path} holds Cityscapes results, which cannot be ground truth: their masks may overlap, and "
                f"they do not say which pixels are void; give the gtFine folder, with …{INSTANCE_IDS}.png files"
            )
        raise BprError(
            f"{source.path} holds no file called …{INSTANCE_IDS}.png, expected the gtFine folder for Cityscapes "
            "results; check --ground-truth"
        )
    return InstanceIdSet(narrowed, NoImages(), settings)
