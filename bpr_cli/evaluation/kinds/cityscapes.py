"""Instances in the manner of Cityscapes: its own AP, and AF."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.instance import CityscapesRecord, ScoredMask, TruthMask, cityscapes_figures, update_frame
from bpr_cli.evaluation.instance.cityscapes import CLASSES, InstanceMap
from bpr_cli.evaluation.kinds.base import Compared, Kind, TableRow, Tables
from bpr_cli.evaluation.kinds.instances import best_overlaps, draw, layer_of, oracle_masks, read_scored
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.masks.masks import LabelMap
from bpr_cli.truth.open import instance_records
from bpr_cli.truth.pairs import Pair

IdMap = NDArray[np.int32]


class CityscapesKind(Kind[list[ScoredMask], IdMap, list[CityscapesRecord]]):
    """AP and AF over maps of instance ids; the sums are small records of the images."""

    def __init__(self, settings: EvaluateSettings) -> None:
        self._tolerance = settings.tolerance

    def read(self, scored: PredictionSet, item: Item | None, pair: Pair) -> list[ScoredMask]:  # noqa: ARG002
        """The predicted masks of an image."""
        return read_scored(scored, item)

    def read_truth(self, truth: PredictionSet, pair: Pair) -> IdMap:
        """The instance ids of an image: int32, (H, W)."""
        read = truth.read(pair.truth) if pair.truth else None
        if not isinstance(read, LabelMap):
            raise BprError(f"{pair.name} has no map of instance ids")
        return read.labels

    def measure(self, pair: Pair, content: list[ScoredMask], truth: IdMap) -> Compared[list[CityscapesRecord]]:
        """The record of one image, and every instance of the classes that are measured."""
        record = update_frame(pair.key, content, truth, self._tolerance)
        return Compared([record], best_overlaps(content, instances_of(truth), CLASSES))

    def add(self, total: list[CityscapesRecord], sums: list[CityscapesRecord]) -> list[CityscapesRecord]:
        """The records of both, in the first list."""
        total += sums
        return total

    def oracle(self, content: list[ScoredMask], truth: IdMap, distance: int) -> list[ScoredMask]:
        """The masks, right near their boundaries."""
        return oracle_masks(content, instances_of(truth), distance)

    def tables(self, total: list[CityscapesRecord]) -> Tables:
        """The figures."""
        figures = cityscapes_figures(total)
        contour = figures.boundary_f
        classes = [
            TableRow(
                name,
                {
                    "AP": figures.ap_per_class[label],
                    "AP50": figures.ap50_per_class[label],
                    "AF": contour.per_category[label],
                },
            )
            for label, name in CLASSES.items()
        ]
        return Tables({"AP": figures.ap, "AP50": figures.ap50, "AF": contour.af}, classes)

    def layer(self, content: list[ScoredMask], truth: IdMap) -> NDArray[np.int32]:
        """Masks with the number of their true counterpart."""
        return layer_of(content, instances_of(truth), (truth.shape[0], truth.shape[1]))

    def truth_layer(self, truth: IdMap) -> NDArray[np.int32]:
        """Instances from 1 on, by rising id."""
        numbered = [(segment.mask, number) for number, segment in enumerate(instances_of(truth), 1)]
        return draw(numbered, (truth.shape[0], truth.shape[1]))


def instances_of(ids: IdMap) -> list[TruthMask]:
    """The instances of a map of ids, by rising id, those of other classes and groups left out."""
    frame = InstanceMap.of(ids)
    return [
        TruthMask(frame.mask_of(number), record.category)
        for number, record in zip(frame.ids.tolist(), instance_records(frame.ids), strict=True)
        if not record.crowd and record.category in CLASSES
    ]
