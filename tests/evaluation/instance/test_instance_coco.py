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
from bpr_cli.evaluation.instance import CocoSettings, ScoredMask, TruthMask, check_image, coco_figures, update_image
from bpr_cli.formats import rle
from bpr_cli.formats.base import Searched
from bpr_cli.masks.masks import Mask
from tests.evaluation.instance.instance_cases import CATEGORIES, cases, reference

ALL_THRESHOLDS = CocoSettings(CATEGORIES).thresholds
generated = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def measure(case):
    chosen = CocoSettings(CATEGORIES, max_detections=case.max_detections)
    records = [update_image(image, case.predictions[image], case.truths[image], chosen) for image in case.truths]
    return records, coco_figures(records, chosen)


def mean_over(precision):
    defined = precision[precision > -1]
    return defined.mean() if defined.size else float("nan")


def assert_equal_tables(table, precision):
    """``table`` against pycocotools' (T, R, K, A, 1) precision."""
    precision = precision[..., 0]
    assert np.array_equal(table.precision == -1, precision == -1)
    assert table.precision == pytest.approx(precision, abs=1e-12)
    chosen = {"ap": slice(None), "ap50": [0], "ap75": [5], "ap90": [8]}
    sizes = {"ap": 0, "ap_small": 1, "ap_medium": 2, "ap_large": 3}
    rows = [(table.overall, slice(None)), *((table.per_category[c], [k]) for k, c in enumerate(CATEGORIES))]
    for figures, k in rows:
        expected = {name: mean_over(precision[t][:, :, k, 0]) for name, t in chosen.items()}
        expected |= {name: mean_over(precision[:, :, k, a]) for name, a in sizes.items()}
        assert {name: getattr(figures, name) for name in expected} == pytest.approx(expected, abs=1e-12, nan_ok=True)


@generated
@given(case=cases())
def test_ap_equals_pycocotools(case):
    _, figures = measure(case)
    assert_equal_tables(figures.mask, reference(case).eval["precision"])


@generated
@given(case=cases())
def test_boundary_ap_equals_the_full_frame_reference(case):
    _, figures = measure(case)
    assert_equal_tables(figures.boundary, reference(case, boundary=True).eval["precision"])


def brute_af(case):
    """AF from pycocotools' own matches, with full frames and plain loops."""
    evaluator = reference(case)
    masks = [
        {ann["id"]: evaluator.cocoGt.annToMask(ann) for ann in coco.dataset["annotations"]}
        for coco in (evaluator.cocoGt, evaluator.cocoDt)
    ]
    scores = {(category, t): [] for category in CATEGORIES for t in range(len(ALL_THRESHOLDS))}
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
    table = measure(case)[1].boundary_f
    scores = brute_af(case)
    per_category = {c: mean_of([mean_of(scores[c, t]) for t in range(len(ALL_THRESHOLDS))]) for c in CATEGORIES}
    assert table.per_category == pytest.approx(per_category, abs=1e-12, nan_ok=True)
    assert table.af == pytest.approx(mean_of(per_category.values()), abs=1e-12, nan_ok=True)
    assert table.pairs.ravel().tolist() == [len(pairs) for pairs in scores.values()]


@settings(max_examples=30)
@given(case=cases())
def test_records_survive_pickling_and_any_order(case):
    records, figures = measure(case)
    shuffled = random.Random(0).sample(records, len(records))
    again = coco_figures(pickle.loads(pickle.dumps(shuffled)), CocoSettings(CATEGORIES, case.max_detections))
    assert np.array_equal(again.mask.precision, figures.mask.precision)
    assert np.array_equal(again.boundary.precision, figures.boundary.precision)
    assert again.boundary_f.af == pytest.approx(figures.boundary_f.af, abs=1e-12, nan_ok=True)


def square(size, x, y, side=10):
    array = np.zeros(size, dtype=bool)
    array[y : y + side, x : x + side] = True
    return Mask.from_array(array)


def test_records_hold_no_masks():
    frame = (1000, 1000)
    predictions = [ScoredMask(square(frame, 5, 5, side=900), 1, 0.5) for _ in range(100)]
    truths = [TruthMask(square(frame, 5, 5, side=900), 1)]
    record = update_image(1, predictions, truths, CocoSettings((1,)))
    assert len(pickle.dumps(record)) < 100 * 120 + 2000


def test_known_figures():
    """One of two squares is found, one pixel off; the shift leaves an IoU of 90 / 110 = 0.82."""
    frame = (60, 60)
    truths = [TruthMask(square(frame, 5, 5), 1), TruthMask(square(frame, 40, 40), 1)]
    found = [ScoredMask(square(frame, 6, 5), 1, 0.9)]
    chosen = CocoSettings((1, 2))
    figures = coco_figures([update_image("a", found, truths, chosen)], chosen)
    half_recall = 51 / 101
    assert figures.mask.overall.ap50 == pytest.approx(half_recall)
    assert figures.mask.overall.ap == pytest.approx(half_recall * 7 / 10)
    assert figures.mask.overall.ap90 == 0
    assert figures.mask.overall.ap_small == figures.mask.overall.ap
    assert np.isnan(figures.mask.overall.ap_large)
    assert np.isnan(figures.mask.per_category[2].ap)
    # The band is a ring 2 pixels wide with 64 pixels; 48 of them stay on it, an IoU of 48 / 80.
    assert figures.boundary.overall.ap50 == pytest.approx(half_recall)
    assert figures.boundary.overall.ap75 == 0
    # At 1 px every contour pixel is right, at the seven thresholds up to 0.8; category 2 has no pair.
    assert figures.boundary_f.af == figures.boundary_f.per_category[1] == 1
    assert figures.boundary_f.pairs.tolist() == [[1] * 7 + [0] * 3, [0] * 10]
    assert np.isnan(figures.boundary_f.per_category[2])


