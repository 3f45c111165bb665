"""Average precision of the Cityscapes benchmark for instances, and AF under its matching.

``check_frame``, ``update_frame`` and ``cityscapes_figures`` are the three steps: check one image, turn it into a small
record, and make figures of all records. Records hold no masks, can be pickled, and are merged by putting them into
one list, in any order.

AP is that of ``cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling`` (Cordts et al., CVPR 2016), without its
distances. It is not COCO's: an overlap must be larger than the threshold; of several finds the one with the best score
counts, wherever another mask fits better; predictions that lie mostly in void, groups or instances too small to
count are dropped; there is no limit on predictions; and precision is not smoothed before it is integrated.

Where all predictions of a class are dropped and it has ground truth, the official script stops with an IndexError;
its AP is 0 here, like that of a class without predictions.

Shape letters: K classes, D predicted masks, G instances, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from cityscapesscripts.helpers.labels import labels
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.instance.boundary_f import (
    TOLERANCE,
    BoundaryFTable,
    average_boundary_f,
    mean_of_defined,
    sum_boundary_f,
)
from bpr_cli.evaluation.instance.matching import NO_PARTNER, Outcome, Outcomes, Partners
from bpr_cli.evaluation.instance.overlaps import Bools, Floats, Ints
from bpr_cli.evaluation.instance.segments import ImageKey, ScoredMask, check_segments
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.truth.open import FIRST_INSTANCE

IdMap = NDArray[np.integer]

CLASSES = MappingProxyType({label.id: label.name for label in labels if label.hasInstances and not label.ignoreInEval})
"""Names of the classes that are measured, by label id."""

OVERLAPS: tuple[float, ...] = tuple(np.arange(0.5, 1.0, 0.05).tolist())
"""0.5, 0.55 .. 0.95, with the same last bits as the official script has them: it asks for more than that."""

MIN_REGION = 100
"""Smallest instance that counts, in pixels."""

_KNOWN_LABELS = frozenset(label.id for label in labels)
_VOID = np.array([label.id for label in labels if label.ignoreInEval])


@dataclass(frozen=True)
class CityscapesRecord:
    """What one image adds to the figures.

    Attributes:
        image: key of the image.
        categories: int64, (D,), label id of every prediction that is not empty.
        scores: float64, (D,).
        outcomes: ``Outcome`` values as uint8, (D, T).
        truths: int64, (K,), number of instances that count, in the order of ``CLASSES``.
        f_sums: float64, (K, T), sum of boundary F over the pairs of masks.
        f_pairs: int64, (K, T), number of these pairs.
    """

    image: ImageKey
    categories: Ints
    scores: Floats
    outcomes: Outcomes
    truths: Ints
    f_sums: Floats
    f_pairs: Ints


@dataclass(frozen=True)
class CityscapesFigures:
    """Figures of all images, 0 to 1; NaN for a class without ground truth.

    Attributes:
        ap: mean over classes with ground truth and thresholds 0.5, 0.55 .. 0.95.
        ap50: mean over classes with ground truth at the threshold 0.5.
        ap_per_class: by label id.
        ap50_per_class: by label id.
        precision: AP at every threshold, (K, T), in the order of ``CLASSES``.
        boundary_f: AF.
    """

    ap: float
    ap50: float
    ap_per_class: dict[int, float]
    ap50_per_class: dict[int, float]
    precision: Floats
    boundary_f: BoundaryFTable


def check_frame(image: ImageKey, predictions: Sequence[ScoredMask], instance_ids: IdMap) -> None:
    """Check the predictions and the ground truth of one image.

    Raises:
        BprError: the ground truth is no map of Cityscapes instance ids, or a prediction has an unknown label, a
            score that is not finite, or another size.
    """
    if instance_ids.ndim != 2 or not np.issubdtype(instance_ids.dtype, np.integer):
        raise BprError(
            f"image {image!r}: instance_ids must be an (H, W) array of whole numbers, got shape {instance_ids.shape} "
            f"of {instance_ids.dtype}"
        )
    for index, segment in enumerate(predictions):
        if segment.category not in _KNOWN_LABELS:
            raise BprError(
                f"image {image!r}: prediction {index} has the label {segment.category}, expected a Cityscapes label "
                f"id such as 26 for car"
            )
    check_segments(image, predictions, (instance_ids.shape[0], instance_ids.shape[1]))


def update_frame(
    image: ImageKey, predictions: Sequence[ScoredMask], instance_ids: IdMap, tolerance: float = TOLERANCE
) -> CityscapesRecord:
    """The record of one image.

    Args:
        image: its key.
        predictions: those of classes that are not measured, and empty ones, are left out.
        instance_ids: (H, W), as in ``…_gtFine_instanceIds.png``: label id x 1000 + number for instances, else the
            label id, which for a class with instances means a group.
        tolerance: of AF, in pixels; below 1 a fraction of the image's diagonal.

    Raises:
        BprError: see ``check_frame``.
    """
    check_frame(image, predictions, instance_ids)
    frame = InstanceMap.of(instance_ids)
    frame.check(image)
    found = [segment for segment in predictions if segment.category in CLASSES and segment.mask.crop.size]
    shape = (len(CLASSES), len(OVERLAPS))
    truths, f_sums, f_pairs = np.zeros(shape[0], np.int64), np.zeros(shape), np.zeros(shape, np.int64)
    outcomes = np.zeros((len(found), shape[1]), np.uint8)
    for k, label in enumerate(CLASSES):
        at = [d for d, segment in enumerate(found) if segment.category == label]
        instances = frame.instances_of(label)
        truths[k] = np.count_nonzero(instances.counts)
        if not at:
            continue
        outcomes[at], pairs = _match_class([found[d] for d in at], frame, instances)
        true = {g: frame.mask_of(int(instances.ids[g])) for g in np.unique(pairs[pairs != NO_PARTNER]).tolist()}
        f_sums[k], f_pairs[k] = sum_boundary_f([found[d].mask for d in at], true, pairs, tolerance)
    categories = np.array([segment.category for segment in found], dtype=np.int64)
    scores = np.array([segment.score for segment in found], dtype=np.float64)
    return CityscapesRecord(image, categories, scores, outcomes, truths, f_sums, f_pairs)


@dataclass(frozen=True)
class _Instances:
    """The ground truth of one class in one image.

    Attributes:
        ids: (G,), instance ids; that of a group is the label id.
        areas: (G,), in pixels.
        group: bool, (G,).
        small: bool, (G,), too small to count.
    """

    ids: Ints
    areas: Ints
    group: Bools
    small: Bools

    @property
    def counts(self) -> Bools:
        """Whether they count, (G,)."""
        return ~(self.group | self.small)


@dataclass(frozen=True)
class InstanceMap:
    """The ground truth of one image; V values occur in it.

    Attributes:
        instance_ids: (H, W).
        ids: int64, (V,), the values, rising.
        areas: int64, (V,), their pixels.
        boxes: int64, (V, 4), their bounding boxes.
    """

    instance_ids: IdMap
    ids: Ints
    areas: Ints
    boxes: Ints

    @classmethod
    def of(cls, instance_ids: IdMap) -> InstanceMap:
        """The ground truth in an (H, W) map of ids."""
        stretches = Runs.of(instance_ids)
        ids, numbers = np.unique(stretches.values[0], return_inverse=True)
        areas = weigh(numbers, stretches.lengths, len(ids))
        return cls(instance_ids, ids.astype(np.int64), areas, stretches.boxes(numbers, len(ids)))

    def check(self, image: ImageKey) -> None:
        """Check that all values are ids of Cityscapes.

        Raises:
            BprError: one is not.
        """
        unknown = self.ids[~np.isin(_labels_of(self.ids), list(_KNOWN_LABELS))]
        if unknown.size:
            raise BprError(
                f"image {image!r}: instance_ids holds {unknown[0]}, expected Cityscapes label ids, or label id x 1000 "
                "+ number; is it a file …_gtFine_instanceIds.png?"
            )

    def instances_of(self, label: int) -> _Instances:
        """The instances and groups of a class."""
        chosen = _labels_of(self.ids) == label
        ids, areas = self.ids[chosen], self.areas[chosen]
        return _Instances(ids, areas, ids < FIRST_INSTANCE, areas < MIN_REGION)

    def mask_of(self, instance_id: int) -> Mask:
        """The mask of one of the values."""
        x0, y0, x1, y1 = self.boxes[np.searchsorted(self.ids, instance_id)].tolist()
        size = self.instance_ids.shape[0], self.instance_ids.shape[1]
        return Mask(size, (x0, y0, x1, y1), self.instance_ids[y0:y1, x0:x1] == instance_id)

    def ids_under(self, mask: Mask) -> tuple[Ints, Ints]:
        """The ids that occur under a mask that is not empty, and how many pixels of it each has."""
        x0, y0, x1, y1 = mask.box
        stretches = Runs.of(self.instance_ids[y0:y1, x0:x1], mask.crop)
        inside = np.flatnonzero(stretches.values[1])
        ids, numbers = np.unique(stretches.values[0][inside], return_inverse=True)
        return ids.astype(np.int64), weigh(numbers, stretches.lengths[inside], len(ids))


def _labels_of(ids: Ints) -> Ints:
    return np.where(ids < FIRST_INSTANCE, ids, ids // FIRST_INSTANCE)


def _match_class(found: Sequence[ScoredMask], frame: InstanceMap, instances: _Instances) -> tuple[Outcomes, Partners]:
    """Outcomes of the predictions of one class, (D, T), and the instances of those that are right."""
    shared, void = _intersections(found, frame, instances)
    areas = np.array([segment.mask.area for segment in found], dtype=np.int64)
    overlap = shared / (areas[:, None] + instances.areas[None] - shared)
    # A group that is small as well is taken off twice, as the official script does.
    dropped = (void + (shared * instances.group).sum(axis=1) + (shared * instances.small).sum(axis=1)) / areas
    scores = np.array([segment.score for segment in found])
    outcomes = np.full((len(found), len(OVERLAPS)), Outcome.FALSE, dtype=np.uint8)
    partners = np.full(outcomes.shape, NO_PARTNER, dtype=np.int64)
    for t, threshold in enumerate(OVERLAPS):
        reached = overlap > threshold
        outcomes[~reached.any(axis=1) & (dropped > threshold), t] = Outcome.IGNORED
        outcomes[reached[:, ~instances.counts].any(axis=1), t] = Outcome.IGNORED
        for g in np.flatnonzero(reached.any(axis=0) & instances.counts):
            finders = np.flatnonzero(reached[:, g])
            best = finders[np.argmax(scores[finders])]
            outcomes[best, t] = Outcome.TRUE
            partners[best, t] = g
    return outcomes, partners


def _intersections(found: Sequence[ScoredMask], frame: InstanceMap, instances: _Instances) -> tuple[Ints, Ints]:
    """Pixels that predictions share with instances, (D, G), and with void, (D,)."""
    shared = np.zeros((len(found), len(instances.ids)), dtype=np.int64)
    void = np.zeros(len(found), dtype=np.int64)
    for d, segment in enumerate(found):
        ids, counts = frame.ids_under(segment.mask)
        void[d] = counts[np.isin(ids, _VOID)].sum()
        mine = np.isin(ids, instances.ids)
        shared[d, np.searchsorted(instances.ids, ids[mine])] = counts[mine]
    return shared, void


def cityscapes_figures(records: Iterable[CityscapesRecord]) -> CityscapesFigures:
    """The figures of all images.

    Args:
        records: of every image once, in any order.

    Raises:
        BprError: two records are of the same image.
    """
    given = list(records)
    _check_distinct(given)
    categories = np.concatenate([np.zeros(0, np.int64), *(record.categories for record in given)])
    scores = np.concatenate([np.zeros(0), *(record.scores for record in given)])
    outcomes = np.concatenate([np.zeros((0, len(OVERLAPS)), np.uint8), *(record.outcomes for record in given)])
    truths = sum((record.truths for record in given), np.zeros(len(CLASSES), np.int64))
    spread = (len(CLASSES), len(OVERLAPS))
    f_sums = sum((record.f_sums for record in given), np.zeros(spread))
    f_pairs = sum((record.f_pairs for record in given), np.zeros(spread, np.int64))
    precision = np.full(spread, np.nan)
    for k, label in enumerate(CLASSES):
        mine = categories == label
        for t in range(len(OVERLAPS)):
            precision[k, t] = _average_precision(scores[mine], outcomes[mine, t], int(truths[k]))
    return _summarize(precision, average_boundary_f(list(CLASSES), f_sums, f_pairs))


def _check_distinct(records: Sequence[CityscapesRecord]) -> None:
    seen: set[ImageKey] = set()
    for record in records:
        if record.image in seen:
            raise BprError(f"image {record.image!r} has more than one record, expected one")
        seen.add(record.image)


def _summarize(precision: Floats, boundary_f: BoundaryFTable) -> CityscapesFigures:
    first = dict(zip(CLASSES, precision[:, 0].tolist(), strict=True))
    means = dict(zip(CLASSES, precision.mean(axis=1).tolist(), strict=True))
    return CityscapesFigures(
        mean_of_defined(precision.ravel()), mean_of_defined(precision[:, 0]), means, first, precision, boundary_f
    )


def _average_precision(scores: Floats, outcomes: Outcomes, truths: int) -> float:
    """AP of one class at one threshold: precision and recall at every score that occurs, integrated over recall.

    Precision is weighted with half the recall between its neighbours on the curve, which ends at a precision of 1 for
    a recall of 0 and starts anew with its first point.

    Returns:
        The figure, or NaN without ground truth.
    """
    if not truths:
        return float("nan")
    kept = outcomes != Outcome.IGNORED
    if not kept.any():
        return 0.0
    order = np.argsort(-scores[kept], kind="stable")
    ranked, found = scores[kept][order], np.cumsum(outcomes[kept][order] == Outcome.TRUE)
    # Predictions of one score come in together.
    last = np.append(np.flatnonzero(np.diff(ranked)), ranked.size - 1)
    precision = np.concatenate([[1.0], found[last] / (last + 1)])
    recall = np.concatenate([[0.0, 0.0], found[last] / truths, found[last[-1:]] / truths])
    return float(np.dot(precision, (recall[2:] - recall[:-2]) / 2))
