"""Checks that output can be written and does not overwrite input."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from bpr_cli.errors import BprError, counted
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.image_names import IMAGE_SUFFIXES
from bpr_cli.formats.packed_files import PACKED
from bpr_cli.system.paths import list_folder, output_file

_FILE_SUFFIXES = (".json", ".jsonl", ".ndjson", PACKED, ".txt", *IMAGE_SUFFIXES)


def check_outputs(out: Path, read: Iterable[Path] = (), refined: PredictionSet | None = None) -> None:
    """Refuse an output that cannot be written, or that would overwrite or mix with the input; writes nothing.

    Args:
        out: output folder; for refined predictions, a folder or a file.
        read: input files and folders.
        refined: predictions from ``open_predictions`` that will be written in refined form; None for other output.

    Raises:
        BprError: ``out`` is an input folder or lies in one, is a file where a folder is needed or vice versa, would
            overwrite input, cannot be written, or would hold two predictions whose names its file system cannot tell
            apart.
    """
    if refined is not None and refined.inputs is not None:
        _check_refined(Path(refined.inputs.predictions), Path(refined.inputs.images), out)
        _check_folder_name(refined, out)
        _check_image_names(refined, out)
        _check_case(refined, out)
        return
    if out.is_file():
        raise BprError(f"the output {out} is a file, expected a folder; give another --out")
    for source in read:
        if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
            raise BprError(f"the output {out} lies inside {source}, which is an input; give another --out")
    _check_writable(out, out)


def _check_refined(predictions: Path, images: Path, out: Path) -> None:
    """Check the output against the paths that the user gave."""
    written = output_file(out, predictions.name) if predictions.is_file() else out
    for source in (predictions, images):
        if source.resolve() in (out.resolve(), written.resolve()):
            raise BprError(f"the output {out} would overwrite {source}, which is an input; give another --out")
    if predictions.is_dir():
        _check_beside(predictions, out)
    if written != out:
        _check_ending(predictions, out)
    _check_writable(out.parent if out.is_file() else out, out)


def _check_beside(predictions: Path, out: Path) -> None:
    """Check that the output for a folder is a separate folder."""
    source, target = predictions.resolve(), out.resolve()
    if source in target.parents:
        raise BprError(f"the output {out} lies inside the predictions {predictions}; give an --out outside of them")
    document = source.with_name(f"{source.name}.json")
    if target == source.parent and document.is_file():
        raise BprError(f"the output {out} would overwrite {document.name}, which is an input; give another --out")
    if out.is_file():
        raise BprError(f"the output {out} is a file, but refining a directory needs a directory; give another --out")


def _check_ending(predictions: Path, out: Path) -> None:
    """Check that a folder is not given a name that looks like a file name."""
    if out.is_file() or (out.suffix.lower() in _FILE_SUFFIXES and not out.is_dir()):
        raise BprError(
            f"the output {out} is not a {predictions.suffix} file like {predictions}; give a name that ends in "
            f"{predictions.suffix}, or a directory"
        )


def _check_folder_name(predictions: PredictionSet, out: Path) -> None:
    """Check that a folder for several files is not given the name of a file."""
    if predictions.one_file is None and out.suffix.lower() in _FILE_SUFFIXES and not out.is_dir():
        raise BprError(
            f"the output {out} has the name of a {out.suffix} file, but it becomes a directory with "
            f"{counted(len(predictions.items), 'file')}; leave the ending out, or give a single file of predictions"
        )


def check_empty(out: Path, overwrite: bool) -> None:
    """Refuse an output folder or file that holds something, unless it may be replaced."""
    if not overwrite and (out.is_file() or (out.is_dir() and list_folder(out))):
        raise BprError(f"the output {out} already holds files; give another path, or --overwrite to replace them")


def _check_writable(folder: Path, out: Path) -> None:
    """Check that the folder, or its nearest existing parent, can be written to."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise BprError(f"the output {out} cannot be made, because {folder} is not a directory; give another --out")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BprError(f"the output {out} cannot be written: no permission to write to {folder}; give another --out")


def _check_image_names(predictions: PredictionSet, out: Path) -> None:
    """Check that no output file is the image of an item."""
    is_file = out.is_file()
    for item in predictions.items:
        written = out if is_file else out / item.name
        if written.exists() and written.resolve() == item.image.resolve():
            raise BprError(f"the output {out} would overwrite {item.image}, which is an input; give another --out")


def _check_case(predictions: PredictionSet, out: Path) -> None:
    """Check that no two predictions overwrite each other in the output.

    On Linux, ``A.png`` and ``a.png`` are different files. On macOS and Windows, and on most memory cards, they are the
    same, and so are different Unicode compositions of the same letters.
    """
    names: dict[str, Path] = {}
    for path in (path for item in predictions.items for path in predictions.files(item)):
        known = names.setdefault(unicodedata.normalize("NFC", str(path)).casefold(), path)
        if known != path and ignores_case(out):
            raise BprError(
                f"the output {out} is on a file system that cannot tell {known.name} and {path.name} apart; rename "
                "one of the predictions"
            )


def ignores_case(folder: Path) -> bool:
    """Whether the file system of a folder ignores the case of names; the folder need not exist yet."""
    for place in (folder.absolute(), *folder.absolute().parents):
        other = place.parent / place.name.swapcase()
        if place.exists() and other != place:
            return other.exists() and other.samefile(place)
    return False
