"""The draw of some patches out of many."""

from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.patchset.reservoir import KEY_LIMIT, Draw, random_key

keys = st.lists(st.integers(0, KEY_LIMIT - 1), unique=True, max_size=60)


@given(keys, st.integers(1, 70))
def test_the_smallest_keys_are_drawn(offered, count):
    draw = Draw(count)
    for key in offered:
        draw.offer(key)
    assert sorted(key for key in offered if key <= draw.limit) == sorted(offered)[:count]


@given(keys, st.integers(1, 70))
def test_a_key_that_is_turned_down_is_never_drawn(offered, count):
    draw = Draw(count)
    turned_down = {key for key in offered if not draw.offer(key)}
    assert turned_down.isdisjoint(sorted(offered)[:count])


@given(keys)
def test_all_are_drawn_where_no_number_is_given(offered):
    draw = Draw(None)
    assert all(draw.offer(key) for key in offered)
    assert all(key <= draw.limit for key in offered)


def test_keys_depend_on_the_parts_and_are_spread_evenly():
    assert random_key(0, "a", 1) == random_key(0, "a", 1)
    assert len({random_key(0, "a", 1), random_key(0, "a1"), random_key(1, "a", 1), random_key(0, "b", 1)}) == 4
    below = sum(random_key("image", number) < KEY_LIMIT // 4 for number in range(4000))
    assert 900 < below < 1100
