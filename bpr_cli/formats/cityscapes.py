"""Cityscapes instance results: a text file of ``mask.png labelID score`` lines per image, and mask files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bpr_cli.errors import BprError, shorten
from bpr_cli.formats.base import Failure, Item, PredictionSet, Writer, Written
from bpr_cli.formats.coco_json import category_of, is_finite
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.image_match import Candidate, match_images
from bpr_cli.formats.images import image_size
from bpr_cli.formats.mask_files import encode_mask, read_mask
from bpr_cli.formats.reading import InputReading, ReadSettings, Task
from bpr_cli.formats.records import SegmentRecord
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Mask, Prediction, in_pixels
from bpr_cli.system.paths import file_inside, read_bytes, write_bytes
from bpr_cli.typing import Size


@dataclass(frozen=True)
class _ResultLine:
    """One line of a result file."""

    mask: str
    label: int
    score: float


def _parse_line(line: str) -> _ResultLine | None:
    parts = line.rsplit(maxsplit=2)
    try:
        label, score = int(parts[1]), float(parts[2])
    except (IndexError, ValueError):
        return None
    return _ResultLine(parts[0].strip(), label, score) if parts[0].strip().lower().endswith(".png") else None


def result_files(source: Source) -> list[Path]:
    """The result files of a folder: those named ``…_pred.txt``, or else all text files with result lines."""
    if source.is_file:
        return []
    texts = source.files(".txt")
    named = [file for file in texts if file.stem.endswith("_pred")]
    return named or [file for file in texts if _has_result_lines(source.root / file)]


def _has_result_lines(path: Path) -> bool:
    lines = _decode(read_bytes(path)).splitlines()
    return next((_parse_line(line) is not None for line in lines if line.strip()), False)


def _decode(content: bytes) -> str:
    # File names may be in any encoding; surrogateescape keeps their bytes, so that the files can be opened.
    return content.decode("utf-8", "surrogateescape")


class CityscapesSet(PredictionSet):
    """Cityscapes instance results. An item is one result file, named by its relative path.

    Masks keep their relative paths, so they must lie inside the folder and belong to one result file each. A line or a
    mask that cannot be read is left as it is; the other masks of its image are used.
    """

    format = "cityscapes"
    noun = "Cityscapes results"
    task = Task.INSTANCE
    family = "cityscapes"

    def __init__(self, source: Source, index: ImageIndex, settings: ReadSettings) -> None:
        """Parse the result files, check that the masks exist, and find the images.

        Raises:
            BprError: there is no result file.
        """
        self._root = source.root
        self.max_pixels = settings.max_pixels
        self._index = index
        files = result_files(source)
        if not files:
            raise BprError(
                f"{source.path} holds no Cityscapes result file, expected a directory with files called …_pred.txt "
                "whose lines are 'mask.png labelID score'"
            )
        self._lines: dict[str, dict[int, tuple[Path, SegmentRecord]]] = {}
        self._faults: dict[tuple[str, int], Failure] = {}
        self._kept: dict[str, set[Path]] = {}
        self._owners: dict[Path, str] = {}
        self._foregrounds: dict[Path, int | None] = {}
        self.items, self.failures = match_images([self._candidate(file) for file in files], index)

    @classmethod
    def recognise(cls, source: Source, settings: ReadSettings) -> bool:  # noqa: ARG003
        """Whether the source is a folder with result files."""
        return bool(result_files(source))

    def _candidate(self, file: Path) -> Candidate:
        name = file.as_posix()
        try:
            self._lines[name] = self._parse(file)
        except BprError as error:
            return Candidate(name, problem=str(error))
        files = (self._root / file, *(self._root / mask for mask, _ in self._lines[name].values()))
        return Candidate(name, (file.with_suffix("").as_posix(),), files=files)

    def _parse(self, file: Path) -> dict[int, tuple[Path, SegmentRecord]]:
        """Paths of the masks of a result file, relative to the root, with their metadata, by the number of the line."""
        lines = {}
        for number, line in enumerate(_decode(read_bytes(self._root / file)).split("\n"), start=1):
            if not line.strip():
                continue
            try:
                lines[number] = self._mask_of_line(file, line)
            except BprError as error:
                self._fail(file.as_posix(), number, error)
                self._keep(file, line)
        return lines

    def _keep(self, file: Path, line: str) -> None:
        """Note the mask that a broken line names, which is written as it is."""
        name = file.as_posix()
        with suppress(BprError):
            mask = file_inside(self._root, file.parent, line.rsplit(maxsplit=2)[0].strip())
            is_mask = mask.suffix.lower() == ".png" and (self._root / mask).is_file()
            if is_mask and self._owners.setdefault(mask, name) == name:
                self._kept.setdefault(name, set()).add(mask)

    def _fail(self, name: str, number: int, error: BprError) -> None:
        """Note that a line or its mask is broken."""
        self._faults[name, number] = Failure(f"{name}, line {number}", f"{self._root / name}, line {number}: {error}")

    def _mask_of_line(self, file: Path, line: str) -> tuple[Path, SegmentRecord]:
        result = _parse_line(line)
        if result is None:
            raise BprError(f"found {line.strip()[:80]!r}, expected 'mask.png labelID score'")
        if category_of(result.label) is None or not is_finite(result.score):
            raise BprError(
                f"found the label {shorten(result.label)} and the score {result.score}, expected finite numbers"
            )
        mask = file_inside(self._root, file.parent, result.mask)
        if not (self._root / mask).is_file():
            raise BprError(f"the mask {self._root / mask} does not exist")
        owner = self._owners.setdefault(mask, file.as_posix())
        if owner != file.as_posix():
            raise BprError(f"the mask {self._root / mask} already belongs to {owner}; give every image its own masks")
        return mask, SegmentRecord(result.label, result.score)

    @property
    def reading(self) -> InputReading:
        """The common facts, and the number of labels."""
        labels = {record.category for lines in self._lines.values() for _, record in lines.values()}
        return replace(super().reading, classes=len(labels))

    def _usable(self, item: Item) -> dict[int, tuple[Path, SegmentRecord]]:
        """The lines whose masks can be read, by their numbers; complete once the item was read."""
        lines = self._lines[item.name].items()
        return {number: line for number, line in lines if (item.name, number) not in self._faults}

    def read(self, item: Item) -> Prediction:
        """Read the masks of one image that can be read, in the order of its result file."""
        masks = {}
        for number, (path, _) in self._usable(item).items():
            try:
                masks[number] = self._read_mask(path)
            except BprError as error:
                self._fail(item.name, number, error)
        size = self._size_of(item, [mask.size for mask in masks.values()])
        for number, mask in masks.items():
            if mask.size != size:
                reason = f"its mask is {in_pixels(mask.size)}, expected {in_pixels(size)}"
                self._fail(item.name, number, BprError(reason))
        return tuple(mask for mask in masks.values() if mask.size == size)

    def _size_of(self, item: Item, sizes: list[Size]) -> Size:
        """(H, W) of the masks of an item: the size that they agree on, else that of the image, else the most common."""
        if len(set(sizes)) > 1:
            with suppress(BprError):
                return self._index.size(item.image, self.max_pixels)
        return max(sizes, key=sizes.count, default=(0, 0))

    def _read_mask(self, mask: Path) -> Mask:
        read, self._foregrounds[mask] = read_mask(self._root / mask, self.max_pixels)
        return read

    def faults(self, item: Item | None = None) -> list[Failure]:
        """The lines and masks that cannot be read, in the order of the files."""
        return [fault for (name, _), fault in sorted(self._faults.items()) if item is None or name == item.name]

    @property
    def is_readable(self) -> bool:
        """Whether there are lines without a fault."""
        return any((name, number) not in self._faults for name, lines in self._lines.items() for number in lines)

    def encode(self, item: Item, refined: Prediction) -> dict[Path, bytes]:
        """Encode the masks of an item as PNG files, by relative path; those that cannot be read stay as they are."""
        paths = [path for path, _ in self._usable(item).values()]
        if not isinstance(refined, tuple) or len(refined) != len(paths):
            raise TypeError(f"expected {len(paths)} masks for {item.name}")
        encoded = {path: self._encode_mask(path, mask) for path, mask in zip(paths, refined, strict=True)}
        named = {path for path, _ in self._lines[item.name].values()} | self._kept.get(item.name, set())
        return encoded | {path: read_bytes(self._root / path) for path in sorted(named - set(paths))}

    def _encode_mask(self, path: Path, mask: Mask) -> bytes:
        if path not in self._foregrounds:
            self._read_mask(path)
        return encode_mask(mask, self._root / path, self._foregrounds.pop(path))

    def result_text(self, item: Item) -> bytes:
        """The unchanged content of an item's result file."""
        return read_bytes(self._root / item.name)

    def file(self, item: Item) -> Path:
        """The result file of an item."""
        return self._root / item.name

    def files(self, item: Item) -> list[Path]:
        """The result file of an item and its masks."""
        return [self.file(item), *(self._root / mask for mask, _ in self._lines[item.name].values())]

    def size(self, item: Item) -> Size | None:
        """(H, W) of most masks whose files say it."""
        sizes = []
        for mask, _ in self._usable(item).values():
            with suppress(BprError):
                sizes.append(image_size(self._root / mask, self.max_pixels))
        return self._size_of(item, sizes) if sizes else None

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """Labels and scores of the masks that can be read, in the order of the result file."""
        return tuple(record for _, record in self._usable(item).values())

    def segment_names(self, item: Item) -> list[str]:
        """The file and the label of every mask that can be read."""
        self.read(item)  # finds those that cannot
        return [f"{path}, {self.class_name(record.category)}" for path, record in self._usable(item).values()]

    def writer(self, out: Path) -> Writer:
        """Make a writer of result files and masks, under the relative paths of the input."""
        return _CityscapesWriter(self, out)


class _CityscapesWriter(Writer):
    def __init__(self, source: CityscapesSet, out: Path) -> None:
        self._source = source
        self._out = out

    def write(self, item: Item, refined: Prediction) -> Written:
        encoded = self._source.encode(item, refined)
        files = {self._out / path: write_bytes(self._out / path, content) for path, content in encoded.items()}
        # Written last, so that a result file never names a missing mask.
        result = self._out / item.name
        return Written({**files, result: write_bytes(result, self._source.result_text(item))})
