"""Metrics of Cityscapes instances, compared with the official script."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from cityscapesscripts.helpers.labels import labels

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import band_width, boundary_f
from bpr_cli.evaluation.cityscapes import CityscapesEvaluator, precision_of, record_of
from bpr_cli.evaluation.cityscapes_matching import CLASSES, OVERLAPS, CityscapesComparison, InstanceMap
from bpr_cli.evaluation.instances import ScoredMask
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.masks.masks import Mask
from tests.evaluation.cityscapes_cases import Frame, draw_frame, run_official, write_frame
from tests.evaluation.label_cases import brute_band, brute_iou

CAR = 26


def record(key, frame):
    return record_of(key, CityscapesComparison.of(key, frame.segments(), InstanceMap.of(frame.ids)), 1.0)


def measure(frames):
    """Precision by class and threshold, and the tables."""
    records = [record(number, frame) for number, frame in enumerate(frames)]
    return precision_of(records), CityscapesEvaluator(EvaluateSettings(metrics=("ap", "af"))).tables(records)


def brute_boundary_ap(frames, ratio):
    """Boundary AP of every class and threshold by the rules of boundary-iou-api, with sets of pixels and loops."""
    precision = np.full((len(CLASSES), len(OVERLAPS)), np.nan)
    for k, label in enumerate(CLASSES):
        for t, threshold in enumerate(OVERLAPS):
            truths, votes = 0, []
            for frame in frames:
                width = band_width(ratio, frame.ids.shape)
                known = [value for value in np.unique(frame.ids) if label in (value, value // 1000)]
                true = {int(value): frame.ids == value for value in known}
                counted = {value for value, mask in true.items() if value >= 1000 and mask.sum() >= 100}
                truths += len(counted)
                found = [(mask, score) for mask, other, score in frame.predictions if other == label and mask.any()]
                votes += brute_votes(found, true, counted, void_of(frame.ids), width, threshold)
            if truths:
                precision[k, t] = brute_area(votes, truths)
    return precision


def void_of(ids):
    return np.isin(ids, [label.id for label in labels if label.ignoreInEval])


def brute_votes(found, true, counted, void, width, threshold):
    """Score and correctness of each prediction that counts; per matched instance, the best score is the correct one."""
    edges = [brute_band(mask, width) for mask, _ in found]
    true_edges = {value: brute_band(mask, width) for value, mask in true.items()}
    quality = {
        (d, value): min(brute_iou(found[d][0], true[value]), brute_iou(edges[d], true_edges[value]))
        for d in range(len(found))
        for value in true
        if (edges[d] & true_edges[value]).any()
    }
    votes = []
    for value in counted:
        scores = sorted((found[d][1] for d, other in quality if other == value and quality[d, other] > threshold))
        votes += [(score, place == len(scores) - 1) for place, score in enumerate(scores)]
    for d, (mask, score) in enumerate(found):
        touched = [value for other, value in quality if other == d]
        if any(quality[d, value] > threshold for value in touched):
            continue
        ignored = (mask & void).sum()
        for value in touched:
            ignored += (mask & true[value]).sum() * (int(value < 1000) + int(true[value].sum() < 100))
        if ignored / mask.sum() <= threshold:
            votes.append((score, False))
    return votes


def brute_area(votes, truths):
    """Area under the curve of precision over recall, as the official script integrates it."""
    if not votes:
        return 0.0
    points = []
    for least in sorted({score for score, _ in votes}):
        kept = [right for score, right in votes if score >= least]
        points.append((sum(kept) / len(kept), sum(kept) / truths))
    points.append((1.0, 0.0))
    recall = [points[0][1], *(each[1] for each in points), 0.0]
    steps = [(recall[n] - recall[n + 2]) / 2 for n in range(len(points))]
    return sum(each[0] * step for each, step in zip(points, steps, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_boundary_ap_equals_the_rules_of_the_reference_tool(seed):
    rng = np.random.default_rng(500 + seed)
    frames = [draw_frame(rng, (40, 60)) for _ in range(3)]
    ratio = float(rng.choice((0.005, 0.02, 0.05)))
    evaluator = CityscapesEvaluator(EvaluateSettings(dilation_ratio=ratio))
    records = []
    for number, frame in enumerate(frames):
        truth = InstanceMap.of(frame.ids)
        width = band_width(ratio, truth.size)
        records.append(record_of(number, CityscapesComparison.of(number, frame.segments(), truth, width), 1.0))
    expected = brute_boundary_ap(frames, ratio)
    assert precision_of(records, 1) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    summary = shares(evaluator.tables(records).summary)
    assert list(summary) == ["AP", "AP50", "boundary AP", "AF"]
    assert summary["boundary AP"] == pytest.approx(np.nanmean(expected), abs=1e-12)
    assert summary["boundary AP"] <= summary["AP"] + 1e-12


def test_only_the_chosen_metrics_are_measured():
    frame = draw_frame(np.random.default_rng(1), (40, 60))
    evaluator = CityscapesEvaluator(EvaluateSettings(metrics=("ap",)))
    assert list(shares(evaluator.tables([record(0, frame)]).summary)) == ["AP", "AP50"]


def test_the_brute_force_gives_the_official_ap_where_bands_fill_the_masks(tmp_path, monkeypatch):
    """Bands as wide as the image are the masks, so that boundary AP is AP: so the brute force is held to the script."""
    rng = np.random.default_rng(100)
    frames = [draw_frame(rng, (40, 60)) for _ in range(12)]
    result = official_result(frames, tmp_path, monkeypatch)
    assert brute_boundary_ap(frames, 1.0) == pytest.approx(
        np.array(result["resultApMatrix"])[0], abs=1e-12, nan_ok=True
    )


def shares(metrics):
    """Metrics by name, from 0 to 1."""
    return {metric.name: np.nan if metric.value is None else metric.value / 100 for metric in metrics}


def official_result(frames, tmp_path, monkeypatch):
    files = [write_frame(tmp_path, number, frame) for number, frame in enumerate(frames)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of nothing
        return run_official(files, monkeypatch)


def assert_equal(measured, result):
    precision, tables = measured
    averages, summary = result["averages"], shares(tables.summary)
    assert precision == pytest.approx(np.array(result["resultApMatrix"])[0], abs=1e-12, nan_ok=True)
    assert summary["AP"] == pytest.approx(averages["allAp"], abs=1e-12, nan_ok=True)
    assert summary["AP50"] == pytest.approx(averages["allAp50%"], abs=1e-12, nan_ok=True)
    for row in tables.classes:
        ours, theirs = shares(row.metrics), averages["classes"][row.name]
        assert ours["AP"] == pytest.approx(theirs["ap"], abs=1e-12, nan_ok=True)
        assert ours["AP50"] == pytest.approx(theirs["ap50%"], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(30))
def test_figures_equal_the_official_script(seed, tmp_path, monkeypatch):
    rng = np.random.default_rng(seed)
    frames = [draw_frame(rng) for _ in range(int(rng.integers(1, 9)))]
    measured = measure(frames)
    try:
        result = official_result(frames, tmp_path, monkeypatch)
    except IndexError:
        # Its own fault: all predictions of a class with ground truth are dropped, which counts 0 here.
        assert (measured[0] == 0).any()
        return
    assert_equal(measured, result)


def test_most_generated_sets_are_taken_by_the_official_script(tmp_path, monkeypatch):
    rng = np.random.default_rng(100)
    frames = [draw_frame(rng) for _ in range(40)]
    measured = measure(frames)
    assert_equal(measured, official_result(frames, tmp_path, monkeypatch))
    assert 0.05 < shares(measured[1].summary)["AP"] < 0.95


def rectangle(x, y, width, height, size=(64, 96)):
    mask = np.zeros(size, bool)
    mask[y : y + height, x : x + width] = True
    return mask


def ids_with(*regions):
    ids = np.full((64, 96), 7, np.int32)
    for mask, value in regions:
        ids[mask] = value
    return ids


SMALL, THIN = rectangle(40, 2, 11, 9), rectangle(0, 50, 96, 1)
CAR_A, CAR_B = rectangle(2, 2, 20, 20), rectangle(40, 2, 20, 20)
FAR = rectangle(2, 40, 20, 20)
EDGE_CASES = {
    "no predictions": ([(CAR_A, 26001)], []),
    "no ground truth": ([], [(CAR_A, CAR, 0.9)]),
    "an exact find": ([(CAR_A, 26001)], [(CAR_A, CAR, 0.9)]),
    "a duplicate": ([(CAR_A, 26001), (CAR_B, 26002)], [(CAR_A, CAR, 0.9), (CAR_A, CAR, 0.9), (CAR_B, CAR, 0.8)]),
    "a better fit with a lower score": (
        [(CAR_A, 26001), (CAR_B, 26002)],
        [(CAR_A, CAR, 0.3), (rectangle(2, 2, 20, 14), CAR, 0.9)],
    ),
    "the wrong class": ([(CAR_A, 26001), (CAR_B, 24002)], [(CAR_A, 24, 0.9), (CAR_B, 24, 0.8)]),
    "a find in a group": ([(CAR_A, 26001), (CAR_B, CAR)], [(CAR_A, CAR, 0.5), (CAR_B, CAR, 0.9)]),
    "half in a group": (
        [(CAR_A, 26001), (CAR_B, CAR)],
        [(CAR_A, CAR, 0.5), (rectangle(52, 2, 20, 20), CAR, 0.9)],
    ),
    "a small group": ([(CAR_A, 26001), (rectangle(40, 2, 9, 9), CAR)], [(CAR_A, CAR, 0.5), (CAR_B, CAR, 0.9)]),
    "void": ([(CAR_A, 26001), (CAR_B, 0)], [(CAR_A, CAR, 0.5), (CAR_B, CAR, 0.9)]),
    "partly void": ([(CAR_A, 26001), (CAR_B, 4)], [(CAR_A, CAR, 0.5), (rectangle(47, 2, 20, 20), CAR, 0.9)]),
    "99 pixels": ([(CAR_A, 26001), (SMALL, 26002)], [(SMALL, CAR, 0.9), (FAR, CAR, 0.1)]),
    "100 pixels": ([(rectangle(40, 2, 10, 10), 26002)], [(rectangle(40, 2, 10, 10), CAR, 0.9)]),
    "an overlap of exactly one half": ([(CAR_A, 26001)], [(rectangle(2, 2, 20, 10), CAR, 0.9)]),
    "an empty prediction": ([(CAR_A, 26001)], [(rectangle(0, 0, 0, 0), CAR, 0.9)]),
    "a thin one": ([(THIN, 33001), (CAR_A, 33002)], [(THIN, 33, 0.9), (CAR_A, 33, 0.2)]),
    "labels that are not measured": ([(CAR_A, 29001), (CAR_B, 26001)], [(CAR_A, 29, 0.9), (CAR_B, 7, 0.4)]),
    "negative scores": ([(CAR_A, 26001), (CAR_B, 26002)], [(CAR_A, CAR, -3.0), (FAR, CAR, 0.0)]),
}


@pytest.mark.parametrize("name", EDGE_CASES)
def test_edge_cases_equal_the_official_script(name, tmp_path, monkeypatch):
    regions, predictions = EDGE_CASES[name]
    frames = [Frame(ids_with(*regions), list(predictions))]
    assert_equal(measure(frames), official_result(frames, tmp_path, monkeypatch))


def test_a_class_whose_predictions_are_all_dropped_counts_0(tmp_path, monkeypatch):
    frames = [Frame(ids_with((CAR_A, 26001), (CAR_B, CAR)), [(CAR_B, CAR, 0.9)])]
    with pytest.raises(IndexError):
        official_result(frames, tmp_path, monkeypatch)
    assert measure(frames)[0][list(CLASSES).index(CAR)].tolist() == [0] * len(OVERLAPS)


def test_a_single_pixel_image():
    precision, _ = measure([Frame(np.full((1, 1), 26001), [(np.ones((1, 1), bool), CAR, 1.0)])])
    assert np.isnan(precision).all()  # too small to count


def test_records_survive_pickling_and_any_order():
    rng = np.random.default_rng(7)
    frames = [draw_frame(rng) for _ in range(12)]
    records = [record(f"image {n}", frame) for n, frame in enumerate(frames)]
    again = precision_of(pickle.loads(pickle.dumps(records[::-1])))
    assert np.array_equal(again, precision_of(records), equal_nan=True)


def brute_af(frame):
    """F of all right pairs by class and threshold; a pair is a counting instance with its best-scored find."""
    scores = {(label, t): [] for label in CLASSES for t in range(len(OVERLAPS))}
    for instance in np.unique(frame.ids[frame.ids >= 1000]):
        truth, label = frame.ids == instance, int(instance) // 1000
        if label not in CLASSES or truth.sum() < 100:
            continue
        for t, threshold in enumerate(OVERLAPS):
            finds = [
                (score, mask)
                for mask, other, score in frame.predictions
                if other == label and (mask & truth).sum() / (mask | truth).sum() > threshold
            ]
            if finds:
                scores[label, t].append(boundary_f(max(finds, key=lambda find: find[0])[1], truth, 1))
    return scores


def test_af_equals_brute_force():
    rng = np.random.default_rng(3)
    frames = [draw_frame(rng) for _ in range(20)]
    records = [record(number, frame) for number, frame in enumerate(frames)]
    sums, pairs = sum(each.f_sums for each in records), sum(each.f_pairs for each in records)
    pooled, by_class = [brute_af(frame) for frame in frames], []
    for k, label in enumerate(CLASSES):
        means = []
        for t in range(len(OVERLAPS)):
            values = [value for scores in pooled for value in scores[label, t]]
            assert pairs[k, t] == len(values)
            assert sums[k, t] == pytest.approx(sum(values))
            means += [np.mean(values)] if values else []
        by_class.append(np.mean(means) if means else np.nan)
    tables = CityscapesEvaluator(EvaluateSettings(metrics=("ap", "af"))).tables(records)
    assert [shares(row.metrics)["AF"] for row in tables.classes] == pytest.approx(by_class, abs=1e-12, nan_ok=True)
    assert shares(tables.summary)["AF"] == pytest.approx(np.nanmean(by_class))


def test_broken_input_is_named():
    frame, mask = InstanceMap.of(ids_with((CAR_A, 26001))), Mask.from_array(CAR_A)
    with pytest.raises(BprError, match="image 'a': prediction 0 has the label 99"):
        CityscapesComparison.of("a", [ScoredMask(mask, 99, 0.5)], frame)
    with pytest.raises(BprError, match="96 x 64 pixels, expected 96 x 32"):
        CityscapesComparison.of("a", [ScoredMask(mask, CAR, 0.5)], InstanceMap.of(frame.instance_ids[:32]))
    with pytest.raises(BprError, match="the map of instance ids holds 255"):
        InstanceMap.of(np.full((4, 4), 255))
    with pytest.raises(BprError, match="image 1 has more than one record"):
        precision_of([record(1, Frame(frame.instance_ids, []))] * 2)
