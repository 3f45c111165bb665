"""The greedy matching of COCO, by hand; ``test_coco`` compares it with pycocotools."""

import numpy as np

from bpr_cli.evaluation.coco_matching import NO_PARTNER, match_masks


def partners_of(overlap, crowd, ignored, threshold):
    flags = np.array(crowd, dtype=bool), np.array([ignored], dtype=bool)
    return match_masks(np.array(overlap, dtype=float), *flags, (threshold,))[:, 0, 0].tolist()


def test_a_true_mask_is_found_once_and_the_last_of_equals_is_taken():
    assert partners_of([[0.8, 0.8], [0.9, 0.6], [0.7, 0.7]], [0, 0], [0, 0], 0.5) == [1, 0, NO_PARTNER]


def test_one_that_counts_goes_before_an_ignored_one():
    assert partners_of([[0.6, 0.9], [0.6, 0.9], [0.0, 0.9]], [0, 0], [0, 1], 0.5) == [0, 1, NO_PARTNER]


def test_a_crowd_is_never_used_up():
    assert partners_of([[0.9], [0.8]], [1], [1], 0.5) == [0, 0]


def test_a_threshold_of_one_can_be_met():
    assert partners_of([[1.0]], [0], [0], 1.0) == [0]
    assert partners_of([[0.999]], [0], [0], 1.0) == [NO_PARTNER]
