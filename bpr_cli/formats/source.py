"""A file or folder of predictions whose format is not known yet; listed, parsed and sampled at most once."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.json_files import Json, read_records
from bpr_cli.formats.packed_files import PACKED, is_document
from bpr_cli.formats.png import ColourError, is_one_bit, read_gray
from bpr_cli.formats.reading import MAX_PIXELS
from bpr_cli.masks.values import BYTE, MaskValues
from bpr_cli.system.journal import FOLDER
from bpr_cli.system.paths import list_files, list_folder, read_bytes

REPORT, REPORT_KIND = "run.json", "bpr refinement"
"""File name of the report that ``bpr refine`` writes to its output, and the value of its first field, ``kind``."""

_REPORT_HEAD = re.compile(rf'\s*{{\s*"kind"\s*:\s*"{REPORT_KIND}"'.encode())
_COMPANIONS = ("_color", "_colour", "_viz", "_instanceIds", "_instanceTrainIds")
_SAMPLE = 16


@dataclass(frozen=True)
class PngSample:
    """The content of a sample of the PNG files in a folder.

    Attributes:
        files: number of files in the sample.
        values: the values of the files that could be read as gray, taken together.
        errors: errors of the other files, in the order of their names.
        many_valued: files with several values besides 0, relative to the folder; one makes a folder of masks soft.
    """

    files: int
    values: MaskValues
    errors: list[BprError]
    many_valued: list[Path] = field(default_factory=list)

    @property
    def some_are_binary(self) -> bool:
        """Whether some of the files that could be read hold 0 and at most one other value, but not all."""
        return 0 < len(self.many_valued) < self.files - len(self.errors)

    @property
    def colours(self) -> list[BprError]:
        """The errors of files that hold colours."""
        return [error for error in self.errors if isinstance(error, ColourError)]


class Source:
    """A file or folder of predictions.

    Attributes:
        path: path as given by the user.
        root: the folder, or the parent folder of a file.
        is_file: whether it is a single file.
        max_pixels: largest PNG file that is read, in pixels.
    """

    def __init__(self, path: Path, ending: str = "", kind: str = "predictions", images: Collection[Path] = ()) -> None:
        """Check that the path exists and is not empty.

        Args:
            path: file or folder.
            ending: ending of the stems of the PNG files to use, for folders that hold several kinds of them.
            kind: noun for the expected content, for messages.
            images: PNG files, relative to ``root``, that are images and no predictions.

        Raises:
            BprError: the path does not exist, or is an empty folder.
        """
        if not path.exists():
            raise BprError(f"{path} does not exist, expected a file or directory of {kind}; check the path")
        if path.is_dir() and not any(list_folder(path)):
            if (path / FOLDER).exists():
                raise BprError(
                    f"{path} holds an unfinished run of bpr, expected {kind} in it; repeat its command first"
                )
            raise BprError(f"{path} is an empty directory, expected {kind} in it")
        self.path = path
        self._ending = ending
        self._kind = kind
        self._images = frozenset(images)
        self.is_file = not path.is_dir()
        self.max_pixels = MAX_PIXELS
        self.root = path.parent if self.is_file else path

    def without(self, images: Collection[Path]) -> Source:
        """The source without PNG files that turned out to be images."""
        return Source(self.path, self._ending, self._kind, images) if images else self

    def files(self, suffix: str) -> list[Path]:
        """Files with the suffix, relative to ``root`` and sorted; for a single file, only that file."""
        if self.is_file:
            return [Path(self.path.name)] if self.path.suffix.lower() == suffix else []
        return list_files(self.path, (suffix,))

    @cached_property
    def pngs(self) -> list[Path]:
        """The PNG files."""
        found = [file for file in self.files(".png") if file.stem.endswith(self._ending)]
        return [file for file in found if file not in self._images]

    @cached_property
    def value_files(self) -> list[Path]:
        """The PNG files, without pictures that tools save next to label maps.

        Files that end in ``_color``, ``_viz`` or ``_instanceIds`` are left out, unless there are no others.
        """
        return [file for file in self.pngs if not file.stem.endswith(_COMPANIONS)] or self.pngs

    @cached_property
    def sample(self) -> PngSample:
        """The content of up to 16 PNG files, evenly spaced over the sorted list."""
        count = len(self.value_files)
        values = MaskValues()
        errors: list[BprError] = []
        many_valued: list[Path] = []
        for position in np.linspace(0, count - 1, min(count, _SAMPLE)).astype(int):
            try:
                path = self.root / self.value_files[position]
                found = read_gray(path, self.max_pixels)
                # White is 1 in one bit and 255 in eight.
                read = MaskValues.of(found * np.uint8(BYTE) if is_one_bit(path) else found)
            except BprError as error:
                errors.append(error)
                continue
            values += read
            many_valued += [] if read.binary else [self.value_files[position]]
        return PngSample(min(count, _SAMPLE), values, errors, many_valued)

    @cached_property
    def documents(self) -> list[Path]:
        """The JSON files directly in the folder, without reports of ``bpr refine``; or the given JSON file."""
        if self.is_file:
            return [self.path] if is_document(self.path) else []
        found = (file for file in list_folder(self.path) if is_document(file) and file.is_file())
        return [file for file in found if not is_report(file)]

    @cached_property
    def sibling_document(self) -> Path | None:
        """For a folder ``preds``, the file ``preds.json`` or ``preds.json.gz`` next to it, if it exists."""
        path = self.path.resolve()
        siblings = (path.with_name(f"{path.name}.json{packed}") for packed in ("", PACKED))
        return None if self.is_file else next((sibling for sibling in siblings if sibling.is_file()), None)

    @cached_property
    def document_path(self) -> Path:
        """The one JSON file that holds the predictions.

        Raises:
            BprError: there is none, or several.
        """
        candidates = self.documents or ([self.sibling_document] if self.sibling_document else [])
        if len(candidates) == 1:
            return candidates[0]
        if not candidates:
            raise BprError(f"{self.path} holds no JSON file, expected exactly one with the {self._kind}")
        names = join_names(file.name for file in candidates)
        raise BprError(f"{self.path} holds {len(candidates)} JSON files ({names}), expected one; give the file itself")

    @cached_property
    def document(self) -> Json:
        """The parsed content of ``document_path``."""
        return read_records(self.document_path)

    @cached_property
    def telling_document(self) -> Json:
        """The parsed JSON file for detecting the format; None if there is none, or if there are several and PNG files.

        Raises:
            BprError: there are several JSON files and no PNG files, or the file is not JSON.
        """
        if not self.documents or (len(self.documents) > 1 and self.pngs):
            return None
        return self.document


def is_report(path: Path) -> bool:
    """Whether a file is a report of ``bpr refine``: checks name and first bytes, as predictions may have that name too.

    Raises:
        BprError: the file cannot be read.
    """
    return path.name == REPORT and _REPORT_HEAD.match(read_bytes(path, 100)) is not None
