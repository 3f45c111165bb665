"""Pages of TIFF files that hold whole numbers: read one by one, and written with everything else as it was."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError, counted, lacking
from bpr_cli.formats.reading import check_pixels
from bpr_cli.system.atomic import atomic_file, writing
from bpr_cli.system.paths import check_regular
from bpr_cli.system.store import local
from bpr_cli.typing import LabelArray, Size

LARGEST_LABEL = 2**31 - 1

_MADE_BY_WRITER = frozenset(
    {254, 256, 257, 258, 259, 262, 266, 270, 273, 277, 278, 279, 282, 283, 284, 296, 305, 306, 317, 320, 322, 323, 324}
    | {325, 330, 338, 339}
)
"""Codes of the tags that follow from the pixels or are arguments of the writer; the others are copied."""
_CODECS = "imagecodecs"
"""The package of compressions that tifffile lacks, such as LZW; the extra ``tiff`` has both."""
_SILENCE = logging.NullHandler()


def package(path: Path) -> ModuleType:
    """The package ``tifffile``.

    Raises:
        BprError: it is not installed.
    """
    try:
        import tifffile  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise lacking(f"the TIFF file {path}", ["tifffile"]) from error
    # What it finds broken is told in a sentence, and its log would be told beside it.
    logging.getLogger("tifffile").addHandler(_SILENCE)
    return tifffile


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a TIFF file; problems that show meanwhile become sentences.

    Raises:
        BprError: ``tifffile`` is not installed, or the file is broken.
    """
    tifffile = package(path)
    check_regular(path)
    try:
        with tifffile.TiffFile(local(path)) as file:
            yield file
    except BprError:
        raise
    except Exception as error:  # whatever broken bytes make of tifffile and the codecs
        if _CODECS in str(error):
            raise lacking(f"the compression of the TIFF file {path}", [_CODECS]) from error
        raise BprError(f"{path} cannot be read as a TIFF file ({error or type(error).__name__})") from error


def count_pages(path: Path) -> int:
    """Number of pages of a TIFF file.

    Raises:
        BprError: the file is broken, or no TIFF file.
    """
    with _opened(path) as file:
        count = len(file.pages)
    if not count:
        raise BprError(
            f"{path} has no page that can be found, expected a TIFF file; it may be truncated: write it again"
        )
    return count


def page_size(path: Path, page: int, max_pixels: int) -> Size:
    """(H, W) of a page of labels.

    Raises:
        BprError: the file is broken, or the page is too large or holds no labels.
    """
    with _opened(path) as file:
        return _size_of(file.pages[page], path, page, max_pixels)


def read_page(path: Path, page: int, max_pixels: int) -> NDArray[Any]:
    """The whole numbers of a page, as they are stored: (H, W).

    Raises:
        BprError: the file is broken, or the page is too large or holds no labels.
    """
    with _opened(path) as file:
        found = file.pages[page]
        _size_of(found, path, page, max_pixels)
        return np.asarray(found.asarray()).reshape(found.imagelength, found.imagewidth)


def read_labels(path: Path, page: int, max_pixels: int) -> LabelArray:
    """The labels of a page: int32, (H, W).

    Raises:
        BprError: as ``read_page``; or a label is negative, or beyond 31 bits.
    """
    values = read_page(path, page, max_pixels)
    low, high = int(values.min(initial=0)), int(values.max(initial=0))
    if low < 0 or high > LARGEST_LABEL:
        raise BprError(f"{path} holds the label {low if low < 0 else high}, expected 0 to {LARGEST_LABEL}")
    return values.astype(np.int32)


def _size_of(page: Any, path: Path, number: int, max_pixels: int) -> Size:  # noqa: ANN401 - of tifffile
    height, width = int(page.imagelength), int(page.imagewidth)
    where = f"{path}, page {number + 1}"
    check_pixels(f"{where} claims to have", (height, width), max_pixels)
    if not height * width:
        raise BprError(f"{where} claims to have no pixels; write it again")
    kind = page.dtype
    if kind is None or kind.kind not in "iu" or page.samplesperpixel != 1 or page.imagedepth != 1:
        raise BprError(
            f"{where} holds {counted(page.samplesperpixel, 'channel')} of {kind}, expected one channel of whole "
            "numbers: labels"
        )
    if page.subifds:
        raise BprError(f"{where} holds smaller copies of itself, which would no longer fit; save it without a pyramid")
    return height, width


def copy_pages(source: Path, target: IO[bytes], changed: Callable[[int], NDArray[Any] | None]) -> None:
    """Write a TIFF file with other values in some pages, and everything else as in the source.

    Args:
        source: the file to copy.
        target: a new file.
        changed: the values of a page, (H, W), by its number from 0; None for those of the source.

    Raises:
        BprError: the source is broken, or its compression needs a package that is not installed.
    """
    with (
        _opened(source) as file,
        package(source).TiffWriter(target, bigtiff=file.is_bigtiff, byteorder=file.byteorder, shaped=False) as writer,
    ):
        for number, page in enumerate(file.pages):
            values = changed(number)
            stored = page.asarray() if values is None else values.astype(page.dtype).reshape(page.shape)
            writer.write(stored, **_style_of(page))


def write_labels(path: Path, labels: LabelArray) -> None:
    """Write a TIFF file of one page: 16 bits, or 32 where they are needed.

    Raises:
        BprError: ``tifffile`` is not installed, or the file cannot be written.
    """
    tifffile = package(path)
    kind = np.uint16 if labels.max(initial=0) < 2**16 else np.uint32
    with writing(path), atomic_file(path) as file:
        tifffile.imwrite(file, labels.astype(kind), photometric="minisblack", compression="zlib", metadata=None)


def _style_of(page: Any) -> dict[str, Any]:  # noqa: ANN401 - of tifffile
    """The arguments of the writer for a page like this one."""
    tags = page.tags
    others = [(tag.code, tag.dtype, tag.count, tag.value, True) for tag in tags if tag.code not in _MADE_BY_WRITER]
    tiled = page.is_tiled
    return {
        "photometric": page.photometric,
        "compression": page.compression,
        "predictor": page.predictor,
        "tile": (page.tilelength, page.tilewidth) if tiled else None,
        "rowsperstrip": None if tiled else page.rowsperstrip,
        "colormap": page.colormap,
        "description": page.description.encode() or None,
        "software": page.software or False,
        "datetime": tags["DateTime"].value if "DateTime" in tags else None,
        "resolution": _resolution_of(tags),
        "resolutionunit": tags["ResolutionUnit"].value if "ResolutionUnit" in tags else None,
        "subfiletype": page.subfiletype,
        "extratags": others,
        "metadata": None,
    }


def _resolution_of(tags: Any) -> tuple[tuple[int, int], tuple[int, int]] | None:  # noqa: ANN401 - of tifffile
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    return tags["XResolution"].value, tags["YResolution"].value
