"""Where results may be written."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.image_lookup import IMAGE_SUFFIXES
from bpr_cli.system.paths import output_file

_FILE_SUFFIXES = (".json", *IMAGE_SUFFIXES)


def check_outputs(out: Path, read: Iterable[Path] = (), refined: PredictionSet | None = None) -> None:
    """Refuse an output that cannot be written, or that would overwrite or mix with what is read; writes nothing.

    Args:
        out: a folder for new files; of refined predictions a folder or a file.
        read: files and folders that are read.
        refined: predictions that ``open_predictions`` opened and whose refined form is written; None for other output.

    Raises:
        BprError: ``out`` is or lies in a folder that is read, is a file where a folder is needed or the other way
            round, would overwrite what is read, is in a place that cannot be written, or would hold two predictions
            under names that its file system takes for one.
    """
    if refined is not None and refined.inputs is not None:
        _check_refined(Path(refined.inputs.predictions), Path(refined.inputs.images), out)
        _check_image_names(refined, out)
        _check_case(refined, out)
        return
    if out.is_file():
        raise BprError(f"the output {out} is a file, expected a folder; give another --out")
    for source in read:
        if source.is_dir() and source.resolve() in (out.resolve(), *out.resolve().parents):
            raise BprError(f"the output {out} lies inside {source}, which is read; give another --out")
    _check_writable(out, out)


def _check_refined(predictions: Path, images: Path, out: Path) -> None:
    """Check the output against the paths that the user gave."""
    written = output_file(out, predictions.name) if predictions.is_file() else out
    for source in (predictions, images):
        if source.resolve() in (out.resolve(), written.resolve()):
            raise BprError(f"the output {out} would overwrite {source}, which is read; give another --out")
    if predictions.is_dir():
        _check_beside(predictions, out)
    if written != out:
        _check_ending(predictions, out)
    _check_writable(out.parent if out.is_file() else out, out)


def _check_beside(predictions: Path, out: Path) -> None:
    """The output of a folder is a folder that shares nothing with it."""
    source, target = predictions.resolve(), out.resolve()
    if source in target.parents:
        raise BprError(f"the output {out} lies inside the predictions {predictions}; give an --out outside of them")
    document = source.with_name(f"{source.name}.json")
    if target == source.parent and document.is_file():
        raise BprError(f"the output {out} would overwrite {document.name}, which is read; give another --out")
    if out.is_file():
        raise BprError(f"the output {out} is a file, but refining a directory needs a directory; give another --out")


def _check_ending(predictions: Path, out: Path) -> None:
    """A name that looks like a file's must not become a folder."""
    if out.is_file() or (out.suffix.lower() in _FILE_SUFFIXES and not out.is_dir()):
        raise BprError(
            f"the output {out} is not a {predictions.suffix} file like {predictions}; give a name that ends in "
            f"{predictions.suffix}, or a directory"
        )


def _check_writable(folder: Path, out: Path) -> None:
    """The folder, or the nearest one above it that exists, can be written to."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise BprError(f"the output {out} cannot be made, because {folder} is not a directory; give another --out")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BprError(f"the output {out} cannot be written: no permission to write to {folder}; give another --out")


def _check_image_names(predictions: PredictionSet, out: Path) -> None:
    """No file that is written is the image of an item."""
    for item in predictions.items:
        if item.image.resolve() in (out.resolve(), (out / item.name).resolve()):
            raise BprError(f"the output {out} would overwrite {item.image}, which is read; give another --out")


def _check_case(predictions: PredictionSet, out: Path) -> None:
    """No two predictions overwrite each other where they are written.

    Linux keeps ``A.png`` and ``a.png`` apart. The file systems of macOS and Windows, and of most memory cards, do not,
    nor do they keep apart different Unicode compositions of the same letters.
    """
    names: dict[str, Path] = {}
    for path in (path for item in predictions.items for path in predictions.files(item)):
        known = names.setdefault(unicodedata.normalize("NFC", str(path)).casefold(), path)
        if known != path and ignores_case(out):
            raise BprError(
                f"the output {out} is on a file system that takes {known.name} and {path.name} for one file; rename "
                "one of the predictions"
            )


def ignores_case(folder: Path) -> bool:
    """Whether the file system of a folder, which need not exist yet, takes names that differ in case for equal."""
    for place in (folder.absolute(), *folder.absolute().parents):
        other = place.parent / place.name.swapcase()
        if place.exists() and other != place:
            return other.exists() and other.samefile(place)
    return False
