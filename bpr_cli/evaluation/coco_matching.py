"""The greedy matching of the COCO benchmark, which pairs predicted masks with true masks.

It works on one image and one category, while pycocotools needs the annotations of the whole data set and visits all
pairs for every threshold. The tests compare it with pycocotools.

Shape letters: D predicted masks, G masks of the ground truth, A size ranges, T IoU thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np

from bpr_cli.typing import BoolArray, ByteArray, DoubleArray, IntArray

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
    if len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows):
        # No mask can choose between partners, so size ranges and order do not matter.
        reached = overlaps[rows, columns][:, None] >= least
        partners[rows] = np.where(reached, columns[:, None], NO_PARTNER)[:, None]
        return partners
    candidates = _candidates(overlaps, rows, columns)
    known: dict[bytes, int] = {}
    for a, row in enumerate(ignored):
        same = known.setdefault(row.tobytes(), a)
        if same < a:
            partners[:, a] = partners[:, same]
            continue
        flags = crowd.tolist(), row.tolist()
        partners[list(candidates), a] = np.transpose([_match_once(candidates, *flags, each) for each in least.tolist()])
    return partners


_Candidates = dict[int, list[tuple[int, float]]]


def _candidates(overlaps: DoubleArray, rows: Partners, columns: Partners) -> _Candidates:
    """Index and overlap of the true masks that each predicted mask may match; masks without candidates are absent."""
    candidates: _Candidates = {}
    for d, g in zip(rows.tolist(), columns.tolist(), strict=True):
        candidates.setdefault(d, []).append((g, float(overlaps[d, g])))
    return candidates


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
