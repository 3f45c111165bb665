"""The greedy matching of the COCO benchmark, and the boundary F-score that AF averages over matched masks.

The matching works on one image and one category, while pycocotools needs the annotations of the whole data set and
visits all pairs for every threshold. The tests compare it with pycocotools.

Shape letters: D predicted masks, G masks of the ground truth, A size ranges, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

import numpy as np

from bpr_cli.evaluation.boundary import boundary_map, contour_f, tolerance_pixels
from bpr_cli.evaluation.evaluator import mean_of_defined
from bpr_cli.masks.masks import EMPTY_BOX, Mask
from bpr_cli.patches.boxes import grow
from bpr_cli.typing import BoolArray, Box, ByteArray, DoubleArray, IntArray

Outcomes = ByteArray
Partners = IntArray

NO_PARTNER = -1

_ALMOST_ONE = 1 - 1e-10  # pycocotools' limit, so that a threshold of 1 can be met


class Outcome(IntEnum):
    """The outcome of a predicted mask."""

    FALSE = 0
    TRUE = 1
    IGNORED = 2


def match_masks(overlaps: DoubleArray, crowd: BoolArray, ignored: BoolArray, thresholds: Sequence[float]) -> Partners:
    """The true mask that matches each predicted mask, for every threshold and size range.

    Predicted masks choose in their order. Each takes the free true mask with the largest overlap that reaches the
    threshold. Counted masks take precedence over ignored ones; of equal overlaps, the last one wins. A crowd may match
    any number of predictions.

    Args:
        overlaps: (D, G), predicted masks by descending score.
        crowd: (G,), whether a true mask is a crowd.
        ignored: (A, G), whether a true mask does not count; true for all crowds.
        thresholds: the T smallest overlaps that match.

    Returns:
        int64, (D, A, T): index of the true mask, or ``NO_PARTNER``.
    """
    partners = np.full((overlaps.shape[0], len(ignored), len(thresholds)), NO_PARTNER, dtype=np.int64)
    least = np.minimum(thresholds, _ALMOST_ONE)
    rows, columns = np.nonzero(overlaps >= least.min())
    # Where neither mask can choose between partners, size ranges and order do not matter.
    alone = (np.bincount(rows)[rows] == 1) & (np.bincount(columns)[columns] == 1)
    reached = overlaps[rows[alone], columns[alone]][:, None] >= least
    partners[rows[alone]] = np.where(reached, columns[alone][:, None], NO_PARTNER)[:, None]
    if not alone.all():
        candidates = _candidates(overlaps, rows[~alone], columns[~alone])
        partners[list(candidates)] = _match_choosing(candidates, crowd, ignored, least.tolist())
    return partners


_Candidates = dict[int, list[tuple[int, float]]]


def _candidates(overlaps: DoubleArray, rows: Partners, columns: Partners) -> _Candidates:
    """Index and overlap of the true masks that each predicted mask may match; masks without candidates are absent."""
    candidates: _Candidates = {}
    found = zip(rows.tolist(), columns.tolist(), overlaps[rows, columns].tolist(), strict=True)
    for d, g, overlap in found:
        candidates.setdefault(d, []).append((g, overlap))
    return candidates


def _match_choosing(
    candidates: _Candidates, crowd: BoolArray, ignored: BoolArray, thresholds: Sequence[float]
) -> Partners:
    """The true masks that match predicted masks with candidates: (number of them, A, T)."""
    chosen = [g for options in candidates.values() if len(options) > 1 for g, _ in options]
    known: dict[bytes, list[list[int]]] = {}
    for row in ignored:
        key = row[chosen].tobytes()  # what others are does not matter, because nobody chooses between them
        if key not in known:
            flags = crowd.tolist(), row.tolist()
            known[key] = [_match_once(candidates, *flags, least) for least in thresholds]
    partners: Partners = np.array([known[row[chosen].tobytes()] for row in ignored], dtype=np.int64)
    return np.moveaxis(partners, 2, 0)


def _match_once(candidates: _Candidates, crowd: list[bool], ignored: list[bool], least: float) -> list[int]:
    """The true mask that matches each predicted mask with candidates, in their order."""
    partners = []
    taken: set[int] = set()
    for options in candidates.values():
        free = [(not ignored[g], overlap, g) for g, overlap in options if overlap >= least and g not in taken]
        partner = max(free)[2] if free else NO_PARTNER
        partners.append(partner)
        if free and not crowd[partner]:
            taken.add(partner)
    return partners


def outcomes_of(partners: Partners, ignored: BoolArray, outside: BoolArray) -> Outcomes:
    """The outcomes of the predicted masks.

    Args:
        partners: (D, V, A, T), results of ``match_masks`` for each of V measures of overlap.
        ignored: (A, G), whether a true mask does not count.
        outside: (A, D), whether a predicted mask does not count without a match, for example because of its size.

    Returns:
        ``Outcome`` values as uint8, (D, V, A, T).
    """
    matched = partners != NO_PARTNER
    # NO_PARTNER indexes the last column, which stands for no true mask.
    padded = np.concatenate([ignored, np.zeros((len(ignored), 1), dtype=bool)], axis=1)
    partner_ignored = padded[np.arange(len(ignored))[:, None], partners]
    dropped = np.where(matched, partner_ignored, outside.T[:, None, :, None])
    return np.where(dropped, Outcome.IGNORED, np.where(matched, Outcome.TRUE, Outcome.FALSE)).astype(np.uint8)


def mask_boundary_f(found: Mask, true: Mask, tolerance: float) -> float:
    """``boundary_f`` of two masks of one image, computed on the window that contains both contours."""
    window = _window(found, true)
    contours = boundary_map(found.window(window)), boundary_map(true.window(window))
    return contour_f(*contours, tolerance_pixels(tolerance, found.size))


def _window(found: Mask, true: Mask) -> Box:
    """The union of both boxes with a margin of one pixel, which contains both contours."""
    boxes = [mask.box for mask in (found, true) if mask.crop.size]
    if not boxes:
        return EMPTY_BOX
    x0, y0 = min(box[0] for box in boxes), min(box[1] for box in boxes)
    x1, y1 = max(box[2] for box in boxes), max(box[3] for box in boxes)
    return grow((x0, y0, x1, y1), 1, found.size)


def sum_boundary_f(
    found: Sequence[Mask], true: Sequence[Mask] | Mapping[int, Mask], partners: Partners, tolerance: float
) -> tuple[DoubleArray, IntArray]:
    """Sum of F, and number of pairs, at every threshold for one image and category.

    Args:
        found: D predicted masks.
        true: true masks by index, at least those with a partner.
        partners: (D, T), index of the true mask paired with each predicted mask, or ``NO_PARTNER``.
        tolerance: tolerance in pixels; below 1, a fraction of the image diagonal.

    Returns:
        float64 (T,) and int64 (T,).
    """
    sums = np.zeros(partners.shape[1])
    for d, row in enumerate(partners):
        for g in set(row.tolist()) - {NO_PARTNER}:
            sums[row == g] += mask_boundary_f(found[d], true[g], tolerance)
    return sums, np.count_nonzero(partners != NO_PARTNER, axis=0)


def boundary_f_by_category(sums: DoubleArray, pairs: IntArray) -> list[float]:
    """AF of every category from the sums over all images, (K, T) each; NaN without pairs."""
    scores = np.where(pairs > 0, sums / np.maximum(pairs, 1), np.nan)
    return [mean_of_defined(of_category) for of_category in scores]
