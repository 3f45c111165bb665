from __future__ import annotations

import json
import math
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import boundary_f
from bpr_cli.evaluation.semantic import SemanticSettings, SemanticSums, check_semantic, semantic_figures, semantic_sums
from tests.evaluation.label_cases import brute_band, brute_iou, label_pairs

VOID = 255
CLASSES = (4, 1, 7)
SETTINGS = SemanticSettings(CLASSES, frozenset({0, VOID}), tolerance=1, dilation_ratio=0.1)

images = st.lists(label_pairs([*CLASSES, 0, VOID], largest=6), min_size=1, max_size=3)


def add(pairs, how=SETTINGS):
    return sum((semantic_sums(*pair, how) for pair in pairs), SemanticSums.zero(len(how.classes)))


def mean(figures):
    there = [figure for figure in figures if not math.isnan(figure)]
    return sum(there) / len(there) if there else math.nan


@settings(max_examples=80)
@given(pairs=images)
def test_iou_pools_all_images_and_leaves_void_out(pairs):
    figures = semantic_figures(add(pairs))
    known = [np.isin(truth, CLASSES).ravel() for _, truth in pairs]
    prediction, truth = (
        np.concatenate([pair[side].ravel()[keep] for pair, keep in zip(pairs, known, strict=True)]) for side in (0, 1)
    )
    expected = [brute_iou(prediction == label, truth == label) for label in CLASSES]
    assert figures.iou == pytest.approx(expected, nan_ok=True)
    assert figures.miou == pytest.approx(mean(expected), nan_ok=True)


@settings(max_examples=80)
@given(pairs=images)
def test_boundary_f_averages_images_then_classes(pairs):
    figures = semantic_figures(add(pairs))
    scores = [
        [boundary_f((prediction == label) & np.isin(truth, CLASSES), truth == label) for label in CLASSES]
        for prediction, truth in pairs
    ]
    assert figures.boundary_f == pytest.approx(np.mean(scores, axis=0))
    assert figures.af == pytest.approx(np.mean(scores))


@settings(max_examples=80)
@given(pairs=images)
def test_boundary_iou_pools_the_bands_of_every_mask(pairs):
    figures = semantic_figures(add(pairs))
    expected = []
    for label in CLASSES:
        bands = []
        for prediction, truth in pairs:
            width = max(1, round(0.1 * math.hypot(*truth.shape)))
            masks = (prediction == label) & np.isin(truth, CLASSES), truth == label
            bands.append([brute_band(mask, width).ravel() for mask in masks])
        expected.append(brute_iou(*(np.concatenate(side) for side in zip(*bands, strict=True))))
    assert figures.boundary_iou == pytest.approx(expected, nan_ok=True)
    assert figures.mean_boundary_iou == pytest.approx(mean(expected), nan_ok=True)


@settings(max_examples=20)
@given(pairs=images)
def test_sums_merge_in_any_grouping_and_travel_between_processes(pairs):
    whole, parts = add(pairs), SemanticSums.zero(3)
    for pair in reversed(pairs):
        parts = pickle.loads(pickle.dumps(add([pair]))) + parts
    for field in ("confusion", "boundary_f", "band_shared", "band_union"):
        assert getattr(whole, field) == pytest.approx(getattr(parts, field))
    assert whole.images == parts.images == len(pairs)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_the_dtype_of_the_maps_does_not_matter(dtype):
    rng = np.random.default_rng(1)
    prediction, truth = (rng.choice([*CLASSES, VOID], (9, 7)) for _ in range(2))
    expected = semantic_figures(semantic_sums(prediction, truth, SETTINGS))
    assert semantic_figures(semantic_sums(prediction.astype(dtype), truth.astype(dtype), SETTINGS)) == expected


def test_more_classes_than_a_byte_holds():
    labels = np.arange(300, dtype=np.uint16).reshape(15, 20)
    figures = semantic_figures(semantic_sums(labels, labels, SemanticSettings(tuple(range(300)), frozenset())))
    assert figures.miou == figures.af == figures.mean_boundary_iou == 1


def test_nothing_but_void_and_no_images():
    void = np.full((3, 3), VOID)
    figures = semantic_figures(semantic_sums(np.full((3, 3), 4), void, SETTINGS))
    assert math.isnan(figures.miou)
    assert figures.af == 1  # absent from both, in every class
    assert math.isnan(semantic_figures(SemanticSums.zero(3)).af)


def test_boundary_figures_can_be_left_out():
    labels = np.array([[4, 1]])
    figures = semantic_figures(
        add([(labels, labels)] * 2, SemanticSettings(CLASSES, tolerance=None, dilation_ratio=None))
    )
    assert figures.miou == 1
    assert math.isnan(figures.af)
    assert math.isnan(figures.mean_boundary_iou)


