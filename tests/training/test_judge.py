"""Fitting a judge: it learns what made changes right, and the weights that carry it obey."""

from dataclasses import replace

import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.refinement.evidence import EVIDENCE, EVIDENCE_ON_ALL, MaskChanges
from bpr_cli.refinement.labels import EVIDENCE_OF_LABELS
from bpr_cli.training import judge
from bpr_cli.training.judge import HARM, HIDDEN, MEMBERS, MaskVerdicts, Verdicts, fit, fit_judge
from bpr_cli.training.lessons import KINDS
from bpr_cli.training.settings import JudgeSettings
from bpr_cli.weights.convert import convert_weights
from bpr_cli.weights.files import load_weights
from tests.refinement.judges import judge_of
from tests.training.toy_data import image_set, toy_set


def test_a_judge_learns_a_rule():
    random = np.random.default_rng(0)
    evidence = random.normal(size=(600, EVIDENCE))
    right = ((evidence[:, 3] + evidence[:, 5]) > 0).astype(float)
    fitted = fit(Verdicts(evidence[:500], right[:500], np.ones(500)), seed=0, steps=200)
    chances = fitted.chances(evidence[500:])
    assert ((chances > 0.5) == (right[500:] > 0)).mean() > 0.9


def test_a_change_without_weight_teaches_nothing():
    random = np.random.default_rng(1)
    evidence = random.normal(size=(400, EVIDENCE))
    right = (evidence[:, 0] > 0).astype(float)
    lies = np.concatenate([right[:200], 1 - right[200:]])
    fitted = fit(Verdicts(evidence, lies, np.repeat([1.0, 0.0], 200)), seed=0, steps=200)
    assert ((fitted.chances(evidence) > 0.5) == (right > 0)).mean() > 0.85


@pytest.mark.parametrize(("right", "weight", "better"), [([0.75, 0.0], 0.3, 1.0), ([0.25, 1.0], HARM * 0.3, 0.0)])
def test_a_final_judge_learns_whether_the_likely_changes_made_a_mask_better(right, weight, better):
    """Of a mask of 25 pixels, 3 joined by a likely change and 2 by an unlikely one."""
    evidence = np.zeros((2, EVIDENCE))
    evidence[:, 4] = 1, -1
    changes = MaskChanges(evidence, np.array([3, 2]), np.array([True, True]), common=25, area=25)
    verdicts = MaskVerdicts(changes, np.array(right), np.array([3, 2]) / 5)
    one = verdicts.together(judge_of(1, 0, 4))
    assert one.right.tolist() == [better]
    assert one.weight.tolist() == pytest.approx([weight])
    assert one.evidence.shape == (1, EVIDENCE_ON_ALL)
    assert verdicts.together(judge_of(1, 0, 5)) is None  # a chance of one half is not likely


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A set to learn from in a few steps."""
    monkeypatch.setattr(judge, "STEPS", 30)
    monkeypatch.setattr(judge, "FINAL_STEPS", 30)
    return image_set(tmp_path / "toys", ["a", "b", "c"])


def test_weights_learn_from_a_set(toys, tmp_path):
    out = tmp_path / "judged.safetensors"
    counts = fit_judge("fast", [toys], out, JudgeSettings(masks=3, maps=2))
    assert list(counts) == ["toys"]
    assert 0 < counts["toys"].masks <= 3 * len(KINDS)
    assert 0 < counts["toys"].maps <= 2 * len(KINDS)
    card = load_weights(out).card
    for numbers, inputs in (
        (card.judge, EVIDENCE),
        (card.final_judge, EVIDENCE_ON_ALL),
        (card.map_judge, EVIDENCE_OF_LABELS),
    ):
        assert len(numbers) == 2 * inputs + (inputs + 2) * MEMBERS * HIDDEN + 1
    with pytest.raises(BprError, match="already exist"):
        fit_judge("fast", [toys], out, JudgeSettings(masks=3, maps=2))


def test_a_judge_may_share_the_tensors_of_its_weights(toys, tmp_path):
    mine, out = tmp_path / "mine.safetensors", tmp_path / "judged.safetensors"
    convert_weights("fast", mine, flip=True, judge=())
    fit_judge(mine, [toys], out, JudgeSettings(masks=2, maps=0), share=True)
    judged = load_weights(out)
    assert judged.card.judge
    assert judged.card.flip
    assert judged.card.tensors_of[0] == "mine.safetensors"
    assert out.stat().st_size < 200_000


def test_weights_that_cannot_be_shared_are_refused_before_the_work(tmp_path):
    with pytest.raises(BprError, match="cannot share the tensors of"):
        fit_judge("fast", [], tmp_path / "elsewhere.safetensors", JudgeSettings(masks=3), share=True)


def test_each_judge_can_learn_alone(toys, tmp_path):
    shipped, out = load_weights("fast").card, tmp_path / "judged.safetensors"
    assert fit_judge("fast", [toys], out, JudgeSettings(masks=0, maps=1))["toys"].masks == 0
    card = load_weights(out).card
    assert card.judge == shipped.judge
    assert card.final_judge == shipped.final_judge
    assert card.map_judge != shipped.map_judge


def test_sets_that_never_change_teach_nothing():
    with pytest.raises(BprError, match="nothing of these sets changed"):
        fit(Verdicts.of([]), seed=0, steps=200)


def test_a_judge_learns_from_what_other_weights_do_to_sets_that_they_have_not_seen(toys, tmp_path):
    others = image_set(tmp_path / "others", ["d", "e"])
    alone, out = tmp_path / "alone.safetensors", tmp_path / "judged.safetensors"
    settings = JudgeSettings(masks=3, maps=1)
    fit_judge("fast", [toys], alone, settings)
    counts = fit_judge("fast", [toys], out, replace(settings, unseen=(others.path,), stand_in="open"))
    assert list(counts) == ["toys", "others (unseen)"]
    assert 0 < counts["others (unseen)"].masks <= 2 * 3  # only exact and nearly exact ones
    assert counts["others (unseen)"].maps == 0
    first, second = (load_weights(path).card for path in (alone, out))
    assert first.judge != second.judge
    assert first.map_judge == second.map_judge


@pytest.mark.parametrize("given", [{"unseen": ("somewhere",)}, {"stand_in": "open"}])
def test_sets_and_weights_that_have_not_seen_them_go_together(given):
    with pytest.raises(BprError, match="--unseen and --stand-in go together"):
        JudgeSettings(**given)


def test_a_set_of_patches_is_not_called_damaged(tmp_path):
    patches = toy_set(tmp_path / "patches")
    with pytest.raises(BprError, match=r"holds patches, expected whole images .* --scheme image"):
        fit_judge("fast", [patches], tmp_path / "judged.safetensors", JudgeSettings(masks=1, maps=0))
