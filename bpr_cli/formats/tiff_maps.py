"""TIFF files of labels with one or more pages, as cellpose, napari and ImageJ write them."""

from __future__ import annotations

import base64
import json
import zlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet, Writer, Written
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate, match_images
from bpr_cli.formats.image_names import is_named_as_mask
from bpr_cli.formats.images import read_image
from bpr_cli.formats.object_maps import ObjectMaps
from bpr_cli.formats.photographs import looks_like_photograph
from bpr_cli.formats.reading import InputReading, ReadSettings, Task
from bpr_cli.formats.records import SegmentRecord
from bpr_cli.formats.source import Source
from bpr_cli.formats.tiff_pages import copy_pages, count_pages, package, page_size, read_labels
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.masks.runs import values_of
from bpr_cli.masks.values import MaskKind, MaskValues
from bpr_cli.system.atomic import atomic_file, writing
from bpr_cli.system.paths import output_file
from bpr_cli.typing import LabelArray, Size

SUFFIXES = (".tif", ".tiff")
_SAMPLE = 4


@dataclass(frozen=True)
class _Page:
    """A page of a file.

    Attributes:
        file: the file, relative to the root.
        number: its number in the file, from 0.
        position: its number among the pages of all files.
    """

    file: Path
    number: int
    position: int


