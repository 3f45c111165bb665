"""COCO and LVIS metrics, compared with pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import boundary_f
from bpr_cli.evaluation.coco import CocoComparison, CocoTruth, record_of
from bpr_cli.evaluation.coco_precision import IOU_THRESHOLDS, SIZES, Columns, average_precision, coco_tables
from bpr_cli.evaluation.instances import ScoredMask, TruthMask, check_segments
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats import rle
from bpr_cli.formats.records import CategoryRecord, Searched
from bpr_cli.masks.masks import Mask
from tests.evaluation.instance_cases import CATEGORIES, cases, reference

generated = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def listed(*categories):
    return [CategoryRecord(category, f"class {category}") for category in categories]


def record(image, predictions, truths, categories, searched=None, **how):
    size = next((segment.mask.size for segment in (*truths, *predictions)), (1, 1))
    comparison = CocoComparison.of(predictions, CocoTruth(size, truths, searched))
    return record_of(image, comparison, categories, EvaluateSettings(**how))


def records_of(case, searched=None):
    return [
        record(
            image,
            case.predictions[image],
            case.truths[image],
            CATEGORIES,
            searched[image] if searched else None,
            max_detections=case.max_detections,
        )
        for image in case.truths
    ]


def precision_of(records, categories=CATEGORIES):
    """(V, T, R, K, A)."""
    columns = Columns.of(records, categories)
    return np.stack([columns.precision(v) for v in range(2)])


def shares(metrics):
    """Metrics by name, from 0 to 1."""
    return {metric.name: np.nan if metric.value is None else metric.value / 100 for metric in metrics}


def mean_over(precision):
    defined = precision[precision > -1]
    return defined.mean() if defined.size else float("nan")


def assert_equal_precision(ours, precision):
    """(T, R, K, A) precision and its means against the (T, R, K, A, 1) precision of pycocotools."""
    precision = precision[..., 0]
    assert np.array_equal(ours == -1, precision == -1)
    assert ours == pytest.approx(precision, abs=1e-12)
    chosen = {"AP": slice(None), "AP50": [0], "AP75": [5], "AP90": [8]}
    for k in (slice(None), *([k] for k in range(len(CATEGORIES)))):
        expected = {name: mean_over(precision[t][:, :, k, 0]) for name, t in chosen.items()}
        expected |= {f"AP {size}": mean_over(precision[:, :, k, a]) for a, size in enumerate(SIZES[1:], 1)}
        assert average_precision({"": ours[:, :, k]}) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@generated
@given(case=cases())
def test_ap_equals_pycocotools(case):
    assert_equal_precision(precision_of(records_of(case))[0], reference(case).eval["precision"])


@generated
@given(case=cases())
def test_boundary_ap_equals_the_full_frame_reference(case):
    assert_equal_precision(precision_of(records_of(case))[1], reference(case, boundary=True).eval["precision"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(case=cases())
def test_the_tables_have_the_ap_of_every_class_and_size(case):
    tables = coco_tables(records_of(case), listed(*CATEGORIES))
    measures = {"AP": reference(case), "boundary AP": reference(case, boundary=True)}
    measures = {name: evaluator.eval["precision"][..., 0] for name, evaluator in measures.items()}
    chosen = {"AP": ("AP", slice(None)), "AP50": ("AP", [0]), "AP75": ("AP", [5]), "AP90": ("AP", [8])}
    chosen |= {f"boundary {name}": (f"boundary {measure}", t) for name, (measure, t) in chosen.items()}
    rows = [(tables.summary, slice(None))] + [(row.metrics, [k]) for k, row in enumerate(tables.classes)]
    for metrics, k in rows:
        stated = shares(metrics)
        expected = {
            name: mean_over(measures[chosen[name][0]][chosen[name][1]][:, :, k, 0]) for name in stated if name != "AF"
        }
        assert {name: stated[name] for name in expected} == pytest.approx(expected, abs=1e-12, nan_ok=True)
    for k, row in enumerate(tables.class_sizes):
        expected = {
            f"{name} {size}": mean_over(precision[:, :, k, a])
            for name, precision in measures.items()
            for a, size in enumerate(SIZES[1:], 1)
        }
        assert shares(row.metrics) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert [row.name for row in tables.class_sizes] == [f"class {category}" for category in CATEGORIES]


def brute_af(case):
    """AF from pycocotools' own matches, with full frames and plain loops."""
    evaluator = reference(case)
    masks = [
        {ann["id"]: evaluator.cocoGt.annToMask(ann) for ann in coco.dataset["annotations"]}
        for coco in (evaluator.cocoGt, evaluator.cocoDt)
    ]
    scores = {(category, t): [] for category in CATEGORIES for t in range(len(IOU_THRESHOLDS))}
    for result in evaluator.evalImgs:
        if result is None or result["aRng"] != evaluator.params.areaRng[0]:
            continue
        for t, d in np.argwhere((result["dtMatches"] > 0) & ~result["dtIgnore"]):
            truth, found = masks[0][result["dtMatches"][t, d]], masks[1][result["dtIds"][d]]
            scores[result["category_id"], t].append(boundary_f(found, truth, 1))
    return scores


