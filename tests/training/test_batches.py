"""Batches do not depend on who makes them."""

import cv2
import numpy as np
import pytest
import torch

from bpr_cli.training.augment import Augmentation
from bpr_cli.training.batches import Batch, Share, StepBatches, load
from bpr_cli.training.held_out import whole
from bpr_cli.training.order import Order
from bpr_cli.training.sizes import Sizes
from tests.training.train_cases import small_recipe, toy_set


@pytest.fixture
def batches(tmp_path):
    parts = [whole(toy_set(tmp_path / "a", 10)), whole(toy_set(tmp_path / "b", 6, first=50))]

    def make(first=0, size=4, seed=0, **changes) -> StepBatches:
        order = Order([10, 6], "patches", seed)
        augmentation = Augmentation(small_recipe(**changes), Sizes(16, 8, 32))
        return StepBatches(parts, order, augmentation, seed, Share(first, size, 4))

    return make


def same(first: Batch, second: Batch) -> bool:
    return all(torch.equal(*planes) for planes in zip(first, second, strict=True))


def test_shapes(batches):
    batch = batches()[0]
    assert [plane.dtype for plane in batch] == [torch.uint8] * 3
    assert [tuple(plane.shape) for plane in batch] == [(4, 32, 32, 3), (4, 32, 32), (4, 32, 32)]


def differences(first: list[Batch], second: list[Batch]) -> list[str]:
    """What differs and by how much: a difference that is seen once in thousands of batches has to tell its cause."""
    found = []
    for step, batches in enumerate(zip(first, second, strict=True)):
        for name, *planes in zip(Batch._fields, *batches, strict=True):
            one, other = (plane.int() for plane in planes)
            if not torch.equal(one, other):
                places = (one != other).nonzero().tolist()
                found.append(
                    f"step {step}, {name}: {len(places)} values by up to {(one - other).abs().max()} at {places[:8]}"
                )
    return found


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.usefixtures("start_method")
def test_workers_change_nothing(workers, batches):
    alone = list(load(batches(), range(7), 0, pinned=False))
    together = list(load(batches(), range(7), workers, pinned=False))
    assert len(alone) == 7
    wrong = differences(alone, together)
    assert not wrong, f"{wrong}; and alone once more: {differences(alone, list(load(batches(), range(7), 0, False)))}"


def test_differences_are_told():
    first, second = (Batch(*(torch.zeros(2, 4, 4, dtype=torch.uint8) for _ in range(3))) for _ in range(2))
    second.truth[1, 2, 3] = 255
    assert differences([first], [second]) == ["step 0, truth: 1 values by up to 255 at [[1, 2, 3]]"]


@pytest.mark.timeout(60)
def test_workers_start_in_a_program_whose_opencv_is_at_work(batches):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3)
        assert len(list(load(batches(), range(3), 1, pinned=False))) == 3
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(threads)


def test_a_training_that_goes_on_gets_the_same_batches(batches):
    whole_way = list(load(batches(), range(6), 0, pinned=False))
    later = list(load(batches(), range(4, 6), 0, pinned=False))
    assert all(map(same, whole_way[4:], later))


def test_processes_share_the_batch_of_a_single_one(batches):
    for step in (0, 5):
        one = batches()[step]
        shares = [batches(first, 2)[step] for first in (0, 2)]
        assert same(one, Batch(*(torch.cat(planes) for planes in zip(*shares, strict=True))))


def test_the_seed_changes_everything_and_a_patch_never_comes_twice_alike(batches):
    assert not same(batches()[0], batches(seed=1)[0])
    shown = [image.numpy().tobytes() for step in range(16) for image in batches()[step].image]
    assert len(set(shown)) == len(shown)


def test_composites_are_made_of_other_patches_and_depend_on_seed_and_step_alone(batches):
    first, later = (list(load(batches(composite=1), steps, 0, pinned=False)) for steps in (range(6), range(3, 6)))
    assert all(map(same, first[3:], later))
    plain = list(load(batches(composite=0), range(6), 0, pinned=False))
    assert not any(map(same, first, plain))


def test_split():
    batch = Batch(*(torch.arange(6 * size).view(6, -1) for size in (3, 1, 2)))
    parts = batch.split(3)
    assert len(parts) == 3
    np.testing.assert_array_equal(torch.cat([part.truth for part in parts]), batch.truth)
