"""What the report shows: every image is read once, links lead to pictures, and long lists are cut to what changed."""

from dataclasses import replace

from bpr_cli.evaluation.report import galleries
from bpr_cli.evaluation.report.galleries import galleries_of
from bpr_cli.evaluation.report.model import SegmentPair
from tests.evaluation.report.report_cases import full, layers, score, without_baseline


def test_the_layers_of_an_image_are_read_once():
    seen = []

    def read(score):
        seen.append(score.name)
        return layers()

    galleries_of(full(), read)
    assert sorted(seen) == ["a.png", "b.png"]


def test_segments_link_to_their_pictures():
    report = full()
    shown = galleries_of(report, lambda _: layers())
    assert [shown.anchor_of(pair) for pair in report.pairs] == ["segment-gains-1", "segment-losses-1"]
    assert shown.anchor_of(SegmentPair("z.png", "road", 1.0, 2.0)) == ""


def test_rows_link_to_the_image_or_else_to_one_of_its_segments():
    report = full()
    more = replace(report, pairs=(*report.pairs, SegmentPair("c.png", "sky", 40.0, 41.0, 2)))
    rows = galleries_of(more, lambda _: layers()).rows
    assert [row.anchor for row in rows] == ["gains-1", "losses-1", "segment-gains-2"]
    assert [row.anchor for row in galleries_of(more, None).rows] == ["", "", ""]


def test_rows_know_their_classes_in_the_order_of_the_report():
    shown = galleries_of(full(), None)
    assert shown.classes == ("road", "sky")
    assert [row.classes for row in shown.rows] == ["0 1", "1", "1"]


def test_a_long_list_is_cut_to_the_largest_changes(monkeypatch):
    monkeypatch.setattr(galleries, "LISTED", 2)
    scores = (score("a.png", 50.0, 50.0), score("b.png", 50.0, 40.0), score("c.png", 50.0, 55.0))
    rows = galleries_of(replace(full(), scores=scores), None).rows
    assert [row.score.name for row in rows] == ["b.png", "c.png"]


def test_without_a_baseline_there_are_no_changes_to_show():
    shown = galleries_of(without_baseline(), lambda _: layers(baselines=0))
    assert shown.segments == ()
    assert [gallery.key for gallery in shown.images] == ["lowest"]
