"""Panoptic metrics, compared with the official script and with obvious loops."""

from __future__ import annotations

import json
import math
import operator
import pickle
import tempfile
from functools import reduce
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import band_width
from bpr_cli.evaluation.evaluator import SegmentIou
from bpr_cli.evaluation.panoptic import PanopticComparison, PanopticEvaluator, measure_panoptic
from bpr_cli.evaluation.panoptic_matching import PanopticMap, SegmentInfo
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.records import CategoryRecord
from bpr_cli.masks import runs
from tests.evaluation.label_cases import label_pairs
from tests.evaluation.panoptic_loops import loop_sums

CATEGORIES = (CategoryRecord(1, "car", True), CategoryRecord(5, "road", False), CategoryRecord(4, "person", True))
SETTINGS = EvaluateSettings(dilation_ratio=0.1)
MARK = 6  # what boundary-iou-api would write over the inside of segments
IDS = [0, 1, 2, 3, MARK, 256**3 - 1]


@st.composite
def images(draw, ids=IDS, areas=True):
    """A prediction and a truth whose segments have any category and order, some of them crowds."""
    prediction, truth = draw(label_pairs(ids, largest=5))
    if draw(st.booleans()):  # mostly right
        prediction = np.where(draw(st.integers(0, 3)) > 0, truth, prediction)
        prediction[0, 0] = draw(st.sampled_from(ids))
    sides = []
    for labels in (prediction, truth):
        present = draw(st.permutations([int(label) for label in np.unique(labels) if label]))
        segments = []
        for label in present:
            area = int(np.sum(labels == label)) if areas and draw(st.booleans()) else None
            category = draw(st.sampled_from([1, 1, 5, 4]))
            segments.append(SegmentInfo(label, category, draw(st.integers(0, 4)) == 0, area))
        sides.append(PanopticMap(labels, tuple(segments)))
    return tuple(sides)


def sums_of(image, how=SETTINGS, categories=CATEGORIES):
    return measure_panoptic(*image, categories, how)[0]


def scores_of(sums, categories=CATEGORIES):
    """Metrics from 0 to 1 by the name of the row; NaN where there is nothing to measure."""
    tables = PanopticEvaluator(SETTINGS, categories).tables(sums)
    rows = {"all": tables.summary} | {row.name: row.metrics for row in (*tables.groups, *tables.classes)}
    return {
        name: [math.nan if metric.value is None else metric.value / 100 for metric in metrics]
        for name, metrics in rows.items()
    }


def columns(sums):
    return [list(row) for row in zip(sums.iou, sums.matched, sums.wrong, sums.missed, strict=True)]


def flat(rows):
    return [value for row in rows for value in row]


@settings(max_examples=300)
@given(image=images())
def test_sums_agree_with_loops(image):
    sums = sums_of(image)
    assert flat(columns(sums.mask)) == pytest.approx(flat(loop_sums(*image, [1, 5, 4])))


@settings(max_examples=300)
@given(image=images(), ratio=st.sampled_from([0.05, 0.1, 0.3]))
def test_boundary_sums_agree_with_loops(image, ratio):
    sums = sums_of(image, EvaluateSettings(dilation_ratio=ratio))
    width = band_width(ratio, image[0].ids.shape)
    expected = loop_sums(*image, [1, 5, 4], width, MARK)
    assert flat(columns(sums.boundary)) == pytest.approx(flat(expected))
    assert flat(columns(sums.paper)) == pytest.approx(flat(loop_sums(*image, [1, 5, 4], width)))
    marked = any(segment.id == MARK for side in image for segment in side.segments)
    assert sums.flawed == marked


def blocks(rng):
    """A map of large segments, wide enough to have an inside."""
    labels = np.kron(rng.choice([0, 1, MARK, 2, 3], (3, 3)), np.ones((9, 9), dtype=np.int32))
    present = rng.permutation([label for label in np.unique(labels) if label])
    return PanopticMap(labels, tuple(SegmentInfo(int(label), int(rng.choice([1, 5]))) for label in present))


