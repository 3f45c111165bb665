"""The judgement on refined masks: which changes stay, and how good the masks are likely to be."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import bpr_cli
from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boxes import NO_BOXES
from bpr_cli.refinement.evidence import EVIDENCE, EVIDENCE_ON_ALL, SMALLEST_GAIN, ChangedMask, MaskChanges
from bpr_cli.refinement.judgement import (
    JUDGED_LENGTH,
    LEAST_GAIN,
    MaskJudges,
    changed_mask,
    enlarged,
    judge_changes,
    probability_in,
)
from bpr_cli.refinement.outline import Outline
from bpr_cli.weights.files import load_weights, save_weights
from bpr_cli.weights.judge import Judge
from tests.inference.engines import blob, picture
from tests.refinement.judges import judge_of

SIZE = (40, 44)


def outline(mask: Mask) -> Outline:
    return Outline(mask, NO_BOXES, 0, 0, 1.0, False, 10.0)


def judged(coarse: np.ndarray, refined: np.ndarray, judge: Judge) -> np.ndarray:
    one, other = Mask.from_array(coarse), Mask.from_array(refined)
    return judge_changes(picture(SIZE), one, other, outline(one), MaskJudges(judge)).mask.to_array()


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 50), second=st.integers(51, 99))
def test_changes_stay_or_go_by_the_judge(first, second):
    coarse, refined = blob(SIZE, first), blob(SIZE, second)
    for change in (refined & ~coarse, coarse & ~refined):
        assume(not 0 < change.sum() < 5)  # alone it would gain too little to stay
    assert (judged(coarse, refined, judge_of(0, 1)) == refined).all()
    assert (judged(coarse, refined, judge_of(0, -1)) == coarse).all()
    assert (judged(coarse, refined, judge_of(2, -1)) == (coarse | refined)).all()
    if (coarse & refined).any():
        assert (judged(coarse, refined, judge_of(-2, 1)) == (coarse & refined)).all()


@pytest.mark.parametrize(("side", "stays"), [(12, True), (13, False)])
def test_a_mask_that_would_hardly_gain_comes_back_as_it_was(side, stays):
    """A judge that is certain of a change expects a gain of its share of the refined mask."""
    size = (240, 240)
    coarse, refined = np.zeros((2, *size), bool)
    coarse[:, :209], refined[:, :209] = True, True
    refined[:side, 209 : 209 + side] = True
    one, other = Mask.from_array(coarse), Mask.from_array(refined)
    sure = replace(judge_of(0, 9), second=np.array([99.0]))
    assert (side**2 / refined.sum() < LEAST_GAIN) == stays
    judgement = judge_changes(picture(size), one, other, outline(one), MaskJudges(sure))
    assert (judgement.mask is one) == stays
    assert (judgement.after == judgement.before) == stays


def test_a_mask_keeps_a_pixel():
    """Disjoint masks whose joining pixels are refused, and whose leaving pixels may leave."""
    coarse, refined = np.zeros((2, *SIZE), bool)
    coarse[3:9, 3:9], refined[20:30, 20:30] = True, True
    assert (judged(coarse, refined, judge_of(-2, 1)) == coarse).all()


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 50), second=st.integers(51, 99), seed=st.integers(0, 99))
def test_a_sure_judge_knows_the_iou(first, second, seed):
    coarse, refined = blob(SIZE, first), blob(SIZE, second)
    changed = ChangedMask(picture(SIZE), coarse, refined, np.zeros(SIZE, np.uint8), 1.0)
    changes = MaskChanges.of(changed)
    random = np.random.default_rng(seed)
    right, applied = random.random((2, len(changed.areas))) < 0.5

    def with_changes(chosen: np.ndarray) -> np.ndarray:
        return np.where(np.concatenate([[False], chosen])[changed.changes], refined, coarse)

    truth, mask = with_changes(right), with_changes(applied)
    if (truth | mask).any():
        wanted = (truth & mask).sum() / (truth | mask).sum()
        assert changes.likely_iou(right.astype(float), applied) == pytest.approx(wanted)


GAIN, BEFORE = 0, 1
"""Places of the evidence on all changes that tells the likely gain, and the likely IoU before."""


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 50), second=st.integers(51, 99), weight=st.sampled_from([-1, 1]))
def test_the_final_judge_decides_on_the_mask(first, second, weight):
    """This one looks at the likely IoU before, and the judge of changes lets all of them stay."""
    coarse, refined = blob(SIZE, first), blob(SIZE, second)
    one, other = Mask.from_array(coarse), Mask.from_array(refined)
    keeps_all = replace(judge_of(0, 1), second=np.array([1.0]))
    without = judge_changes(picture(SIZE), one, other, outline(one), MaskJudges(keeps_all))
    final = judge_of(weight, 0, BEFORE, EVIDENCE_ON_ALL)
    final = replace(final, centre=np.where(np.arange(EVIDENCE_ON_ALL) == BEFORE, 0.5, 0))
    found = judge_changes(picture(SIZE), one, other, outline(one), MaskJudges(keeps_all, final))
    assert found.before == without.before
    agrees = weight * (found.before - 0.5) > 0
    assert found.mask is (without.mask if agrees else one)
    assert found.after == (without.after if agrees else found.before)


def test_a_mask_without_likely_changes_needs_no_final_judge():
    coarse, refined = blob(SIZE, 1), blob(SIZE, 2)
    one, other = Mask.from_array(coarse), Mask.from_array(refined)
    always = judge_of(0, 1, inputs=EVIDENCE_ON_ALL)
    assert judge_changes(picture(SIZE), one, other, outline(one), MaskJudges(judge_of(0, -1), always)).mask is one


def test_the_evidence_on_all_changes_by_hand():
    """A mask of 16 pixels gets 8 more, whose chance is 0.75, and loses 4, whose chance is 0.5."""
    evidence = np.arange(2 * EVIDENCE, dtype=float).reshape(2, EVIDENCE)
    changes = MaskChanges(evidence, np.array([8, 4]), np.array([True, False]), common=12, area=16)
    before, after = (12 + 2) / (16 + 6), (12 + 2 + 6) / (16 + 8)
    chances, kept = np.array([0.75, 0.5]), np.array([True, False])
    assert changes.likely_ious(chances, kept) == pytest.approx((before, after))
    found = changes.on_all(chances, kept, before, after)
    expected = [
        np.log(after - before),
        before,
        0.75,
        (8 * 0.75 + 4 * 0.5) / 12,
        (8 * 0.75 * 0.25 + 4 * 0.25) / 12,
        np.log(8 / 4),
        np.log(12 / 4),
    ]
    assert found[:7].tolist() == pytest.approx(expected)
    assert found[7:] == pytest.approx((8 * evidence[0] + 4 * evidence[1]) / 12)
    small = changes.on_all(chances, kept, before, before)
    assert small[GAIN] == pytest.approx(np.log(SMALLEST_GAIN))


def long_masks(width: int) -> tuple[np.ndarray, np.ndarray]:
    """A coarse mask as long as three times the judged length, and one with a part more and a part less."""
    coarse = np.zeros((3 * JUDGED_LENGTH + 40, width + 60), bool)
    coarse[20:-20, 30:-30] = True
    refined = coarse.copy()
    refined[100:160, -30:-12], refined[300:361, 30:33] = True, False
    return coarse, refined


def test_long_masks_are_judged_in_a_smaller_picture(monkeypatch):
    monkeypatch.setattr("bpr_cli.refinement.judgement.LEAST_GAIN", 0.0)
    coarse, refined = long_masks(60)
    image, masks = picture(coarse.shape), [Mask.from_array(each) for each in (coarse, refined)]
    small, box = changed_mask(image, *masks, outline(masks[0]))
    assert small.factor == 3
    height, width = box[3] - box[1], box[2] - box[0]
    assert small.coarse.shape == (-(-height // 3), -(-width // 3))
    assert len(small.areas) == 2
    for judge, wanted in (
        (judge_of(0, 1), refined),
        (judge_of(0, -1), coarse),
        (judge_of(2, -1), coarse | refined),
        (judge_of(-2, 1), coarse & refined),
    ):
        assert (judge_changes(image, *masks, outline(masks[0]), MaskJudges(judge)).mask.to_array() == wanted).all()


def test_masks_that_a_smaller_picture_would_not_show_are_judged_in_full():
    coarse, refined = long_masks(1)
    masks = [Mask.from_array(each) for each in (coarse, refined)]
    assert changed_mask(picture(coarse.shape), *masks, outline(masks[0]))[0].factor == 1


def test_pixels_of_a_smaller_picture_in_the_full_one():
    found = np.zeros((3, 4), bool)
    found[0, 0] = True
    assert (enlarged(found, 1) == found).all()
    expected = np.zeros((6, 8), bool)
    expected[:4, :4] = True
    assert (enlarged(found, 2) == expected).all()


def test_pixels_without_a_patch_are_certain():
    mask = Mask.from_array(blob(SIZE, 1))
    boxes, patch = np.array([[4, 6, 12, 14]]), np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    found = probability_in(
        (2, 3, 42, 38), mask.window((2, 3, 42, 38)), replace(outline(mask), boxes=boxes, predicted=[patch])
    )
    expected = np.where(mask.to_array(), 255, 0)
    expected[6:14, 4:12] = patch[0]
    assert (found == expected[3:38, 2:42]).all()


def test_weights_with_a_strict_judge_return_masks_as_they_were(tmp_path):
    loaded = load_weights("fast")
    strict = replace(loaded.card, judge=judge_of(0, -1).numbers(), min_movement=0.0, min_part=0)
    save_weights(tmp_path / "strict.safetensors", loaded.network, strict)
    image, mask = picture((80, 90)), blob((80, 90), 3)
    free = bpr_cli.Refiner(weights=tmp_path / "strict.safetensors", judge=False)
    assert (free.refine(image, mask) != mask).any()
    bound = bpr_cli.Refiner(weights=tmp_path / "strict.safetensors")
    assert (bound.refine(image, mask) == mask).all()
    soft = np.where(mask, 200, 50).astype(np.uint8) + np.random.default_rng(0).integers(0, 50, mask.shape, np.uint8)
    assert (bound.refine(image, soft, kind="probabilities", soft=True) == soft).all()
