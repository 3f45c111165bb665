"""Where the marks of the report's charts go."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.evaluation.report.charts import MARKED, Frame, charts_of, direction, scatter_of, tally
from bpr_cli.evaluation.report.model import Curve, SegmentPair

NAN = float("nan")
percents = st.floats(0, 100)


def pair(before, after):
    return SegmentPair("a.png", "road", before, after)


def test_a_frame_runs_from_the_bottom_left_to_the_top_right():
    frame = Frame(200.0, 100.0)
    assert frame.x(100) - frame.x(0) == 200
    assert frame.y(0) - frame.y(100) == 100
    assert frame.x(0) > 0
    assert frame.y(100) > 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(percents, percents), min_size=1, max_size=80))
def test_every_segment_is_counted_once_and_drawn_inside_the_frame(points):
    chart = scatter_of([pair(*point) for point in points])
    assert chart.tally.all == len(points)
    assert len(chart.marks) == min(len(points), MARKED)
    drawn = re.findall(r"M([\d.]+) ([\d.]+)h0", "".join(dots.path for dots in chart.dots))
    assert 1 <= len(drawn) <= len(points)
    for x, y in drawn:
        assert chart.frame.x(0) <= float(x) <= chart.frame.x(100)
        assert chart.frame.y(100) <= float(y) <= chart.frame.y(0)


def test_the_scatter_tells_gains_from_losses():
    chart = scatter_of([pair(50, 60), pair(50, 60), pair(50, 40), pair(50, 50.01)])
    assert (chart.tally.gained, chart.tally.lost, chart.tally.same) == (2, 1, 1)
    assert {dots.direction for dots in chart.dots} == {"gain", "loss", "same"}
    gain = next(mark for mark in chart.marks if mark.direction == "gain")
    loss = next(mark for mark in chart.marks if mark.direction == "loss")
    assert gain.x == loss.x
    assert gain.y < loss.y


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


def test_curves_are_broken_where_a_figure_is_missing():
    chart = charts_of([Curve("IoU 0.50", (0.0, 25.0, 50.0, 75.0), (100.0, NAN, 50.0, 25.0))])[0]
    assert chart.value.count("M") == 2
    assert chart.value.count("L") == 1
    assert chart.precision == pytest.approx(175 / 3)
    assert chart.baseline == ""
    assert chart.baseline_precision is None


def test_a_curve_without_any_figure_is_empty():
    chart = charts_of([Curve("IoU 0.50", (0.0, 50.0), (NAN, NAN), (10.0, 20.0))])[0]
    assert chart.value == ""
    assert chart.baseline_precision == 15.0
