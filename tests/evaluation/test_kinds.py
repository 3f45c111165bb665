"""What the kinds of evaluation make of the segments of one image, by hand."""

import numpy as np
import pytest

from bpr_cli.evaluation.instance import ScoredMask, TruthMask
from bpr_cli.evaluation.kinds.cityscapes import instances_of
from bpr_cli.evaluation.kinds.instances import best_overlaps, layer_of, oracle_masks
from bpr_cli.evaluation.kinds.panoptic import PanopticKind
from bpr_cli.evaluation.kinds.semantic import SemanticKind
from bpr_cli.evaluation.panoptic import PanopticMap, SegmentInfo
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import CategoryRecord
from bpr_cli.masks.masks import Mask
from bpr_cli.truth.label_sets import LabelSet

SIZE = (10, 12)


def box(x0: int, y0: int, x1: int, y1: int) -> Mask:
    array = np.zeros(SIZE, dtype=bool)
    array[y0:y1, x0:x1] = True
    return Mask.from_array(array)


def test_best_overlaps_are_those_of_the_category() -> None:
    content = [ScoredMask(box(0, 0, 4, 4), 1, 0.2), ScoredMask(box(0, 0, 4, 5), 2, 0.9)]
    truth = [
        TruthMask(box(0, 0, 4, 5), 1),
        TruthMask(box(6, 0, 9, 9), 1),
        TruthMask(box(0, 0, 9, 9), 1, crowd=True),
        TruthMask(box(0, 0, 4, 5), 3),
    ]
    assert best_overlaps(content, truth, {1: "one", 2: "two"}) == [("one", 16 / 20), ("one", 0.0)]


def test_the_oracle_of_masks_needs_a_counterpart() -> None:
    near, far = ScoredMask(box(1, 1, 6, 6), 1, 0.9), ScoredMask(box(8, 0, 12, 3), 1, 0.5)
    truth = [TruthMask(box(1, 1, 7, 7), 1)]
    right = oracle_masks([near, far], truth, 1)
    assert np.array_equal(right[0].mask.to_array(), box(1, 1, 7, 7).to_array() & ~pixel(6, 6))
    assert np.array_equal(right[1].mask.to_array(), far.mask.to_array())
    assert [found.score for found in right] == [0.9, 0.5]


def test_the_oracle_of_masks_beyond_the_distance() -> None:
    right = oracle_masks([ScoredMask(box(2, 2, 7, 7), 1, 1)], [TruthMask(box(0, 0, 7, 7), 1)], 1)
    assert np.array_equal(right[0].mask.to_array(), box(1, 1, 7, 7).to_array() & ~pixel(1, 1))


def pixel(x: int, y: int) -> np.ndarray:
    """One pixel. The diagonal neighbour of a corner touches no other label sideways: it is further than 1 pixel."""
    return box(x, y, x + 1, y + 1).to_array()


def test_layers_show_counterparts_alike() -> None:
    content = [ScoredMask(box(8, 0, 12, 3), 1, 0.9), ScoredMask(box(1, 1, 6, 6), 1, 0.5)]
    layer = layer_of(content, [TruthMask(box(0, 0, 7, 7), 1)], SIZE)
    assert (layer[2, 2], layer[1, 9], layer[9, 0]) == (1, 2, 0)


def test_instances_of_a_map_of_ids() -> None:
    ids = np.zeros(SIZE, dtype=np.int32)
    ids[0], ids[1], ids[2], ids[3] = 26, 26001, 24000, 29001
    assert [(segment.category, segment.mask.area) for segment in instances_of(ids)] == [(24, 12), (26, 12)]


def semantic() -> SemanticKind:
    return SemanticKind(EvaluateSettings(), LabelSet("test", {0: "sky", 1: "road", 4: "car"}, frozenset({255})))


def test_segments_of_label_maps_leave_void_out() -> None:
    truth, found = np.zeros(SIZE, np.int32), np.zeros(SIZE, np.int32)
    truth[:, 6:] = 1
    truth[0] = 255
    found[:, 4:] = 4
    assert semantic().measure(None, found, truth).segments == [("sky", pytest.approx(36 / 54)), ("road", 0.0)]


def test_label_layers_begin_at_one() -> None:
    labels = np.array([[0, 4, 255]], dtype=np.int32)
    assert semantic().truth_layer(labels).tolist() == [[1, 5, 0]]


def panoptic() -> PanopticKind:
    return PanopticKind(EvaluateSettings(), (CategoryRecord(1, "car"), CategoryRecord(2, "road", thing=False)))


def panoptic_map(ids: np.ndarray, **categories: int) -> PanopticMap:
    return PanopticMap(ids, tuple(SegmentInfo(int(name[1:]), category) for name, category in categories.items()))


def test_segments_of_panoptic_maps() -> None:
    true, found = np.full(SIZE, 5, np.int32), np.full(SIZE, 9, np.int32)
    true[:, :4], true[0] = 6, 0
    found[:, :6] = 70000
    truth, content = panoptic_map(true, s5=2, s6=1), panoptic_map(found, s9=2, s70000=1)
    assert panoptic().measure(None, content, truth).segments == [
        ("road", pytest.approx(54 / 72)),
        ("car", pytest.approx(36 / 54)),
    ]


def test_the_oracle_of_panoptic_maps_moves_the_boundary() -> None:
    true, found = np.full(SIZE, 5, np.int32), np.full(SIZE, 9, np.int32)
    true[:, :4] = 6
    found[:, :6] = 70000
    truth, content = panoptic_map(true, s5=2, s6=1), panoptic_map(found, s9=2, s70000=1)
    assert (panoptic().oracle(content, truth, 1).ids == 70000).sum() == 50
    exact = panoptic().oracle(content, truth, 2)
    assert [segment for _, segment in panoptic().measure(None, exact, truth).segments] == [1.0, 1.0]
    assert (content.ids == 70000).sum() == 60


def test_the_oracle_drops_segments_without_pixels() -> None:
    true, found = np.full(SIZE, 5, np.int32), np.full(SIZE, 9, np.int32)
    found[4, 4] = 3
    truth, content = panoptic_map(true, s5=2), panoptic_map(found, s9=2, s3=1)
    exact = panoptic().oracle(content, truth, 1)
    assert [segment.id for segment in exact.segments] == [9]
    assert panoptic().measure(None, exact, truth).sums.mask.wrong.tolist() == [0, 0]
