"""Where the marks of the report's charts go."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.evaluation.report.charts import MARKED, direction, line, mean, scatter_of, tally
from bpr_cli.evaluation.report.model import SegmentPair

NAN = float("nan")
percents = st.floats(0, 100)


def pair(before, after):
    return SegmentPair("a.png", "road", before, after)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(percents, percents), min_size=1, max_size=80))
def test_every_segment_is_counted_once_and_drawn_inside_the_axes(points):
    chart = scatter_of([pair(*point) for point in points])
    assert chart.tally.all == len(points)
    assert len(chart.largest) == min(len(points), MARKED)
    drawn = re.findall(r"M([\d.]+) ([\d.]+)h0", "".join(dots.path for dots in chart.dots))
    assert 1 <= len(drawn) <= len(points)
    for x, y in drawn:
        assert 0 <= float(x) <= 100
        assert 0 <= float(y) <= 100


def test_the_scatter_tells_gains_from_losses():
    chart = scatter_of([pair(50, 60), pair(50, 60), pair(50, 40), pair(50, 50.01)])
    assert (chart.tally.gained, chart.tally.lost, chart.tally.same) == (2, 1, 1)
    paths = {dots.direction: dots.path for dots in chart.dots}
    assert paths == {"gain": "M50 40h0", "loss": "M50 60h0", "same": "M50 50h0"}


def test_many_segments_in_one_place_are_one_larger_dot():
    one, many = scatter_of([pair(50, 60)]), scatter_of([pair(50, 60 + n / 1000) for n in range(20)])
    assert [dots.path for dots in one.dots] == [dots.path for dots in many.dots]
    assert many.dots[0].width > one.dots[0].width


def test_segments_without_a_figure_are_left_out():
    assert scatter_of([]) is None
    assert scatter_of([pair(NAN, 50)]) is None
    assert scatter_of([pair(NAN, 50), pair(1, 2)]).tally.all == 1


def test_the_size_of_a_scatter_is_bounded():
    points = [pair(n % 997 / 9.97, n % 991 / 9.91) for n in range(100_000)]
    assert sum(len(dots.path) for dots in scatter_of(points).dots) < 1_000_000


@pytest.mark.parametrize(
    ("changes", "median"), [([1.0], 1.0), ([1.0, 3.0], 2.0), ([5.0, -1.0, 0.0], 0.0), ([-2.0, -2.0], -2.0)]
)
def test_the_median_is_that_of_all_changes(changes, median):
    assert tally(changes).median == median


@pytest.mark.parametrize(
    ("change", "way"), [(0.05, "gain"), (0.04, "same"), (-0.04, "same"), (-0.05, "loss"), (None, "same"), (NAN, "same")]
)
def test_a_change_that_shows_as_nothing_has_no_direction(change, way):
    assert direction(change) == way


def test_curves_are_broken_where_a_value_is_missing():
    assert line((0.0, 25.0, 50.0, 75.0), (100.0, NAN, 50.0, 25.0)) == "M0 0M50 50L75 75"
    assert line((0.0, 50.0), (NAN, NAN)) == ""


def test_means_leave_out_what_is_missing():
    assert mean((100.0, NAN, 50.0, 25.0)) == pytest.approx(175 / 3)
    assert np.isnan(mean((NAN, NAN)))
