"""Conversion of files from one format to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path, PureWindowsPath

from bpr_cli.conversion.exports import EXPORTS, Target
from bpr_cli.conversion.segments import ImageSegments, ListedIds, Losses, classes_of, read_segments
from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import Failure, PredictionSet
from bpr_cli.formats.coco_json import ImageTable, read_categories
from bpr_cli.formats.json_files import read_json
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.output_checks import check_empty, check_outputs
from bpr_cli.formats.reading import Format, ReadSettings
from bpr_cli.formats.records import CategoryRecord
from bpr_cli.settings import check_settings, checked
from bpr_cli.system.paths import as_path
from bpr_cli.system.terminal import Advance, show_progress, tell
from bpr_cli.truth.open import open_without_images


@dataclass
class ConversionSummary:
    """A finished conversion.

    Attributes:
        output: output file or directory.
        format: its format.
        images: number of images that were converted.
        segments: number of their masks.
        failures: what could not be read.
        notes: what the format cannot hold, and how the input was read.
    """

    output: str
    format: str
    images: int = 0
    segments: int = 0
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def convert(
    predictions: Path | str,
    out: Path | str,
    format: Format,  # noqa: A002 - the name that all functions of the API use
    images: Path | str | None = None,
    options: ReadSettings = ReadSettings(),  # noqa: B008 - frozen
    *,
    overwrite: bool = False,
    progress: bool = False,
) -> ConversionSummary:
    """Write predictions in another format, as ``bpr convert`` does.

    Args:
        predictions: a file or directory of any format that ``bpr`` reads.
        out: output directory; for COCO, also a file that ends in ``.json``.
        format: the format to write.
        images: the directory of the images, or one image; needed where predictions do not state sizes, as in YOLO.
        options: how to read the predictions; their ``polygon_tolerance`` is that of written polygons. Their
            ``image_info`` names and numbers classes by its ``categories``, and the images of formats without ids by its
            ``images``.
        overwrite: whether files in ``out`` may be replaced.
        progress: show what the input was taken for and a progress bar on standard error.

    Returns:
        The summary; its notes say what the format cannot hold.

    Raises:
        BprError: nothing can be read, or ``out`` is an input or holds files.
    """
    check_settings(options, ReadSettings, "options")
    checked("format", format, Format)
    source, target = as_path(predictions, "predictions"), as_path(out, "out")
    pictures = None if images is None else as_path(images, "images")
    _check_out(target, source, pictures, format, overwrite)
    how = replace(options, polygon_tolerance=ReadSettings.polygon_tolerance)
    opened = open_predictions(source, pictures, how) if pictures else open_without_images(source, how)
    reading = opened.reading
    options_here = tuple(each.replace("--format", "--from") for each in reading.options)  # --format is what is written
    tell(progress, replace(reading, options=options_here).sentence(source))
    summary = ConversionSummary(str(target), format, failures=list(opened.failures))
    export, info = EXPORTS[format], options.image_info
    listed = read_categories(read_json(info), info) if info else ()
    classes = _classes_by_name(opened.categories, listed)
    unlisted = _unlisted(opened, listed, classes) if classes else []
    categories = (*listed, *unlisted) if classes else _categories(opened, listed)
    with_images = info if export.holds.ids else None
    ids = ListedIds(with_images, _images_by_name(with_images) if with_images else {}, classes)
    losses = Losses(export.holds)
    with show_progress(progress, "converting", len(opened.items)) as advance:
        found = _read_all(opened, pictures, ids, summary, losses, advance)
        export.write(found, Target(target, categories, options.polygon_tolerance, opened.holds_polygons))
    summary.failures += opened.faults()
    notes = opened.notes("converted")
    if unlisted:
        told = join_names(f"{each.name} got the id {each.id}" for each in unlisted)
        notes = [*notes, f"{info} does not list all classes: {told}; check --image-info"]
    summary.notes = [*notes, *losses.sentences(format, categories)]
    return summary


def _check_out(out: Path, source: Path, images: Path | None, format: str, overwrite: bool) -> None:  # noqa: A002
    """Check that the output replaces nothing."""
    is_file = format == "coco" and out.suffix.lower() == ".json"
    check_outputs(out.parent if is_file else out, [path for path in (source, images) if path and not is_file])
    if is_file and out.resolve() == source.resolve():
        raise BprError(f"the output {out} would overwrite the predictions; give another path")
    check_empty(out, overwrite)


def _categories(opened: PredictionSet, listed: Sequence[CategoryRecord]) -> tuple[CategoryRecord, ...]:
    """The classes of a set: those that it or the file with its images lists, and others that its masks have."""
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


def _images_by_name(info: Path) -> dict[str, int | str]:
    """The ids of the images that a file lists, by their names without ending, with and without folders, if unique."""
    found: dict[str, int | str] = {}
    listed = [(PureWindowsPath(each.file_name).with_suffix(""), each.id) for each in ImageTable.read(info).records]
    for names in ([path.name for path, _ in listed], [path.as_posix() for path, _ in listed]):
        counts = Counter(names)
        found |= {name: key for name, (_, key) in zip(names, listed, strict=True) if counts[name] == 1}
    return found


def _read_all(
    opened: PredictionSet,
    images: Path | None,
    ids: ListedIds,
    summary: ConversionSummary,
    losses: Losses,
    advance: Advance,
) -> Iterator[ImageSegments]:
    """The masks of all images that can be read, and whose files replace none of another image.

    Raises:
        BprError: none can be read; raised here, so that nothing is written.
    """
    names: dict[str, str] = {}
    for item in opened.items:
        try:
            found = read_segments(opened, item, images, ids)
            if found.stem in names and not losses.holds.endings:
                raise BprError(
                    f"{found.name} would get the same files as {names[found.stem]} in {summary.output}; give the "
                    "images names that differ in more than their endings, or use --format coco"
                )
        except BprError as error:
            summary.failures.append(Failure(item.name, str(error)))
        else:
            names[found.stem] = found.name
            losses.note(found)
            summary.images += 1
            summary.segments += len(found.segments)
            yield found
        advance()
    if not summary.images and summary.failures:
        raise BprError(summary.failures[0].reason)
