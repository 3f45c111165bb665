"""What the user gave as predictions, before anyone knows its format: listed and parsed at most once."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.json_files import Json, read_json
from bpr_cli.formats.report import is_report
from bpr_cli.system.paths import list_files, list_folder


class Source:
    """A file or directory of predictions.

    Attributes:
        path: as the user gave it.
        root: the directory, or the directory of the file.
    """

    def __init__(self, path: Path, ending: str = "", kind: str = "predictions") -> None:
        """Look at ``path``.

        Args:
            path: a file or a directory.
            ending: of the stems of the PNG files that count, for folders that hold several kinds of them.
            kind: what it should hold, for messages.

        Raises:
            BprError: it does not exist, or is an empty directory.
        """
        if not path.exists():
            raise BprError(f"{path} does not exist, expected a file or directory of {kind}; check the path")
        if path.is_dir() and not any(list_folder(path)):
            raise BprError(f"{path} is an empty directory, expected {kind} in it")
        self.path = path
        self._ending = ending
        self._kind = kind
        self.is_file = not path.is_dir()
        self.root = path.parent if self.is_file else path

    def files(self, suffix: str) -> list[Path]:
        """Files with the suffix, relative to ``root`` and sorted; just the given one for a file."""
        if self.is_file:
            return [Path(self.path.name)] if self.path.suffix.lower() == suffix else []
        return list_files(self.path, (suffix,))

    @cached_property
    def pngs(self) -> list[Path]:
        """The PNG files."""
        return [file for file in self.files(".png") if file.stem.endswith(self._ending)]

    @cached_property
    def documents(self) -> list[Path]:
        """JSON files directly in the directory, but no report of a refinement, or the given JSON file itself."""
        if self.is_file:
            return [self.path] if self.path.suffix.lower() == ".json" else []
        found = (file for file in list_folder(self.path) if file.suffix.lower() == ".json" and file.is_file())
        return [file for file in found if not is_report(file)]

    @cached_property
    def sibling_document(self) -> Path | None:
        """For a directory ``preds``, the file ``preds.json`` next to it."""
        path = self.path.resolve()
        sibling = path.with_name(f"{path.name}.json")
        return sibling if not self.is_file and sibling.is_file() else None

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
        return read_json(self.document_path)
