"""Metrics of label maps, compared with the Cityscapes script and with obvious loops."""

from __future__ import annotations

import json
import math
import operator
import pickle
from functools import reduce

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import boundary_f
from bpr_cli.evaluation.evaluator import SegmentIou
from bpr_cli.evaluation.semantic import LabelPair, SemanticEvaluator
from bpr_cli.evaluation.semantic_sums import semantic_sums
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.truth.label_sets import LabelSet
from tests.evaluation.label_cases import brute_band, brute_iou, label_pairs

VOID = 255
CLASSES = (4, 1, 7)
SETTINGS = EvaluateSettings(tolerance=1, dilation_ratio=0.1)


def label_set(classes, ignore):
    return LabelSet("test", {label: f"class {label}" for label in classes}, frozenset(ignore))


LABELS = label_set(CLASSES, {0, VOID})

images = st.lists(label_pairs([*CLASSES, 0, VOID], largest=6), min_size=1, max_size=3)


def add(pairs, labels=LABELS, how=SETTINGS):
    return reduce(operator.add, (semantic_sums(*pair, labels, how) for pair in pairs))


def means(sums, labels=LABELS):
    """The metrics of the summary, from 0 to 1."""
    tables = SemanticEvaluator(SETTINGS, labels).tables(sums)
    return [math.nan if metric.value is None else metric.value / 100 for metric in tables.summary]


def mean(figures):
    there = [figure for figure in figures if not math.isnan(figure)]
    return sum(there) / len(there) if there else math.nan


@settings(max_examples=80)
@given(pairs=images)
def test_iou_pools_all_images_and_leaves_void_out(pairs):
    sums = add(pairs)
    known = [np.isin(truth, CLASSES).ravel() for _, truth in pairs]
    prediction, truth = (
        np.concatenate([pair[side].ravel()[keep] for pair, keep in zip(pairs, known, strict=True)]) for side in (0, 1)
    )
    expected = [brute_iou(prediction == label, truth == label) for label in CLASSES]
    assert sums.iou == pytest.approx(expected, nan_ok=True)
    assert means(sums)[0] == pytest.approx(mean(expected), nan_ok=True)


@settings(max_examples=80)
@given(pairs=images)
def test_boundary_f_averages_images_then_classes(pairs):
    sums = add(pairs)
    scores = [
        [boundary_f((prediction == label) & np.isin(truth, CLASSES), truth == label) for label in CLASSES]
        for prediction, truth in pairs
    ]
    assert sums.scores["boundary F"] == pytest.approx(np.mean(scores, axis=0))
    assert means(sums)[1] == pytest.approx(np.mean(scores))


@settings(max_examples=80)
@given(pairs=images)
def test_boundary_iou_pools_the_bands_of_every_mask(pairs):
    sums = add(pairs)
    expected = []
    for label in CLASSES:
        bands = []
        for prediction, truth in pairs:
            width = max(1, round(0.1 * math.hypot(*truth.shape)))
            masks = (prediction == label) & np.isin(truth, CLASSES), truth == label
            bands.append([brute_band(mask, width).ravel() for mask in masks])
        expected.append(brute_iou(*(np.concatenate(side) for side in zip(*bands, strict=True))))
    assert sums.scores["boundary IoU"] == pytest.approx(expected, nan_ok=True)
    assert means(sums)[2] == pytest.approx(mean(expected), nan_ok=True)


@settings(max_examples=20)
@given(pairs=images)
def test_sums_merge_in_any_grouping_and_travel_between_processes(pairs):
    whole = add(pairs)
    parts = reduce(operator.add, (pickle.loads(pickle.dumps(add([pair]))) for pair in reversed(pairs)))
    for field in ("confusion", "boundary_f", "band_shared", "band_union"):
        assert getattr(whole, field) == pytest.approx(getattr(parts, field))
    assert whole.images == parts.images == len(pairs)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_the_dtype_of_the_maps_does_not_matter(dtype):
    rng = np.random.default_rng(1)
    prediction, truth = (rng.choice([*CLASSES, VOID], (9, 7)) for _ in range(2))
    expected = means(add([(prediction, truth)]))
    assert means(add([(prediction.astype(dtype), truth.astype(dtype))])) == expected


