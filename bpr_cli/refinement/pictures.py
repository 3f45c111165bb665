"""Before/after pictures of a refinement: of the images that changed most, drawn from the files that were written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from bpr_cli.errors import BprError, printable, without_notes
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.images import read_image
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import Format, ReadSettings, Task
from bpr_cli.masks.drawing import FILLS, to_jpeg
from bpr_cli.masks.masks import LabelMap, size_of
from bpr_cli.refinement.before_after import QUALITY, class_colours, compare, with_legend
from bpr_cli.refinement.furthest import most_changed, name_of_furthest
from bpr_cli.refinement.image import RefinementStats
from bpr_cli.refinement.result import RefineResult
from bpr_cli.system.atomic import concerns_all_files, writing
from bpr_cli.system.paths import output_file, write_bytes
from bpr_cli.system.store import remove

FOLDER, SUFFIX = "pictures", "_before_after.jpg"
"""Where the pictures are, and the end of their names, which tells them from the files of others."""
LONGEST_NAME, LONGEST_SEGMENT = 56, 30
"""Characters of the names of a file and of a segment that fit above a picture."""
MOST_CLASSES = 3 * len(FILLS)
"""Classes of a map up to which a picture has a legend; of more, a colour would tell too little."""


def add_pictures(
    predictions: PredictionSet, out: Path, options: ReadSettings, count: int, result: RefineResult
) -> None:
    """Draw the images that a refinement changed most, and note them in its result.

    The pictures are JPEG files, which no reader takes for predictions. Those of an earlier refinement are removed. If
    pictures cannot be drawn, a note says why.

    Args:
        predictions: the coarse predictions.
        out: output of the refinement, which must be complete.
        options: how the coarse predictions were read.
        count: largest number of pictures; images that did not change get none.
        result: result of the refinement; receives the pictures, that of the most changed image first.

    Raises:
        BprError: the disk is full, or the like.
    """
    folder = pictures_folder(predictions, out)
    with writing(folder):
        for earlier in folder.glob(f"[0-9][0-9]_*{SUFFIX}"):
            remove(earlier)
    chosen = most_changed(predictions.items, result.items)[:count]
    try:
        with without_notes():
            for number, (item, picture) in enumerate(_drawn(chosen, predictions, out, options, result.items), start=1):
                path = folder / f"{number:02}_{item.image.stem}{SUFFIX}"
                write_bytes(path, picture)
                result.pictures.append(path)
    except BprError as error:
        if concerns_all_files(error):
            raise
        result.notes.append(f"pictures are missing: {error}")


def pictures_folder(predictions: PredictionSet, out: Path) -> Path:
    """The folder of the pictures: in the output directory, or beside an output file."""
    if predictions.one_file and output_file(out, predictions.one_file) == out:
        return out.with_name(f"{out.stem}_{FOLDER}")
    return out / FOLDER


def _drawn(
    items: Sequence[Item],
    predictions: PredictionSet,
    out: Path,
    options: ReadSettings,
    stats: Mapping[str, RefinementStats],
) -> Iterator[tuple[Item, bytes]]:
    """Items with their pictures, as JPEG."""
    if not items:
        return
    refined = _open_refined(predictions, out, options)
    written = {item.name: item for item in refined.items}
    for item in items:
        before = predictions.read(item)
        # A single mask may have been given another name.
        after = refined.read(written.get(item.name, refined.items[0]))
        image = read_image(item.image, predictions.max_pixels, masks=size_of(before), page=item.page)
        moved = _movement(stats[item.name], name_of_furthest(predictions, item, stats[item.name]))
        captions = (_shortened(item.image.name, LONGEST_NAME), moved)
        picture = compare(image, before, after, captions)
        has_legend = predictions.task is Task.SEMANTIC and len(stats[item.name].movements) <= MOST_CLASSES
        if has_legend and isinstance(before, LabelMap) and isinstance(after, LabelMap):
            names = [_shortened(name, LONGEST_SEGMENT) for name in predictions.segment_names(item)]
            picture = with_legend(picture, class_colours(before, after, names))
        yield item, to_jpeg(picture, QUALITY)


def _open_refined(predictions: PredictionSet, out: Path, options: ReadSettings) -> PredictionSet:
    """Open the output of a refinement of files."""
    assert predictions.inputs is not None
    written = output_file(out, predictions.one_file) if predictions.one_file else out
    images = predictions.items[0].image if len(predictions.items) == 1 else Path(predictions.inputs.images)
    return open_predictions(written, images, replace(options, format=cast(Format, predictions.format)))


def _movement(stats: RefinementStats, furthest: str) -> str:
    """How far boundaries moved: the mean, and that of the segment that moved furthest, with its name."""
    mean = f"boundaries moved by {stats.displacement:.2f} px"
    return (
        mean
        if len(stats.movements) == 1
        else f"{mean}, at most {stats.furthest:.2f} px ({_shortened(furthest, LONGEST_SEGMENT)})"
    )


def _shortened(name: str, longest: int) -> str:
    """The end of a name on one line, in at most ``longest`` characters."""
    line = printable(name)
    return line if len(line) <= longest else f"…{line[1 - longest :]}"
