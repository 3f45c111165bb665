"""The segments that the instance metrics compare: predicted masks with a score, and those of the ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.typing import Size

ImageKey = int | str
"""What tells images apart; the order of the keys decides between predictions of equal score."""


@dataclass(frozen=True)
class ScoredMask:
    """A predicted segment.

    Attributes:
        mask: its pixels.
        category: id of its category.
        score: confidence, any finite number; only the order counts.
        area: pixels, used to sort it by size, or None to count those of the mask. pycocotools takes the area of the
            bounding box where a results file has boxes, so a reader that wants its figures passes that area.
    """

    mask: Mask
    category: int
    score: float
    area: float | None = None

    @property
    def sorting_area(self) -> float:
        """The area that decides whether it is small, medium or large, in pixels."""
        return self.mask.area if self.area is None else self.area


@dataclass(frozen=True)
class TruthMask:
    """A segment of the ground truth.

    Attributes:
        mask: its pixels.
        category: id of its category.
        crowd: it stands for a group; any number of predictions may lie in it, none of them counts.
        area: as the annotation states it, in pixels, or None to count those of the mask.
        ignore: neither finding nor missing it counts. pycocotools overwrites this flag of an annotation by ``crowd``,
            boundary-iou-api keeps it.
    """

    mask: Mask
    category: int
    crowd: bool = False
    area: float | None = None
    ignore: bool = False

    @property
    def sorting_area(self) -> float:
        """The area that decides whether it is small, medium or large, in pixels."""
        return self.mask.area if self.area is None else self.area


def check_segments(image: ImageKey, predictions: Sequence[ScoredMask], size: Size | None) -> None:
    """Check the predictions of one image against its size, given by the ground truth where that has any segment.

    Raises:
        BprError: a score is not finite, or the masks are of different sizes.
    """
    for index, segment in enumerate(predictions):
        if not math.isfinite(segment.score):
            raise BprError(f"image {image!r}: prediction {index} has the score {segment.score}, expected a number")
        size = size or segment.mask.size
        _check_size(f"image {image!r}: prediction {index}", segment.mask.size, size)


def check_truths(image: ImageKey, truths: Sequence[TruthMask]) -> Size | None:
    """Check the ground truth of one image; gives its (H, W), or None without any segment.

    Raises:
        BprError: the masks are of different sizes.
    """
    for index, segment in enumerate(truths):
        _check_size(f"image {image!r}: truth {index}", segment.mask.size, truths[0].mask.size)
    return truths[0].mask.size if truths else None


def _check_size(name: str, found: Size, expected: Size) -> None:
    if found != expected:
        raise BprError(
            f"{name} has a mask of {found[0]} x {found[1]} pixels, expected {expected[0]} x {expected[1]} like the "
            "other masks of the image"
        )
