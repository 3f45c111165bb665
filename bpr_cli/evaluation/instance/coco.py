"""Average precision of the COCO benchmark, boundary AP and AF.

``check_image``, ``update_image`` and ``coco_figures`` are the three steps: check one image, turn it into a small
record, and make figures of all records. Records hold no masks (about 100 bytes a prediction), can be pickled, and are
merged by putting them into one list, in any order.

AP is pycocotools' on the same segments (Lin et al., ECCV 2014). Boundary AP is the same with the smaller of mask IoU
and boundary IoU in place of mask IoU (Cheng et al., CVPR 2021, boundary-iou-api), crowds excepted, which keep the
mask's.

Where annotations say which categories were looked for in an image (Gupta et al., LVIS, CVPR 2019), the rules are those
of lvis-api: predictions of a category that is neither annotated nor known to be absent are left out, those of one that
is not annotated completely count only when they find something, and the limit on predictions is one on the image, not
on the category.

Shape letters: K categories, D predicted and G true masks of one image and category, V measures (mask, boundary), A size
ranges, T IoU thresholds, R recall steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import band_width, boundary_band
from bpr_cli.evaluation.checks import check_boundary_settings
from bpr_cli.evaluation.instance.boundary_f import TOLERANCE, sum_boundary_f
from bpr_cli.evaluation.instance.matching import NO_PARTNER, Outcome, Outcomes, match, outcomes_of
from bpr_cli.evaluation.instance.overlaps import Bools, Floats, Ints, iou, overlaps
from bpr_cli.evaluation.instance.segments import ImageKey, ScoredMask, TruthMask, check_segments, check_truths
from bpr_cli.evaluation.settings import DILATION_RATIO
from bpr_cli.formats.base import Searched
from bpr_cli.masks.masks import Mask

IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())
"""0.5, 0.55 .. 0.95, with the same last bits as pycocotools has them."""

MEASURES = ("mask", "boundary")

SIZES = ("all", "small", "medium", "large")
AREAS = ((0.0, 1e5**2), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e5**2))  # pixels, both ends belong to it


@dataclass(frozen=True)
class CocoSettings:
    """How instances are measured.

    Attributes:
        categories: ids of the categories that count; segments of others are left out, as pycocotools does.
        max_detections: how many predictions of a category are taken of one image, the best first; of all categories
            together where not all of them were looked for.
        dilation_ratio: width of the boundary for boundary AP, as a share of the image's diagonal.
        tolerance: of AF, in pixels; below 1 a fraction of the image's diagonal.
        thresholds: overlaps, rising.
    """

    categories: tuple[int, ...]
    max_detections: int = 100
    dilation_ratio: float = DILATION_RATIO
    tolerance: float = TOLERANCE
    thresholds: tuple[float, ...] = IOU_THRESHOLDS

    def __post_init__(self) -> None:
        check_boundary_settings(self.tolerance, self.dilation_ratio)
        if len(set(self.categories)) != len(self.categories):
            raise BprError(f"the categories are {self.categories}, expected every id once")
        if self.max_detections < 1:
            raise BprError(f"the limit on predictions is {self.max_detections}, expected 1 or more of an image")
        if not self.thresholds or not all(0 < threshold <= 1 for threshold in self.thresholds):
            raise BprError(f"the IoU thresholds are {self.thresholds}, expected figures above 0 and up to 1")


@dataclass(frozen=True)
class CocoRecord:
    """What one image adds to the figures; predictions by category, the best first, then C categories with truths.

    Attributes:
        image: key of the image.
        categories: int64, (D,), category of every prediction.
        scores: float64, (D,).
        outcomes: ``Outcome`` values as uint8, (D, V, A, T).
        true_categories: int64, (C,), the categories with ground truth.
        truths: int64, (C, A), number of true masks that count.
        f_sums: float64, (C, T), sum of boundary F over the pairs of masks.
        f_pairs: int64, (C, T), number of these pairs.
    """

    image: ImageKey
    categories: Ints
    scores: Floats
    outcomes: Outcomes
    true_categories: Ints
    truths: Ints
    f_sums: Floats
    f_pairs: Ints


def check_image(image: ImageKey, predictions: Sequence[ScoredMask], truths: Sequence[TruthMask]) -> None:
    """Check the segments of one image.

    Raises:
        BprError: a score is not finite, or the masks are of different sizes.
    """
    check_segments(image, predictions, check_truths(image, truths))


def update_image(
    image: ImageKey,
    predictions: Sequence[ScoredMask],
    truths: Sequence[TruthMask],
    settings: CocoSettings,
    searched: Searched | None = None,
) -> CocoRecord:
    """The record of one image.

    Args:
        image: its key. Images with neither predictions nor ground truth may be left out.
        predictions: in the order of the file, which decides between equal scores.
        truths: its ground truth.
        settings: the same for all images.
        searched: which categories were looked for in the image, None for all.

    Raises:
        BprError: the segments are not fit for measuring, see ``check_image``.
    """
    check_image(image, predictions, truths)
    if searched:
        known = searched.absent.union(segment.category for segment in truths)
        predictions = [segment for segment in _best(predictions, settings) if segment.category in known]
    incomplete = searched.incomplete if searched else frozenset()
    parts = []
    occurring = {segment.category for segment in predictions} | {segment.category for segment in truths}
    for category in [each for each in settings.categories if each in occurring]:
        found = [segment for segment in predictions if segment.category == category]
        true = [segment for segment in truths if segment.category == category]
        parts.append(_record_category(image, found, true, settings, complete=category not in incomplete))
    return _join(image, parts, settings)


def _best(predictions: Sequence[ScoredMask], settings: CocoSettings) -> list[ScoredMask]:
    """So many predictions as are taken, the best first."""
    # Sorting keeps the order of equal scores.
    return sorted(predictions, key=lambda segment: -segment.score)[: settings.max_detections]


def _record_category(
    image: ImageKey,
    predictions: Sequence[ScoredMask],
    truths: Sequence[TruthMask],
    settings: CocoSettings,
    *,
    complete: bool,
) -> CocoRecord:
    """The record of the segments of one category, of which all that are there are annotated or not."""
    best = _best(predictions, settings)
    found, true = [segment.mask for segment in best], [segment.mask for segment in truths]
    sides = _Sides.of(best, truths)
    by_mask = overlaps(found, true, sides.crowd, min(settings.thresholds))
    by_boundary = _with_boundaries(by_mask, found, true, sides.crowd, settings)
    matched = [match(measure, sides.crowd, sides.ignored, settings.thresholds) for measure in (by_mask, by_boundary)]
    partners = np.stack(matched, axis=1)
    excused = sides.outside if complete else np.ones_like(sides.outside)
    outcomes = outcomes_of(partners, sides.ignored, excused)
    pairs = np.where(outcomes[:, 0, 0] == Outcome.TRUE, partners[:, 0, 0], NO_PARTNER)
    sums, counts = sum_boundary_f(found, true, pairs, settings.tolerance)
    known = slice(0, 1 if truths else 0)
    return CocoRecord(
        image,
        np.array([segment.category for segment in best], dtype=np.int64),
        np.array([segment.score for segment in best], dtype=np.float64),
        outcomes,
        np.array([segment.category for segment in truths[:1]], dtype=np.int64),
        np.count_nonzero(~sides.ignored, axis=1)[None][known],
        sums[None][known],
        counts[None][known],
    )


def _join(image: ImageKey, parts: Sequence[CocoRecord], settings: CocoSettings) -> CocoRecord:
    """One record of those of the categories."""
    t, a = len(settings.thresholds), len(SIZES)
    return CocoRecord(
        image,
        np.concatenate([np.zeros(0, np.int64), *(part.categories for part in parts)]),
        np.concatenate([np.zeros(0), *(part.scores for part in parts)]),
        np.concatenate([np.zeros((0, len(MEASURES), a, t), np.uint8), *(part.outcomes for part in parts)]),
        np.concatenate([np.zeros(0, np.int64), *(part.true_categories for part in parts)]),
        np.concatenate([np.zeros((0, a), np.int64), *(part.truths for part in parts)]),
        np.concatenate([np.zeros((0, t)), *(part.f_sums for part in parts)]),
        np.concatenate([np.zeros((0, t), np.int64), *(part.f_pairs for part in parts)]),
    )


@dataclass(frozen=True)
class _Sides:
    """What decides, beside the overlap, how D predicted and G true masks of one category are matched.

    Attributes:
        crowd: bool, (G,).
        ignored: bool, (A, G), the true masks that do not count in a size range.
        outside: bool, (A, D), the predicted masks of another size.
    """

    crowd: Bools
    ignored: Bools
    outside: Bools

    @classmethod
    def of(cls, predictions: Sequence[ScoredMask], truths: Sequence[TruthMask]) -> _Sides:
        crowd = np.array([segment.crowd for segment in truths], dtype=bool)
        ignored = crowd | np.array([segment.ignore for segment in truths], dtype=bool)
        return cls(crowd, ignored | _outside(truths), _outside(predictions))


def _outside(segments: Sequence[ScoredMask] | Sequence[TruthMask]) -> Bools:
    """Whether segments lie outside each size range: (A, number of segments)."""
    areas = np.array([segment.sorting_area for segment in segments], dtype=np.float64)
    return np.stack([(areas < low) | (areas > high) for low, high in AREAS])


def _with_boundaries(
    by_mask: Floats, found: Sequence[Mask], true: Sequence[Mask], crowd: Bools, settings: CocoSettings
) -> Floats:
    """The smaller of mask IoU and boundary IoU, (D, G); pairs that cannot match anyway keep their mask IoU."""
    least: Floats = by_mask.copy()
    pairs = np.argwhere((by_mask >= min(settings.thresholds)) & ~crowd[None]).tolist()
    if pairs:
        width = band_width(settings.dilation_ratio, found[0].size)
        found_bands = {d: _band(found[d], width) for d in {d for d, _ in pairs}}
        true_bands = {g: _band(true[g], width) for g in {g for _, g in pairs}}
        for d, g in pairs:
            least[d, g] = min(least[d, g], iou(found_bands[d], true_bands[g]))
    return least


def _band(mask: Mask, width: int) -> Mask:
    return Mask(mask.size, mask.box, boundary_band(mask.crop, width))
