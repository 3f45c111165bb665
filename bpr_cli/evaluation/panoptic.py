"""Figures of panoptic segmentation: PQ, SQ and RQ (Kirillov et al., CVPR 2019), boundary PQ (Cheng et al., CVPR 2021).

All rules are those of panopticapi, which the Cityscapes scripts share, and of boundary-iou-api:
- A predicted and a true segment of one category match when their IoU is above 0.5; in the union, predicted pixels
  on void pixels of the truth do not count. For boundary PQ the smaller of IoU and boundary IoU takes its place.
- Crowd segments of the truth are never matched or missed; the crowd mark of predictions is not looked at.
- An unmatched predicted segment is ignored when more than half of it lies on void or on the crowd segment of its
  category. Of several crowd segments of a category only the last one listed counts: so does panopticapi.
- The area of a true segment is that of the JSON file where it has one, that of a predicted segment is counted.
- Per category the sums of all images are pooled; All, Things and Stuff are means over their categories that occur.

Unlike these tools, ids and segments of the truth that disagree are refused, as those of the prediction are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.boundary import band_width
from bpr_cli.evaluation.checks import check_boundary_settings, check_map, check_sizes
from bpr_cli.evaluation.matching import ID_LIMIT, FloatArray, MatchSums, Side, best_iou, mask_overlaps, match
from bpr_cli.evaluation.segment_bands import BandMap, band_overlaps
from bpr_cli.evaluation.segments import Category, PanopticMap, SegmentInfo
from bpr_cli.evaluation.settings import DILATION_RATIO
from bpr_cli.formats.panoptic import VOID
from bpr_cli.masks.runs import Runs
from bpr_cli.typing import BoolArray

__all__ = [
    "Category",
    "MatchSums",
    "PanopticFigures",
    "PanopticMap",
    "PanopticSettings",
    "PanopticSums",
    "Quality",
    "QualityTable",
    "SegmentInfo",
    "check_panoptic",
    "compare_panoptic",
    "panoptic_figures",
    "panoptic_sums",
]


@dataclass(frozen=True)
class PanopticSettings:
    """What is measured, and how.

    Attributes:
        categories: in the order of the sums (K of them).
        dilation_ratio: width of the bands of boundary IoU as a fraction of the image diagonal; None leaves boundary PQ
            out.
        as_reference: whether boundary PQ repeats a slip of boundary-iou-api, so that it equals its figures (see
            ``segment_bands``); without it, boundary PQ does not depend on the numbers that segments bear.
    """

    categories: tuple[Category, ...]
    dilation_ratio: float | None = DILATION_RATIO
    as_reference: bool = True

    def __post_init__(self) -> None:
        check_boundary_settings(None, self.dilation_ratio)
        if not self.categories:
            raise BprError("there is no category to evaluate, expected at least one")
        _check_distinct([category.id for category in self.categories], "the categories list the id")

    @property
    def mark(self) -> int:
        """The segment id that the slip of boundary-iou-api is about."""
        return max(category.id for category in self.categories) + 1


@dataclass(frozen=True, eq=False)
class PanopticSums:
    """Sums over images, from which the figures follow; those of two sets of images are added by ``+``.

    Attributes:
        images: number of images.
        mask: sums of PQ.
        boundary: sums of boundary PQ; zeros where it is left out.
        slips: images in which the slip of boundary-iou-api has been repeated.
    """

    images: int
    mask: MatchSums
    boundary: MatchSums
    slips: int = 0

    @classmethod
    def zero(cls, categories: int) -> PanopticSums:
        """The sums of no image."""
        return cls(0, MatchSums.zero(categories), MatchSums.zero(categories))

    def __add__(self, other: PanopticSums) -> PanopticSums:
        return PanopticSums(
            self.images + other.images,
            self.mask + other.mask,
            self.boundary + other.boundary,
            self.slips + other.slips,
        )


@dataclass(frozen=True)
class Quality:
    """Panoptic, segmentation and recognition quality, from 0 to 1.

    Attributes:
        pq: the quality of one category, or the mean over several.
        sq: mean IoU of matched segments.
        rq: F-score of matching.
        n: categories that occur in truth or prediction; where it is 0, so are the figures.
    """

    pq: float
    sq: float
    rq: float
    n: int


@dataclass(frozen=True)
class QualityTable:
    """Qualities of all categories together, of things and stuff apart, and of each category by its id."""

    all: Quality
    things: Quality
    stuff: Quality
    per_class: dict[int, Quality]


@dataclass(frozen=True)
class PanopticFigures:
    """PQ with its parts, and boundary PQ with its parts (None where it was left out)."""

    mask: QualityTable
    boundary: QualityTable | None


def check_panoptic(prediction: PanopticMap, truth: PanopticMap, settings: PanopticSettings) -> None:
    """Check everything but that ids and segments agree, which ``panoptic_sums`` finds on its way.

    Raises:
        BprError: the maps are none or differ in size; a segment's id is void or repeated, or its category unknown.
    """
    for panoptic, name in ((prediction, "the prediction"), (truth, "the ground truth")):
        check_map(panoptic.ids, name)
        _check_segments(panoptic.segments, settings, name)
    check_sizes(prediction.ids, truth.ids)


def panoptic_sums(prediction: PanopticMap, truth: PanopticMap, settings: PanopticSettings) -> PanopticSums:
    """The sums of one image.

    Raises:
        BprError: as ``compare_panoptic``.
    """
    return compare_panoptic(prediction, truth, settings)[0]


def compare_panoptic(
    prediction: PanopticMap, truth: PanopticMap, settings: PanopticSettings
) -> tuple[PanopticSums, FloatArray]:
    """Compare the segmentations of one image.

    Returns:
        The sums, and the IoU of every true segment with its best prediction of the same category (0 without any):
        float64, in the order of the segments.

    Raises:
        BprError: as ``check_panoptic``, or ids and segments disagree.
    """
    check_panoptic(prediction, truth, settings)
    places = {category.id: place for place, category in enumerate(settings.categories)}
    bands = _bands(prediction, truth, settings)
    pixels = Runs.of(prediction.ids, truth.ids, *(each.band for each in bands))
    found = Side.of(pixels.values[0], prediction, places, "the prediction")
    expected = Side.of(pixels.values[1], truth, places, "the ground truth")
    masks = mask_overlaps(found, expected, pixels.lengths)
    iou = masks.iou
    by_mask, best = match(iou, masks, found, expected), best_iou(iou, masks.pairs, found, expected)[1:]
    if not bands:
        return PanopticSums(1, by_mask, MatchSums.zero(len(places))), best
    boundary_iou = band_overlaps(masks.pairs, (found, bands[0]), (expected, bands[1]), pixels).iou
    by_boundary = match(np.minimum(iou, boundary_iou), masks, found, expected)
    return PanopticSums(1, by_mask, by_boundary, int(any(each.marked is not None for each in bands))), best


def panoptic_figures(sums: PanopticSums, settings: PanopticSettings) -> PanopticFigures:
    """The figures of all images that went into the sums."""
    boundary = None if settings.dilation_ratio is None else _table(sums.boundary, settings)
    return PanopticFigures(_table(sums.mask, settings), boundary)


def _bands(prediction: PanopticMap, truth: PanopticMap, settings: PanopticSettings) -> tuple[BandMap, ...]:
    """The bands of the prediction and of the truth; none where boundary PQ is left out."""
    if settings.dilation_ratio is None:
        return ()
    width = band_width(settings.dilation_ratio, (truth.ids.shape[0], truth.ids.shape[1]))
    mark = settings.mark if settings.as_reference else None
    return BandMap.of(prediction, width, mark), BandMap.of(truth, width, mark)


def _check_segments(segments: tuple[SegmentInfo, ...], settings: PanopticSettings, name: str) -> None:
    ids = [segment.id for segment in segments]
    outside = [segment_id for segment_id in ids if not VOID < segment_id < ID_LIMIT]
    if outside:
        raise BprError(
            f"{name} lists a segment with the id {outside[0]}, expected 1 to {ID_LIMIT - 1} ({VOID} is void)"
        )
    _check_distinct(ids, f"{name} lists the segment id")
    known = {category.id for category in settings.categories}
    unknown = sorted({segment.category for segment in segments} - known)
    if unknown:
        raise BprError(
            f"{name} has the categories {join_names(unknown)}, expected {join_names(sorted(known), limit=5)}"
        )


def _check_distinct(ids: list[int], what: str) -> None:
    if len(set(ids)) < len(ids):
        repeated = next(number for number in ids if ids.count(number) > 1)
        raise BprError(f"{what} {repeated} more than once, expected distinct ids")


def _table(sums: MatchSums, settings: PanopticSettings) -> QualityTable:
    things = np.array([category.thing for category in settings.categories])
    per_class = _qualities(sums)
    return QualityTable(
        _mean_quality(sums, per_class, np.ones_like(things)),
        _mean_quality(sums, per_class, things),
        _mean_quality(sums, per_class, ~things),
        {
            category.id: _mean_quality(sums, per_class, np.arange(len(things)) == place)
            for place, category in enumerate(settings.categories)
        },
    )


def _qualities(sums: MatchSums) -> FloatArray:
    """PQ, SQ and RQ of every category: float64, (K, 3); zeros for one that does not occur."""
    weight = sums.matched + 0.5 * sums.wrong + 0.5 * sums.missed
    parts = np.stack([sums.iou, sums.iou, sums.matched.astype(float)], axis=1)
    wholes = np.stack([weight, sums.matched.astype(float), weight], axis=1)
    qualities: FloatArray = np.zeros_like(parts)
    np.divide(parts, wholes, out=qualities, where=wholes > 0)
    return qualities


def _mean_quality(sums: MatchSums, per_class: FloatArray, chosen: BoolArray) -> Quality:
    """Mean over the chosen categories that occur."""
    occurs = chosen & (sums.matched + sums.wrong + sums.missed > 0)
    if not occurs.any():
        return Quality(0.0, 0.0, 0.0, 0)
    pq, sq, rq = per_class[occurs].mean(axis=0).tolist()
    return Quality(pq, sq, rq, int(occurs.sum()))