def test_more_classes_than_a_byte_holds():
    labels = np.arange(300, dtype=np.uint16).reshape(15, 20)
    classes = label_set(range(300), ())
    assert means(add([(labels, labels)], classes), classes) == [1, 1, 1]


OPEN = LabelSet("as found", {}, frozenset({VOID}), open=True)


@settings(max_examples=80)
@given(pairs=st.lists(label_pairs([0, 3, 300, 65535, VOID], largest=6), min_size=1, max_size=3))
def test_without_a_label_set_every_label_that_occurs_counts(pairs):
    """As NumPy, mmsegmentation (``intersect_and_union``) and torchmetrics count: labels of both sides, without void."""
    evaluator = SemanticEvaluator(SETTINGS, OPEN)
    (sums,) = evaluator.align([add(pairs, OPEN)])
    known = [truth.ravel() != VOID for _, truth in pairs]
    prediction, truth = (
        np.concatenate([pair[side].ravel()[keep] for pair, keep in zip(pairs, known, strict=True)]) for side in (0, 1)
    )
    classes = sorted({*prediction.tolist(), *truth.tolist()} - {VOID})
    expected = [brute_iou(prediction == label, truth == label) for label in classes]
    tables = evaluator.tables(sums)
    assert [row.name for row in tables.classes] == [str(label) for label in classes]
    assert sums.iou == pytest.approx(expected)
    assert tables.summary[0].value == (pytest.approx(100 * np.mean(expected)) if expected else None)
    named, place = add(pairs, label_set([0, 3, 300, 65535], {VOID})), np.searchsorted([0, 3, 300, 65535], classes)
    for field in ("boundary_f", "band_shared", "band_union"):
        assert getattr(sums, field) == pytest.approx(getattr(named, field)[..., place])


def test_classes_that_only_one_side_has_are_named():
    prediction, truth = np.array([[1, 1, 9, 5]]), np.array([[1, 2, 1, VOID]])
    evaluator = SemanticEvaluator(SETTINGS, OPEN)
    tables = evaluator.tables(*evaluator.align([add([(prediction, truth)], OPEN)]))
    assert [row.metrics[0].value for row in tables.classes] == [pytest.approx(100 / 3), 0, 0]
    ours, theirs = tables.notes
    assert ours.startswith("only the predictions hold the class 9: IoU 0, which counts in mIoU")
    assert theirs == "only the ground truth holds the class 2: IoU 0"


def test_labels_above_255_are_said_to_be_classes():
    labels = np.array([[0, 300]])
    assert SemanticEvaluator(SETTINGS, OPEN).tables(add([(labels, labels)], OPEN)).notes == (
        "labels up to 300 are classes; void: 255 (others: --ignore-label, --label-set)",
    )


def test_sets_of_one_evaluation_have_the_same_classes():
    truth, after, before = np.array([[1, 2, 2]]), np.array([[1, 2, 2]]), np.array([[1, 7, 2]])
    evaluator = SemanticEvaluator(SETTINGS, OPEN)
    sums = evaluator.align([add([(side, truth)], OPEN) for side in (after, before)])
    tables = [evaluator.tables(each) for each in sums]
    rows = tables[0].against(tables[1]).classes
    assert [(row.name, row.metrics[0].value, row.metrics[0].baseline) for row in rows] == [
        ("1", 100, 100),
        ("2", 100, 50),
        ("7", None, 0),
    ]
    assert [table.summary[0].value for table in tables] == [100, 50]


def test_maps_of_ids_are_no_label_maps():
    ids = np.arange(4200).reshape(60, 70)
    with pytest.raises(BprError, match="more than 4096 labels, so these are ids of objects"):
        add([(ids, ids)], OPEN)
    with pytest.raises(BprError, match="more than 4096 labels"):
        add([(ids[:30], ids[:30]), (ids[30:], ids[30:])], OPEN)


