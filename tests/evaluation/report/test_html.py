"""Where the marks of the report's charts go."""

import base64
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.report.files import write_report
from bpr_cli.evaluation.report.html import (
    MARKED,
    columns_of,
    direction,
    figure_text,
    line,
    mean,
    render_html,
    scatter_of,
    setting,
    signed_text,
    tally,
)
from bpr_cli.evaluation.report.model import Metric, OracleRow, OtherSet, Row, SegmentPair
from tests.evaluation.report.report_cases import EMPTY, NAN, full, layers, row, score, without_baseline

percents = st.floats(0, 100)


def pair(before, after):
    return SegmentPair("a.png", "road", before, after)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(percents, percents), min_size=1, max_size=80))
def test_every_segment_is_counted_once_and_drawn_inside_the_axes(points):
    chart = scatter_of([replace(pair(*point), number=number) for number, point in enumerate(points)])
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


HOSTILE = "<script>alert(1)</script>\"'><b>&amp;{{ 7 * 7 }}"
VOID = {"meta", "link", "br", "img", "input"}


class Page(HTMLParser):
    """Elements, links and text; complains of elements that are not closed in their order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.ids, self.open, self.words = [], [], [], [], []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        self.links += [found[name] for name in ("href", "src", "xlink:href", "action", "data") if name in found]
        self.ids += [found["id"]] if "id" in found else []
        assert not any(name.startswith("on") for name in found)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


REPORTS = {"full": full(), "instance": full("instance"), "no baseline": without_baseline(), "empty": EMPTY}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
@pytest.mark.parametrize("pictures", [True, False])
def test_every_report_is_well_formed_and_links_to_nothing_outside(report, pictures):
    page = Page(render_html(report, (lambda _: layers(baselines=int(report.has_baseline))) if pictures else None))
    inner = [link[1:] for link in page.links if link.startswith("#")]
    outer = [link for link in page.links if not link.startswith("#")]
    assert set(inner) <= set(page.ids)
    assert all(link == "data:," or link.startswith("data:image/jpeg;base64,") for link in outer)
    assert len(page.ids) == len(set(page.ids))


def test_a_full_report_says_all_that_it_was_given():
    text = Page(render_html(full(), lambda _: layers())).text
    for words in (
        "mIoU 57.9 ▲+2.2 from 55.7",
        "AF 28.0 ▼−1.1 from 29.1",
        "boundary IoU 40.0 0.0 from 40.0",
        "Of 3 images with a score before and after, 1 gained, 1 lost and 1 stayed; the median change is 0.0.",
        "Score of an image: mean IoU.",
        "tolerance AF AF before AF after AF diff. 1 px 29.1 28.0 ▼−1.1 3 px 47.0 48.0 ▲+1.0",
        "1 item could not be measured.",
        "d.png gt/d.png is missing",
        "as predicted correct within 1 px correct within 2 px mIoU 57.9 62.9 ▲+5.0 67.9 ▲+10.0",
        "IoU by class Oracle upper bound by class class as predicted correct within 1 px correct within 2 px road 90.0 "
        "92.0 ▲+2.0 93.0 ▲+3.0 sky –",
        "a.png road 50.0 70.0 ▲+20.0",
        "allow_missing no",
        "some/baseline",
    ):
        assert words in text


def test_more_than_two_sets_stand_side_by_side_as_figures_and_as_pictures():
    others = (OtherSet("some/other", (Metric("mIoU", 51.0), Metric("AF", None), Metric("boundary IoU", 33.0))),)
    page = Page(render_html(replace(full(), others=others), lambda _: layers(baselines=2)))
    assert "metric some/baseline some/other some/predictions mIoU 55.7 51.0 57.9 AF 29.1 – 28.0" in page.text
    assert page.text.count("baseline 2") == 2


def test_classes_have_their_counts_and_images_their_links():
    report = replace(full(), classes=tuple(replace(each, count=1200 + n) for n, each in enumerate(full().classes)))
    page = Page(render_html(report, lambda _: layers()))
    assert "road 1,200 88.0 90.0" in page.text
    assert {"#gains-1", "#losses-1", "#segment-gains-1", "#segment-losses-1"} <= set(page.links)
    assert "#images" in page.links
    assert "All images Score: mean IoU. Names with a link lead to pictures. Class all road sky" in page.text
    assert "a.png 60.0 70.0 ▲+10.0 b.png 55.5 50.0 ▼−5.5 c.png 40.0 40.0 0.0" in page.text


def test_missing_figures_are_dashes():
    report = replace(
        EMPTY,
        summary=(Metric("mIoU", NAN), Metric("AF", None)),
        classes=(Row("sky", (Metric("IoU", NAN), Metric("AF", None))),),
        scores=(score("a.png", NAN, None),),
    )
    html = render_html(report)
    assert "mIoU – AF –" in Page(html).text
    assert "sky – –" in Page(html).text
    assert not re.search(r"\bnan\b", re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL).lower())


def test_the_baseline_may_lack_figures_that_the_predictions_have():
    text = Page(render_html(replace(full(), summary=(Metric("AP", 12.0, None), Metric("AF", None, 3.0))))).text
    assert "AP 12.0 – from – AF – – from 3.0" in text


def test_without_a_baseline_the_lowest_scores_are_shown_lowest_first():
    page = Page(render_html(without_baseline(), lambda _: layers(baselines=0)))
    assert re.findall(r"[abc]\.png score [0-9.]+", page.text) == [
        "c.png score 40.0",
        "b.png score 50.0",
        "a.png score 70.0",
    ]
    assert "before" not in page.text


def test_a_picture_that_cannot_be_drawn_is_explained():
    def fail(_):
        raise BprError("images/a.png cannot be read: No such file")

    page = Page(render_html(full(), fail))
    assert page.text.count("No pictures: images/a.png cannot be read: No such file") == 4
    assert "img" not in page.tags


@pytest.mark.parametrize("task", ["semantic", "instance", "panoptic", "binary"])
def test_pictures_lie_in_the_file(task):
    page = Page(render_html(full(task), lambda _: layers()))
    pictures = [link for link in page.links if link.startswith("data:image")]
    # Two images; before, after and truth; each whole and in at least one magnified place.
    assert len(pictures) >= 2 * 3 * 2
    assert all(base64.b64decode(link.split(",")[1]).startswith(b"\xff\xd8\xff") for link in pictures)


def hostile():
    report, image = full(), score(HOSTILE, 70.0, 60.0)
    return replace(
        report,
        task=HOSTILE,
        score_name=HOSTILE,
        settings={HOSTILE: HOSTILE, "list": [HOSTILE], "table": {HOSTILE: HOSTILE}},
        versions={HOSTILE: HOSTILE},
        inputs=tuple(replace(given, path=HOSTILE, format=HOSTILE, digest=HOSTILE) for given in report.inputs),
        summary=(Metric(HOSTILE, 1.0, 2.0, HOSTILE),),
        groups=(Row(HOSTILE, (Metric(HOSTILE, 1.0, 2.0, HOSTILE),), HOSTILE),),
        classes=(Row(HOSTILE, (Metric(HOSTILE, 1.0, 2.0, HOSTILE),), HOSTILE),),
        scores=(image,),
        gains=(image,),
        losses=(image,),
        pairs=tuple(replace(pair, image=HOSTILE, category=HOSTILE) for pair in report.pairs),
        curves=tuple(replace(curve, name=HOSTILE) for curve in report.curves),
        oracle=(OracleRow(1, (Metric(HOSTILE, 1.0, 2.0, HOSTILE),)),),
        failures=tuple(replace(failure, name=HOSTILE, reason=HOSTILE) for failure in report.failures),
    )


def test_names_are_never_taken_for_markup():
    html = render_html(hostile(), lambda _: layers())
    page = Page(html)
    assert html.count("<script") == 1
    assert "b" not in page.tags
    assert page.text.count(HOSTILE) > 20


def test_only_the_reports_own_script_may_run_and_nothing_may_be_fetched():
    html = render_html(hostile(), lambda _: layers())
    script = re.search(r"<script>(.*?)</script>", html, flags=re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html).group(1)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")


@pytest.mark.parametrize("name", ["a\nb\0.png", "\u202egnp.exe", "\udcff.png"])
def test_names_that_no_encoding_has_or_that_hide_something_are_shown_escaped(tmp_path, name):
    image = score(name, 70.0, 60.0)
    write_report(replace(full(), gains=(image,), scores=(image,), losses=()), tmp_path, lambda _: layers())
    html = (tmp_path / "report.html").read_text("utf-8")
    assert name not in html
    assert name.encode("unicode_escape").decode() in html


def test_all_files_are_written_or_none(tmp_path):
    def fail(_):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_report(full(), tmp_path, fail)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(BprError, match="cannot be written"):
        write_report(EMPTY, tmp_path / "file")
    (tmp_path / "report.html").mkdir()
    with pytest.raises(BprError, match=r"report\.html is a folder, expected none or a file of an earlier report"):
        write_report(EMPTY, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "report.html"]


def test_the_same_report_gives_the_same_file():
    assert render_html(full(), lambda _: layers()) == render_html(full(), lambda _: layers())


@pytest.mark.parametrize(
    ("value", "text"),
    [(57.25, "57.2"), (0.0, "0.0"), (-0.04, "0.0"), (-1.26, "−1.3"), (None, "–"), (NAN, "–"), (math.inf, "–")],
)
def test_figures_have_one_decimal_and_no_negative_zero(value, text):
    assert figure_text(value) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [(1.25, "+1.2"), (-1.26, "−1.3"), (0.04, "0.0"), (-0.04, "0.0"), (0.05, "+0.1"), (None, "–"), (NAN, "–")],
)
def test_changes_have_a_sign_unless_they_show_as_nothing(change, text):
    assert signed_text(change) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (None, "–"),
        ("", "–"),
        ([], "–"),
        ({}, "–"),
        (0.02, "0.02"),
        (1.0, "1"),
        ((1, 2, 3), "1, 2, 3"),
        ({"a": [1, None]}, "a: 1, –"),
        ("text", "text"),
    ],
)
def test_settings_are_put_in_words(value, text):
    assert setting(value) == text


def test_tables_of_many_figures_leave_out_what_was_before():
    few, many = [row("a", 1.0, 2.0)], [Row("a", tuple(Metric(f"AP{n}", 1.0, 2.0) for n in range(9)))]
    assert columns_of(few, has_baseline=True) == ("before", "after", "diff.")
    assert columns_of(many, has_baseline=True) == ("after", "diff.")
    assert columns_of(many, has_baseline=False) == ("value",)
    text = Page(render_html(replace(full(), classes=tuple(many)))).text
    assert "AP0 after AP0 diff. AP1 after" in text
