"""The classes of converted masks, and the ids that a list of images and classes gives them (``image_info``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PurePosixPath, PureWindowsPath

from bpr_cli.conversion.segments import ImageSegments, classes_of
from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.coco_json import ImageTable, read_categories
from bpr_cli.formats.json_files import read_records
from bpr_cli.formats.records import CategoryRecord


@dataclass(frozen=True)
class Listed:
    """The classes of a conversion, and ids that a list of images and classes gives where a set has none, or others.

    Attributes:
        categories: the classes of the output.
        path: the file that lists the images; None if they need no ids.
        images: the ids of images by their names without ending, with and without folders.
        classes: the id in the output of each class of the set; empty if all stay as they are.
        notes: what the list lacks.
    """

    categories: tuple[CategoryRecord, ...]
    path: Path | None = None
    images: Mapping[str, int | str] = field(default_factory=dict)
    classes: Mapping[int, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, opened: PredictionSet, info: Path | None, with_images: bool) -> Listed:
        """Read the list, if there is one, and name and number the classes of a set by it.

        Args:
            opened: the set.
            info: the file that lists classes and images.
            with_images: whether the output has ids of images.

        Raises:
            BprError: the file is broken, or lists no images where ids are needed.
        """
        if info is None:
            return cls(_categories(opened, ()))
        document = read_records(info)
        listed = read_categories(document, info)
        images = _images_by_name(ImageTable.of(document, info)) if with_images else {}
        path = info if with_images else None
        classes = _classes_by_name(opened.categories, listed)
        if not classes:
            return cls(_categories(opened, listed), path, images)
        unlisted = _unlisted(opened, listed, classes)
        told = join_names(f"{each.name} got the id {each.id}" for each in unlisted)
        notes = (f"{info} does not list all classes: {told}; check --image-info",) if unlisted else ()
        return cls((*listed, *unlisted), path, images, classes, notes)

    def put_in(self, image: ImageSegments) -> ImageSegments:
        """The image with the listed ids of its classes and, if it has none of its own, the id of its name.

        Raises:
            BprError: the name is not listed, or several times.
        """
        segments = [
            (mask, replace(record, category=self.classes.get(record.category, record.category)))
            for mask, record in image.segments
        ]
        return replace(image, segments=segments, id=self._id_of(image))

    def _id_of(self, image: ImageSegments) -> int | str | None:
        if image.id is not None or self.path is None:
            return image.id
        known = self.images.get(image.stem, self.images.get(PurePosixPath(image.stem).name))
        if known is None:
            raise BprError(
                f"{image.name} is not listed in {self.path}, or several times, so that it has no id; expected one "
                "image of this name; check --image-info, or leave it out"
            )
        return known


def _categories(opened: PredictionSet, listed: Sequence[CategoryRecord]) -> tuple[CategoryRecord, ...]:
    """The classes of a set by its own ids: those that it or the list names, and others that its masks have."""
    # The foreground of masks has the number 1 and no class.
    given = opened.categories or (listed if opened.family != "binary" else ())
    found = {category.id: category for category in given}
    for number in _used(opened):
        found.setdefault(number, CategoryRecord(number, str(number)))
    return tuple(found[number] for number in sorted(found))


def _used(opened: PredictionSet) -> set[int]:
    """The classes that masks have."""
    used: set[int] = set()
    for item in opened.items:
        with suppress(BprError):  # told when the item is converted
            used |= classes_of(opened, item)
    return used


def _unlisted(
    opened: PredictionSet, listed: Sequence[CategoryRecord], classes: Mapping[int, int]
) -> list[CategoryRecord]:
    """The classes that masks have and a list does not, by their names, with the ids that ``classes`` gives them."""
    names = {category.name for category in listed}
    missing = [category for category in opened.categories if category.name not in names]
    used = _used(opened) if missing else set()
    return [replace(category, id=classes[category.id]) for category in missing if category.id in used]


def _classes_by_name(own: Sequence[CategoryRecord], listed: Sequence[CategoryRecord]) -> dict[int, int]:
    """An id for each class of a set: that of the listed class of the same name, or one that the list leaves free.

    Nothing if there is no list, or if the set has no names of its own.
    """
    if not listed or all(category.name == str(category.id) for category in own):
        return {}
    ids = {category.name: category.id for category in reversed(listed)}
    free = count(max(ids.values()) + 1)
    return {category.id: ids[category.name] if category.name in ids else next(free) for category in own}


def _images_by_name(table: ImageTable) -> dict[str, int | str]:
    """The ids of listed images by their names without ending, with and without folders, if unique."""
    found: dict[str, int | str] = {}
    listed = [(PureWindowsPath(each.file_name).with_suffix(""), each.id) for each in table.records]
    for names in ([path.name for path, _ in listed], [path.as_posix() for path, _ in listed]):
        counts = Counter(names)
        found |= {name: key for name, (_, key) in zip(names, listed, strict=True) if counts[name] == 1}
    return found
