"""Masks that stay run lengths until their pixels are needed. Areas, boxes and overlaps come from the runs.

All masks of an image are read in one pass over their texts, which takes a small part of the time of one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from pycocotools import mask as coco_mask

from bpr_cli.errors import BprError
from bpr_cli.formats.json_files import Json
from bpr_cli.formats.reading import MAX_PIXELS
from bpr_cli.formats.rle import HIGHEST, LONGEST_RUN_TEXT, LOWEST, compressed_text, mask_of_runs
from bpr_cli.masks.masks import EMPTY_BOX, Mask
from bpr_cli.typing import BoolArray, Box, DoubleArray, IntArray, Size


class CodedMask(Mask):
    """A mask whose pixels are decoded when they are first asked for.

    Attributes:
        counts: compressed run lengths, which were checked.
    """

    def __init__(self, size: Size, box: Box, area: int, counts: bytes, runs: IntArray) -> None:
        for name, value in (("size", size), ("box", box), ("counts", counts), ("_area", area), ("_runs", runs)):
            object.__setattr__(self, name, value)

    counts: bytes
    _area: int
    _runs: IntArray

    @property
    def area(self) -> int:
        """Number of foreground pixels."""
        return self._area

    @cached_property
    def crop(self) -> BoolArray:
        """The mask inside ``box``."""
        return mask_of_runs(self.size, self._runs).crop


def coded_overlaps(found: Sequence[CodedMask], true: Sequence[CodedMask], crowd: BoolArray) -> DoubleArray:
    """IoU of every predicted mask with every true mask, from run lengths; see ``evaluation.instances.overlaps``."""
    sides = ([{"size": mask.size, "counts": mask.counts} for mask in masks] for masks in (found, true))
    iou: DoubleArray = coco_mask.iou(*sides, crowd.astype(np.uint8))
    return iou


def read_coded(segmentations: Sequence[Json], size: Size, max_pixels: int = MAX_PIXELS) -> list[CodedMask | None]:
    """Read segmentations of one image.

    Args:
        segmentations: segmentations from records, whose form was checked (``rle.form_of``).
        size: (H, W) of the image.
        max_pixels: largest number of pixels of the image.

    Returns:
        The masks; None for those that have to be decoded one by one. These are lists of counts, masks of another size,
        polygons that cannot be drawn, and all if any text is broken.
    """
    texts = [_text_of(segmentation, size, max_pixels) for segmentation in segmentations]
    runs = _Runs.of([text for text in texts if text], size) if any(texts) else None
    masks = iter(runs.masks() if runs else ())
    return [next(masks) if runs and text else None for text in texts]


def _text_of(segmentation: Json, size: Size, max_pixels: int) -> str:
    with suppress(BprError):  # decoding it alone tells what is wrong
        return compressed_text(segmentation, size, max_pixels)
    return ""


@dataclass(frozen=True)
class _Runs:
    """The run lengths of M masks of one image, one after the other.

    Attributes:
        texts: their compressed run lengths.
        size: (H, W) of the image.
        runs: int64, all runs; each mask begins with background.
        bounds: int64, (M + 1,), index of the first run of each mask; the last entry is the number of runs.
    """

    texts: Sequence[bytes]
    size: Size
    runs: IntArray
    bounds: IntArray

    @classmethod
    def of(cls, texts: Sequence[str], size: Size) -> _Runs | None:
        """Unpack one text or more, none of them empty; None if any of them is broken."""
        coded = [text.encode("utf-8", "surrogatepass") for text in texts]
        codes = np.frombuffer(b"".join(coded), dtype=np.uint8) - np.uint8(LOWEST)  # smaller ones become large
        ends = np.cumsum([len(text) for text in coded], dtype=np.int64)
        last = np.flatnonzero(codes & 32 == 0)
        if codes.max() > HIGHEST - LOWEST or (codes[ends - 1] & 32).any():
            return None
        numbers = _unpack(codes, last)
        if numbers is None:
            return None
        bounds = np.concatenate([[0], np.searchsorted(last, ends - 1) + 1])
        runs = _undo_differences(numbers, bounds)
        whole = np.add.reduceat(runs, bounds[:-1])
        if runs.min() < 0 or (whole != size[0] * size[1]).any():
            return None
        return cls(coded, size, runs, bounds)

    def masks(self) -> list[CodedMask]:
        """The masks."""
        counts = np.diff(self.bounds)
        owner = np.repeat(np.arange(len(counts)), counts)
        stops = np.cumsum(self.runs) - owner * (self.size[0] * self.size[1])
        filled = np.flatnonzero(_is_odd(self.bounds) & (self.runs > 0))
        measured = _measure(owner[filled], stops[filled] - self.runs[filled], stops[filled], len(counts), self.size[0])
        return [
            CodedMask(self.size, (x0, y0, x1, y1) if area else EMPTY_BOX, area, text, self.runs[start:stop])
            for text, (start, stop), (area, x0, y0, x1, y1) in zip(
                self.texts, pairwise(self.bounds.tolist()), measured, strict=True
            )
        ]


def _unpack(codes: IntArray, last: IntArray) -> IntArray | None:
    """Numbers of five bits a code, the lowest first; ``last`` has the place of the last code of each."""
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    if lengths.max() > LONGEST_RUN_TEXT:
        return None
    numbers = (codes[first] & 31).astype(np.int64)
    for digit in range(1, int(lengths.max())):
        longer = np.flatnonzero(lengths > digit)
        numbers[longer] += (codes[first[longer] + digit] & 31).astype(np.int64) << (5 * digit)
    negative = np.flatnonzero(codes[last] & 16)
    numbers[negative] -= np.int64(1) << (5 * lengths[negative])
    return numbers


def _is_odd(bounds: IntArray) -> BoolArray:
    """Whether each run has an odd place in its mask."""
    places = np.arange(bounds[-1]) - np.repeat(bounds[:-1], np.diff(bounds))
    odd: BoolArray = places % 2 == 1
    return odd


def _undo_differences(numbers: IntArray, bounds: IntArray) -> IntArray:
    """From the fourth run of a mask on, the difference to the run two before is stored."""
    counts, odd = np.diff(bounds), _is_odd(bounds)
    first = bounds[:-1]
    foreground, background = numbers * odd, numbers * ~odd
    background[first] = 0
    summed = [np.cumsum(part) for part in (foreground, background)]
    sums = [each - np.repeat(each[first], counts) for each in summed]
    runs = np.where(odd, *sums)
    runs[first] = numbers[first]
    return runs


def _measure(owner: IntArray, starts: IntArray, stops: IntArray, count: int, height: int) -> list[list[int]]:
    """Area and box (x0, y0, x1, y1) of masks 0 .. count - 1, given the owner and the pixels of their runs."""
    measured = np.zeros((count, 5), dtype=np.int64)
    if owner.size:
        left, top = np.divmod(starts, height)
        right, bottom = np.divmod(stops - 1, height)
        whole = left < right  # a run that goes on in the next column holds the last and the first row
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        of = owner[first]
        measured[of, 0] = np.add.reduceat(stops - starts, first)
        measured[of, 1] = left[first]
        measured[of, 2] = np.minimum.reduceat(np.where(whole, 0, top), first)
        measured[of, 3] = np.maximum.reduceat(right, first) + 1
        measured[of, 4] = np.maximum.reduceat(np.where(whole, height - 1, bottom), first) + 1
    return measured.tolist()
