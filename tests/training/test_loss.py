"""The loss against loops over pixels."""

import math

import numpy as np
import pytest
import torch

from bpr_cli.patchset.record import VOID
from bpr_cli.training.loss import cross_entropy, jaccard_loss, patch_loss, pixel_weights
from bpr_cli.training.settings import LossSettings

PLAIN = LossSettings(boundary_weight=1, boundary_width=0, context_weight=1, jaccard=0)


def some_truth(seed: int = 0, side: int = 12) -> torch.Tensor:
    """Half planes with a hole and void pixels: uint8, (3, T, T)."""
    random = np.random.default_rng(seed)
    truth = np.zeros((3, side, side), np.uint8)
    truth[0, :, : side // 2] = 1
    truth[1, 3:6, 2:9] = 1
    truth[2] = random.choice([0, 1, VOID], (side, side))
    truth[:2, 0, 4:] = VOID
    return torch.from_numpy(truth)


def weights_by_loops(truth: np.ndarray, ring: int, settings: LossSettings) -> np.ndarray:
    weights = np.zeros(truth.shape)
    side = truth.shape[1]
    for patch, y, x in np.ndindex(*truth.shape):
        width = settings.boundary_width
        window = truth[patch, max(0, y - width) : y + width + 1, max(0, x - width) : x + width + 1]
        weight = settings.boundary_weight if {0, 1} <= set(window.ravel().tolist()) else 1
        if not (ring <= y < side - ring and ring <= x < side - ring):
            weight *= settings.context_weight
        weights[patch, y, x] = 0 if truth[patch, y, x] == VOID else weight
    return weights


FACTORS = [PLAIN, LossSettings(2.5, 1, 0.3, 0), LossSettings(3, 2, 0, 0), LossSettings(2, 0, 1, 0)]


@pytest.mark.parametrize("settings", FACTORS)
@pytest.mark.parametrize("ring", [0, 1, 4])
def test_weights(settings, ring):
    truth = some_truth()
    found = pixel_weights(truth, ring, settings).numpy()
    np.testing.assert_allclose(found, weights_by_loops(truth.numpy(), ring, settings), rtol=1e-6)


def test_cross_entropy_is_the_mean_over_all_pixels_with_void_as_zero():
    truth = some_truth()
    torch.manual_seed(3)
    logits = torch.randn(3, 2, 12, 12, dtype=torch.float64)
    weights = pixel_weights(truth, 2, LossSettings(2, 1, 0.5, 0))
    total = 0.0
    for patch, y, x in np.ndindex(3, 12, 12):
        background, foreground = logits[patch, :, y, x].tolist()
        scores = (foreground, background) if truth[patch, y, x] == 1 else (background, foreground)
        total += weights[patch, y, x].item() * math.log1p(math.exp(scores[1] - scores[0]))
    assert cross_entropy(logits, truth, weights).item() == pytest.approx(total / truth.numel(), rel=1e-5)


def jaccard_by_loops(logits: torch.Tensor, truth: np.ndarray, ring: int) -> float:
    total, side = 0.0, truth.shape[1]
    for patch in range(len(truth)):
        shared = either = 1.0
        true = 0
        for y, x in np.ndindex(side - 2 * ring, side - 2 * ring):
            place = (patch, y + ring, x + ring)
            if truth[place] == VOID:
                continue
            background, foreground = logits[patch, :, y + ring, x + ring].tolist()
            probability = 1 / (1 + math.exp(background - foreground))
            is_true = int(truth[place] == 1)
            shared += probability * is_true
            either += probability + is_true - probability * is_true
            true += is_true
        total += 1 - shared / either if true else 0
    return total / len(truth)


@pytest.mark.parametrize("ring", [0, 1, 4])
def test_the_jaccard_term(ring):
    """Three patches with true foreground, one without, one whose foreground is in the context alone."""
    edge = torch.zeros(1, 12, 12, dtype=torch.uint8)
    edge[0, 0] = 1
    truth = torch.cat([some_truth(), torch.zeros_like(edge), edge])
    logits = 2 * torch.randn(5, 2, 12, 12, generator=torch.Generator().manual_seed(ring))
    expected = jaccard_by_loops(logits, truth.numpy(), ring)
    assert jaccard_loss(logits, truth, ring).item() == pytest.approx(expected, rel=1e-5)


def test_a_perfect_prediction_costs_nothing_and_a_lost_thin_line_much():
    truth = torch.zeros(1, 16, 16, dtype=torch.uint8)
    truth[0, :, 7] = 1
    scores = 20.0 * (truth == 1).float()
    perfect, lost = (torch.stack([10 - each, each - 10], dim=1) for each in (scores, 0 * scores))
    assert jaccard_loss(perfect, truth, 2).item() == pytest.approx(0, abs=1e-5)
    assert jaccard_loss(lost, truth, 2).item() == pytest.approx(1 - 1 / 13, rel=1e-4)


@pytest.mark.parametrize("factor", [0, 0.5])
def test_both_terms_make_the_loss(factor):
    truth, logits = some_truth(), torch.randn(3, 2, 12, 12)
    settings = LossSettings(2, 1, 0.5, factor)
    both = cross_entropy(logits, truth, pixel_weights(truth, 2, settings)) + factor * jaccard_loss(logits, truth, 2)
    assert patch_loss(logits, truth, 2, settings).item() == pytest.approx(both.item(), rel=1e-6)


def test_predictions_of_void_pixels_do_not_matter():
    truth = torch.full((1, 4, 4), VOID, dtype=torch.uint8)
    logits = torch.randn(1, 2, 4, 4, requires_grad=True)
    loss = patch_loss(logits, truth, 1, LossSettings(2, 1, 0.5, 0.5))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_the_loss_of_a_batch_is_the_mean_of_its_parts():
    truth = torch.cat([some_truth(0), some_truth(1)])
    truth[4] = 0
    logits = torch.randn(6, 2, 12, 12)
    settings = LossSettings(2, 1, 0.5, 0.5)
    parts = [patch_loss(logits[i : i + 2], truth[i : i + 2], 1, settings) for i in (0, 2, 4)]
    whole = patch_loss(logits, truth, 1, settings)
    assert whole.item() == pytest.approx(torch.stack(parts).mean().item(), rel=1e-6)
