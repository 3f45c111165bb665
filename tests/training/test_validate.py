"""Validation against the definitions of its metrics, and against refinement."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bpr_cli.evaluation.boundary import boundary_f
from bpr_cli.patchset.record import VOID
from bpr_cli.training.data import PatchSubset
from bpr_cli.training.validate import Validator, patch_scores
from tests.training.toy_data import TOY, toy, toy_set
from tests.training.trainers import CARD


class Oracle(nn.Module):
    """Predicts bright pixels as foreground, or copies the coarse mask."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.channel = channel

    def forward(self, x):
        foreground = 9 * x[:, self.channel : self.channel + 1]
        return torch.cat([-foreground, foreground], dim=1)


def iou_by_counting(mask, truth) -> float:
    pairs = [(m, t) for m, t in zip(mask.ravel().tolist(), truth.ravel().tolist(), strict=True) if t != VOID]
    either = sum(m == 1 or t == 1 for m, t in pairs)
    return sum(m == t == 1 for m, t in pairs) / either if either else 1.0


def test_scores_ignore_void():
    random = np.random.default_rng(0)
    masks = [random.integers(0, 2, (9, 9), np.uint8) for _ in range(6)]
    truths = [random.choice(np.array([0, 1, VOID], np.uint8), (9, 9)) for _ in range(6)]
    found = patch_scores(masks, truths)
    assert found.patches == 6
    assert found.iou == pytest.approx(100 * np.mean(list(map(iou_by_counting, masks, truths))))
    scores = [boundary_f((m == 1) & (t != VOID), t == 1, 1) for m, t in zip(masks, truths, strict=True)]
    assert found.boundary_f == pytest.approx(100 * np.mean(scores))
    changed = [np.where(t == VOID, 1 - m, m).astype(np.uint8) for m, t in zip(masks, truths, strict=True)]
    assert patch_scores(changed, truths) == found


@pytest.mark.parametrize(("input_size", "rim"), [(32, 0), (64, 0), (32, 4)])
def test_a_network_that_copies_the_coarse_mask_scores_like_it(input_size, rim, tmp_path):
    card = replace(CARD, input_size=input_size, rim=rim)
    validator = Validator([PatchSubset.full(toy_set(tmp_path / "a", 70))], card, "float32", torch.device("cpu"))
    inner = slice(TOY.padding, TOY.padding + TOY.patch_size)
    samples = [toy(number) for number in range(70)]
    coarse = patch_scores([s.coarse[inner, inner] for s in samples], [s.truth[inner, inner] for s in samples])
    assert validator.coarse == coarse
    assert validator.measure(Oracle(3)) == coarse


def test_a_network_that_sees_the_truth(tmp_path):
    validator = Validator([PatchSubset.full(toy_set(tmp_path / "a", 20))], CARD, "float32", torch.device("cpu"))
    found = validator.measure(Oracle(0))
    assert found.iou > 85 > validator.coarse.iou
    assert found.boundary_f > 85 > validator.coarse.boundary_f
