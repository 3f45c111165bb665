"""The greedy matching of the COCO benchmark: which predicted mask finds which true one.

Written for one image and one category, where pycocotools needs the annotations of the whole data set and goes through
all pairs for every threshold; the tests compare it with the results of pycocotools.

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
    """How a predicted mask counts."""

    FALSE = 0
    TRUE = 1
    IGNORED = 2


def match_masks(overlaps: DoubleArray, crowd: BoolArray, ignored: BoolArray, thresholds: Sequence[float]) -> Partners:
    """The true mask that every predicted one finds, at every threshold, in every size range.

    Predicted masks choose in their order. Each takes the true mask with the largest overlap of those that reach the
    threshold and are not taken yet; one that counts goes before any ignored one; of equal overlaps the last is taken.
    A crowd is never used up.

    Args:
        overlaps: (D, G), predicted masks in falling order of their scores.
        crowd: (G,).
        ignored: (A, G), the true masks that do not count; all crowds are among them.
        thresholds: T smallest overlaps.

    Returns:
        int64, (D, A, T): index of the true mask, or ``NO_PARTNER``.
    """
    partners = np.full((overlaps.shape[0], len(ignored), len(thresholds)), NO_PARTNER, dtype=np.int64)
    least = np.minimum(thresholds, _ALMOST_ONE)
    rows, columns = np.nonzero(overlaps >= least.min())
    if len(set(rows.tolist())) == len(set(columns.tolist())) == len(rows):
        # No mask has a choice, so size ranges and order do not matter.
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
    """For every predicted mask that has any: index and overlap of the true masks it may find."""
    candidates: _Candidates = {}
    for d, g in zip(rows.tolist(), columns.tolist(), strict=True):
        candidates.setdefault(d, []).append((g, float(overlaps[d, g])))
    return candidates


def _match_once(candidates: _Candidates, crowd: list[bool], ignored: list[bool], least: float) -> list[int]:
    """The true mask that every predicted mask with candidates finds, in their order."""
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
    """How the predicted masks count.

    Args:
        partners: (D, V, A, T), as ``match_masks`` gives them for each of V measures of overlap.
        ignored: (A, G), the true masks that do not count.
        outside: (A, D), the predicted masks, such as those of another size, that do not count if they find nothing.

    Returns:
        ``Outcome`` values as uint8, (D, V, A, T).
    """
    matched = partners != NO_PARTNER
    # NO_PARTNER points at the last column, which is none of the true masks.
    padded = np.concatenate([ignored, np.zeros((len(ignored), 1), dtype=bool)], axis=1)
    partner_ignored = padded[np.arange(len(ignored))[:, None], partners]
    dropped = np.where(matched, partner_ignored, outside.T[:, None, :, None])
    return np.where(dropped, Outcome.IGNORED, np.where(matched, Outcome.TRUE, Outcome.FALSE)).astype(np.uint8)
