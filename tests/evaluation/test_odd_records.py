"""COCO files as people have them: what pycocotools accepts gives its figures, and one odd record spoils no other."""

from __future__ import annotations

import contextlib
import io
import json
import math

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from bpr_cli.errors import BprError
from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.evaluation.settings import EvaluateSettings
from tests.formats.format_builders import SIZE, compressed, disc, save, uncompressed

CATEGORIES = [{"id": 1, "name": "one"}, {"id": 2.0, "name": "two"}]
SHAPES = [disc(radius=radius, center=(12, x)) for radius in (2, 7) for x in (10, 12, 20)]
SQUARE = [3.0, 3, 20, 3, 20, 18, 3, 18]
POLYGONS = [
    [SQUARE],
    [[2, 2, 20, 2, 20.5, 15]],
    [[*SQUARE, 7]],
    [SQUARE, [1, 1, 9, 9], [5], []],
    [[5, 5, 5, 5, 5, 5]],
    [[2, 2, 9, 2, 2, 2]],
    [[70, 2, 90, 2, 90, 9]],
    [[1, 2, 3, 4, 5]],
]


def with_floats(runs):
    return {"size": [float(side) for side in runs["size"]], "counts": [float(count) for count in runs["counts"]]}


masks = st.one_of(
    st.sampled_from([form(shape) for shape in SHAPES for form in (compressed, uncompressed)]),
    st.sampled_from([with_floats(uncompressed(shape)) for shape in SHAPES]),
    st.sampled_from(POLYGONS),
)
numbers = st.sampled_from([1, 2, 1.0, 2.0])
areas = st.sampled_from([0, 12, 150.5, 5000, math.nan, math.inf, True])


@st.composite
def truths(draw):
    annotation = {"image_id": draw(numbers), "category_id": draw(numbers), "segmentation": draw(masks)}
    return annotation | {"iscrowd": draw(st.sampled_from([0, 0, 1, False, True, 1.0])), "area": draw(areas)}


@st.composite
def results(draw, boxes):
    record = {"image_id": draw(numbers), "category_id": draw(st.sampled_from([1, 2, 2.0, 3]))}
    record["score"] = draw(st.sampled_from([0.9, 0.5, 1, 0, -2.5, True, math.inf, math.nan]))
    if boxes:
        record["bbox"] = draw(st.sampled_from([[3, 3, 17, 15], [3.5, 2, 4, 100.0, 7], [0, 0, 0, math.nan]]))
    if draw(st.integers(0, 3 if boxes else 0)) < 3:
        record["segmentation"] = draw(masks)
    return record


@st.composite
def files(draw):
    """A ground truth and results, whose ids may start at any number but 0."""
    annotations = draw(st.lists(truths(), max_size=4))
    first = draw(st.sampled_from([1, -7, 50.0]))
    for number, annotation in enumerate(annotations):
        annotation["id"] = first + number
    images = [{"id": n, "file_name": f"{n}.jpg", "height": SIZE[0], "width": SIZE[1]} for n in (1, 2)]
    boxes = draw(st.booleans())
    found = draw(st.lists(results(boxes), max_size=5).filter(lambda found: any("segmentation" in one for one in found)))
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}, found