def test_boundary_sums_of_segments_with_an_inside_agree_with_loops():
    rng, how, matched = np.random.default_rng(3), EvaluateSettings(dilation_ratio=0.07), 0
    for _ in range(40):
        truth = blocks(rng)
        prediction = PanopticMap(np.roll(truth.ids, int(rng.integers(3)), axis=1), truth.segments)
        sums = sums_of((prediction, truth), how)
        width = band_width(0.07, truth.ids.shape)
        expected = loop_sums(prediction, truth, [1, 5, 4], width, MARK)
        assert flat(columns(sums.boundary)) == pytest.approx(flat(expected))
        assert flat(columns(sums.paper)) == pytest.approx(flat(loop_sums(prediction, truth, [1, 5, 4], width)))
        matched += sums.boundary.matched.sum()
    assert matched > 40


def test_where_the_flaw_leaves_no_union_iou_alone_decides():
    image = PanopticMap(
        np.array([[2, 2, 2, MARK], [2, 2, 2, 0], [2, 2, 2, 0]]), (SegmentInfo(MARK, 1), SegmentInfo(2, 5))
    )
    assert sums_of((image, image)).boundary.matched.tolist() == [1, 1, 0]
    expected = loop_sums(image, image, [1, 5, 4], band_width(0.1, (3, 4)), MARK)
    assert expected[0] == [1, 1, 0, 0]


def test_by_the_flaw_a_band_may_reach_void_that_its_mask_does_not():
    block = np.ones((3, 3), dtype=np.int32)
    squares = [np.kron(np.array([values], dtype=np.int32), block) for values in ([MARK, 1], [1, 0])]
    prediction = PanopticMap(squares[0], (SegmentInfo(1, 1), SegmentInfo(MARK, 1)))
    truth = PanopticMap(squares[1], (SegmentInfo(1, 1),))
    expected = loop_sums(prediction, truth, [1, 5, 4], band_width(0.05, (3, 6)), MARK)
    sums = sums_of((prediction, truth), EvaluateSettings(dilation_ratio=0.05))
    assert flat(columns(sums.boundary)) == flat(expected)


@settings(max_examples=50)
@given(image=images())
def test_many_segments_are_counted_by_sorting_with_the_same_result(image):
    expected = sums_of(image)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_LARGEST_TABLE", 0)
        sums = sums_of(image)
    assert columns(sums.mask) == columns(expected.mask)
    assert columns(sums.boundary) == columns(expected.boundary)


