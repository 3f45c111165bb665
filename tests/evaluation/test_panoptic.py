from __future__ import annotations

import json
import pickle
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import band_width
from bpr_cli.evaluation.panoptic import (
    Category,
    PanopticMap,
    PanopticSettings,
    PanopticSums,
    Quality,
    SegmentInfo,
    check_panoptic,
    panoptic_figures,
    panoptic_sums,
)
from bpr_cli.masks import runs
from tests.evaluation.label_cases import label_pairs
from tests.evaluation.panoptic_loops import loop_sums

CATEGORIES = (Category(1, True, "car"), Category(5, False, "road"), Category(4, True, "person"))
SETTINGS = PanopticSettings(CATEGORIES, dilation_ratio=0.1)
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


def columns(sums):
    return [list(row) for row in zip(sums.iou, sums.matched, sums.wrong, sums.missed, strict=True)]


def flat(rows):
    return [value for row in rows for value in row]


@settings(max_examples=300)
@given(image=images())
def test_sums_agree_with_loops(image):
    sums = panoptic_sums(*image, SETTINGS)
    assert flat(columns(sums.mask)) == pytest.approx(flat(loop_sums(*image, [1, 5, 4])))


@settings(max_examples=300)
@given(image=images(), as_reference=st.booleans(), ratio=st.sampled_from([0.05, 0.1, 0.3]))
def test_boundary_sums_agree_with_loops(image, as_reference, ratio):
    sums = panoptic_sums(*image, PanopticSettings(CATEGORIES, ratio, as_reference))
    width = band_width(ratio, image[0].ids.shape)
    expected = loop_sums(*image, [1, 5, 4], width, MARK if as_reference else None)
    assert flat(columns(sums.boundary)) == pytest.approx(flat(expected))
    marked = any(segment.id == MARK for side in image for segment in side.segments)
    assert sums.slips == (as_reference and marked)


def blocks(rng):
    """A map of large segments, wide enough to have an inside."""
    labels = np.kron(rng.choice([0, 1, MARK, 2, 3], (3, 3)), np.ones((9, 9), dtype=np.int32))
    present = rng.permutation([label for label in np.unique(labels) if label])
    return PanopticMap(labels, tuple(SegmentInfo(int(label), int(rng.choice([1, 5]))) for label in present))


@pytest.mark.parametrize("as_reference", [True, False])
def test_boundary_sums_of_segments_with_an_inside_agree_with_loops(as_reference):
    rng, how, matched = np.random.default_rng(3), PanopticSettings(CATEGORIES, 0.07, as_reference), 0
    for _ in range(40):
        truth = blocks(rng)
        prediction = PanopticMap(np.roll(truth.ids, int(rng.integers(3)), axis=1), truth.segments)
        sums = panoptic_sums(prediction, truth, how)
        width = band_width(0.07, truth.ids.shape)
        expected = loop_sums(prediction, truth, [1, 5, 4], width, MARK if as_reference else None)
        assert flat(columns(sums.boundary)) == pytest.approx(flat(expected))
        matched += sums.boundary.matched.sum()
    assert matched > 40


def test_where_the_slip_leaves_no_union_iou_alone_decides():
    image = PanopticMap(
        np.array([[2, 2, 2, MARK], [2, 2, 2, 0], [2, 2, 2, 0]]), (SegmentInfo(MARK, 1), SegmentInfo(2, 5))
    )
    assert panoptic_sums(image, image, SETTINGS).boundary.matched.tolist() == [1, 1, 0]
    expected = loop_sums(image, image, [1, 5, 4], band_width(0.1, (3, 4)), MARK)
    assert expected[0] == [1, 1, 0, 0]