def mean_of(values):
    kept = [value for value in values if not np.isnan(value)]
    return sum(kept) / len(kept) if kept else float("nan")


@generated
@given(case=cases())
def test_af_equals_brute_force_over_the_matches_of_pycocotools(case):
    records = records_of(case)
    tables, scores = coco_tables(records, listed(*CATEGORIES)), brute_af(case)
    expected = [mean_of([mean_of(scores[c, t]) for t in range(len(IOU_THRESHOLDS))]) for c in CATEGORIES]
    found = [shares(row.metrics)["AF"] for row in tables.classes]
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert shares(tables.summary)["AF"] == pytest.approx(mean_of(expected), abs=1e-12, nan_ok=True)
    assert Columns.of(records, CATEGORIES).f_pairs.ravel().tolist() == [len(pairs) for pairs in scores.values()]


@settings(max_examples=30)
@given(case=cases())
def test_records_survive_pickling_and_any_order(case):
    records = records_of(case)
    shuffled = pickle.loads(pickle.dumps(random.Random(0).sample(records, len(records))))
    assert np.array_equal(precision_of(shuffled), precision_of(records))
    found, expected = (shares(coco_tables(each, listed(*CATEGORIES)).summary)["AF"] for each in (shuffled, records))
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def square(size, x, y, side=10):
    array = np.zeros(size, dtype=bool)
    array[y : y + side, x : x + side] = True
    return Mask.from_array(array)


def test_records_hold_no_masks():
    frame = (1000, 1000)
    predictions = [ScoredMask(square(frame, 5, 5, side=900), 1, 0.5) for _ in range(100)]
    truths = [TruthMask(square(frame, 5, 5, side=900), 1)]
    assert len(pickle.dumps(record(1, predictions, truths, [1]))) < 100 * 120 + 2000


def test_known_figures():
    """One of two squares is found, one pixel off; the shift leaves an IoU of 90 / 110 = 0.82."""
    frame = (60, 60)
    truths = [TruthMask(square(frame, 5, 5), 1), TruthMask(square(frame, 40, 40), 1)]
    found = [ScoredMask(square(frame, 6, 5), 1, 0.9)]
    tables = coco_tables([record("a", found, truths, [1, 2])], listed(1, 2))
    half_recall = 51 / 101
    summary, first, second = (shares(metrics) for metrics in (tables.summary, *(row.metrics for row in tables.classes)))
    assert summary["AP50"] == pytest.approx(half_recall)
    assert summary["AP"] == pytest.approx(half_recall * 7 / 10)
    assert summary["AP90"] == 0
    small, _, large = (shares(row.metrics) for row in tables.sizes)
    assert small["AP"] == summary["AP"]
    assert np.isnan(large["AP"])
    assert np.isnan(second["AP"])
    # The band is a ring 2 pixels wide with 64 pixels; 48 of them stay on it, an IoU of 48 / 80.
    assert summary["boundary AP50"] == pytest.approx(half_recall)
    assert summary["boundary AP75"] == 0
    # At 1 px every contour pixel is correct, at the seven thresholds up to 0.8; category 2 has no pair.
    assert summary["AF"] == first["AF"] == 1
    assert np.isnan(second["AF"])


@pytest.mark.parametrize("metrics", [("ap",), ("boundary-ap",), ("af",), ("af", "ap")])
@given(case=cases())
@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_chosen_metrics_are_those_of_all(metrics, case):
    prefixes = tuple({"ap": "AP", "boundary-ap": "boundary", "af": "AF"}[metric] for metric in metrics)
    every, chosen = (
        [record(image, case.predictions[image], case.truths[image], CATEGORIES, **how) for image in case.truths]
        for how in ({}, {"metrics": metrics})
    )
    whole, some = coco_tables(every, listed(*CATEGORIES)), coco_tables(chosen, listed(*CATEGORIES), metrics)
    assert some.summary == tuple(metric for metric in whole.summary if metric.name.startswith(prefixes))
    for row, full in zip(some.classes, whole.classes, strict=True):
        assert row.metrics == tuple(metric for metric in full.metrics if metric.name.startswith(prefixes))


def test_nothing_at_all():
    tables = coco_tables([], listed(*CATEGORIES))
    assert {metric.value for row in tables.class_sizes for metric in row.metrics} == {None}
    assert {metric.value for metric in tables.summary} == {None}


