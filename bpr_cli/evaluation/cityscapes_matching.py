"""Instance matching of the Cityscapes benchmark: overlaps of predictions with ground truth, and their outcomes.

It follows ``cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling``, and with boundaries the copy of it in
boundary-iou-api (Cheng et al., CVPR 2021).

Shape letters: D predicted masks, G instances and groups of one class, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from cityscapesscripts.helpers.labels import labels
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import boundary_band
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
from bpr_cli.evaluation.label_boundary import label_band
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

NO_ID = 0
"""Id of pixels in no band: that of the label unlabeled, which has no instances."""

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

    def bands(self, width: int) -> InstanceMap:
        """The map of the bands of all ids, ``width`` pixels wide; all other pixels have the id ``NO_ID``."""
        return InstanceMap.of(np.where(label_band(self.instance_ids, width), self.instance_ids, NO_ID))

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
class BandOverlaps:
    """The overlaps of the bands along the boundaries of one class; see ``boundary_band``.

    Attributes:
        shared: int64, (D, G), pixels shared by the bands of predictions and instances.
        found: int64, (D,), areas of the bands of predictions.
        expected: int64, (G,), areas of the bands of instances.
    """

    shared: IntArray
    found: IntArray
    expected: IntArray

    @property
    def iou(self) -> DoubleArray:
        """Boundary IoU, float64, (D, G)."""
        return self.shared / (self.found[:, None] + self.expected[None] - self.shared)


@dataclass(frozen=True)
class ClassOverlaps:
    """The overlaps of one class; its ground truth includes groups and small instances.

    Attributes:
        found: positions of the D non-empty masks among all predicted masks of the image.
        instances: the ground truth.
        shared: int64, (D, G), pixels shared by predictions and instances.
        void: int64, (D,), pixels of the predictions in void.
        areas: int64, (D,), areas of the predictions in pixels.
        bands: the overlaps of their bands along the boundary; None if they are not measured.
    """

    found: list[int]
    instances: _Instances
    shared: IntArray
    void: IntArray
    areas: IntArray
    bands: BandOverlaps | None

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
        has_bands: whether boundaries are measured.
    """

    frame: InstanceMap
    classes: Mapping[int, ClassOverlaps]
    has_bands: bool

    @classmethod
    def of(
        cls, image: ImageKey, predictions: list[ScoredMask], frame: InstanceMap, band: int | None = None
    ) -> CityscapesComparison:
        """Check the masks of one image and count their overlaps.

        Args:
            image: key of the image, for messages.
            predictions: the predicted masks; empty masks and classes that are not evaluated do not count.
            frame: the ground truth.
            band: width of the bands along the boundaries in pixels; None measures no boundaries.

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
        bands = Bands(band, frame.bands(band)) if band else None
        for label, positions in positions_by_category(predictions).items():
            found = [number for number in positions if predictions[number].mask.crop.size]
            if label in CLASSES and found:
                classes[label] = _class_overlaps([predictions[n].mask for n in found], found, frame, label, bands)
                iou = classes[label].iou[:, ~classes[label].instances.group]
                if label in true:
                    overlaps[label] = CategoryOverlaps(found, true[label], iou)
        return cls(predictions, frame.truths, frame.size, overlaps, frame, classes, bands is not None)


@dataclass(frozen=True)
class Bands:
    """The bands of the ground truth.

    Attributes:
        width: their width in pixels.
        frame: the map of their ids.
    """

    width: int
    frame: InstanceMap


def _class_overlaps(
    masks: list[Mask], found: list[int], frame: InstanceMap, label: int, bands: Bands | None
) -> ClassOverlaps:
    instances = frame.instances_of(label)
    shared, void = _shared_pixels(masks, frame, instances.ids)
    areas = np.array([mask.area for mask in masks], dtype=np.int64)
    overlaps = _band_overlaps(masks, instances.ids, bands) if bands else None
    return ClassOverlaps(found, instances, shared, void, areas, overlaps)


def _band_overlaps(masks: list[Mask], ids: IntArray, bands: Bands) -> BandOverlaps:
    edges = [Mask(mask.size, mask.box, boundary_band(mask.crop, bands.width)) for mask in masks]
    expected = bands.frame.areas[np.searchsorted(bands.frame.ids, ids)]
    shared, _ = _shared_pixels(edges, bands.frame, ids)
    return BandOverlaps(shared, np.array([np.count_nonzero(edge.crop) for edge in edges], np.int64), expected)


def _shared_pixels(masks: list[Mask], frame: InstanceMap, ids: IntArray) -> tuple[IntArray, IntArray]:
    """Pixels that masks share with each of some ids, (D, G), and with void, (D,)."""
    shared = np.zeros((len(masks), len(ids)), dtype=np.int64)
    void = np.zeros(len(masks), dtype=np.int64)
    for d, mask in enumerate(masks):
        under, counts = frame.ids_under(mask)
        void[d] = counts[np.isin(under, _VOID)].sum()
        mine = np.isin(under, ids)
        shared[d, np.searchsorted(ids, under[mine])] = counts[mine]
    return shared, void


def match_class(table: ClassOverlaps, scores: DoubleArray, boundary: bool = False) -> tuple[Outcomes, Partners]:
    """Outcomes of the predictions of one class, (D, T), and the instances of the correct ones.

    Args:
        table: overlaps of the class.
        scores: float64, (D,), confidence scores.
        boundary: whether the smaller of IoU and boundary IoU counts, for which the bands must be measured.
    """
    instances, shared, iou = table.instances, table.shared, table.iou
    if boundary and table.bands:
        iou = np.minimum(iou, table.bands.iou)
        # boundary-iou-api knows only groups and small instances whose band the band of the prediction touches.
        shared = shared * (table.bands.shared > 0)
    # The official script subtracts a group twice if it is also small.
    dropped = (
        table.void + (shared * instances.group).sum(axis=1) + (shared * instances.small).sum(axis=1)
    ) / table.areas
    outcomes = np.full((len(scores), len(OVERLAPS)), Outcome.FALSE, dtype=np.uint8)
    partners = np.full(outcomes.shape, NO_PARTNER, dtype=np.int64)
    for t, threshold in enumerate(OVERLAPS):
        reached = iou > threshold
        outcomes[~reached.any(axis=1) & (dropped > threshold), t] = Outcome.IGNORED
        outcomes[reached[:, ~instances.counts].any(axis=1), t] = Outcome.IGNORED
        for g in np.flatnonzero(reached.any(axis=0) & instances.counts):
            finders = np.flatnonzero(reached[:, g])
            best = finders[np.argmax(scores[finders])]
            outcomes[best, t] = Outcome.TRUE
            partners[best, t] = g
    return outcomes, partners
