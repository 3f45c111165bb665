"""Opens predictions and detects their format; ARCHITECTURE.md says what a new format needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath

from bpr_cli.errors import BprError, counted, join_names, note
from bpr_cli.formats.base import PredictionSet, SetInputs
from bpr_cli.formats.cityscapes import CityscapesSet
from bpr_cli.formats.coco import CocoSet
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_names import IMAGE_SUFFIXES
from bpr_cli.formats.images import read_image
from bpr_cli.formats.json_files import describe
from bpr_cli.formats.label_maps import LabelMapSet
from bpr_cli.formats.labelme import LabelmeSet
from bpr_cli.formats.mask_files import MaskSet
from bpr_cli.formats.object_maps import ObjectMapSet
from bpr_cli.formats.panoptic import PanopticSet
from bpr_cli.formats.photographs import holds_image, looks_like_photograph, photograph_given
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.formats.source import Source
from bpr_cli.formats.tiff_maps import TiffClasses, TiffObjects, tiff_files
from bpr_cli.formats.yolo import YoloSet
from bpr_cli.system.paths import list_folder

FORMATS: dict[str, type[PredictionSet]] = {
    "cityscapes": CityscapesSet,
    "yolo": YoloSet,
    "labelme": LabelmeSet,
    "coco": CocoSet,
    "panoptic": PanopticSet,
    "tiff": TiffObjects,
    "masks": MaskSet,
    "labels": LabelMapSet,
    "objects": ObjectMapSet,
}
"""Names of formats, as in ``--format``, and their classes, in the order in which formats are tried."""


def open_predictions(predictions: Path, images: Path, settings: ReadSettings | None = None) -> PredictionSet:
    """Open a set of predictions, detect its format, and find the image of every item.

    >>> opened = open_predictions(Path("results.json"), Path("images/"))  # doctest: +SKIP
    >>> [(item.name, item.image) for item in opened.items]  # doctest: +SKIP
    [('42', PosixPath('images/000000000042.jpg'))]
    >>> masks = opened.read(opened.items[0])  # doctest: +SKIP

    The format is ``settings.format``, or else the first of these that matches:

    1. ``cityscapes``: a folder with result files (``…_pred.txt``, or text files of ``mask.png labelID score`` lines).
    2. ``yolo``: text files whose lines are a class and a polygon, as fractions of the image.
    3. ``labelme``: JSON files with ``shapes``, one per image.
    4. ``coco``: a JSON file, or a folder with exactly one JSON file directly in it, whose records have a
       ``segmentation``.
    5. ``panoptic``: such a file whose annotations have ``segments_info``; or colour PNG files in a folder with a
       panoptic JSON file of the same name next to it.
    6. ``tiff``: TIFF files of whole numbers, which are objects unless ``ids`` says that they are classes; only if there
       are no PNG files, or if they alone have names of masks.
    7. ``masks``: PNG files of binary or soft masks, by the rule in ``masks/values.py``, unless the task is semantic.
    8. ``labels``: other PNG files.

    With ``ids`` of ``objects``, PNG files have the format ``objects``: their values are objects.

    PNG files are judged by a sample of up to 16, evenly spaced over the sorted list. If there are PNG files, JSON files
    of other kinds are ignored. A note tells of PNG and TIFF files that the detected format leaves out.

    Args:
        predictions: file or folder.
        images: folder of images, or one image.
        settings: values that are given instead of detected.

    Raises:
        BprError: a path is missing or empty, no format matches, values may be masks or labels, the task differs from
            that in ``settings``, a setting does not apply to the format, or no item can be used.
    """
    settings = settings or ReadSettings()
    index = ImageIndex.scan(Path(images), settings.image_pattern)
    opened = open_source(Source(Path(predictions)), index, settings)
    opened.found_by, opened.read_settings = index.found_by, settings
    image_info = None if settings.image_info is None else str(settings.image_info)
    opened.inputs = SetInputs(str(predictions), str(images), image_info, sorted(settings.void))
    return opened


def open_source(source: Source, index: ImageIndex, settings: ReadSettings) -> PredictionSet:
    """Open a set like ``open_predictions``, with an index of images.

    Raises:
        BprError: see ``open_predictions``.
    """
    source = source.without(index.images_among(source.root, source.pngs))
    source.max_pixels = settings.max_pixels
    kind = _given(source, settings) or _recognise(source, settings)
    if settings.task is not None and settings.task is not kind.task:
        raise BprError(
            f"{source.path} holds {kind.task.value} predictions (format {kind.format}), but the requested task is "
            f"{settings.task.value}; omit the task or check the path"
        )
    for name in ("threshold", "soft"):
        if getattr(settings, name) and kind.family != "binary":
            raise BprError(
                f"--{name} applies to masks in PNG files, but {source.path} holds {kind.noun} (format {kind.format}); "
                "leave it out, or check --format"
            )
    opened = open_as(kind, source, index, settings)
    if settings.format is None:
        _note_left_out(opened, source, index)
    _note_several_sets(opened, source)
    if settings.polygon_tolerance != ReadSettings.polygon_tolerance and not opened.holds_polygons:
        raise BprError(
            f"--polygon-tolerance applies to polygons, but {source.path} holds {kind.noun} without any (format "
            f"{kind.format}); leave it out, or check --format"
        )
    return opened


def open_as(kind: type[PredictionSet], source: Source, index: ImageIndex, settings: ReadSettings) -> PredictionSet:
    """Open a set of a known format.

    Raises:
        BprError: the source does not have this format, or none of its items can be used. A set without any items, such
            as the results of a model that found nothing, is not an error.
    """
    source.max_pixels = settings.max_pixels
    opened = kind(source, index, settings)
    if opened.items:
        return opened
    reasons = [failure.reason for failure in (*opened.failures, *opened.faults())]
    if not reasons:
        return opened
    if len(reasons) == 1:
        raise BprError(reasons[0])
    where = source.document_path if issubclass(kind, (CocoSet, PanopticSet)) else source.path
    raise BprError(f"{where}: none of its {len(reasons)} items can be used {_together(reasons[:3])}")


def _note_left_out(opened: PredictionSet, source: Source, index: ImageIndex) -> None:
    """Tell of PNG and TIFF files that may hold predictions too, but not in the detected format."""
    if source.is_file or index.may_lie_in(source.root):  # they may be images
        return
    files = (*source.value_files, *tiff_files(source))
    others = [file for file in files if file.suffix.lower() in opened.leaves_out]
    if others and not holds_image(source.root / others[0]):
        left_out = f"{counted(len(others), f'{others[0].suffix} file')}, such as {others[0]}"
        sentence = "%s holds %s (format %s), which leaves out %s; name another --format to read them"
        note(sentence, source.path, opened.noun, opened.format, left_out)


def _note_several_sets(opened: PredictionSet, source: Source) -> None:
    """Tell if most images have predictions in several folders: these may be several models, or the truth."""
    folders = defaultdict[Path, dict[PurePath, str]](dict)
    for item in opened.items:
        folders[item.image].setdefault(PurePath(item.name).parent, item.name)
    several = [[*found.values()] for found in folders.values() if len(found) > 1]
    if 2 * len(several) > len(folders):
        sentence = (
            "%s holds several folders with predictions of the same images, such as %s and %s; name one to take one"
        )
        note(sentence, source.path, *several[0][:2])


def _together(reasons: Sequence[str]) -> str:
    """Several reasons in brackets, and once what all of them end with.

    >>> _together(["no image 1; check --images", "no image 2; check --images"])
    '(no image 1; no image 2); check --images'
    """
    clauses = [reason.split("; ") for reason in reasons]
    most = min(map(len, clauses)) - 1
    common = next((count for count in range(most, 0, -1) if len({tuple(each[-count:]) for each in clauses}) == 1), 0)
    heads = ["; ".join(each[: len(each) - common]) for each in clauses]
    return "; ".join([f"({'; '.join(heads)})", *clauses[0][len(clauses[0]) - common :]])


def _given(source: Source, settings: ReadSettings) -> type[PredictionSet] | None:
    """The format that the settings name; None if it is to be detected.

    Raises:
        BprError: ``ids`` is given for a format that is no label map.
    """
    if settings.ids is not None and settings.format not in (None, "labels", "objects", "tiff"):
        raise BprError(
            f"--ids applies to label maps, but {source.path} is to be read as --format {settings.format}; leave one out"
        )
    if settings.ids is not None:
        are_tiffs = settings.format == "tiff" or (settings.format is None and not source.pngs and tiff_files(source))
        if settings.ids == "objects":
            return TiffObjects if are_tiffs else ObjectMapSet
        return TiffClasses if are_tiffs else LabelMapSet
    return FORMATS[settings.format] if settings.format else None


def _recognise(source: Source, settings: ReadSettings) -> type[PredictionSet]:
    for kind in FORMATS.values():
        if kind.recognise(source, settings):
            return kind
    if source.documents:
        raise BprError(
            f"{source.document_path} holds {describe(source.document)}, expected COCO results (objects with image_id "
            "and segmentation), panoptic results (annotations with segments_info) or labelme files (shapes)"
        )
    _check_photographs(source)
    if source.is_file:
        content = f"is a {source.path.suffix or 'file without an ending'} file"
    else:
        content = f"holds {join_names(path.name for path in list_folder(source.path))}"
    raise BprError(
        f"{source.path} {content}, expected COCO, panoptic or labelme JSON, PNG masks or label maps, YOLO polygons, or "
        "Cityscapes result files; convert masks to PNG files"
    )


def _check_photographs(source: Source) -> None:
    """Refuse photographs where predictions are expected, such as images and masks that were swapped.

    Raises:
        BprError: the source is a photograph, or a folder with one.
    """
    pictures = [file for suffix in IMAGE_SUFFIXES for file in source.files(suffix)]
    for file in pictures[:1]:
        path = source.root / file
        if looks_like_photograph(read_image(path, source.max_pixels)):
            raise BprError(photograph_given(str(path)))
        if file.suffix.lower() in (".jpg", ".jpeg"):
            raise BprError(
                f"{path} is a JPEG file, whose compression changes the values of masks and label maps; expected a PNG "
                "file; export it as PNG"
            )
