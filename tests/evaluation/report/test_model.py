"""The report as plain data."""

import json

from bpr_cli.evaluation.report.model import ImageScore, InputRecord, Metric, OracleRow, Report, Row


def report(**fields: object) -> Report:
    figures = (Metric("AP", 40.0, 35.5), Metric("AF", None, 3.0), Metric("AP50", 5.0))
    given = {
        "task": "instance",
        "settings": {"oracle": (1, 2)},
        "versions": {},
        "inputs": (InputRecord("predictions", "p", "coco", 1, "00"),),
        "images": 1,
        "elapsed": 0.5,
        "summary": figures,
        "score_name": "mean IoU",
        "scores": (ImageScore("a", None, "p", "b", "t", 50.0, 60.0),),
        "classes": (Row("car", figures[:1], "thing"),),
        "oracle": (OracleRow(1, figures[:1]),),
    }
    return Report(**(given | fields))


def test_differences() -> None:
    assert [figure.difference for figure in report().summary] == [4.5, None, None]
    assert report().scores[0].gain == -10
    assert ImageScore("a", None, "p", None, "t", 50.0).gain is None


def test_json_has_the_differences() -> None:
    plain = json.loads(json.dumps(report().to_json()))
    expected = {"name": "AP", "value": 40.0, "baseline": 35.5, "unit": "%", "difference": 4.5}
    assert plain["summary"][0] == plain["classes"][0]["figures"][0] == plain["oracle"][0]["figures"][0] == expected
    assert plain["settings"] == {"oracle": [1, 2]}


def test_the_summary_leaves_out_what_grows() -> None:
    left_out = set(report().to_json()) - set(report().summary_json())
    assert left_out == {"scores", "pairs", "curves"}


def test_baseline() -> None:
    assert not report().has_baseline
    assert report(inputs=(InputRecord("baseline", "b", "coco", 1, "00"),)).has_baseline
