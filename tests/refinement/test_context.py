"""What the network for whole masks changes: large errors of which it is sure, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import bpr_cli
from bpr_cli.masks.masks import Mask
from bpr_cli.networks.registry import NETWORKS
from bpr_cli.refinement.context import context_mask
from bpr_cli.refinement.outline import SHORTEST_WHOLE, Outline, box_around
from bpr_cli.refinement.settings import PassSettings
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.convert import join_weights
from bpr_cli.weights.files import load_weights, save_weights

HOW = PassSettings(160, 160, 16, 192, 0.25, whole=True)
SIZE = (300, 400)


def square(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros(SIZE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def seen(coarse: np.ndarray, truth: np.ndarray, sure: int = 255, unsure: int = 0) -> np.ndarray:
    """The mask after a prediction of the truth."""
    mask = Mask.from_array(coarse)
    outline = Outline.find(mask, HOW, 160, [])
    x0, y0, x1, _ = outline.boxes[0].tolist()
    step = (x1 - x0) / 160
    y, x = np.mgrid[:160, :160]
    rows, columns = ((each + 0.5) * step + first for each, first in ((y, y0), (x, x0)))
    inside = (rows >= 0) & (rows < SIZE[0]) & (columns >= 0) & (columns < SIZE[1])
    true = truth[np.clip(rows, 0, SIZE[0] - 1).astype(int), np.clip(columns, 0, SIZE[1] - 1).astype(int)]
    outline.predicted.append(np.where(true & inside, sure, unsure).astype(np.uint8)[None])
    return context_mask(mask, outline).to_array()


def test_a_missing_quarter_comes_back_at_the_resolution_of_the_image():
    truth = square(100, 80, 300, 220)
    coarse = truth & ~square(200, 80, 300, 150)
    refined = seen(coarse, truth)
    assert (refined & ~truth).sum() <= 2 * 140
    assert (truth & ~refined).sum() <= 2 * 140
    assert (refined[:, :190] == coarse[:, :190]).all()


def test_a_part_too_many_leaves_also_at_the_border_of_the_image():
    truth = square(0, 0, 150, 300)
    coarse = truth | square(150, 100, 250, 300)
    assert (seen(coarse, truth) ^ truth).sum() <= 2 * 200


@pytest.mark.parametrize(("sure", "unsure"), [(190, 0), (255, 60)])
def test_what_it_is_not_sure_of_stays(sure, unsure):
    truth = square(100, 80, 300, 220)
    missing, surplus = truth & ~square(200, 80, 300, 150), truth | square(100, 20, 200, 80)
    assert (seen(missing if sure < 200 else surplus, truth, sure, unsure) == (missing if sure < 200 else surplus)).all()


def test_narrow_changes_and_small_parts_are_left_to_the_patches():
    truth = square(100, 80, 300, 220)
    narrow = square(97, 77, 303, 223)
    assert (seen(narrow, truth) == narrow).all()
    assert (seen(truth, truth | square(320, 100, 332, 112)) == truth).all()


def test_a_mask_never_loses_all_its_pixels():
    coarse = square(100, 80, 300, 220)
    assert (seen(coarse, np.zeros(SIZE, bool)) == coarse).all()


def test_the_box_shows_the_mask_with_its_surroundings_unless_it_is_short():
    ((x0, y0, x1, y1),) = box_around(Mask.from_array(square(100, 80, 300, 220)), HOW).tolist()
    assert x1 - x0 == y1 - y0 == round(200 * 1.6 * 160 / 192)
    assert (x0 + x1, y0 + y1) == pytest.approx((400, 300), abs=1)
    short = square(0, 0, SHORTEST_WHOLE - 1, 40)
    assert box_around(Mask.from_array(short), HOW).shape == (0, 4)


class Bright(nn.Module):
    """Takes bright pixels for foreground."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        level = self.gain * x[:, :3].mean(dim=1)
        return torch.stack([-level, level], dim=1) * 20


class Same(Bright):
    """Takes the mask for the foreground."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([-self.gain * x[:, 3], self.gain * x[:, 3]], dim=1) * 20


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """Weights whose network for patches changes nothing, and whose network for whole masks sees what is bright."""
    monkeypatch.setitem(NETWORKS, "bright", Bright)
    monkeypatch.setitem(NETWORKS, "same", Same)
    card = WeightsCard("mine", "same", patch_size=64, padding=16, input_size=96)
    seen_whole = replace(card, network="bright", patch_size=160, input_size=192)
    path = tmp_path / "mine.safetensors"
    save_weights(path, Same(), replace(card, context=seen_whole), Bright())
    return path


def test_weights_with_both_networks_come_back(weights, tmp_path):
    loaded = load_weights(weights)
    assert (loaded.card.network, loaded.context.card.network) == ("same", "bright")
    save_weights(tmp_path / "again.safetensors", loaded.network, loaded.card, loaded.context.network)
    assert (tmp_path / "again.safetensors").read_bytes() == weights.read_bytes()


TRUTH = square(100, 80, 300, 220)
IMAGE = np.where(TRUTH, 250, 5).astype(np.uint8)[..., None].repeat(3, axis=2)


def test_joined_weights_see_whole_masks_in_place_even_if_these_were_trained_with_a_rim(weights, tmp_path):
    whole, joined = tmp_path / "whole.safetensors", tmp_path / "joined.safetensors"
    context = load_weights(weights).context
    save_weights(whole, context.network, replace(context.card, rim=12))
    join_weights(weights, whole, joined)
    refiner = bpr_cli.Refiner(weights=joined, backend="pytorch", device="cpu")
    assert (refiner.refine(IMAGE, TRUTH & ~square(200, 80, 300, 150)) ^ TRUTH).sum() < 200


def test_masks_are_seen_as_a_whole_first(weights):
    coarse = TRUTH & ~square(200, 80, 300, 150)
    refiner = bpr_cli.Refiner(weights=weights, backend="pytorch", device="cpu")
    assert (refiner.refine(IMAGE, coarse) ^ TRUTH).sum() < 200
    assert (bpr_cli.Refiner(weights=weights, context=False, device="cpu").refine(IMAGE, coarse) == coarse).all()
    labels = coarse.astype(np.int32)
    assert (refiner.refine_labels(IMAGE, labels) == labels).all()
    assert refiner.refine(IMAGE, square(10, 10, 60, 60)).sum() == 2500