class TiffMaps(PredictionSet):
    """TIFF files of labels. An item is one page; its image is the page of the same number, or a file of one page."""

    format = "tiff"
    leaves_out = (".png",)

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the files and their pages, and find their images.

        Raises:
            BprError: there is no TIFF file.
        """
        self._root, self._is_file = source.root, source.is_file
        self._void = settings.ignore_labels or frozenset()
        self.max_pixels = settings.max_pixels
        files = tiff_files(source)
        if not files:
            raise BprError(f"{source.path} holds no TIFF file, expected label maps, one for every image")
        candidates = [
            Candidate(file.as_posix(), (file.with_suffix("").as_posix(),), files=(self._root / file,)) for file in files
        ]
        found, self.failures = match_images(candidates, index)
        self._pages: dict[str, _Page] = {}
        self.items = []
        for item in found:
            try:
                self.items += self._items_of(item)
            except BprError as error:
                self.failures.append(Failure(item.name, str(error)))

    def _items_of(self, file: Item) -> Iterator[Item]:
        """An item for each page of a file.

        Raises:
            BprError: the file or its image is broken, or they have other numbers of pages.
        """
        path = self._root / file.name
        count = count_pages(path)
        pictures = _count_pictures(file.image)
        if count > 1 and pictures not in (0, 1, count):
            raise BprError(
                f"{path} has {count} pages and its image {file.image} has {pictures}, expected as many, or one"
            )
        for number in range(count):
            mark = f"#{number + 1}" if count > 1 else ""
            # Without an image, its possible name tells the pages apart.
            image = file.image if pictures else file.image.with_name(f"{file.image.name}{mark}")
            name = f"{file.name}{mark}"
            self._pages[name] = _Page(Path(file.name), number, len(self._pages))
            yield Item(name, image, number if count == pictures > 1 else None)

    def file(self, item: Item) -> Path:
        """The file of a page."""
        return self._root / self._pages[item.name].file

    def size(self, item: Item) -> Size:
        """(H, W) of a page.

        Raises:
            BprError: the file is broken.
        """
        return page_size(self.file(item), self._pages[item.name].number, self.max_pixels)

    def labels(self, item: Item) -> LabelMap:
        """The labels of a page, and which of them are void.

        Raises:
            BprError: the file is broken, or holds no labels.
        """
        return LabelMap(read_labels(self.file(item), self._pages[item.name].number, self.max_pixels), self._void)

    @abstractmethod
    def refined_labels(self, item: Item, refined: Prediction) -> LabelArray:
        """The labels of a page after refinement: int32, (H, W)."""

    @property
    def settings(self) -> dict[str, Any]:
        """The common settings and the ignored labels."""
        return {**super().settings, "ignore_labels": sorted(self._void)}

    @property
    def reading(self) -> InputReading:
        """The common facts, and void."""
        common = replace(super().reading, void=tuple(sorted(self._void)), options=("--ids", "--ignore-label"))
        return replace(common, classes=None)

    def pages(self) -> dict[Path, dict[int, int]]:
        """The positions of the pages of each file by their numbers, in the order of the items."""
        found: dict[Path, dict[int, int]] = {}
        for page in self._pages.values():
            found.setdefault(page.file, {})[page.number] = page.position
        return found

    def position(self, item: Item) -> int:
        """The number of a page among those of all files."""
        return self._pages[item.name].position

    @property
    def one_file(self) -> str | None:
        """Name of the file, if the set is a single file."""
        return next(iter(self.pages())).as_posix() if self._is_file and self._pages else None

    def writer(self, out: Path) -> Writer:
        """Make a writer of TIFF files, under the relative paths of the input."""
        return _TiffWriter(self, self._root, out)


class _TiffWriter(Writer):
    """Keeps pages as records, because a file can only be written as a whole."""

    def __init__(self, source: TiffMaps, root: Path, out: Path) -> None:
        self._source = source
        self._root = root
        self._out = out

    def write(self, item: Item, refined: Prediction) -> Written:
        labels = self._source.refined_labels(item, refined).astype("<i4")
        packed = base64.b64encode(zlib.compress(labels.tobytes(), 1)).decode()
        return Written(records={self._source.position(item): json.dumps([*labels.shape, packed]).encode()})

    def close(self, records: Iterable[tuple[int, bytes]]) -> None:
        following = iter(records)
        known: dict[int, bytes] = {}
        for file, pages in self._source.pages().items():
            while not known or max(known) < max(pages.values()):
                record = next(following, None)
                if record is None:
                    break
                known[record[0]] = record[1]
            if any(position in known for position in pages.values()):
                self._write_file(file, {number: known.get(position) for number, position in pages.items()})
            known = {position: record for position, record in known.items() if position > max(pages.values())}

    def _write_file(self, file: Path, pages: Mapping[int, bytes | None]) -> None:
        name = file.as_posix()
        path = output_file(self._out, name) if self._source.one_file else self._out / name
        with writing(path), atomic_file(path) as target:
            copy_pages(self._root / file, target, lambda number: _unpacked(pages.get(number)))


def _unpacked(record: bytes | None) -> LabelArray | None:
    """The labels in a record of the writer."""
    if record is None:
        return None
    height, width, packed = json.loads(record)
    return np.frombuffer(zlib.decompress(base64.b64decode(packed)), "<i4").reshape(height, width).astype(np.int32)


class TiffObjects(TiffMaps, ObjectMaps):
    """TIFF files whose labels are objects."""

    noun = "TIFF maps of objects"

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:
        """Whether the first TIFF files hold whole numbers that are no photograph, and there are no masks in PNG files.

        Raises:
            BprError: the values may be those of a gray photograph, a package is not installed, or no file can be read.
        """
        files, values = tiff_files(source), MaskValues()
        if source.pngs and (any(map(is_named_as_mask, source.pngs)) or not all(map(is_named_as_mask, files))):
            return False
        if files:
            package(source.root / files[0])
        errors = []
        for file in files[:_SAMPLE]:
            try:
                values += MaskValues.of(read_labels(source.root / file, 0, source.max_pixels))
            except BprError as error:
                errors.append(error)
        if not values.present:
            if errors and not _is_photograph(source.root / files[0], source.max_pixels):
                raise errors[0]
            return False
        if values.transitions.are_photographs or values.kind(settings.void) is MaskKind.SOFT:
            raise BprError(
                f"{source.path} holds {values.describe()}, as gray photographs or probabilities do, expected maps of "
                "labels; are masks and images swapped? If not, give --format tiff"
            )
        return True

    def refined_labels(self, item: Item, refined: Prediction) -> LabelArray:
        """The map of refined objects."""
        return self.map_of(item, refined)


class TiffClasses(TiffMaps):
    """TIFF files whose labels are classes."""

    noun = "TIFF label maps"
    task = Task.SEMANTIC
    family = "semantic"

    def read(self, item: Item) -> Prediction:
        """Read the labels of one page."""
        return self.labels(item)

    def map_records(self, item: Item, labels: LabelArray) -> dict[int, SegmentRecord]:  # noqa: ARG002
        """Metadata of each label, which is its own category."""
        return {label: SegmentRecord(label) for label in values_of(labels).tolist()}

    def refined_labels(self, item: Item, refined: Prediction) -> LabelArray:  # noqa: ARG002
        """The refined labels."""
        if not isinstance(refined, LabelMap):
            raise TypeError("expected a label map")
        return refined.labels


def tiff_files(source: Source) -> list[Path]:
    """The TIFF files of a source; only those with names of masks if there are such."""
    files = sorted(file for suffix in SUFFIXES for file in source.files(suffix))
    return [file for file in files if is_named_as_mask(file)] or files


def _is_photograph(path: Path, max_pixels: int) -> bool:
    with suppress(BprError):
        return looks_like_photograph(read_image(path, max_pixels))
    return False


def _count_pictures(image: Path) -> int:
    """Number of pages of an image; 0 if there is no such file."""
    if not image.is_file():
        return 0
    return count_pages(image) if image.suffix.lower() in SUFFIXES else 1
