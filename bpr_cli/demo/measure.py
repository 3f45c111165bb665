"""How close a prediction of one image is to the truth, in the two figures that the demo prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.boundary import boundary_f, iou
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.typing import BoolArray

Segmentation = NDArray[np.generic] | Mask | LabelMap | Sequence[NDArray[np.generic] | Mask]
"""One mask (bool), a label map (integer; also uint8), or a list of masks that may overlap."""


@dataclass(frozen=True)
class Score:
    """Figures from 0 to 1, averaged over the segments of the truth.

    Attributes:
        iou: intersection over union.
        boundary_f: boundary F-score at 1 px.
    """

    iou: float
    boundary_f: float


def score(segmentation: Segmentation, truth: Segmentation) -> Score:
    """Compare with the truth, which must be of the same kind; lists of masks are paired in their order."""
    pairs = list(_pairs(segmentation, truth))
    if not pairs:
        return Score(1.0, 1.0)
    return mean_score([Score(iou(mask, true), boundary_f(mask, true)) for mask, true in pairs])


def mean_score(scores: Sequence[Score]) -> Score:
    """Mean of at least one score."""
    figures = np.mean([(each.iou, each.boundary_f) for each in scores], axis=0)
    return Score(float(figures[0]), float(figures[1]))


def as_segments(segmentation: Segmentation) -> list[BoolArray] | NDArray[np.int32]:
    """One form for all kinds: a label map as int32 (H, W), masks as a list of bool (H, W)."""
    if isinstance(segmentation, LabelMap):
        return segmentation.labels
    if isinstance(segmentation, Mask):
        return [segmentation.to_array()]
    if isinstance(segmentation, np.ndarray):
        if segmentation.ndim != 2:
            raise ValueError(f"a mask or label map must be an (H, W) array, got shape {segmentation.shape}")
        return [segmentation != 0] if segmentation.dtype == np.bool_ else segmentation.astype(np.int32)
    return [mask.to_array() if isinstance(mask, Mask) else mask != 0 for mask in segmentation]


def _pairs(segmentation: Segmentation, truth: Segmentation) -> Iterator[tuple[BoolArray, BoolArray]]:
    """Every segment of the truth as (predicted mask, true mask)."""
    found, expected = as_segments(segmentation), as_segments(truth)
    if isinstance(found, list) and isinstance(expected, list):
        if len(found) != len(expected):
            raise ValueError(f"as many masks as the truth has are needed, got {len(found)} for {len(expected)}")
        yield from zip(found, expected, strict=True)
    elif isinstance(found, np.ndarray) and isinstance(expected, np.ndarray):
        for label in np.unique(expected):
            yield found == label, expected == label
    else:
        raise ValueError("a label map can only be compared with a label map, and masks with masks")
