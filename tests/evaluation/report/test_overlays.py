"""The report's pictures: every segment is drawn, colours agree between the pictures, any size of image works."""

import base64

import cv2
import numpy as np
import pytest

from bpr_cli.evaluation.report.layers import Layer, Layers
from bpr_cli.evaluation.report.overlays import (
    DETAIL,
    ENLARGED,
    LONGEST,
    PAPER,
    TRUTH,
    _renamed,
    class_colours,
    compare_layers,
)
from bpr_cli.masks.drawing import AFTER, BEFORE
from tests.evaluation.report.report_cases import layers

TASKS = ("instance", "semantic", "panoptic", "binary")


def decoded(uri):
    content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def flat(size, *boxes):
    """A map with a box of each number."""
    labels = np.zeros(size, dtype=np.int32)
    for number, (x0, y0, x1, y1) in boxes:
        labels[y0:y1, x0:x1] = number
    return labels


def maps(image, truth, prediction, *baselines):
    """Layers without names."""
    return Layers(image, Layer(truth), Layer(prediction), tuple(map(Layer, baselines)))


def nearest(picture, colour):
    return int(np.abs(picture.astype(int) - colour).sum(axis=2).min())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("image", [True, False])
def test_all_three_are_drawn_whole_and_magnified(task, image):
    comparison = compare_layers(layers(image=image), task)
    assert [view.name for view in comparison.views] == ["before", "after", "ground truth"]
    assert comparison.size == (80 * ENLARGED, 60 * ENLARGED)
    for view, colour in zip(comparison.views, (BEFORE, AFTER, TRUTH), strict=True):
        whole = decoded(view.whole)
        assert whole.shape == (comparison.size[1], comparison.size[0], 3)
        assert nearest(whole, colour) < 60
        assert all(decoded(detail).shape == (DETAIL, DETAIL, 3) for detail in view.details)
    assert len({len(view.details) for view in comparison.views}) == 1


def test_without_a_baseline_the_prediction_stands_beside_the_truth():
    views = compare_layers(layers(baselines=0), "semantic").views
    assert [view.name for view in views] == ["prediction", "ground truth"]
    assert len(views[0].details) >= 1


def test_classes_have_one_colour_in_all_pictures_and_in_the_legend():
    colours = class_colours(["bus", "road", "sky"])
    comparison = compare_layers(layers(), "semantic", colours)
    assert comparison.legend == (("road", colours["road"]), ("sky", colours["sky"]))
    for task in ("semantic", "instance", "panoptic"):
        for view in compare_layers(layers(image=False), task, colours).views:
            inside = decoded(view.whole)[60, 45]  # in the middle of the road
            tint = np.asarray(colours["road"], dtype=float) - PAPER
            assert np.corrcoef(inside.astype(float) - PAPER, tint)[0, 1] > 0.98


def test_colours_of_many_classes_differ():
    colours = list(class_colours(map(str, range(100))).values())
    assert len(set(colours)) == 100
    assert all(0 <= channel <= 255 for colour in colours for channel in colour)


def test_touching_segments_of_one_class_are_outlined():
    labels = flat((60, 90), (1, (5, 5, 45, 55)), (2, (45, 5, 85, 55)))
    same = Layer(labels, {1: "cell", 2: "cell"})
    whole = decoded(compare_layers(Layers(None, same, same, (same,)), "instance", {"cell": (0, 0, 255)}).views[0].whole)
    assert nearest(whole[40:80, 86:94], BEFORE) < 60


def test_magnified_places_lie_in_the_image_where_it_changed():
    comparison = compare_layers(layers(size=(300, 400)), "semantic")
    assert len(comparison.places) == len(comparison.views[0].details) >= 1
    for place in comparison.places:
        assert 0 <= place.left <= place.left + place.width <= 100
        assert 0 <= place.top <= place.top + place.height <= 100
        assert (place.width, place.height) == pytest.approx((64 / 4, 64 / 3))


def test_further_baselines_are_drawn_too():
    comparison = compare_layers(layers(baselines=3), "instance")
    assert [view.name for view in comparison.views] == ["before", "after", "ground truth", "baseline 2", "baseline 3"]
    assert len({view.colour for view in comparison.views}) == 5


def test_large_images_are_reduced():
    assert max(compare_layers(layers(size=(600, 2000)), "semantic").size) == LONGEST


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (5, 5), (63, 65)])
@pytest.mark.parametrize("task", TASKS)
def test_any_size_of_image_works(size, task):
    labels = np.ones(size, dtype=np.int32)
    picture = np.zeros((*size, 3), dtype=np.uint8)
    views = compare_layers(maps(picture, labels, 1 - labels, labels), task).views
    assert all(decoded(view.whole).size for view in views)


@pytest.mark.parametrize("task", TASKS)
def test_images_without_a_segment_and_without_a_change_work(task):
    nothing = np.zeros((20, 30), dtype=np.int32)
    views = compare_layers(maps(None, nothing, nothing, nothing), task).views
    assert all(view.details == () for view in views)


def test_void_of_the_truth_is_no_error_to_be_magnified():
    void, labels = np.zeros((90, 90), dtype=np.int32), np.ones((90, 90), dtype=np.int32)
    assert compare_layers(maps(None, void, labels), "semantic").views[0].details == ()
    assert compare_layers(maps(None, void, labels), "binary").views[0].details != ()


def test_the_background_is_not_tinted_but_every_segment_is():
    labels = flat((60, 90), (1, (5, 5, 40, 55)), (2, (50, 5, 85, 55)))
    whole = decoded(compare_layers(maps(None, labels, labels, labels), "instance").views[0].whole)
    grey, first, second = whole[4, 4], whole[60, 45], whole[60, 135]
    assert np.ptp(grey.astype(int)) <= 4
    assert np.ptp(first.astype(int)) > 15
    assert np.ptp(second.astype(int)) > 15
    assert np.abs(first.astype(int) - second).sum() > 20


def test_large_and_sparse_ids_cost_nothing():
    labels = flat((40, 40), (2**31 - 1, (0, 0, 20, 40)), (77, (20, 0, 40, 40)))
    assert compare_layers(maps(None, labels, labels, np.zeros_like(labels)), "panoptic").views


def test_segments_take_the_numbers_of_those_they_overlap_most_each_given_once():
    reference = flat((20, 40), (7, (0, 0, 20, 20)), (3, (20, 0, 40, 20)))
    labels = flat((20, 40), (1, (0, 0, 18, 20)), (2, (18, 0, 20, 20)), (9, (22, 0, 40, 20)))
    renamed = _renamed(labels, reference)
    assert renamed[0, 5] == 7
    assert renamed[0, 30] == 3
    assert renamed[0, 19] not in (0, 3, 7)
    assert renamed[0, 21] == 0