def test_broken_input_is_named():
    small, large = square((20, 20), 1, 1), square((20, 30), 1, 1)
    with pytest.raises(BprError, match=r"image 7: prediction 0 has a mask of 30 x 20 pixels, expected 20 x 20"):
        check_segments(7, [ScoredMask(large, 1, 0.5)], [TruthMask(small, 1)])
    with pytest.raises(BprError, match="image 'b': truth 1 has a mask of 30 x 20"):
        check_segments("b", [], [TruthMask(small, 1), TruthMask(large, 1)])
    with pytest.raises(BprError, match="prediction 1 has the score nan"):
        check_segments(7, [ScoredMask(small, 1, 0.5), ScoredMask(small, 1, float("nan"))], [])
    records = [record(key, [], [TruthMask(small, 1)], [1]) for key in (1, "a", 1)]
    with pytest.raises(BprError, match="all numbers or all texts, got int and str"):
        coco_tables(records, listed(1))
    with pytest.raises(BprError, match="image 1 has more than one record"):
        coco_tables([records[0], records[2]], listed(1))


def segments_of(folder, truth_file, results_file):
    """Segments by image, as pycocotools reads the same files: sizes of predictions come from their boxes."""
    truth = json.loads((folder / truth_file).read_text())
    results = json.loads((folder / results_file).read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in truth["images"]}
    truths, predictions = {image: [] for image in sizes}, {image: [] for image in sizes}
    for ann in truth["annotations"]:
        image = ann["image_id"]
        mask = rle.decode(ann["segmentation"], sizes[image])
        truths[image].append(TruthMask(mask, ann["category_id"], bool(ann["iscrowd"]), ann["area"]))
    for ann in results:
        image = ann["image_id"]
        mask, box = rle.decode(ann["segmentation"], sizes[image]), ann["bbox"]
        predictions[image].append(ScoredMask(mask, ann["category_id"], ann["score"], box[2] * box[3]))
    categories = tuple(sorted(category["id"] for category in truth["categories"]))
    return predictions, truths, categories


@pytest.mark.parametrize(
    ("truth_file", "results_file"),
    [
        ("objects/instances_val.json", "objects/predictions/yolo/val.segm.json"),
        ("coco/instances.json", "coco/predictions/yolo/yolo.segm.json"),
    ],
)
def test_reference_figures_of_real_predictions(shared_fixtures, truth_file, results_file):
    references = json.loads((shared_fixtures / "metrics.json").read_text())
    predictions, truths, categories = segments_of(shared_fixtures.parent / "data", truth_file, results_file)
    precision = precision_of([record(key, predictions[key], truths[key], categories) for key in truths], categories)
    titles = "AP (boundary-iou-api = pycocotools)", "boundary AP, dilation_ratio 0.02 (boundary-iou-api)"
    names = {"AP small": "APs", "AP medium": "APm", "AP large": "APl"}
    for title, table in zip(titles, precision, strict=True):
        means = average_precision({"": table})
        ours = {names.get(name, name): -1 if np.isnan(value) else value for name, value in means.items()}
        assert ours == pytest.approx(references[f"{results_file}: {title}"], abs=1e-9)


def test_figures_of_many_small_masks(shared_fixtures):
    """The AP that the data's own description gives, in percent."""
    files = "cells/instances_val.json", "cells/predictions/otsu/val.segm.json"
    predictions, truths, categories = segments_of(shared_fixtures.parent / "data", *files)
    records = [record(key, predictions[key], truths[key], categories) for key in truths]
    summary = shares(coco_tables(records, listed(*categories)).summary)
    assert [summary["AP"], summary["AP50"]] == pytest.approx([0.110, 0.270], abs=5e-4)


def lvis_rules(case, searched):
    """What is left of a case under the rules of lvis-api: predictions that count, and those that may only find."""
    kept, lenient = {}, set()
    for image, found in case.predictions.items():
        ranked = sorted(range(len(found)), key=lambda number: (-found[number].score, number))[: case.max_detections]
        annotated = {segment.category for segment in case.truths[image]}
        kept[image] = [
            found[number] for number in ranked if found[number].category in annotated | searched[image].absent
        ]
        lenient |= {(image, category) for category in searched[image].incomplete}
    return kept, lenient


def lvis_precision(case, searched):
    """Precision by plain loops over pycocotools' matches: those of lvis-api, but for predictions that it excuses."""
    kept, lenient = lvis_rules(case, searched)
    evaluator = reference(replace(case, predictions=kept, max_detections=1000))
    for result in evaluator.evalImgs:
        if result is not None and (result["image_id"], result["category_id"]) in lenient:
            result["dtIgnore"] |= result["dtMatches"] == 0
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.accumulate()
    return evaluator.eval["precision"]


some_categories = st.frozensets(st.sampled_from((*CATEGORIES, 9)))


@generated
@given(case=cases(), data=st.data())
def test_federated_ap_follows_the_rules_of_lvis(case, data):
    searched = {image: Searched(data.draw(some_categories), data.draw(some_categories)) for image in case.truths}
    assert_equal_precision(precision_of(records_of(case, searched))[0], lvis_precision(case, searched))