def test_nothing_at_all():
    figures = coco_figures([], CocoSettings(CATEGORIES))
    assert np.isnan([figures.mask.overall.ap, figures.boundary.overall.ap, figures.boundary_f.af]).all()


def test_other_thresholds():
    chosen = CocoSettings((1,), thresholds=(0.3, 0.75))
    pair = square((40, 40), 3, 3)
    figures = coco_figures([update_image(1, [ScoredMask(pair, 1, 1.0)], [TruthMask(pair, 1)], chosen)], chosen)
    assert [figures.mask.overall.ap, figures.mask.overall.ap75] == pytest.approx([1, 1])
    assert np.isnan(figures.mask.overall.ap50)


def test_broken_input_is_named():
    small, large = square((20, 20), 1, 1), square((20, 30), 1, 1)
    with pytest.raises(BprError, match=r"image 7: prediction 0 has a mask of 20 x 30 pixels, expected 20 x 20"):
        check_image(7, [ScoredMask(large, 1, 0.5)], [TruthMask(small, 1)])
    with pytest.raises(BprError, match="image 'b': truth 1 has a mask of 20 x 30"):
        check_image("b", [], [TruthMask(small, 1), TruthMask(large, 1)])
    with pytest.raises(BprError, match="prediction 1 has the score nan"):
        check_image(7, [ScoredMask(small, 1, 0.5), ScoredMask(small, 1, float("nan"))], [])
    chosen = CocoSettings((1,))
    records = [update_image(key, [], [TruthMask(small, 1)], chosen) for key in (1, "a", 1)]
    with pytest.raises(BprError, match="all numbers or all texts, got int and str"):
        coco_figures(records, chosen)
    with pytest.raises(BprError, match="image 1 has more than one record"):
        coco_figures([records[0], records[2]], chosen)


@pytest.mark.parametrize(
    "broken",
    [
        {"categories": (1, 1)},
        {"max_detections": 0},
        {"dilation_ratio": 0},
        {"tolerance": -1},
        {"thresholds": ()},
        {"thresholds": (0.0,)},
    ],
)
def test_broken_settings(broken):
    with pytest.raises(BprError, match="expected"):
        CocoSettings(**({"categories": (1,)} | broken))


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
    return predictions, truths, CocoSettings(categories)


@pytest.mark.parametrize(
    ("truth_file", "results_file"),
    [
        ("objects/instances_val.json", "objects/predictions/yolo/val.segm.json"),
        ("coco/instances.json", "coco/predictions/yolo/yolo.segm.json"),
    ],
)
def test_reference_figures_of_real_predictions(shared_fixtures, truth_file, results_file):
    references = json.loads((shared_fixtures / "metrics.json").read_text())
    predictions, truths, chosen = segments_of(shared_fixtures.parent / "data", truth_file, results_file)
    figures = coco_figures([update_image(key, predictions[key], truths[key], chosen) for key in truths], chosen)
    names = {"AP": "ap", "AP50": "ap50", "AP75": "ap75", "AP90": "ap90"}
    names |= {"APs": "ap_small", "APm": "ap_medium", "APl": "ap_large"}
    tables = {
        "AP (boundary-iou-api = pycocotools)": figures.mask,
        "boundary AP, dilation_ratio 0.02 (boundary-iou-api)": figures.boundary,
    }
    for title, table in tables.items():
        ours = {name: getattr(table.overall, field) for name, field in names.items()}
        ours = {name: -1 if np.isnan(value) else value for name, value in ours.items()}
        assert ours == pytest.approx(references[f"{results_file}: {title}"], abs=1e-9)


def test_figures_of_many_small_masks(shared_fixtures):
    """The AP that the data's own description gives, in percent."""
    files = "cells/instances_val.json", "cells/predictions/otsu/val.segm.json"
    predictions, truths, chosen = segments_of(shared_fixtures.parent / "data", *files)
    figures = coco_figures([update_image(key, predictions[key], truths[key], chosen) for key in truths], chosen)
    assert [figures.mask.overall.ap, figures.mask.overall.ap50] == pytest.approx([0.110, 0.270], abs=5e-4)


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
    chosen = CocoSettings(CATEGORIES, max_detections=case.max_detections)
    records = [
        update_image(image, case.predictions[image], case.truths[image], chosen, searched[image])
        for image in case.truths
    ]
    assert_equal_tables(coco_figures(records, chosen).mask, lvis_precision(case, searched))
