"""What judges learn from: masks and maps of every quality."""

import numpy as np
import pytest

from bpr_cli.patchset.simulate import near_labels
from bpr_cli.training.lessons import KINDS, LARGEST_MAP, UNKNOWN, draw_lessons, draw_map_lessons, painted, pool_of
from tests.training.toy_data import image_set


@pytest.fixture
def pool(tmp_path):
    return pool_of(image_set(tmp_path / "toys", ["a", "b", "c"]))


def test_masks_of_every_kind(pool):
    for kind in KINDS:
        lessons = list(draw_lessons(pool, kind, 4, np.random.default_rng(0)))
        assert 0 < len(lessons) <= 4
        for each in lessons:
            same = (each.coarse.to_array() == (each.truth == 1)).all()
            assert same == (kind == "exact") or kind == "nearly exact"


def test_maps_of_every_kind(pool):
    for kind in KINDS:
        lessons = list(draw_map_lessons(pool, kind, 4, np.random.default_rng(0)))
        assert len(lessons) == 4
        for each in lessons:
            same = (each.coarse.labels == each.truth).all()
            assert same == (kind == "exact") or kind == "nearly exact"
            assert each.coarse.labels.shape == each.image.shape[:2]
            assert set(np.unique(each.coarse.labels)) - {0} <= set(np.unique(each.truth))


def test_large_maps_are_cut(pool, monkeypatch):
    monkeypatch.setattr("bpr_cli.training.lessons.LARGEST_MAP", 20)
    for each in draw_map_lessons(pool, "exact", 5, np.random.default_rng(0)):
        assert max(each.truth.shape) <= 20 < LARGEST_MAP
        assert each.truth.shape == each.image.shape[:2]


def test_masks_are_painted_in_their_order(pool):
    for record in {record for group in pool.true for record, _ in group}:
        header = pool.image(record).header
        predicted, truth = painted(header)
        pairs = [header.pair(number) for number in range(len(header.pairs))]
        for y, x in np.ndindex(*header.size):
            over = [pair for pair in pairs if pair.truth.to_array()[y, x]]
            unknown = any(pair.void.to_array()[y, x] for pair in pairs)
            assert (truth[y, x] > 0) == bool(over)
            assert (truth[y, x] == UNKNOWN) == (unknown and not over)
            assert (predicted[y, x] > 0) == any(pair.coarse and pair.coarse.to_array()[y, x] for pair in pairs)


def test_nearly_exact_maps_move_by_a_few_pixels():
    labels = np.zeros((60, 80), np.int32)
    labels[:, 30:] = 4
    labels[30:, 50:] = 9
    for seed in range(10):
        near = near_labels(labels, np.random.default_rng(seed))
        assert set(np.unique(near)) <= {0, 4, 9}
        assert (near != labels)[:, :18].sum() == 0
