"""Cityscapes instance results: a text file of ``mask.png labelID score`` lines per image, and mask files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from bpr_cli.errors import BprError, shorten
from bpr_cli.formats.base import Item, PredictionSet, SegmentRecord, Writer, Written
from bpr_cli.formats.coco_json import is_category, is_finite
from bpr_cli.formats.image_lookup import Candidate, ImageIndex, match_images
from bpr_cli.formats.images import image_size
from bpr_cli.formats.mask_files import encode_mask, read_mask
from bpr_cli.formats.reading import InputReading
from bpr_cli.formats.settings import ReadSettings, Task
from bpr_cli.formats.source import Source
from bpr_cli.masks.masks import Mask, Prediction
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

    Masks keep their relative paths, so they must lie inside the folder and belong to one result file each.
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
        files = result_files(source)
        if not files:
            raise BprError(
                f"{source.path} holds no Cityscapes result file, expected a directory with files called …_pred.txt "
                "whose lines are 'mask.png labelID score'"
            )
        self._masks: dict[str, list[Path]] = {}
        self._records: dict[str, list[SegmentRecord]] = {}
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
            lines = self._parse(file)
            self._masks[name] = [mask for mask, _ in lines]
            self._records[name] = [record for _, record in lines]
        except BprError as error:
            return Candidate(name, problem=str(error))
        files = (self._root / file, *(self._root / mask for mask in self._masks[name]))
        return Candidate(name, (file.with_suffix("").as_posix(),), files=files)

    def _parse(self, file: Path) -> list[tuple[Path, SegmentRecord]]:
        """Paths of the masks of a result file, relative to the root, with their metadata, in the order of its lines."""
        masks = []
        for number, line in enumerate(_decode(read_bytes(self._root / file)).split("\n"), start=1):
            if not line.strip():
                continue
            try:
                masks.append(self._mask_of_line(file, line))
            except BprError as error:
                raise BprError(f"{self._root / file}, line {number}: {error}") from error
        return masks

    def _mask_of_line(self, file: Path, line: str) -> tuple[Path, SegmentRecord]:
        result = _parse_line(line)
        if result is None:
            raise BprError(f"found {line.strip()[:80]!r}, expected 'mask.png labelID score'")
        if not (is_category(result.label) and is_finite(result.score)):
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
        labels = {record.category for records in self._records.values() for record in records}
        return replace(super().reading, classes=len(labels))

    def read(self, item: Item) -> Prediction:
        """Read the masks of one image, in the order of its result file."""
        masks = tuple(self._read_mask(mask) for mask in self._masks[item.name])
        sizes = sorted({mask.size for mask in masks})
        if len(sizes) > 1:
            shapes = " and ".join(f"{height} x {width}" for height, width in sizes[:2])
            raise BprError(f"{self._root / item.name}: its masks have different sizes ({shapes})")
        return masks

    def _read_mask(self, mask: Path) -> Mask:
        read, self._foregrounds[mask] = read_mask(self._root / mask, self.max_pixels)
        return read

    def encode(self, item: Item, refined: Prediction) -> dict[Path, bytes]:
        """Encode the refined masks of an item as PNG files, by relative path."""
        masks = self._masks[item.name]
        if not isinstance(refined, tuple) or len(refined) != len(masks):
            raise TypeError(f"expected {len(masks)} masks for {item.name}")
        return {path: self._encode_mask(path, mask) for path, mask in zip(masks, refined, strict=True)}

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
        return [self.file(item), *(self._root / mask for mask in self._masks[item.name])]

    def size(self, item: Item) -> Size | None:
        """(H, W) of the first mask."""
        return next((image_size(self._root / mask, self.max_pixels) for mask in self._masks[item.name]), None)

    def records(self, item: Item) -> tuple[SegmentRecord, ...]:
        """Labels and scores, in the order of the result file."""
        return tuple(self._records[item.name])

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
