"""Labels of Ultralytics YOLO segmentation: a text file per image, and in it a line of class and polygon per object.

The numbers of a line are the class; x and y of each point as fractions of the image's width and height; and in
predictions, if they were saved, the confidence and the number of a track. A polygon passes over bridges without width
to other parts and to holes, as ``ultralytics`` writes and reads them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError, shorten
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate
from bpr_cli.formats.image_names import image_stem
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.formats.records import CategoryRecord, SegmentRecord
from bpr_cli.formats.shapes import Shape, ShapeFile, ShapeFiles
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.outlines import polygon_of
from bpr_cli.masks.polygons import fill_polygons
from bpr_cli.system.paths import read_bytes
from bpr_cli.typing import DoubleArray, Size

_NAMES_FILES = ("data.yaml", "data.yml", "dataset.yaml")
_LEVELS = 3
"""Folders above the labels in which the file with the names of classes may lie: ``labels/train`` has it two above."""
_SAMPLE = 16
_HEAD = 4096
_FARTHEST = 2.0
"""Largest coordinate: polygons may leave the image a little, but pixels are no fractions."""
_BOX = 5
_SHORTEST = 7
"""Numbers in a line with a box or a triangle and nothing else."""


@dataclass(frozen=True)
class _Row(Shape):
    """A line with a polygon.

    Attributes:
        points: float64, (N, 2), fractions of width and height.
        record: class and confidence.
        head: the class as it is written.
        tail: what follows the polygon, as it is written.
    """

    points: DoubleArray
    record: SegmentRecord
    head: str
    tail: tuple[str, ...]

    def mask(self, size: Size) -> Mask:
        """The pixels whose centres lie in the polygon."""
        return fill_polygons([self.points * np.array(size[::-1])], size)


def polygon_line(head: str, mask: Mask, tolerance: float, tail: Sequence[str] = ()) -> str:
    """The line of a mask with pixels, with as many digits as a ten-thousandth of a pixel needs.

    Args:
        head: the class.
        mask: the mask.
        tolerance: see ``outlines_of``.
        tail: what follows the polygon.
    """
    height, width = mask.size
    digits = len(str(max(height, width))) + 4
    points = polygon_of(mask, tolerance) / (width, height)
    numbers = (f"{value:.{digits}f}".rstrip("0").rstrip(".") for value in points.ravel().tolist())
    return " ".join([head, *numbers, *tail])


class YoloSet(ShapeFiles):
    """YOLO segmentation labels. A line without a polygon, such as one with a box, is left as it is."""

    format = "yolo"
    noun = "YOLO polygons"
    part = "line"

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """List the files and find their images.

        Raises:
            BprError: no file has a line with a polygon.
        """
        files = _label_files(source)
        heads = _heads(source, files)
        if not any(map(_is_polygon, heads)):
            what = "only boxes" if any(len(head) >= _BOX for head in heads) else "no YOLO labels"
            raise BprError(
                f"{source.path} holds {what}, expected text files with lines of a class and a polygon: class x1 y1 x2 "
                "y2 x3 y3 ..., as fractions of the image; refine the results of a segmentation model"
            )
        # A track number of 1 looks like a coordinate, so the set decides. Larger ones tell themselves: Ultralytics
        # writes none in frames in which it tracks nothing.
        self._least_track = 1 if any(_ends_in_track(head, 2) for head in heads) else 2
        self._folder = source.root
        self._numbers: dict[int, int] | None = None
        self._listed: dict[str, Size | None] = {}
        candidates = [
            Candidate(file.as_posix(), (file.with_suffix("").as_posix(),), files=(source.root / file,))
            for file in files
        ]
        super().__init__(source, index, settings, candidates)

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:  # noqa: ARG003
        """Whether a sample of the text files has a line with a polygon."""
        return any(map(_is_polygon, _heads(source, _label_files(source))))

    def parse(self, path: Path) -> ShapeFile:
        """The polygons of a file by the numbers of their lines; lines with boxes are left out."""
        file = ShapeFile()
        for number, line in enumerate(_lines(path), 1):
            try:
                row = self._row(line)
                if row:
                    file.shapes[number] = row
                elif line.strip():
                    file.others += 1
            except BprError as error:
                file.errors[number] = error
        return file

    def _row(self, line: str) -> _Row | None:
        """The polygon of a line; None for an empty line and a box.

        Raises:
            BprError: the line is broken.
        """
        texts = line.split()
        count = len(texts) - _ends_in_track(texts, self._least_track)
        if not texts or count in (_BOX, _BOX + 1):
            return None
        expected = "expected a class and a polygon of three or more points: class x1 y1 x2 y2 x3 y3 ..."
        if count < _SHORTEST:
            raise BprError(f"found {shorten(line)}, {expected}")
        numbers = _numbers(texts)
        if numbers is None:
            raise BprError(f"found {shorten(line)}, {expected}, all of them numbers")
        end = count - 1 + count % 2
        points, tail = np.array(numbers[1:end]), texts[end:]
        if not numbers[0].is_integer() or not 0 <= numbers[0] < 2**31:
            raise BprError(f"found the class {texts[0]}, expected a whole number of 0 or more")
        if np.abs(points).max() > _FARTHEST:
            raise BprError(
                f"found the coordinate {np.abs(points).max():g}, expected fractions of the image's width and height"
            )
        score = numbers[end] if count % 2 == 0 else None
        record = SegmentRecord(self._category(int(numbers[0])), score)
        return _Row(points.reshape(-1, 2), record, texts[0], tuple(tail))

    def called(self, category: int) -> str:
        """A class by the number in the labels, and its name."""
        numbers = {known: number for number, known in (self._numbers or {}).items()}
        number = -1 - category if category < 0 else numbers.get(category, category)
        names = [each.name for each in self.categories if each.id == number]
        return f"the class {number} ({names[0] if names else f'without a name in {_NAMES_FILES[0]}'})"

    def _category(self, number: int) -> int:
        """The id of a class: that of the ground truth; for others, an id that none in the ground truth has."""
        return number if self._numbers is None else self._numbers.get(number, -1 - number)

    def encode(self, path: Path, masks: Mapping[int, Mask]) -> bytes:
        """The lines of a file, with new polygons for some of them."""
        lines = _lines(path)
        for number, mask in masks.items():
            row, ending = self._row(lines[number - 1]), "\r" if lines[number - 1].endswith("\r") else ""
            if row:
                lines[number - 1] = polygon_line(row.head, mask, self.tolerance, row.tail) + ending
        return "\n".join(lines).encode("utf-8", "surrogateescape")

    @cached_property
    def categories(self) -> tuple[CategoryRecord, ...]:
        """The classes that ``data.yaml`` names, beside the labels or above them; none without such a file.

        Raises:
            BprError: the file is broken.
        """
        return _read_names(self.names_file) if self.names_file else ()

    @cached_property
    def names_file(self) -> Path | None:
        """The ``data.yaml`` beside the labels or above them; None without such a file."""
        folders = [self._folder.resolve(), *self._folder.resolve().parents][: _LEVELS + 1]
        files = (folder / name for folder in folders for name in _NAMES_FILES)
        return next((file for file in files if file.is_file()), None)

    def take_image_records(self, other: PredictionSet) -> None:
        """Use the sizes of another set's images, and number the classes by their names as it does.

        Raises:
            BprError: it is no YOLO set, and the classes have no names, or none in common.
        """
        if isinstance(other, YoloSet):
            return
        for record in other.image_records:
            stem = image_stem(Path(record.file_name))
            self._listed[stem] = record.size if self._listed.get(stem, record.size) == record.size else None
        known = {category.name: category.id for category in other.categories}
        names = {category.name: category.id for category in self.categories}
        if not known.keys() & names.keys():
            raise BprError(
                f"{self._folder} has {len(names)} classes with names in {_NAMES_FILES[0]}, none of which is one of the "
                f"{len(known)} of the ground truth; give it the names that the ground truth has, in a file beside the "
                "labels or above"
            )
        self._numbers = {number: known[name] for name, number in names.items() if name in known}

    def size(self, item: Item) -> Size:
        """(H, W) of the image of an item, by the image list of the ground truth or the image itself.

        Raises:
            BprError: the image is broken or too large, or not there.
        """
        return self._listed.get(image_stem(item.image)) or super().size(item)


def _label_files(source: Source) -> list[Path]:
    """The text files of a source; only those in folders called ``labels`` if there are such."""
    files = source.files(".txt")
    return [file for file in files if "labels" in file.parts[:-1]] or files


def _heads(source: Source, files: list[Path]) -> list[list[str]]:
    """The words of the first lines of a sample of the files; a long line is cut."""
    chosen = np.linspace(0, len(files) - 1, min(len(files), _SAMPLE)).astype(int).tolist()
    heads = (read_bytes(source.root / files[place], _HEAD) for place in chosen)
    return [words for head in heads for words in _first_lines(head)]


def _first_lines(head: bytes) -> list[list[str]]:
    lines = [line.split() for line in head.decode("utf-8", "surrogateescape").split("\n")]
    if len(head) == _HEAD:
        lines[-1] = lines[-1][:-1]  # the last number may be cut
    return [words for words in lines if words]


def _is_polygon(words: list[str]) -> bool:
    numbers = _numbers(words)
    if numbers is None or len(numbers) < _SHORTEST or not numbers[0].is_integer():
        return False
    return max(map(abs, numbers[1:-2])) <= _FARTHEST


def _ends_in_track(words: list[str], least: int) -> bool:
    """Whether the last word is the number of a track: ``least`` or more, behind fractions."""
    before = _numbers(words[1:-1])
    if before is None or len(words) <= _BOX or max(map(abs, before)) > _FARTHEST:
        return False
    return words[-1].isdecimal() and int(words[-1]) >= least


def _numbers(texts: list[str]) -> list[float] | None:
    """The numbers that texts are; None if one is not, or not finite. A byte order mark before the first is no text."""
    try:
        numbers = [float(text.removeprefix("\ufeff")) for text in texts]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def _lines(path: Path) -> list[str]:
    return read_bytes(path).decode("utf-8", "surrogateescape").split("\n")


def _read_names(path: Path) -> tuple[CategoryRecord, ...]:
    """The classes of a ``data.yaml``: a list of names, or names by number."""
    import yaml  # noqa: PLC0415 - only files with names need it

    try:
        document = yaml.safe_load(read_bytes(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a ValueError for dates such as 2020-99-99
        raise BprError(f"{path} is not valid YAML ({shorten(str(error), 200)}); correct it") from error
    names = document.get("names") if isinstance(document, dict) else None
    named = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(named, dict) or not all(type(number) is int for number in named):
        raise BprError(f"{path} holds names that are {shorten(names)}, expected a list of names, or names by number")
    return tuple(CategoryRecord(number, str(named[number])) for number in sorted(named))
