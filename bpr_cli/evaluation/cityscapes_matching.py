"""Instance matching of the Cityscapes benchmark: overlaps of predictions with ground truth, and their outcomes.

It follows ``cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling``.

Shape letters: D predicted masks, G instances and groups of one class, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from cityscapesscripts.helpers.labels import labels
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.coco_matching import NO_PARTNER, Outcome, Outcomes, Partners
from bpr_cli.evaluation.instances import (
    CategoryOverlaps,
    ImageKey,
    InstanceComparison,
    ScoredMask,
    TruthMask,
    check_segments,
    positions_by_category,
)
from bpr_cli.masks.masks import Mask
from bpr_cli.masks.runs import Runs, weigh
from bpr_cli.truth.open import FIRST_INSTANCE
from bpr_cli.typing import BoolArray, DoubleArray, IntArray, Size

IdMap = NDArray[np.integer]

CLASSES = MappingProxyType({label.id: label.name for label in labels if label.hasInstances and not label.ignoreInEval})
"""Names of the evaluated classes by label id."""

OVERLAPS: tuple[float, ...] = tuple(np.arange(0.5, 1.0, 0.05).tolist())
"""0.5, 0.55 .. 0.95, bit for bit as in the official script, because overlaps must exceed them."""

MIN_REGION = 100
"""Area of the smallest counted instance in pixels."""

_KNOWN_LABELS = frozenset(label.id for label in labels)
_VOID = np.array([label.id for label in labels if label.ignoreInEval])


@dataclass(frozen=True)
class _Instances:
    """The ground truth of one class in one image.

    Attributes:
        ids: (G,), instance ids; the id of a group is its label id.
        areas: (G,), areas in pixels.
        group: bool, (G,), whether it is a group.
        small: bool, (G,), whether it is too small to count.
    """

    ids: IntArray
    areas: IntArray
    group: BoolArray
    small: BoolArray

    @property
    def counts(self) -> BoolArray:
        """Whether each one counts: bool, (G,)."""
        return ~(self.group | self.small)


@dataclass(frozen=True)
class InstanceMap:
    """The ground truth of one image with V distinct values.

    Attributes:
        instance_ids: map of ids, (H, W).
        ids: int64, (V,), the distinct values, ascending.
        areas: int64, (V,), number of pixels of each.
        boxes: int64, (V, 4), bounding box of each.
    """

    instance_ids: IdMap
    ids: IntArray
    areas: IntArray
    boxes: IntArray

    @classmethod
    def of(cls, instance_ids: IdMap) -> InstanceMap:
        """Read the ground truth from an (H, W) map of ids, as in ``…_gtFine_instanceIds.png``.

        The id of an instance is label id x 1000 + number. All other ids are label ids; for a class with instances, such
        an id means a group.

        Raises:
            BprError: a value is not a Cityscapes id.
        """
        runs = Runs.of(instance_ids)
        ids, numbers = np.unique(runs.values[0], return_inverse=True)
        unknown = ids[~np.isin(_labels_of(ids), list(_KNOWN_LABELS))]
        if unknown.size:
            raise BprError(
                f"the map of instance ids holds {unknown[0]}, expected Cityscapes label ids, or label id x 1000 + "
                "number; is it a file …_gtFine_instanceIds.png?"
            )
        areas = weigh(numbers, runs.lengths, len(ids))
        return cls(instance_ids, ids.astype(np.int64), areas, runs.boxes(numbers, len(ids)))

    @property
    def size(self) -> Size:
        """(H, W) in pixels."""
        return self.instance_ids.shape[0], self.instance_ids.shape[1]

    @cached_property
    def truths(self) -> list[TruthMask]:
        """The instances of the evaluated classes by ascending id, without groups."""
        found = zip(self.ids.tolist(), _labels_of(self.ids).tolist(), strict=True)
        return [
            TruthMask(self.mask_of(number), label)
            for number, label in found
            if number >= FIRST_INSTANCE and label in CLASSES
        ]

    def instances_of(self, label: int) -> _Instances:
        """The instances and groups of a class."""
        chosen = _labels_of(self.ids) == label
        ids, areas = self.ids[chosen], self.areas[chosen]
        return _Instances(ids, areas, ids < FIRST_INSTANCE, areas < MIN_REGION)

    def mask_of(self, instance_id: int) -> Mask:
        """The mask of one id."""
        x0, y0, x1, y1 = self.boxes[np.searchsorted(self.ids, instance_id)].tolist()
        return Mask(self.size, (x0, y0, x1, y1), self.instance_ids[y0:y1, x0:x1] == instance_id)

    def ids_under(self, mask: Mask) -> tuple[IntArray, IntArray]:
        """The ids under a non-empty mask, and the number of its pixels that each has."""
        x0, y0, x1, y1 = mask.box
        runs = Runs.of(self.instance_ids[y0:y1, x0:x1], mask.crop)
        inside = np.flatnonzero(runs.values[1])
        ids, numbers = np.unique(runs.values[0][inside], return_inverse=True)
        return ids.astype(np.int64), weigh(numbers, runs.lengths[inside], len(ids))


def _labels_of(ids: NDArray[np.integer]) -> NDArray[np.integer]:
    return np.where(ids < FIRST_INSTANCE, ids, ids // FIRST_INSTANCE)


@dataclass(frozen=True)
class ClassOverlaps:
    """The overlaps of one class; its ground truth includes groups and small instances.

    Attributes:
        found: positions of the D non-empty masks among all predicted masks of the image.
        instances: the ground truth.
        shared: int64, (D, G), pixels shared by predictions and instances.
        void: int64, (D,), pixels of the predictions in void.
        areas: int64, (D,), areas of the predictions in pixels.
    """

    found: list[int]
    instances: _Instances
    shared: IntArray
    void: IntArray
    areas: IntArray

    @property
    def iou(self) -> DoubleArray:
        """IoU, float64, (D, G)."""
        return self.shared / (self.areas[:, None] + self.instances.areas[None] - self.shared)


@dataclass(frozen=True)
class CityscapesComparison(InstanceComparison):
    """The predicted masks and the instances of one image.

    Attributes:
        frame: the ground truth.
        classes: overlaps of the predicted classes by label.
    """

    frame: InstanceMap
    classes: Mapping[int, ClassOverlaps]

    @classmethod
    def of(cls, image: ImageKey, predictions: list[ScoredMask], frame: InstanceMap) -> CityscapesComparison:
        """Check the masks of one image and count their overlaps.

        Args:
            image: key of the image, for messages.
            predictions: the predicted masks; empty masks and classes that are not evaluated do not count.
            frame: the ground truth.

        Raises:
            BprError: a prediction has an unknown label, a score that is not finite, or a wrong size.
        """
        for index, segment in enumerate(predictions):
            if segment.category not in _KNOWN_LABELS:
                raise BprError(
                    f"image {image!r}: prediction {index} has the label {segment.category}, expected a Cityscapes "
                    "label id such as 26 for car"
                )
        check_segments(image, predictions, [], frame.size)
        true, classes, overlaps = positions_by_category(frame.truths), {}, {}
        for label, positions in positions_by_category(predictions).items():
            found = [number for number in positions if predictions[number].mask.crop.size]
            if label in CLASSES and found:
                classes[label] = _class_overlaps(predictions, found, frame, frame.instances_of(label))
                iou = classes[label].iou[:, ~classes[label].instances.group]
                if label in true:
                    overlaps[label] = CategoryOverlaps(found, true[label], iou)
        return cls(predictions, frame.truths, frame.size, overlaps, frame, classes)


def _class_overlaps(
    predictions: Sequence[ScoredMask], found: list[int], frame: InstanceMap, instances: _Instances
) -> ClassOverlaps:
    shared = np.zeros((len(found), len(instances.ids)), dtype=np.int64)
    void = np.zeros(len(found), dtype=np.int64)
    for d, number in enumerate(found):
        ids, counts = frame.ids_under(predictions[number].mask)
        void[d] = counts[np.isin(ids, _VOID)].sum()
        mine = np.isin(ids, instances.ids)
        shared[d, np.searchsorted(instances.ids, ids[mine])] = counts[mine]
    areas = np.array([predictions[number].mask.area for number in found], dtype=np.int64)
    return ClassOverlaps(found, instances, shared, void, areas)


def match_class(table: ClassOverlaps, scores: DoubleArray) -> tuple[Outcomes, Partners]:
    """Outcomes of the predictions of one class, (D, T), and the instances of the correct ones."""
    instances, shared = table.instances, table.shared
    # The official script subtracts a group twice if it is also small.
    dropped = (
        table.void + (shared * instances.group).sum(axis=1) + (shared * instances.small).sum(axis=1)
    ) / table.areas
    outcomes = np.full((len(scores), len(OVERLAPS)), Outcome.FALSE, dtype=np.uint8)
    partners = np.full(outcomes.shape, NO_PARTNER, dtype=np.int64)
    for t, threshold in enumerate(OVERLAPS):
        reached = table.iou > threshold
        outcomes[~reached.any(axis=1) & (dropped > threshold), t] = Outcome.IGNORED
        outcomes[reached[:, ~instances.counts].any(axis=1), t] = Outcome.IGNORED
        for g in np.flatnonzero(reached.any(axis=0) & instances.counts):
            finders = np.flatnonzero(reached[:, g])
            best = finders[np.argmax(scores[finders])]
            outcomes[best, t] = Outcome.TRUE
            partners[best, t] = g
    return outcomes, partners
