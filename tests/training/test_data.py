"""Training data: subsets, orders, and batches that do not depend on workers."""

from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.training.augmentation import Augmentation, PatchSizes
from bpr_cli.training.data import (
    BatchSlice,
    PatchOrder,
    PatchStream,
    PatchSubset,
    StepBatches,
    TrainBatch,
    hold_out,
    load_batches,
    some_of,
)
from tests.training.toy_data import small_recipe, toy_set


@pytest.fixture
def batches(tmp_path):
    parts = [PatchSubset.full(toy_set(tmp_path / "a", 10)), PatchSubset.full(toy_set(tmp_path / "b", 6, first=50))]

    def make(first=0, size=4, seed=0, **changes) -> StepBatches:
        augmentation = Augmentation(small_recipe(**changes), PatchSizes(16, 8, 32))
        return StepBatches(PatchStream(parts, "patches", augmentation, seed), BatchSlice(first, size, 4))

    return make


def same(first: TrainBatch, second: TrainBatch) -> bool:
    return all(torch.equal(*planes) for planes in zip(first, second, strict=True))


def test_shapes(batches):
    batch = batches()[0]
    assert [plane.dtype for plane in batch] == [torch.uint8] * 3
    assert [tuple(plane.shape) for plane in batch] == [(4, 32, 32, 3), (4, 32, 32), (4, 32, 32)]


def differences(first: list[TrainBatch], second: list[TrainBatch]) -> list[str]:
    """What differs and by how much: a difference that occurs once in thousands of batches must show its cause."""
    found = []
    for step, batches in enumerate(zip(first, second, strict=True)):
        for name, *planes in zip(TrainBatch._fields, *batches, strict=True):
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
    alone = list(load_batches(batches(), range(7), 0, pinned=False))
    together = list(load_batches(batches(), range(7), workers, pinned=False))
    assert len(alone) == 7
    wrong = differences(alone, together)
    assert not wrong, (
        f"{wrong}; and alone once more: {differences(alone, list(load_batches(batches(), range(7), 0, False)))}"
    )


def test_differences_are_reported():
    first, second = (TrainBatch(*(torch.zeros(2, 4, 4, dtype=torch.uint8) for _ in range(3))) for _ in range(2))
    second.truth[1, 2, 3] = 255
    assert differences([first], [second]) == ["step 0, truth: 1 values by up to 255 at [[1, 2, 3]]"]


@pytest.mark.timeout(60)
def test_workers_start_while_opencv_is_busy(batches):
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 3)
        assert len(list(load_batches(batches(), range(3), 1, pinned=False))) == 3
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(threads)


def test_a_resumed_training_gets_the_same_batches(batches):
    whole_way = list(load_batches(batches(), range(6), 0, pinned=False))
    later = list(load_batches(batches(), range(4, 6), 0, pinned=False))
    assert all(map(same, whole_way[4:], later))


def test_processes_share_the_batch_of_a_single_one(batches):
    for step in (0, 5):
        one = batches()[step]
        shares = [batches(first, 2)[step] for first in (0, 2)]
        assert same(one, TrainBatch(*(torch.cat(planes) for planes in zip(*shares, strict=True))))


def test_the_seed_changes_everything_and_no_patch_repeats_exactly(batches):
    assert not same(batches()[0], batches(seed=1)[0])
    shown = [image.numpy().tobytes() for step in range(16) for image in batches()[step].image]
    assert len(set(shown)) == len(shown)


def test_composites_are_made_of_other_patches_and_depend_on_seed_and_step_alone(batches):
    first, later = (
        list(load_batches(batches(composite=1), steps, 0, pinned=False)) for steps in (range(6), range(3, 6))
    )
    assert all(map(same, first[3:], later))
    plain = list(load_batches(batches(composite=0), range(6), 0, pinned=False))
    assert not any(map(same, first, plain))


