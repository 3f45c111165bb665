"""The judgement on refined label maps: every changed pixel is judged once, for the label that it leaves."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bpr_cli
from bpr_cli.masks.masks import LabelMap
from bpr_cli.patches.boxes import BoundaryPixels
from bpr_cli.patches.paste import REACH, FusedMap
from bpr_cli.refinement.labels import (
    EVIDENCE_OF_LABELS,
    ChangedMap,
    judge_labels,
    labels_at,
    likely_overlaps,
    open_label_ends,
)
from bpr_cli.weights.files import load_weights, save_weights
from bpr_cli.weights.judge import Judge
from tests.inference.engines import blob, picture
from tests.refinement.judges import judge_of
from tests.refinement.test_evidence import flooded

SIZE = (40, 44)
VOID = 255


def judge_of_one_opinion(offset: float) -> Judge:
    """Above 0 every change is right, below it none."""
    return judge_of(0, offset, 0, EVIDENCE_OF_LABELS)


def labels_of(seed: int) -> np.ndarray:
    """A map of the labels 0, 3 and 7."""
    return np.where(blob(SIZE, seed), 3, np.where(blob(SIZE, seed + 1), 7, 0)).astype(np.int32)


def changed_map(first: int, second: int) -> ChangedMap:
    probability = np.random.default_rng(first).integers(0, 256, SIZE, np.uint8)
    return ChangedMap(picture(SIZE), labels_of(first), labels_of(second), probability, 1.0)


SEEDS = {"first": st.integers(0, 50), "second": st.integers(51, 99)}


@settings(max_examples=20, deadline=None)
@given(**SEEDS)
def test_every_changed_pixel_belongs_to_one_change_of_the_label_that_it_leaves(first, second):
    changed = changed_map(first, second)
    times = np.zeros(SIZE, int)
    for (x0, y0, x1, y1), numbers, evidence in changed.losses():
        window = np.s_[y0:y1, x0:x1]
        (label,) = np.unique(changed.coarse[window][numbers > 0])
        left = (changed.coarse[window] == label) & (changed.refined[window] != label)
        groups = [{(int(y), int(x)) for y, x in np.argwhere(numbers == each + 1)} for each in range(len(evidence))]
        assert sorted(groups, key=min) == flooded(left)
        assert evidence.shape[1] == EVIDENCE_OF_LABELS
        assert np.isfinite(evidence).all()
        times[window] += numbers > 0
    assert (times == (changed.coarse != changed.refined)).all()


@settings(max_examples=40, deadline=None)
@given(data=st.data(), **SEEDS)
def test_open_ends_are_changed_pixels_beside_others_without_patches_of_their_labels(data, first, second):
    coarse, refined = labels_of(first), labels_of(second)
    corners = st.lists(st.tuples(st.integers(-4, 40), st.integers(-4, 40)), max_size=6)
    boxes_of = {
        label: np.array([(x, y, x + 9, y + 9) for x, y in data.draw(corners)]).reshape(-1, 4) for label in (0, 3)
    }

    def covered(label: int, y: int, x: int) -> bool:
        return any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in boxes_of[label])

    near = range(-REACH, REACH + 1)
    expected = [
        (y, x)
        for y, x in np.argwhere(coarse != refined).tolist()
        if any(
            covered(label, y, x)
            and any(
                0 <= y + down < SIZE[0] and 0 <= x + right < SIZE[1] and not covered(label, y + down, x + right)
                for down in near
                for right in near
            )
            for label in {coarse[y, x], refined[y, x]} & boxes_of.keys()
        )
    ]
    ends = open_label_ends(coarse, refined, boxes_of)
    assert list(zip(ends.y.tolist(), ends.x.tolist(), strict=True)) == expected


def test_boxes_are_for_the_labels_that_change_inside():
    coarse, refined = np.zeros((2, 8, 8), np.int32)
    coarse[:, 4:], refined[:, 6:] = 3, 7
    ends = BoundaryPixels(np.array([4, 5, 7], np.int32), np.array([1, 1, 7], np.int32), np.full(3, 4, np.uint8))
    boxes = np.array([[3, 0, 6, 3], [5, 5, 9, 9], [0, 0, 3, 3]])
    assert labels_at(ends, boxes, coarse, refined) == {0: [0], 3: [0, 1], 7: [1]}


@pytest.mark.parametrize("strip", [1 << 22, 400])
@settings(max_examples=10, deadline=None)
@given(**SEEDS)
def test_changes_stay_or_go_by_the_judge(strip, first, second):
    changed = changed_map(first, second)
    coarse = LabelMap(np.where(blob(SIZE, 120), VOID, changed.coarse).astype(np.int32), frozenset({VOID}))
    labels = np.where(coarse.labels == VOID, VOID, changed.refined).astype(np.int32)
    lost = np.setdiff1d(coarse.labels, labels)
    refined = FusedMap(np.where(np.isin(coarse.labels, lost), coarse.labels, labels), coarse.void, changed.probability)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("bpr_cli.masks.runs.STRIP_PIXELS", strip)
        judged = [judge_labels(changed.image, coarse, refined, 1.0, judge_of_one_opinion(each)) for each in (1, -1)]
    (kept, likely), (taken, unlikely) = judged
    assert (kept.labels == refined.labels).all()
    assert (taken.labels == coarse.labels).all()
    assert len(likely) == len(np.setdiff1d(coarse.labels, [VOID]))
    assert all(after >= before for before, after in likely)
    assert all(after == before for before, after in unlikely)


def test_a_label_keeps_a_pixel():
    coarse = LabelMap(np.array([[1, 1, 2, 2, 2, 2]], np.int32), frozenset())
    refined = FusedMap(np.array([[2, 2, 2, 1, 2, 2]], np.int32), coarse.void, np.full((1, 6), 200, np.uint8))

    class Half(Judge):
        def chances(self, evidence):
            """What 1 lost is right, what 2 lost is not."""
            return np.full(len(evidence), float(next(answers)))

    answers = iter([1, 0])
    half = Half(**vars(judge_of_one_opinion(0)))
    image = np.zeros((1, 6, 3), np.uint8)
    judged, _ = judge_labels(image, coarse, refined, 1.0, half)
    assert judged.labels.tolist() == coarse.labels.tolist()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), **SEEDS)
def test_a_sure_judge_knows_the_iou(seed, first, second):
    changed = changed_map(first, second)
    random = np.random.default_rng(seed)
    right, kept = random.random((2, *SIZE)) < 0.5
    labels = np.array([0, 3, 7])
    truth = np.where(right, changed.refined, changed.coarse)
    found = likely_overlaps(changed, labels, right.astype(np.float32), kept)
    for mask, (shared, union) in zip(
        (changed.coarse, np.where(kept, changed.refined, changed.coarse)), found, strict=True
    ):
        for place, label in enumerate(labels):
            one, other = mask == label, truth == label
            assert (shared[place], union[place]) == ((one & other).sum(), (one | other).sum())


def test_weights_with_a_strict_judge_return_maps_as_they_were(tmp_path):
    loaded = load_weights("fast")
    strict = replace(loaded.card, map_judge=judge_of_one_opinion(-1).numbers())
    save_weights(tmp_path / "strict.safetensors", loaded.network, strict)
    image, labels = picture((80, 90)), np.where(blob((80, 90), 3), 3, 1).astype(np.uint8)
    free = bpr_cli.Refiner(weights=tmp_path / "strict.safetensors", judge=False)
    assert (free.refine_labels(image, labels) != labels).any()
    bound = bpr_cli.Refiner(weights=tmp_path / "strict.safetensors")
    assert (bound.refine_labels(image, labels) == labels).all()