def test_predicted_void_is_wrong():
    prediction, truth = np.array([[4, VOID]]), np.array([[4, 4]])
    assert semantic_figures(semantic_sums(prediction, truth, SETTINGS)).iou[0] == 0.5


def test_what_cannot_be_compared_is_refused():
    truth = np.full((2, 3), 4)
    with pytest.raises(BprError, match="prediction is 2 x 3 pixels, expected the 3 x 2 pixels"):
        check_semantic(truth.T, truth, SETTINGS)
    with pytest.raises(BprError, match="ground truth has the labels 5, expected the classes 4, 1, 7"):
        check_semantic(truth, truth + 1, SETTINGS)
    with pytest.raises(BprError, match="prediction has labels from -1 to 3"):
        check_semantic(np.array([[-1, 3]]), np.array([[4, 4]]), SETTINGS)
    with pytest.raises(BprError, match=r"shape \(2, 3\) and type float64, expected \(H, W\) whole numbers"):
        check_semantic(truth / 1, truth, SETTINGS)
    with pytest.raises(BprError, match=r"shape \(0, 3\)"):
        check_semantic(truth, truth[:0], SETTINGS)


@pytest.mark.parametrize(
    ("classes", "ignore", "message"),
    [
        ((), set(), "no class"),
        ((1, 2, 1), set(), "label 1 is listed more than once"),
        ((1, 2), {2}, "label 2 is both a class and ignored"),
        ((1, 70000), set(), "label 70000 is not a whole number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(classes, ignore, message):
    with pytest.raises(BprError, match=message):
        SemanticSettings(classes, frozenset(ignore))


def cityscapes_figures(folder, pairs):
    """What the official script says of label maps in labelIds."""
    from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official  # noqa: N813

    files = []
    for number, pair in enumerate(pairs):
        files.append([str(folder / f"{number}_{side}_gtFine_labelIds.png") for side in ("prediction", "truth")])
        for file, labels in zip(files[-1], pair, strict=True):
            cv2.imwrite(file, labels.astype(np.uint8))
    arguments = official.CArgs()
    vars(arguments).update(vars(official.args))
    arguments.evalInstLevelScore = arguments.evalPixelAccuracy = arguments.JSONOutput = False
    arguments.quiet = True
    return official.evaluateImgLists(*(list(side) for side in zip(*files, strict=True)), arguments)


@pytest.mark.parametrize("labels", [range(34), [7, 8, 0], [0, 1, 2], [11, 26, 24, 33]])
@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 48)])
def test_iou_equals_the_cityscapes_script(tmp_path, labels, shape):
    from cityscapesscripts.helpers.labels import labels as cityscapes_labels

    rng = np.random.default_rng(shape[1])
    pairs = []
    for _ in range(3):
        truth = rng.choice(labels, shape)
        pairs.append((np.where(rng.random(shape) < 0.6, truth, rng.choice(range(34), shape)), truth))
    evaluated = [label for label in cityscapes_labels if label.id >= 0 and not label.ignoreInEval]
    ignored = frozenset(label.id for label in cityscapes_labels if label.id >= 0 and label.ignoreInEval)
    figures = semantic_figures(add(pairs, SemanticSettings(tuple(label.id for label in evaluated), ignored)))
    official = cityscapes_figures(tmp_path, pairs)
    expected = [official["classScores"][label.name] for label in evaluated]
    assert figures.iou == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert figures.miou == pytest.approx(official["averageScoreClasses"], abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("tolerance", [1, 3])
def test_reference_figures_of_real_predictions(shared_fixtures, tolerance):
    reference = json.loads((shared_fixtures / "metrics.json").read_text())
    data = shared_fixtures.parent / "data/street"
    pairs = [
        [
            cv2.imread(str(folder / path.name), cv2.IMREAD_UNCHANGED)
            for folder in (data / "predictions/esp/val", path.parent)
        ]
        for path in sorted((data / "labels/val").glob("*.png"))
    ]
    figures = semantic_figures(add(pairs, SemanticSettings(tuple(range(11)), tolerance=tolerance)))
    name = f"street/predictions/esp/val: boundary F, {tolerance} px, mean over images then classes (GSCNN f_boundary)"
    assert figures.boundary_f == pytest.approx(reference[name]["per_class"], abs=1e-9)
    assert figures.af == pytest.approx(reference[name]["AF"], abs=1e-9)
    assert figures.iou == pytest.approx(reference["street/predictions/esp/val: IoU"]["per_class"], abs=1e-9)
    assert figures.miou == pytest.approx(reference["street/predictions/esp/val: IoU"]["mIoU"], abs=1e-9)
