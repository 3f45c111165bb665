"""Instances in the manner of COCO (and LVIS): AP, boundary AP and AF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.instance import (
    ApTable,
    CocoRecord,
    CocoSettings,
    ScoredMask,
    TruthMask,
    coco_figures,
    update_image,
)
from bpr_cli.evaluation.instance.boundary_f import mean_of_defined
from bpr_cli.evaluation.kinds.base import Compared, Figures, Kind, TableRow, Tables
from bpr_cli.evaluation.kinds.instances import (
    best_overlaps,
    draw,
    layer_of,
    oracle_masks,
    read_scored,
    read_true,
    size_of,
)
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import CategoryRecord, Item, PredictionSet, Searched
from bpr_cli.truth.pairs import Pair
from bpr_cli.typing import Size

_SIZES = {"small": "ap_small", "medium": "ap_medium", "large": "ap_large"}
_FREQUENCIES = {"r": "rare", "c": "common", "f": "frequent"}  # as LVIS marks categories
_CURVES = (0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Instances:
    """The true masks of an image.

    Attributes:
        size: (H, W) of the image.
        masks: in the order of the file.
        searched: which categories were looked for, None for all.
    """

    size: Size
    masks: list[TruthMask]
    searched: Searched | None = None


class CocoKind(Kind[list[ScoredMask], Instances, list[CocoRecord]]):
    """AP and AF; the sums are small records of the images."""

    def __init__(self, settings: EvaluateSettings, categories: tuple[CategoryRecord, ...]) -> None:
        self._names = {category.id: category.name for category in categories}
        listed = {
            name: [category.id for category in categories if category.frequency == letter]
            for letter, name in _FREQUENCIES.items()
        }
        self._groups = {name: ids for name, ids in listed.items() if ids}
        self._settings = CocoSettings(
            tuple(sorted(self._names)),
            settings.max_detections or CocoSettings.max_detections,
            settings.dilation_ratio,
            settings.tolerance,
        )

    def read(self, scored: PredictionSet, item: Item | None, pair: Pair) -> list[ScoredMask]:  # noqa: ARG002
        """The predicted masks of an image."""
        return read_scored(scored, item)

    def read_truth(self, truth: PredictionSet, pair: Pair) -> Instances:
        """The true masks of an image."""
        masks = read_true(truth, pair.truth)
        return Instances(size_of(pair.size, masks), masks, truth.searched(pair.key))

    def measure(self, pair: Pair, content: list[ScoredMask], truth: Instances) -> Compared[list[CocoRecord]]:
        """The record of one image, and every true mask but crowds."""
        record = update_image(pair.key, content, truth.masks, self._settings, truth.searched)
        return Compared([record], best_overlaps(content, truth.masks, self._names))

    def add(self, total: list[CocoRecord], sums: list[CocoRecord]) -> list[CocoRecord]:
        """The records of both, in the first list."""
        total += sums
        return total

    def oracle(self, content: list[ScoredMask], truth: Instances, distance: int) -> list[ScoredMask]:
        """The masks, right near their boundaries."""
        return oracle_masks(content, truth.masks, distance)

    def tables(self, total: list[CocoRecord]) -> Tables:
        """The figures."""
        figures = coco_figures(total, self._settings)
        mask, boundary, contour = figures.mask.overall, figures.boundary.overall, figures.boundary_f
        summary = {
            "AP": mask.ap,
            "AP50": mask.ap50,
            "AP75": mask.ap75,
            "AP90": mask.ap90,
            "boundary AP": boundary.ap,
            "boundary AP50": boundary.ap50,
            "boundary AP75": boundary.ap75,
            "AF": contour.af,
        }
        sizes = [
            TableRow(name, {"AP": getattr(mask, field), "boundary AP": getattr(boundary, field)})
            for name, field in _SIZES.items()
        ]
        rows = {
            category: _of_category(figures.mask, figures.boundary, contour.per_category, category)
            for category in sorted(self._names)
        }
        classes = [TableRow(self._names[category], row) for category, row in rows.items()]
        by_size = [
            TableRow(self._names[category], _of_sizes(figures.mask, figures.boundary, category)) for category in rows
        ]
        groups = [TableRow(name, _mean([rows[category] for category in ids])) for name, ids in self._groups.items()]
        curves = {"": figures.mask, "boundary ": figures.boundary}
        return Tables(summary, classes, groups, sizes, by_size, self._curves(curves))

    def _curves(self, tables: dict[str, ApTable]) -> dict[str, list[float]]:
        """Mean precision of the categories with ground truth at every recall."""
        curves = {}
        for prefix, table in tables.items():
            for t, threshold in enumerate(self._settings.thresholds):
                at = table.precision[t, :, :, 0]
                known = at[:, (at >= 0).all(axis=0)]
                if any(abs(threshold - wanted) < 1e-9 for wanted in _CURVES) and known.size:
                    curves[f"{prefix}IoU {threshold:.2f}"] = known.mean(axis=1).tolist()
        return curves

    def layer(self, content: list[ScoredMask], truth: Instances) -> NDArray[np.int32]:
        """Masks with the number of their true counterpart."""
        return layer_of(content, truth.masks, truth.size)

    def truth_layer(self, truth: Instances) -> NDArray[np.int32]:
        """Masks from 1 on, in the order of the file."""
        return draw([(segment.mask, number) for number, segment in enumerate(truth.masks, 1)], truth.size)


def _of_category(mask: ApTable, boundary: ApTable, contour: dict[int, float], category: int) -> Figures:
    figures, bands = mask.per_category[category], boundary.per_category[category]
    return {
        "AP": figures.ap,
        "AP50": figures.ap50,
        "AP75": figures.ap75,
        "AP90": figures.ap90,
        "boundary AP": bands.ap,
        "AF": contour[category],
    }


def _of_sizes(mask: ApTable, boundary: ApTable, category: int) -> Figures:
    measures = {"AP": mask.per_category[category], "boundary AP": boundary.per_category[category]}
    return {
        f"{name} {size}": getattr(figures, field)
        for name, figures in measures.items()
        for size, field in _SIZES.items()
    }


def _mean(rows: Sequence[Figures]) -> Figures:
    """The means of one or more rows of figures, over those that are defined."""
    return {name: mean_of_defined(np.array([row[name] for row in rows])) for name in rows[0]}