def write_image(folder, name, panoptic):
    ids = panoptic.ids.astype(np.int64)
    cv2.imwrite(str(folder / f"{name}.png"), np.stack([ids // 65536, ids // 256 % 256, ids % 256], -1).astype(np.uint8))
    segments = [
        {
            "id": segment.id,
            "category_id": segment.category,
            "iscrowd": int(segment.crowd),
            "area": int(np.sum(ids == segment.id)),
        }
        for segment in panoptic.segments
    ]
    return {"image_id": name, "file_name": f"{name}.png", "segments_info": segments}


def official_figures(pairs):
    """What the official panoptic script of Cityscapes, the same as panopticapi, says."""
    from cityscapesscripts.evaluation import evalPanopticSemanticLabeling as official  # noqa: N813

    categories = {category.id: {"isthing": int(category.thing)} for category in CATEGORIES}
    with tempfile.TemporaryDirectory() as folder:
        found, expected = Path(folder) / "found", Path(folder) / "expected"
        found.mkdir()
        expected.mkdir()
        records = [
            (write_image(expected, str(number), truth), write_image(found, str(number), prediction))
            for number, (prediction, truth) in enumerate(pairs)
        ]
        sums = official.pq_compute_single_core(0, records, str(expected), str(found), categories)
    figures = {}
    for name, thing in (("all", None), ("things", True), ("stuff", False)):
        try:
            figures[name], per_class = sums.pq_average(categories, thing)
        except ZeroDivisionError:  # no category occurs
            figures[name], per_class = {"pq": 0, "sq": 0, "rq": 0, "n": 0}, {}
        figures["per_class"] = figures.get("per_class") or per_class
    return figures


@settings(max_examples=40)
@given(pairs=st.lists(images(areas=False), min_size=1, max_size=3))
def test_figures_equal_the_official_script(pairs):
    scores, official = scores_of(reduce(operator.add, map(sums_of, pairs))), official_figures(pairs)
    names = {category.id: category.name for category in CATEGORIES}
    rows = {name: official[name] for name in ("all", "things", "stuff")}
    rows |= {names[category]: expected for category, expected in official["per_class"].items()}
    for name, expected in rows.items():
        quality = [expected[key] for key in ("pq", "sq", "rq")]
        occurs = expected.get("n", 1) and not all(math.isnan(value) for value in scores[name])
        assert (scores[name][:3] if occurs else [0, 0, 0]) == pytest.approx(quality)


def test_merged_sums():
    truth = PanopticMap(np.array([[1, 2]]), (SegmentInfo(1, 1), SegmentInfo(2, 5)))
    prediction = PanopticMap(np.array([[9, 0]]), (SegmentInfo(9, 1),))
    sums = pickle.loads(pickle.dumps(sums_of((prediction, truth))))
    assert (sums + sums).images == 2
    twice = {name: scores[:3] for name, scores in scores_of(sums + sums).items()}
    assert twice["things"] == twice["car"] == [1, 1, 1]
    assert twice["stuff"] == [0, 0, 0]
    assert twice["all"] == [0.5, 0.5, 0.5]
    assert np.isnan(twice["person"]).all()


def test_a_listed_area_goes_before_the_counted_one():
    truth = PanopticMap(np.array([[1, 1]]), (SegmentInfo(1, 1, area=10),))
    prediction = PanopticMap(np.array([[7, 7]]), (SegmentInfo(7, 1, area=99),))
    assert sums_of((prediction, truth)).mask.matched.tolist() == [0, 0, 0]
    no_area = PanopticMap(truth.ids, (SegmentInfo(1, 1, area=0),))
    assert sums_of((prediction, no_area)).mask.matched.tolist() == [0, 0, 0]


GOOD = PanopticMap(np.array([[0, 1, 2]]), (SegmentInfo(1, 1), SegmentInfo(2, 5)))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (PanopticMap(GOOD.ids.T, GOOD.segments), "is 1 x 3 pixels|3 x 1 pixels, expected the 1 x 3"),
        (PanopticMap(GOOD.ids - 1, GOOD.segments), "has ids from -1 to 1, expected 0 to 16777215"),
        (PanopticMap(GOOD.ids / 1, GOOD.segments), "float64, expected"),
        (PanopticMap(GOOD.ids, (*GOOD.segments, SegmentInfo(1, 5))), "lists the segment id 1 more than once"),
        (PanopticMap(GOOD.ids, (*GOOD.segments, SegmentInfo(0, 5))), "with the id 0, expected 1 to 16777215"),
        (PanopticMap(GOOD.ids, (SegmentInfo(1, 9), SegmentInfo(2, 5))), "categories 9, expected 1, 4, 5"),
        (PanopticMap(GOOD.ids, (SegmentInfo(1, 1),)), "has the ids 2 without a segment"),
        (PanopticMap(GOOD.ids, (*GOOD.segments, SegmentInfo(3, 5))), "lists the segments 3, but its map has no pixels"),
    ],
)
def test_what_cannot_be_compared_is_refused(broken, message):
    with pytest.raises(BprError, match=message):
        sums_of((broken, GOOD))
    with pytest.raises(BprError, match=message):
        sums_of((GOOD, broken))


def test_repeated_categories_are_refused():
    with pytest.raises(BprError, match="list the id 1 more than once"):
        PanopticEvaluator(SETTINGS, (CategoryRecord(1, "car", True), CategoryRecord(1, "road", False)))


def read_set(document):
    """Panoptic maps by image id, from a JSON file and the folder beside it."""
    maps = {}
    for record in json.loads(document.read_text())["annotations"]:
        bgr = cv2.imread(str(document.with_suffix("") / record["file_name"]), cv2.IMREAD_COLOR).astype(np.int32)
        segments = tuple(
            SegmentInfo(each["id"], each["category_id"], bool(each.get("iscrowd")), each["area"])
            for each in record["segments_info"]
        )
        maps[record["image_id"]] = PanopticMap(bgr @ np.array([65536, 256, 1], dtype=np.int32), segments)
    return maps


def test_reference_scores_of_real_predictions(shared_fixtures):
    """Equal to panopticapi and boundary-iou-api; the flaw of the latter costs this set a point of boundary PQ."""
    reference = json.loads((shared_fixtures / "metrics.json").read_text())
    data = shared_fixtures.parent / "data/street/panoptic"
    truths, predictions = read_set(data / "gt_val.json"), read_set(data / "esp_val.json")
    categories = json.loads((data / "gt_val.json").read_text())["categories"]
    known = tuple(CategoryRecord(each["id"], str(each["id"]), bool(each["isthing"])) for each in categories)
    how = EvaluateSettings()
    scores = scores_of(
        reduce(operator.add, (sums_of((predictions[name], truth), how, known) for name, truth in truths.items())), known
    )
    tables = "PQ (panopticapi)", "boundary PQ, dilation_ratio 0.02 (boundary-iou-api)"
    for start, title in zip((0, 3), tables, strict=True):
        table = reference[f"street/panoptic/esp_val: {title}"]
        rows = {"all": table["All"], "things": table["Things"], "stuff": table["Stuff"]} | table["per_class"]
        for name, expected in rows.items():
            found = scores[name][start : start + 3]
            assert found == pytest.approx([expected[key] for key in ("pq", "sq", "rq")], abs=1e-9)


def evaluator() -> PanopticEvaluator:
    return PanopticEvaluator(EvaluateSettings(), (CategoryRecord(1, "car"), CategoryRecord(2, "road", thing=False)))


def panoptic_map(ids: np.ndarray, **categories: int) -> PanopticMap:
    return PanopticMap(ids, tuple(SegmentInfo(int(name[1:]), category) for name, category in categories.items()))


def test_segments_of_panoptic_maps() -> None:
    true, found = np.full((10, 12), 5, np.int32), np.full((10, 12), 9, np.int32)
    true[:, :4], true[0] = 6, 0
    found[:, :6] = 70000
    truth, content = panoptic_map(true, s5=2, s6=1), panoptic_map(found, s9=2, s70000=1)
    assert evaluator().measure(None, PanopticComparison(content, truth)).segments == [
        SegmentIou("road", pytest.approx(54 / 72), 1),
        SegmentIou("car", pytest.approx(36 / 54), 2),
    ]


def test_the_oracle_of_panoptic_maps_moves_the_boundary() -> None:
    true, found = np.full((10, 12), 5, np.int32), np.full((10, 12), 9, np.int32)
    true[:, :4] = 6
    found[:, :6] = 70000
    truth, content = panoptic_map(true, s5=2, s6=1), panoptic_map(found, s9=2, s70000=1)
    assert (evaluator().oracle(PanopticComparison(content, truth), 1).prediction.ids == 70000).sum() == 50
    exact = evaluator().oracle(PanopticComparison(content, truth), 2)
    assert [segment.iou for segment in evaluator().measure(None, exact).segments] == [1.0, 1.0]
    assert (content.ids == 70000).sum() == 60


def test_the_oracle_drops_segments_without_pixels() -> None:
    true, found = np.full((10, 12), 5, np.int32), np.full((10, 12), 9, np.int32)
    found[4, 4] = 3
    truth, content = panoptic_map(true, s5=2), panoptic_map(found, s9=2, s3=1)
    exact = evaluator().oracle(PanopticComparison(content, truth), 1)
    assert [segment.id for segment in exact.prediction.segments] == [9]
    assert evaluator().measure(None, exact).sums.mask.wrong.tolist() == [0, 0]