def test_split():
    batch = TrainBatch(*(torch.arange(6 * size).view(6, -1) for size in (3, 1, 2)))
    parts = batch.split(3)
    assert len(parts) == 3
    np.testing.assert_array_equal(torch.cat([part.truth for part in parts]), batch.truth)


def images(parts) -> set[str]:
    return {part.patches.origin(place).item for part in parts for place in part.places.tolist()}


def test_no_image_both_trains_and_validates_across_sets(tmp_path):
    sets = [toy_set(tmp_path / "a", 30, 10), toy_set(tmp_path / "b", 24, 6)]
    training, validation = hold_out(sets, 0.2, seed=0)
    assert images(training) & images(validation) == set()
    assert len(images(validation)) == 2
    assert sum(map(len, training)) + sum(map(len, validation)) == 54
    again = hold_out(sets, 0.2, seed=0)[1]
    assert images(again) == images(validation)
    assert any(images(hold_out(sets, 0.2, seed)[1]) != images(validation) for seed in range(1, 6))


def test_at_least_one_image_trains_and_one_validates(tmp_path):
    patches = toy_set(tmp_path / "a", 4, 2)
    for share in (0.001, 0.999):
        training, validation = hold_out([patches], share, seed=0)
        assert (len(images(training)), len(images(validation))) == (1, 1)


def test_a_single_image_cannot_be_split(tmp_path):
    with pytest.raises(BprError, match=r"all patches are of one image, .* give patches of others as --validation"):
        hold_out([toy_set(tmp_path / "a", 4, 1)], 0.5, seed=0)


def test_some_patches_of_several_subsets(tmp_path):
    parts = [PatchSubset.full(toy_set(tmp_path / "a", 30)), PatchSubset.full(toy_set(tmp_path / "b", 10))]
    some = some_of(parts, 12, seed=1)
    assert sum(map(len, some)) == 12
    for part in some:
        assert sorted(set(part.places.tolist())) == part.places.tolist()
    assert some_of(parts, 40, seed=1) == parts
    assert len(some_of(parts, 1, seed=1)) == 1


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_an_epoch_has_every_patch_once(sizes, seed):
    order = PatchOrder(sizes, "patches", seed)
    total = sum(sizes)
    everything = [(part, index) for part, size in enumerate(sizes) for index in range(size)]
    for epoch in range(3):
        assert sorted(order.at(epoch * total + i) for i in range(total)) == everything


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_balanced_sets_take_turns_and_each_shows_all_its_patches(sizes, seed):
    order = PatchOrder(sizes, "sets", seed)
    drawn = [order.at(position) for position in range(len(sizes) * 14)]
    assert [part for part, _ in drawn] == list(range(len(sizes))) * 14
    for part, size in enumerate(sizes):
        counts = Counter(index for each, index in drawn if each == part)
        assert set(counts) == set(range(size))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(("balance", "share"), [("patches", 3 / 4), ("sets", 1 / 2)])
def test_some_patch_is_drawn_with_the_same_balance(balance, share):
    order, random = PatchOrder([9, 3], balance, 0), np.random.default_rng(1)
    counts = Counter(order.random_place(random) for _ in range(6000))
    assert set(counts) == {(0, index) for index in range(9)} | {(1, index) for index in range(3)}
    assert sum(counts[0, index] for index in range(9)) / 6000 == pytest.approx(share, abs=0.03)


def test_an_order_can_start_anywhere_and_differs_between_epochs():
    order = PatchOrder([50, 30], "patches", 4)
    straight = [order.at(position) for position in range(240)]
    jumping = np.random.default_rng(0).permutation(240)
    assert [PatchOrder([50, 30], "patches", 4).at(int(position)) for position in jumping] == [
        straight[i] for i in jumping
    ]
    assert straight[:80] != straight[80:160]
    assert [PatchOrder([50, 30], "patches", 5).at(position) for position in range(80)] != straight[:80]
