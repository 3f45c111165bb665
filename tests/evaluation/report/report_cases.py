"""Reports made up for the tests of what shows them."""

from dataclasses import replace

import numpy as np

from bpr_cli.evaluation.report.layers import Layer, Layers
from bpr_cli.evaluation.report.model import (
    Curve,
    ImageScore,
    InputRecord,
    Metric,
    OracleRow,
    Report,
    Row,
    SegmentPair,
)
from bpr_cli.formats.base import Failure

NAN = float("nan")


def inputs(*roles):
    return tuple(InputRecord(role, f"some/{role}", "labels", 3, "0" * 64) for role in roles)


EMPTY = Report("semantic", {}, {}, (), 0, 0.0, (), "mean IoU", ())


def row(name, value, baseline):
    return Row(name, (Metric("IoU", value, baseline), Metric("boundary F", value, baseline)))


def by_size(name, small, large):
    return Row(name, (Metric("AP small", small, 25.0), Metric("AP large", large, 60.0)))


def score(name, after, before):
    files = (f"images/{name}", f"preds/{name}", f"base/{name}", f"gt/{name}")
    return ImageScore(name, *files, after, before, ("road", "sky") if name == "a.png" else ("sky",))


def full(task="semantic"):
    """A report that has everything, with a gain, a loss, a standstill and a gap in each table."""
    scores = (score("a.png", 70.0, 60.0), score("b.png", 50.0, 55.5), score("c.png", 40.0, 40.0))
    return Report(
        task,
        {"tolerance": 1.0, "ignore": [255], "allow_missing": False, "classes": None},
        {"bpr": "0.1.0"},
        inputs("predictions", "baseline", "ground truth"),
        3,
        1.5,
        (Metric("mIoU", 57.94, 55.71), Metric("AF", 28.0, 29.1), Metric("boundary IoU", 40.0, 40.0)),
        "mean IoU",
        scores,
        groups=(row("things", 50.0, 40.0), row("stuff", 30.0, 40.0)),
        sizes=(row("small", 10.0, 5.0), row("large", NAN, None)),
        classes=(
            row("road", 90.0, 88.0),
            row("sky", 95.0, 96.0),
            row("pole", 9.0, 3.0),
            row("bridge", None, None),
            row("car", 70.0, NAN),
        ),
        class_sizes=(by_size("road", 20.0, 70.0), by_size("pole", 30.0, None)),
        gains=scores[:1],
        losses=scores[1:2],
        tolerances=(Row("1 px", (Metric("AF", 28.0, 29.1),)), Row("3 px", (Metric("AF", 48.0, 47.0),))),
        pairs=(SegmentPair("a.png", "road", 50.0, 70.0, 1), SegmentPair("b.png", "sky", 80.0, 75.0, 2)),
        curves=(Curve("IoU 0.50", (0.0, 50.0, 100.0), (100.0, 80.0, 0.0), (90.0, 60.0, 0.0)),),
        oracle=tuple(
            OracleRow(
                n,
                (Metric("mIoU", 57.9 + 5 * n, 57.9),),
                classes=(row("road", 91.0 + n, 90.0), row("sky", None, None)),
            )
            for n in (1, 2)
        ),
        failures=(Failure("d.png", "gt/d.png is missing"),),
    )


def without_baseline():
    report = full()
    return replace(
        report,
        inputs=inputs("predictions", "ground truth"),
        summary=tuple(replace(figure, baseline=None) for figure in report.summary),
        scores=tuple(replace(each, baseline=None, baseline_score=None) for each in report.scores),
        groups=(),
        sizes=(),
        classes=(Row("road", (Metric("IoU", 90.0),)), Row("sky", (Metric("IoU", None),))),
        class_sizes=(),
        tolerances=(),
        gains=(),
        losses=(),
        pairs=(),
        oracle=(),
        failures=(),
        curves=tuple(replace(curve, baseline=None) for curve in report.curves),
    )


NAMES = {1: "road", 2: "sky"}


def layers(size=(60, 80), baselines=1, image=True):
    """Two classes on void; the prediction is a pixel off, the first baseline three, the next ones more."""
    truth = np.zeros(size, dtype=np.int32)
    truth[10:40, 10:50] = 1
    truth[30:55, 40:70] = 2
    picture = np.random.default_rng(3).integers(0, 255, (*size, 3)).astype(np.uint8)
    shifted = [Layer(np.roll(truth, shift, axis=1), NAMES) for shift in (1, 3, 5, 7)]
    return Layers(picture if image else None, Layer(truth, NAMES), shifted[0], tuple(shifted[1 : 1 + baselines]))
