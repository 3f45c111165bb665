"""Label maps: IoU, boundary F and boundary IoU by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.kinds.base import Compared, Kind, TableRow, Tables
from bpr_cli.evaluation.oracle import oracle_labels
from bpr_cli.evaluation.semantic import SemanticSettings, SemanticSums, class_iou, semantic_figures, semantic_sums
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.masks.masks import LabelMap
from bpr_cli.truth.label_sets import LabelSet
from bpr_cli.truth.pairs import Pair

Labels = NDArray[np.int32]


class SemanticKind(Kind[Labels, Labels, SemanticSums]):
    """Per-class IoU, boundary F and boundary IoU, and their means."""

    def __init__(self, settings: EvaluateSettings, labels: LabelSet) -> None:
        self._labels = labels
        self._settings = SemanticSettings(
            tuple(labels.names), labels.ignore, settings.tolerance, settings.dilation_ratio
        )

    def read(self, scored: PredictionSet, item: Item | None, pair: Pair) -> Labels:
        """The labels of an image: int32, (H, W)."""
        if item is None:
            raise BprError(f"{pair.name} has no label map")
        read = scored.read(item)
        if not isinstance(read, LabelMap):
            raise BprError(f"{scored.file(item)} is a binary mask, expected a label map")
        return read.labels

    def read_truth(self, truth: PredictionSet, pair: Pair) -> Labels:
        """The true labels of an image: int32, (H, W)."""
        return self.read(truth, pair.truth, pair)

    def measure(self, pair: Pair, content: Labels, truth: Labels) -> Compared[SemanticSums]:  # noqa: ARG002
        """The sums of one image, and every class that its truth holds; void pixels are left out."""
        sums = semantic_sums(content, truth, self._settings)
        names, shares = list(self._labels.names.values()), class_iou(sums)
        held = np.flatnonzero(sums.confusion.sum(axis=1)).tolist()
        return Compared(sums, [(names[number], float(shares[number])) for number in held])

    def add(self, total: SemanticSums, sums: SemanticSums) -> SemanticSums:
        """The sums of both."""
        return total + sums

    def oracle(self, content: Labels, truth: Labels, distance: int) -> Labels:
        """The labels, right near their boundaries."""
        return oracle_labels(content, truth, self._labels.ignore, distance).astype(np.int32)

    def tables(self, total: SemanticSums) -> Tables:
        """The figures; without a label set of the classes that the ground truth holds."""
        names = list(self._labels.names.values())
        if self._labels.open:
            chosen = np.flatnonzero(total.confusion.sum(axis=1))
            total, names = _choose(total, chosen), [names[number] for number in chosen.tolist()]
        figures = semantic_figures(total)
        rows = zip(names, figures.iou, figures.boundary_f, figures.boundary_iou, strict=True)
        classes = [
            TableRow(name, {"IoU": iou, "boundary F": boundary_f, "boundary IoU": boundary_iou})
            for name, iou, boundary_f, boundary_iou in rows
        ]
        summary = {"mIoU": figures.miou, "AF": figures.af, "mean boundary IoU": figures.mean_boundary_iou}
        return Tables(summary, classes)

    def layer(self, content: Labels, truth: Labels) -> Labels:  # noqa: ARG002
        """Classes from 1 on, 0 for void."""
        return self._numbers(content)

    def truth_layer(self, truth: Labels) -> Labels:
        """Classes from 1 on, 0 for void."""
        return self._numbers(truth)

    def _numbers(self, labels: Labels) -> Labels:
        return np.where(np.isin(labels, list(self._labels.ignore)), 0, labels + 1).astype(np.int32)


def _choose(sums: SemanticSums, classes: NDArray[np.int64]) -> SemanticSums:
    """The sums of some of the classes; predictions of other ones become no class."""
    rows = sums.confusion[classes]
    kept = rows[:, classes]
    rest = rows.sum(axis=1) - kept.sum(axis=1)
    return SemanticSums(
        sums.images,
        np.concatenate([kept, rest[:, None]], axis=1),
        sums.boundary_f[classes],
        sums.band_shared[classes],
        sums.band_union[classes],
    )
