"""Holding out by image, and the order of patches."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.training.held_out import hold_out, some_of, whole
from bpr_cli.training.order import Order
from tests.training.train_cases import toy_set


def images(parts) -> set[str]:
    return {part.patches.origin(place).item for part in parts for place in part.places.tolist()}


def test_no_image_trains_and_validates_in_whatever_set_it_is(tmp_path):
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


def test_some_of_several_parts(tmp_path):
    parts = [whole(toy_set(tmp_path / "a", 30)), whole(toy_set(tmp_path / "b", 10))]
    some = some_of(parts, 12, seed=1)
    assert sum(map(len, some)) == 12
    for part in some:
        assert sorted(set(part.places.tolist())) == part.places.tolist()
    assert some_of(parts, 40, seed=1) == parts
    assert len(some_of(parts, 1, seed=1)) == 1


@given(sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_an_epoch_has_every_patch_once(sizes, seed):
    order = Order(sizes, "patches", seed)
    total = sum(sizes)
    everything = [(part, index) for part, size in enumerate(sizes) for index in range(size)]
    for epoch in range(3):
        assert sorted(order.at(epoch * total + i) for i in range(total)) == everything


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_balanced_sets_take_turns_and_each_shows_all_its_patches(sizes, seed):
    order = Order(sizes, "sets", seed)
    drawn = [order.at(position) for position in range(len(sizes) * 14)]
    assert [part for part, _ in drawn] == list(range(len(sizes))) * 14
    for part, size in enumerate(sizes):
        counts = Counter(index for each, index in drawn if each == part)
        assert set(counts) == set(range(size))
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize(("balance", "share"), [("patches", 3 / 4), ("sets", 1 / 2)])
def test_some_patch_is_drawn_with_the_same_balance(balance, share):
    order, random = Order([9, 3], balance, 0), np.random.default_rng(1)
    counts = Counter(order.any(random) for _ in range(6000))
    assert set(counts) == {(0, index) for index in range(9)} | {(1, index) for index in range(3)}
    assert sum(counts[0, index] for index in range(9)) / 6000 == pytest.approx(share, abs=0.03)


def test_an_order_can_be_entered_anywhere_and_differs_between_epochs():
    order = Order([50, 30], "patches", 4)
    straight = [order.at(position) for position in range(240)]
    jumping = np.random.default_rng(0).permutation(240)
    assert [Order([50, 30], "patches", 4).at(int(position)) for position in jumping] == [straight[i] for i in jumping]
    assert straight[:80] != straight[80:160]
    assert [Order([50, 30], "patches", 5).at(position) for position in range(80)] != straight[:80]
