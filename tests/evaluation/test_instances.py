"""Instances of one image: overlaps as pycocotools has them, counterparts and oracles by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bpr_cli.evaluation.boundary import band_width, boundary_band
from bpr_cli.evaluation.cityscapes_matching import InstanceMap
from bpr_cli.evaluation.evaluator import SegmentIou
from bpr_cli.evaluation.instances import InstanceComparison, ScoredMask, TruthMask, category_overlaps, overlaps
from bpr_cli.masks.masks import Mask
from tests.evaluation.instance_cases import encode, full_frame_band, shapes_in

sets = st.sampled_from([(1, 1), (5, 9), (20, 30)]).flatmap(
    lambda size: st.tuples(st.lists(shapes_in(size), max_size=4), st.lists(shapes_in(size), max_size=4))
)


@given(pair=sets, crowd=st.lists(st.booleans(), min_size=4, max_size=4))
def test_overlaps_equal_pycocotools(pair, crowd):
    found, true = pair
    crowd = np.array(crowd[: len(true)], dtype=bool)
    ours = overlaps([Mask.from_array(m) for m in found], [Mask.from_array(m) for m in true], crowd)
    assert ours.shape == (len(found), len(true))
    if found and true:
        theirs = coco_mask.iou([encode(m) for m in found], [encode(m) for m in true], crowd.astype(int).tolist())
        assert np.array_equal(ours, theirs)


@given(pair=sets)
def test_intersection_and_iou_of_two_masks(pair):
    for first in pair[0]:
        for second in pair[1]:
            shared, either = np.count_nonzero(first & second), np.count_nonzero(first | second)
            masks = Mask.from_array(first), Mask.from_array(second)
            assert masks[0].shared_area(masks[1]) == shared
            assert masks[0].iou(masks[1]) == (shared / either if shared else 0)


@given(array=st.sampled_from([(1, 1), (7, 40), (30, 61), (64, 64)]).flatmap(shapes_in), ratio=st.floats(0.001, 0.2))
def test_band_of_the_crop_equals_that_of_the_frame(array, ratio):
    mask = Mask.from_array(array)
    band = boundary_band(mask.crop, band_width(ratio, mask.size))
    assert np.array_equal(Mask(mask.size, mask.box, band).to_array(), full_frame_band(array, ratio) > 0)


SIZE = (10, 12)


def box(x0: int, y0: int, x1: int, y1: int) -> Mask:
    array = np.zeros(SIZE, dtype=bool)
    array[y0:y1, x0:x1] = True
    return Mask.from_array(array)


def compare(predictions, truths):
    return InstanceComparison(predictions, truths, SIZE, category_overlaps(predictions, truths))


def test_best_overlaps_are_those_of_the_category() -> None:
    content = [ScoredMask(box(0, 0, 4, 4), 1, 0.2), ScoredMask(box(0, 0, 4, 5), 2, 0.9)]
    truth = [
        TruthMask(box(0, 0, 4, 5), 1),
        TruthMask(box(6, 0, 9, 9), 1),
        TruthMask(box(0, 0, 9, 9), 1, crowd=True),
        TruthMask(box(0, 0, 4, 5), 3),
    ]
    comparison = compare(content, truth)
    assert comparison.best_ious({1: "one", 2: "two"}) == [
        SegmentIou("one", 16 / 20, 1),
        SegmentIou("one", 0.0, 2),
    ]


def test_the_oracle_of_masks_needs_a_counterpart() -> None:
    near, far = ScoredMask(box(1, 1, 6, 6), 1, 0.9), ScoredMask(box(8, 0, 12, 3), 1, 0.5)
    truth = [TruthMask(box(1, 1, 7, 7), 1)]
    right = compare([near, far], truth).corrected(1)
    assert np.array_equal(right[0].mask.to_array(), box(1, 1, 7, 7).to_array() & ~pixel(6, 6))
    assert np.array_equal(right[1].mask.to_array(), far.mask.to_array())
    assert [found.score for found in right] == [0.9, 0.5]


def test_the_oracle_of_masks_beyond_the_distance() -> None:
    right = compare([ScoredMask(box(2, 2, 7, 7), 1, 1)], [TruthMask(box(0, 0, 7, 7), 1)]).corrected(1)
    assert np.array_equal(right[0].mask.to_array(), box(1, 1, 7, 7).to_array() & ~pixel(1, 1))


def pixel(x: int, y: int) -> np.ndarray:
    """One pixel. The diagonal neighbour of a corner touches no other label sideways: it is further than 1 pixel."""
    return box(x, y, x + 1, y + 1).to_array()


def test_layers_show_counterparts_alike() -> None:
    content = [ScoredMask(box(8, 0, 12, 3), 1, 0.9), ScoredMask(box(1, 1, 6, 6), 1, 0.5)]
    layer = compare(content, [TruthMask(box(0, 0, 7, 7), 1)]).layer({1: "one"})
    assert (layer.labels[2, 2], layer.labels[1, 9], layer.labels[9, 0]) == (1, 2, 0)
    assert layer.names == {1: "one", 2: "one"}


def test_instances_of_a_map_of_ids() -> None:
    ids = np.zeros(SIZE, dtype=np.int32)
    ids[0], ids[1], ids[2], ids[3] = 26, 26001, 24000, 29001
    assert [(segment.category, segment.mask.area) for segment in InstanceMap.of(ids).truths] == [(24, 12), (26, 12)]
