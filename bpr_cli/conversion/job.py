"""Conversion of files from one format to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from bpr_cli.conversion.exports import EXPORTS, Target
from bpr_cli.conversion.listed import Listed
from bpr_cli.conversion.losses import Losses
from bpr_cli.conversion.segments import ImageSegments, read_segments
from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, PredictionSet
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.output_checks import check_empty, check_outputs
from bpr_cli.formats.reading import Format, ReadSettings
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
    opened = _opened(source, pictures, options)
    tell(progress, opened.reading.sentence(source, format_option="--from"))  # --format is what is written
    summary = ConversionSummary(str(target), format, failures=list(opened.failures))
    export = EXPORTS[format]
    listed = Listed.of(opened, options.image_info, export.holds.ids)
    losses = Losses(export.holds)
    with show_progress(progress, "converting", len(opened.items)) as advance:
        found = _read_all(opened, pictures, listed, summary, losses, advance)
        export.write(found, Target(target, listed.categories, options.polygon_tolerance, opened.holds_polygons))
    summary.failures += opened.faults()
    summary.notes = [*opened.notes("converted"), *listed.notes, *losses.sentences(format, listed.categories)]
    return summary


def _opened(source: Path, images: Path | None, options: ReadSettings) -> PredictionSet:
    """The predictions, with their own polygons: the tolerance of ``options`` is that of written ones."""
    how = replace(options, polygon_tolerance=ReadSettings.polygon_tolerance)
    return open_predictions(source, images, how) if images else open_without_images(source, how)


def _check_out(out: Path, source: Path, images: Path | None, format: str, overwrite: bool) -> None:  # noqa: A002
    """Check that the output replaces nothing."""
    is_file = format == "coco" and out.suffix.lower() == ".json"
    check_outputs(out.parent if is_file else out, [path for path in (source, images) if path and not is_file])
    if is_file and out.resolve() == source.resolve():
        raise BprError(f"the output {out} would overwrite the predictions; give another path")
    check_empty(out, overwrite)


def _read_all(
    opened: PredictionSet,
    images: Path | None,
    listed: Listed,
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
            found = listed.put_in(read_segments(opened, item, images))
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
