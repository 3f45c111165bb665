"""Runs of maps: what is counted and measured on them equals what is on pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from bpr_cli.masks.runs import Runs, values_of, weigh

SHAPES = npst.array_shapes(min_dims=2, max_dims=2, max_side=9)
pairs = SHAPES.flatmap(
    lambda shape: st.tuples(*[npst.arrays(np.int32, shape, elements=st.integers(0, 3)) for _ in range(2)])
)


@given(pairs)
def test_every_pixel_is_in_one_run(maps):
    runs = Runs.of(*maps)
    for values, array in zip(runs.values, maps, strict=True):
        assert np.array_equal(np.repeat(values, runs.lengths).reshape(array.shape), array)
    assert (runs.starts % maps[0].shape[1] + runs.lengths <= maps[0].shape[1]).all()
    assert np.array_equal(runs.spread(runs.values[0] == 1), maps[0] == 1)


@given(pairs)
def test_areas_and_boxes(maps):
    array, _ = maps
    runs = Runs.of(*maps)
    areas = weigh(runs.values[0], runs.lengths, 4)
    for number, box in enumerate(runs.boxes(runs.values[0], 4).tolist()):
        rows, columns = np.nonzero(array == number)
        assert areas[number] == rows.size
        assert box == ([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if rows.size else [0, 0, 0, 0])


@given(npst.arrays(np.int32, npst.array_shapes(max_dims=2, min_side=0, max_side=9), elements=st.integers(-2, 3)))
def test_values(array):
    assert np.array_equal(values_of(array), np.unique(array))
