"""Whole evaluations of real predictions, held to the figures of the official tools."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.evaluation.report.model import Report
from bpr_cli.evaluation.settings import EvaluateSettings

CLOSE = {"abs": 1e-6, "rel": 0}


@pytest.fixture(scope="module")
def data(shared_fixtures: Path) -> Path:
    folder = shared_fixtures.parent / "data"
    if not folder.is_dir():
        pytest.skip("the real predictions in ../shared/data are not here")
    return folder


@pytest.fixture(scope="module")
def reference(shared_fixtures: Path) -> dict:
    return json.loads((shared_fixtures / "metrics.json").read_text())


def run(predictions: Path, truth: Path, baseline: Path | None = None, **settings: object) -> Report:
    return evaluate(predictions, truth, baseline=baseline, settings=EvaluateSettings(**settings))


def shares(figures) -> dict[str, float]:
    """The figures by name, as shares."""
    return {figure.name: None if figure.value is None else figure.value / 100 for figure in figures}


def check_coco(report: Report, mask: dict, boundary: dict) -> None:
    summary = shares(report.summary)
    for name in ("AP", "AP50", "AP75", "AP90"):
        assert summary[name] == pytest.approx(mask[name], **CLOSE)
    for name in ("AP", "AP50", "AP75"):
        assert summary[f"boundary {name}"] == pytest.approx(boundary[name], **CLOSE)
    for row, field in zip(report.sizes, ("APs", "APm", "APl"), strict=True):
        stated = shares(row.metrics)
        for name, expected in (("AP", mask[field]), ("boundary AP", boundary[field])):
            assert stated[name] == (None if expected == -1 else pytest.approx(expected, **CLOSE))


@pytest.mark.parametrize(
    ("predictions", "truth"),
    [
        ("objects/predictions/yolo/val.segm.json", "objects/instances_val.json"),
        ("coco/predictions/yolo/yolo.segm.json", "coco/instances.json"),
    ],
)
def test_instances(predictions: str, truth: str, data: Path, reference: dict) -> None:
    report = run(data / predictions, data / truth, data / predictions)
    mask = reference[f"{predictions}: AP (boundary-iou-api = pycocotools)"]
    boundary = reference[f"{predictions}: boundary AP, dilation_ratio 0.02 (boundary-iou-api)"]
    check_coco(report, mask, boundary)
    assert all(figure.value == figure.baseline for figure in report.summary)
    assert all(pair.before == pair.after for pair in report.pairs)
    assert (report.gains, report.losses) == ((), ())


@pytest.mark.parametrize(
    ("predictions", "truth"),
    [
        ("coco/predictions/yolo/yolo.segm.json", "coco/instances.json"),
        pytest.param("cells/predictions/otsu/val.segm.json", "cells/instances_val.json", marks=pytest.mark.slow),
    ],
)
def test_every_class_and_size_of_instances(predictions: str, truth: str, data: Path) -> None:
    files = data / truth, data / predictions
    report = run(files[1], files[0])
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = COCO(str(files[0]))
        official = COCOeval(annotations, annotations.loadRes(str(files[1])), "segm")
        official.evaluate()
        official.accumulate()
    precision = np.where(official.eval["precision"] > -1, official.eval["precision"], np.nan)[..., -1]
    # Threshold and size of every figure.
    chosen = {"AP": (slice(None), 0), "AP50": (0, 0), "AP75": (5, 0), "AP90": (8, 0)}
    chosen |= {f"AP {size}": (slice(None), a) for a, size in enumerate(("small", "medium", "large"), 1)}
    for k, rows in enumerate(zip(report.classes, report.class_sizes, strict=True)):
        stated = shares(rows[0].metrics) | shares(rows[1].metrics)
        assert rows[0].name == rows[1].name == annotations.cats[official.params.catIds[k]]["name"]
        for name, (t, a) in chosen.items():
            expected = precision[t, :, k, a].mean()
            assert stated[name] == (None if np.isnan(expected) else pytest.approx(expected, **CLOSE))


@pytest.mark.slow
def test_panoptic(data: Path, reference: dict) -> None:
    folder = data / "street/panoptic"
    report = run(folder / "esp_val", folder / "gt_val", folder / "esp_val")
    mask = reference["street/panoptic/esp_val: PQ (panopticapi)"]
    boundary = reference["street/panoptic/esp_val: boundary PQ, dilation_ratio 0.02 (boundary-iou-api)"]
    rows = {"All": report.summary, "Things": report.groups[0].metrics, "Stuff": report.groups[1].metrics}
    rows |= {str(number): row.metrics for number, row in enumerate(report.classes, 1)}
    for name, figures in rows.items():
        stated = shares(figures)
        for prefix, table in (("", mask), ("boundary ", boundary)):
            expected = table[name] if name in table else table["per_class"][name]
            for field in ("pq", "sq", "rq"):
                assert stated[f"{prefix}{field.upper()}"] == pytest.approx(expected[field], **CLOSE)


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [1, 3])
def test_semantic(tolerance: int, data: Path, reference: dict) -> None:
    street = data / "street"
    report = run(
        street / "predictions/esp/val",
        street / "labels/val",
        street / "predictions/esp05/val",
        label_set=str(street / "classes.txt"),
        tolerance=tolerance,
    )
    unit = f"{tolerance} px, mean over images then classes (GSCNN f_boundary)"
    contour = reference[f"street/predictions/esp/val: boundary F, {unit}"]
    region = reference["street/predictions/esp/val: IoU"]
    summary = shares(report.summary)
    assert summary["mIoU"] == pytest.approx(region["mIoU"], **CLOSE)
    assert summary["AF"] == pytest.approx(contour["AF"], **CLOSE)
    classes = [shares(row.metrics) for row in report.classes]
    assert [row["IoU"] for row in classes] == pytest.approx(region["per_class"], **CLOSE)
    assert [row["boundary F"] for row in classes] == pytest.approx(contour["per_class"], **CLOSE)
    baseline = {figure.name: figure.baseline for figure in report.summary}
    assert (round(baseline["mIoU"], 1), round(run_weak(street).summary[0].value, 1)) == (45.4, 45.4)


def run_weak(street: Path) -> Report:
    """The baseline as predictions: its figures are the same on either side, with classes as found, too."""
    return run(street / "predictions/esp05/val", street / "labels/val")


@pytest.mark.slow
def test_binary(data: Path) -> None:
    objects = data / "objects"
    report = run(objects / "predictions/esp/val", objects / "masks/val", objects / "predictions/dice/val")
    assert report.images == 77
    swapped = run(objects / "predictions/dice/val", objects / "masks/val", objects / "predictions/esp/val")
    for after, before in zip(report.summary, swapped.summary, strict=True):
        assert (after.value, after.baseline) == (before.baseline, before.value)
    # The README of the data gives means over the masks that are not empty: those of IoU follow from ours.
    found = [pair.after for pair in report.pairs if pair.after > 0]
    assert sum(found) / len(found) == pytest.approx(73.9, abs=0.6)
