from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import boundary_f
from bpr_cli.evaluation.instance import ScoredMask, check_frame, cityscapes_figures, update_frame
from bpr_cli.evaluation.instance.cityscapes import CLASSES, OVERLAPS
from bpr_cli.masks.masks import Mask
from tests.evaluation.instance.cityscapes_cases import Frame, draw_frame, run_official, write_frame

CAR = 26


def measure(frames):
    return cityscapes_figures(
        [update_frame(number, frame.segments(), frame.ids) for number, frame in enumerate(frames)]
    )


def official_result(frames, tmp_path, monkeypatch):
    files = [write_frame(tmp_path, number, frame) for number, frame in enumerate(frames)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # means of nothing
        return run_official(files, monkeypatch)


def assert_equal(figures, result):
    averages = result["averages"]
    assert figures.precision == pytest.approx(np.array(result["resultApMatrix"])[0], abs=1e-12, nan_ok=True)
    assert figures.ap == pytest.approx(averages["allAp"], abs=1e-12, nan_ok=True)
    assert figures.ap50 == pytest.approx(averages["allAp50%"], abs=1e-12, nan_ok=True)
    for label, name in CLASSES.items():
        theirs = averages["classes"][name]
        assert figures.ap_per_class[label] == pytest.approx(theirs["ap"], abs=1e-12, nan_ok=True)
        assert figures.ap50_per_class[label] == pytest.approx(theirs["ap50%"], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("seed", range(30))
def test_figures_equal_the_official_script(seed, tmp_path, monkeypatch):
    rng = np.random.default_rng(seed)
    frames = [draw_frame(rng) for _ in range(int(rng.integers(1, 9)))]
    figures = measure(frames)
    try:
        result = official_result(frames, tmp_path, monkeypatch)
    except IndexError:
        # Its own fault: all predictions of a class with ground truth are dropped, which counts 0 here.
        assert (figures.precision == 0).any()
        return
    assert_equal(figures, result)


def test_most_generated_sets_are_taken_by_the_official_script(tmp_path, monkeypatch):
    rng = np.random.default_rng(100)
    frames = [draw_frame(rng) for _ in range(40)]
    figures = measure(frames)
    assert_equal(figures, official_result(frames, tmp_path, monkeypatch))
    assert 0.05 < figures.ap < 0.95


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
    assert measure(frames).ap_per_class[CAR] == 0


def test_a_single_pixel_image():
    figures = measure([Frame(np.full((1, 1), 26001), [(np.ones((1, 1), bool), CAR, 1.0)])])
    assert np.isnan(figures.ap)  # too small to count


def test_records_survive_pickling_and_any_order():
    rng = np.random.default_rng(7)
    frames = [draw_frame(rng) for _ in range(12)]
    records = [update_frame(f"image {n}", frame.segments(), frame.ids) for n, frame in enumerate(frames)]
    again = cityscapes_figures(pickle.loads(pickle.dumps(records[::-1])))
    assert np.array_equal(again.precision, cityscapes_figures(records).precision, equal_nan=True)


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
    table = measure(frames).boundary_f
    pooled = [brute_af(frame) for frame in frames]
    for k, label in enumerate(CLASSES):
        for t in range(len(OVERLAPS)):
            values = [value for scores in pooled for value in scores[label, t]]
            assert table.pairs[k, t] == len(values)
            if values:
                assert table.scores[k, t] == pytest.approx(np.mean(values), abs=1e-12)
    defined = [value for value in table.per_category.values() if not np.isnan(value)]
    assert table.af == pytest.approx(np.mean(defined))


def test_broken_input_is_named():
    ids, mask = ids_with((CAR_A, 26001)), Mask.from_array(CAR_A)
    with pytest.raises(BprError, match="prediction 0 has the label 99"):
        check_frame("a", [ScoredMask(mask, 99, 0.5)], ids)
    with pytest.raises(BprError, match=r"shape \(64, 96, 1\)"):
        check_frame("a", [], ids[..., None])
    with pytest.raises(BprError, match="64 x 96 pixels, expected 32 x 96"):
        check_frame("a", [ScoredMask(mask, CAR, 0.5)], ids[:32])
    with pytest.raises(BprError, match="image 'a': instance_ids holds 255"):
        update_frame("a", [], np.full((4, 4), 255))
    with pytest.raises(BprError, match="image 1 has more than one record"):
        cityscapes_figures([update_frame(1, [], ids)] * 2)
