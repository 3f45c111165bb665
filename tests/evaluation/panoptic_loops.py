"""PQ and boundary PQ by loops over segments and sets of pixels: slow, and shares nothing with the program."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from tests.evaluation.label_cases import brute_band


def loop_sums(prediction, truth, categories, width=None, mark=None):
    """Per category [sum of IoU, matched, wrong, missed] of one image.

    With a width boundaries decide too. ``mark`` is the id that the reference tool writes over the inside of segments,
    None for none.
    """
    found, expected = _pixels(prediction.ids), _pixels(truth.ids)
    void = expected.get(0, set())
    edges = (_edges(prediction, width, mark), _edges(truth, width, mark)) if width else None
    sums = defaultdict(lambda: [0.0, 0, 0, 0])
    used = set()
    for segment in truth.segments:
        if segment.crowd:
            continue
        partner = None
        for other in prediction.segments:
            if other.category == segment.category and found[other.id] & expected[segment.id]:
                quality = _mask_iou(found[other.id], expected[segment.id], void, segment.area)
                if edges:
                    quality = _smaller(quality, *edges, other.id, segment.id)
                if quality > 0.5:
                    partner = other.id
                    sums[segment.category][0] += quality
                    sums[segment.category][1] += 1
        if partner is None:
            sums[segment.category][3] += 1
        else:
            used.add(partner)
    for segment in prediction.segments:
        crowds = [other.id for other in truth.segments if other.crowd and other.category == segment.category]
        excuse = void | (expected[crowds[-1]] if crowds else set())
        mine = found[segment.id]
        if segment.id not in used and 2 * len(mine & excuse) <= len(mine):
            sums[segment.category][2] += 1
    return [sums[category] for category in categories]


def _pixels(ids):
    places = defaultdict(set)
    for place, value in np.ndenumerate(ids):
        places[int(value)].add(place)
    return places


def _mask_iou(found, expected, void, area):
    shared = len(found & expected)
    listed = len(expected) if area is None else area
    return shared / (len(found - void) + listed - shared)


def _edges(panoptic, width, mark):
    """The pixels of every segment's band as the reference tool sees them, and their number when it was made."""
    painted, areas = panoptic.ids.astype(np.int64), {}
    for segment in panoptic.segments:
        own = painted == segment.id
        band = brute_band(own, width)
        painted[own] = -1 if mark is None else mark
        painted[band] = segment.id
        areas[segment.id] = int(band.sum())
    return _pixels(painted), areas


def _smaller(quality, found, expected, found_id, expected_id):
    shared = len(found[0][found_id] & expected[0][expected_id])
    outside = len(found[0][found_id] & expected[0][0])
    union = found[1][found_id] + expected[1][expected_id] - shared - outside
    return min(quality, shared / union) if union else quality