@settings(max_examples=50)
@given(image=images())
def test_many_segments_are_counted_by_sorting_with_the_same_result(image):
    expected = panoptic_sums(*image, SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_LARGEST_TABLE", 0)
        sums = panoptic_sums(*image, SETTINGS)
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


def parts(quality):
    return quality.pq, quality.sq, quality.rq


@settings(max_examples=40)
@given(pairs=st.lists(images(areas=False), min_size=1, max_size=3))
def test_figures_equal_the_official_script(pairs):
    sums = sum((panoptic_sums(*pair, SETTINGS) for pair in pairs), PanopticSums.zero(3))
    figures, official = panoptic_figures(sums, SETTINGS).mask, official_figures(pairs)
    for name in ("all", "things", "stuff"):
        expected, found = official[name], getattr(figures, name)
        assert (*parts(found), found.n) == pytest.approx([expected[key] for key in ("pq", "sq", "rq", "n")])
    for category, expected in official["per_class"].items():
        assert parts(figures.per_class[category]) == pytest.approx([expected[key] for key in ("pq", "sq", "rq")])


def test_merged_sums_and_no_images():
    nothing = panoptic_figures(PanopticSums.zero(3), SETTINGS)
    assert nothing.mask.all == nothing.boundary.stuff == Quality(0, 0, 0, 0)
    truth = PanopticMap(np.array([[1, 2]]), (SegmentInfo(1, 1), SegmentInfo(2, 5)))
    prediction = PanopticMap(np.array([[9, 0]]), (SegmentInfo(9, 1),))
    sums = pickle.loads(pickle.dumps(panoptic_sums(prediction, truth, SETTINGS)))
    twice = panoptic_figures(sums + sums, SETTINGS).mask
    assert (sums + sums).images == 2
    assert twice.things == twice.per_class[1] == Quality(1, 1, 1, 1)
    assert twice.stuff == Quality(0, 0, 0, 1)
    assert twice.all == Quality(0.5, 0.5, 0.5, 2)
    assert twice.per_class[4] == Quality(0, 0, 0, 0)


def test_boundary_pq_can_be_left_out():
    how = PanopticSettings(CATEGORIES, dilation_ratio=None)
    image = PanopticMap(np.array([[1]]), (SegmentInfo(1, 4),))
    figures = panoptic_figures(panoptic_sums(image, image, how), how)
    assert figures.mask.all.pq == 1
    assert figures.boundary is None


def test_a_listed_area_goes_before_the_counted_one():
    truth = PanopticMap(np.array([[1, 1]]), (SegmentInfo(1, 1, area=10),))
    prediction = PanopticMap(np.array([[7, 7]]), (SegmentInfo(7, 1, area=99),))
    assert panoptic_sums(prediction, truth, SETTINGS).mask.matched.tolist() == [0, 0, 0]
    no_area = PanopticMap(truth.ids, (SegmentInfo(1, 1, area=0),))
    assert panoptic_sums(prediction, no_area, SETTINGS).mask.matched.tolist() == [0, 0, 0]


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
        panoptic_sums(broken, GOOD, SETTINGS)
    with pytest.raises(BprError, match=message):
        panoptic_sums(GOOD, broken, SETTINGS)


def test_settings_that_make_no_sense_are_refused():
    check_panoptic(GOOD, GOOD, SETTINGS)
    with pytest.raises(BprError, match="no category"):
        PanopticSettings(())
    with pytest.raises(BprError, match="list the id 1 more than once"):
        PanopticSettings((Category(1, True), Category(1, False)))
    with pytest.raises(BprError, match="dilation ratio is 0"):
        PanopticSettings(CATEGORIES, 0)


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


def assert_equal_to_reference(table, reference):
    for name, group in (("All", table.all), ("Things", table.things), ("Stuff", table.stuff)):
        expected = [reference[name][key] for key in ("pq", "sq", "rq", "n")]
        assert (*parts(group), group.n) == pytest.approx(expected, abs=1e-9)
    for category, expected in reference["per_class"].items():
        found = table.per_class[int(category)]
        assert parts(found) == pytest.approx([expected[key] for key in ("pq", "sq", "rq")], abs=1e-9)


def test_reference_figures_of_real_predictions(shared_fixtures):
    """Equal to panopticapi and boundary-iou-api; the slip of the latter costs this set a point of boundary PQ."""
    reference = json.loads((shared_fixtures / "metrics.json").read_text())
    data = shared_fixtures.parent / "data/street/panoptic"
    truths, predictions = read_set(data / "gt_val.json"), read_set(data / "esp_val.json")
    categories = json.loads((data / "gt_val.json").read_text())["categories"]
    known = tuple(Category(each["id"], bool(each["isthing"]), each["name"]) for each in categories)
    tables = {}
    for as_reference in (True, False):
        how, sums = PanopticSettings(known, as_reference=as_reference), PanopticSums.zero(len(known))
        for name, truth in truths.items():
            sums += panoptic_sums(predictions[name], truth, how)
        tables[as_reference] = panoptic_figures(sums, how)
    assert_equal_to_reference(tables[True].mask, reference["street/panoptic/esp_val: PQ (panopticapi)"])
    name = "street/panoptic/esp_val: boundary PQ, dilation_ratio 0.02 (boundary-iou-api)"
    assert_equal_to_reference(tables[True].boundary, reference[name])
    assert tables[False].boundary.all.pq == pytest.approx(0.26544, abs=1e-5)