def official(truth, found):
    """AP, AP50, AP75 and AP of small, medium and large masks by pycocotools, in percent; None without ground truth."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(truth)
        scored = COCOeval(coco, coco.loadRes(str(found)), "segm")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return [None if value == -1 else 100 * value for value in scored.stats[:6].tolist()]


def ours(truth, found):
    report = evaluate(found, truth, settings=EvaluateSettings(allow_missing=True, workers=1))
    by_name = {metric.name: metric.value for metric in report.summary}
    sizes = [row.metrics[0].value for row in report.sizes]
    return [by_name["AP"], by_name["AP50"], by_name["AP75"], *sizes], report


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=files())
def test_what_pycocotools_accepts_gives_its_figures(tmp_path, drawn):
    truth, found = (save(tmp_path / f"{name}.json", one) for name, one in zip(("gt", "r"), drawn, strict=True))
    try:
        expected = official(truth, found)
    except (IndexError, KeyError, TypeError, ValueError):
        reject()
    figures, report = ours(truth, found)
    assert figures == pytest.approx(expected, nan_ok=True)
    assert report.failures == ()


def annotation(number, **fields):
    return {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "segmentation": compressed(SHAPES[number % 6]),
        "area": 20,
        "iscrowd": 0,
    } | fields


def result(number, **fields):
    return {"image_id": 1, "category_id": 1, "segmentation": compressed(SHAPES[number % 6]), "score": 0.5} | fields


def ground_truth(*annotations):
    image = {"id": 1, "file_name": "1.jpg", "height": SIZE[0], "width": SIZE[1]}
    return {"images": [image], "annotations": list(annotations), "categories": CATEGORIES[:1]}


def test_a_box_that_is_not_finite_is_a_mask_without_pixels(tmp_path):
    broken = {"image_id": 1, "category_id": 1, "score": 1, "bbox": [0, 0, 0, math.nan]}
    found = save(tmp_path / "r.json", [result(1, bbox=[3, 3, 17, 15]), broken])
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1)))
    figures, report = ours(truth, found)
    assert figures == pytest.approx(official(truth, found))
    assert figures[0] == pytest.approx(50, abs=1)
    assert any("1 of 2 records with a box instead of a mask (record 1)" in note for note in report.notes)


def test_an_annotation_with_the_id_0_counts(tmp_path):
    found = save(tmp_path / "r.json", [result(0), result(1)])
    truth = save(tmp_path / "gt.json", ground_truth(annotation(0), annotation(1)))
    figures, report = ours(truth, found)
    assert figures[0] == pytest.approx(100)
    assert official(truth, found)[0] < 60
    assert any("id 0; pycocotools takes a match with it as none" in note for note in report.notes)
    later = save(tmp_path / "later.json", ground_truth(annotation(6), annotation(1)))
    assert ours(later, found)[0] == pytest.approx(official(later, found))
    assert ours(later, found)[1].notes == ()


def test_annotations_with_one_id_all_count(tmp_path):
    found = save(tmp_path / "r.json", [result(1), result(2)])
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1), annotation(2) | {"id": 1}))
    figures, report = ours(truth, found)
    assert figures[0] == pytest.approx(100)
    assert any("1 annotations whose id another one has too" in note for note in report.notes)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([None, None], "1 annotations whose id another one has too"),
        (["7", "7"], "1 annotations whose id another one has too"),
        (["0", "1"], "an annotation with the id 0"),
    ],
)
def test_ids_that_are_no_numbers_count_and_are_told(tmp_path, ids, words):
    found = save(tmp_path / "r.json", [result(1), result(2)])
    annotations = (annotation(number) | {"id": one} for number, one in enumerate(ids, 1))
    truth = save(tmp_path / "gt.json", ground_truth(*annotations))
    figures, report = ours(truth, found)
    assert official(truth, found)[0] < 60
    assert figures[0] == pytest.approx(100)
    assert [words in note for note in report.notes] == [True]


def test_an_annotation_of_an_unlisted_image_is_named_and_left_out(tmp_path):
    found = save(tmp_path / "r.json", [result(1)])
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1), annotation(2, image_id=9)))
    report = evaluate(found, truth)
    assert report.summary[0].value == pytest.approx(official(truth, found)[0]) == 100
    assert [failure.reason for failure in report.failures] == [
        f"{truth}: record 1 has the unknown image id 9, expected one of the ids in the images list; add it there"
    ]


def test_a_category_that_is_listed_twice_is_one_category(tmp_path):
    found = save(tmp_path / "r.json", [result(1), result(2)])
    document = ground_truth(annotation(1), annotation(2), annotation(3))
    truth = save(tmp_path / "gt.json", document | {"categories": CATEGORIES[:1] * 2})
    assert ours(truth, found)[0] == pytest.approx(official(truth, found))


def test_a_size_of_three_numbers(tmp_path):
    runs = compressed(SHAPES[1])
    found = save(tmp_path / "r.json", [result(1, segmentation=runs | {"size": [*runs["size"], 1]})])
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1)))
    figures, report = ours(truth, found)
    assert figures == pytest.approx(official(truth, found))
    assert report.failures == ()


def test_no_results_have_ap_0(tmp_path):
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1)))
    figures, report = ours(truth, save(tmp_path / "r.json", []))
    assert figures[:3] == [0, 0, 0]
    assert report.failures == ()
    assert report.notes == (f"{tmp_path / 'r.json'} holds no masks, so all objects are missed",)


def test_ground_truth_without_annotations_has_no_figure(tmp_path):
    truth, found = save(tmp_path / "gt.json", ground_truth()), save(tmp_path / "r.json", [result(1)])
    figures, report = ours(truth, found)
    assert figures == official(truth, found) == [None] * 6
    assert report.notes == (f"{tmp_path / 'gt.json'} holds no masks, so AP has no value",)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"score": "0.5"}, "record 2 of image 1 has the score '0.5', expected a number"),
        ({"score": None}, "record 2 of image 1 has no score, expected a number"),
        ({"category_id": "1"}, "record 2 of image 1 has the category_id '1', expected a whole number"),
        ({"category_id": 1.5}, "record 2 of image 1 has the category_id 1.5"),
        (
            {"segmentation": {"size": [24, 32], "counts": "0"}},
            "record 2 of image 1 is broken: its counts do not add up",
        ),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "its size is 9 x 9, expected 24 x 32"),
        ({"segmentation": 7}, "its segmentation is int"),
        ({"image_id": None}, "record 2 has no image_id"),
    ],
)
def test_an_odd_result_is_named_and_left_out(tmp_path, fields, message):
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1), annotation(2), annotation(3)))
    found = save(tmp_path / "r.json", [result(1), result(2), result(3, **fields)])
    rest = save(tmp_path / "rest.json", [result(1), result(2)])
    report = evaluate(found, truth)
    assert [message in failure.reason for failure in report.failures] == [True]
    assert report.summary == evaluate(rest, truth).summary


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"iscrowd": "0"}, "record 1 (id 2) of image 1 has the iscrowd '0', expected 0 or 1"),
        ({"area": "20"}, "record 1 (id 2) of image 1 has the area '20', expected a number of pixels"),
        ({"segmentation": [[1, 2, 3, "x"]]}, "record 1 (id 2) of image 1 is broken: its polygon"),
    ],
)
def test_an_odd_annotation_is_named_and_left_out(tmp_path, fields, message):
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1), annotation(2, **fields)))
    found = save(tmp_path / "r.json", [result(1)])
    figures, report = ours(truth, found)
    assert figures[0] == pytest.approx(100)
    assert [message in failure.reason for failure in report.failures] == [True]


def test_annotations_without_a_mask_are_left_out_with_a_note(tmp_path):
    boxes = [annotation(2, segmentation=[]), annotation(3, segmentation=None)]
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1), *boxes))
    figures, report = ours(truth, save(tmp_path / "r.json", [result(1)]))
    assert figures[0] == pytest.approx(100)
    assert report.failures == ()
    assert report.notes == (
        f"{truth}: 2 of 3 records with no mask (record 1 (id 2), record 2 (id 3)), left out of the figures",
    )


def test_records_of_which_none_can_be_read_are_refused(tmp_path):
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1), annotation(2)))
    found = save(tmp_path / "r.json", [result(1, score=None), result(2, score="x")])
    with pytest.raises(BprError, match=r"2 records cannot be read, such as: .* has no score, .* not swapped"):
        evaluate(found, truth)


def test_annotations_without_scores_are_measured_with_the_score_1(tmp_path):
    """Such as refined annotations; but not the ground truth itself, nor in place of it."""
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1), annotation(2)))
    found = save(tmp_path / "r.json", ground_truth(annotation(1)))
    scored = save(tmp_path / "scored.json", ground_truth(annotation(1, score=1.0)))
    report = evaluate(found, truth)
    assert report.summary == evaluate(scored, truth).summary
    assert report.notes == (f"{found}: its masks have no score and are measured with the score 1",)
    with pytest.raises(BprError, match=r"holds the same records as the ground truth .*gt\.json"):
        evaluate(truth, truth)
    with pytest.raises(BprError, match=r"gt\.json has no scores, but the ground truth .*scored\.json has some"):
        evaluate(truth, scored)


def test_figures_of_one_object_a_line_are_those_of_a_list(tmp_path):
    truth = save(tmp_path / "gt.json", ground_truth(annotation(1), annotation(2)))
    lines = tmp_path / "r.jsonl"
    lines.write_text("\n".join(json.dumps(result(n)) for n in (1, 5)))
    listed = save(tmp_path / "r.json", [result(1), result(5)])
    assert ours(truth, lines)[0] == pytest.approx(official(truth, listed))
