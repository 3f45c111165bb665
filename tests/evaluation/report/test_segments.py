"""Single segments of the report: what became right or wrong is marked, and the crop shows all of the segment."""

import numpy as np
import pytest

from bpr_cli.evaluation.report.layers import Layer, Layers
from bpr_cli.evaluation.report.model import SegmentPair
from bpr_cli.evaluation.report.segments import (
    NEWLY_RIGHT,
    NEWLY_WRONG,
    SIDE,
    STILL_WRONG,
    draw_segment,
    error_map,
    extreme_pairs,
)
from tests.evaluation.report.report_cases import layers
from tests.evaluation.report.test_overlays import decoded, flat


def pair(before, after, number=1):
    return SegmentPair("a.png", "road", before, after, number)


def test_every_pixel_is_marked_by_what_it_was_and_is():
    was_wrong = np.array([[True, True, False, False, True]])
    is_wrong = np.array([[False, True, True, False, False]])
    counted = np.array([[True, True, True, True, False]])
    image = np.full((1, 5, 3), 100, np.uint8)
    drawn = error_map(image, was_wrong, is_wrong, counted)
    assert [tuple(pixel) for pixel in drawn[0, :3].tolist()] == [NEWLY_RIGHT, STILL_WRONG, NEWLY_WRONG]
    assert (drawn[0, 3:] == round(255 - 155 * 0.35)).all() or (drawn[0, 3:] == 200).all()


def test_a_segment_is_drawn_before_after_in_truth_and_as_what_changed():
    truth = flat((200, 300), (2, (100, 100, 140, 140)))
    before, after = np.roll(truth, 6, axis=1), np.roll(truth, -2, axis=0)
    card = draw_segment(pair(60, 80, 2), Layers(None, Layer(truth), Layer(after), (Layer(before),)), "instance")
    assert [view.name for view in card.views] == ["before", "after", "ground truth", "what changed"]
    assert max(card.size) == SIDE
    errors = decoded(card.views[-1].whole).astype(int)
    assert errors.shape == (card.size[1], card.size[0], 3)
    for colour in (NEWLY_RIGHT, NEWLY_WRONG):
        assert (np.abs(errors - colour).max(axis=2) < 30).any()


def test_void_is_no_error_in_label_maps():
    truth = flat((60, 60), (1, (10, 10, 30, 30)))
    after = flat((60, 60), (1, (10, 10, 50, 30)))
    drawn = {
        task: decoded(
            draw_segment(pair(90, 50), Layers(None, Layer(truth), Layer(after), (Layer(truth),)), task).views[-1].whole
        )
        for task in ("semantic", "instance")
    }
    wrong = {task: int((np.abs(each.astype(int) - NEWLY_WRONG).max(axis=2) < 30).sum()) for task, each in drawn.items()}
    assert wrong["semantic"] == 0
    assert wrong["instance"] > 1000


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (5, 400)])
def test_any_size_of_image_works(size):
    labels = Layer(np.ones(size, np.int32))
    nothing = Layer(np.zeros(size, np.int32))
    for before, after in ((labels, nothing), (nothing, labels), (nothing, nothing)):
        card = draw_segment(pair(0, 50), Layers(None, labels, after, (before,)), "instance")
        assert all(decoded(view.whole).shape == (card.size[1], card.size[0], 3) for view in card.views)


def test_a_segment_that_is_nowhere_is_drawn_as_nothing():
    assert len(draw_segment(pair(0, 0, 9), layers(), "instance").views) == 4


def test_gains_and_losses_are_ranked_apart_by_their_change():
    pairs = [pair(50, 60, 1), pair(50, 70, 2), pair(50, 45, 3), pair(50, 50, 4)]
    assert [each.number for each in extreme_pairs(pairs, 1)] == [2, 1]
    assert [each.number for each in extreme_pairs(pairs, -1)] == [3]
