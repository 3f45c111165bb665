"""What judges learn from: masks and maps of every quality."""

from dataclasses import replace

import numpy as np
import pytest

from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.simulate import near_labels
from bpr_cli.training.lessons import (
    KINDS,
    LARGEST_MAP,
    LARGEST_STRANGE,
    UNKNOWN,
    Lesson,
    draw_lessons,
    draw_map_lessons,
    painted,
    pool_of,
    strange,
)
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


def test_a_strange_image_keeps_its_masks(pool):
    for seed, lesson in enumerate(draw_lessons(pool, "exact", 20, np.random.default_rng(1))):
        # An image that shows the mask itself, so that image and masks can be told apart where they do not match.
        shown = replace(lesson, image=np.repeat(255 * (lesson.truth == 1)[..., None], 3, axis=2).astype(np.uint8))
        made = strange(shown, np.random.default_rng(seed))
        assert made.image.shape == (*made.truth.shape, 3)
        assert (made.coarse.to_array() == (made.truth == 1)).all()
        if (made.truth == 1).any():
            inside, outside = made.image[made.truth == 1].mean(), made.image[made.truth == 0].mean()
            assert abs(inside - outside) > 60


def test_large_images_become_strange_too():
    plane = np.zeros((10, 40_000), np.uint8)
    plane[:, 9_000:20_000] = 1
    lesson = Lesson(np.repeat(plane[..., None], 3, axis=2), Mask.from_array(plane > 0), plane)
    for seed in range(8):
        assert max(strange(lesson, np.random.default_rng(seed)).truth.shape) <= LARGEST_STRANGE


def test_strange_images_differ_in_size_and_colour(pool):
    (lesson,) = draw_lessons(pool, "exact", 1, np.random.default_rng(1))
    made = [strange(lesson, np.random.default_rng(seed)) for seed in range(40)]
    sides = sorted(len(each.truth) for each in made)
    assert sides[0] < 0.8 * len(lesson.truth)
    assert sides[-1] > 1.3 * len(lesson.truth)
    same = sum(each.image.shape == lesson.image.shape and bool((each.image == lesson.image).all()) for each in made)
    assert same < 10