def test_nothing_but_void():
    miou, af, _ = means(add([(np.full((3, 3), 4), np.full((3, 3), VOID))]))
    assert math.isnan(miou)
    assert af == 1  # absent from both, in every class


def test_predicted_void_is_wrong():
    prediction, truth = np.array([[4, VOID]]), np.array([[4, 4]])
    assert add([(prediction, truth)]).iou[0] == 0.5


def test_what_cannot_be_compared_is_refused():
    truth = np.full((2, 3), 4)
    with pytest.raises(BprError, match="prediction is 2 x 3 pixels, expected the 3 x 2 pixels"):
        semantic_sums(truth.T, truth, LABELS, SETTINGS)
    with pytest.raises(BprError, match="ground truth has the labels 5, expected the classes 4, 1, 7"):
        semantic_sums(truth, truth + 1, LABELS, SETTINGS)
    with pytest.raises(BprError, match="prediction has labels from -1 to 3"):
        semantic_sums(np.array([[-1, 3]]), np.array([[4, 4]]), LABELS, SETTINGS)
    with pytest.raises(BprError, match=r"shape \(2, 3\) and type float64, expected \(H, W\) whole numbers"):
        semantic_sums(truth / 1, truth, LABELS, SETTINGS)
    with pytest.raises(BprError, match=r"shape \(0, 3\)"):
        semantic_sums(truth, truth[:0], LABELS, SETTINGS)


def test_labels_beyond_16_bits_are_refused():
    with pytest.raises(BprError, match="label 70000 is not a whole number from 0 to 65535"):
        SemanticEvaluator(SETTINGS, label_set((1, 70000), ()))


def cityscapes_scores(folder, pairs):
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
    classes = label_set([label.id for label in evaluated], ignored)
    sums = add(pairs, classes)
    official = cityscapes_scores(tmp_path, pairs)
    expected = [official["classScores"][label.name] for label in evaluated]
    assert sums.iou == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert means(sums, classes)[0] == pytest.approx(official["averageScoreClasses"], abs=1e-12, nan_ok=True)


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
    classes = label_set(range(11), {VOID})
    sums = add(pairs, classes, EvaluateSettings(tolerance=tolerance))
    miou, af, _ = means(sums, classes)
    name = f"street/predictions/esp/val: boundary F, {tolerance} px, mean over images then classes (GSCNN f_boundary)"
    assert sums.scores["boundary F"] == pytest.approx(reference[name]["per_class"], abs=1e-9)
    assert af == pytest.approx(reference[name]["AF"], abs=1e-9)
    assert sums.iou == pytest.approx(reference["street/predictions/esp/val: IoU"]["per_class"], abs=1e-9)
    assert miou == pytest.approx(reference["street/predictions/esp/val: IoU"]["mIoU"], abs=1e-9)


def evaluator() -> SemanticEvaluator:
    return SemanticEvaluator(EvaluateSettings(), LabelSet("test", {0: "sky", 1: "road", 4: "car"}, frozenset({255})))


def test_segments_of_label_maps_leave_void_out() -> None:
    truth, found = np.zeros((10, 12), np.int32), np.zeros((10, 12), np.int32)
    truth[:, 6:] = 1
    truth[0] = 255
    found[:, 4:] = 4
    assert evaluator().measure(None, LabelPair(found, truth)).segments == [
        SegmentIou("sky", pytest.approx(36 / 54), 1),
        SegmentIou("road", 0.0, 2),
    ]


def test_label_layers_begin_at_one() -> None:
    labels = np.array([[0, 4, 255]], dtype=np.int32)
    layer = evaluator().truth_layer(labels)
    assert layer.labels.tolist() == [[1, 5, 0]]
    assert layer.names == {1: "sky", 5: "car"}
