"""A training step: schedule, decay, accumulation, average and checkpoint."""

import json
import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import build_network
from bpr_cli.training.checkpoint import PROGRESS, TrainState, ValidationResult, pack, unpack
from bpr_cli.training.recipe import load_recipe
from bpr_cli.training.trainer import Arithmetic, Trainer, WeightAverage, build_optimiser, rate_at
from tests.training.toy_data import small_recipe
from tests.training.trainers import ALONE, CARD, Tiny, TinyNorm, assert_equal, new_trainer, some_batch

SGD = {"optimiser.name": "sgd", "optimiser.momentum": 0.5, "ema_decay": 0}


class BegunTiny(Tiny):
    """A network whose first convolution may be pretrained."""

    def pretrained_parameters(self):
        return self.first.parameters()


CARDS = [CARD, replace(CARD, mask_patch=False)]
RECIPES = [small_recipe(), small_recipe(**SGD), small_recipe(ema_decay=0)]


@pytest.mark.parametrize("recipe", RECIPES, ids=["average", "sgd", "adamw"])
def test_the_loss_falls(recipe):
    each = new_trainer(replace(recipe, steps=60, optimiser=replace(recipe.optimiser, learning_rate=0.05)))
    losses = [each.step(step, some_batch(step % 3)).item() for step in range(60)]
    assert losses[-1] < 0.5 * losses[0]


def test_measuring_the_time_of_a_step_changes_nothing():
    each = new_trainer(small_recipe(), TinyNorm())
    other = new_trainer(small_recipe(), deepcopy(each.network))
    assert 0 < each.seconds_per_step(4) < 60
    for step in range(3):
        assert each.step(step, some_batch(step)) == other.step(step, some_batch(step))
    assert_equal(each.network, other.network)


def test_a_step_of_sgd_is_the_textbook_step():
    """One step from fresh momentum: w - rate * (gradient + decay * w)."""
    plain = {**SGD, "optimiser.clip": 0, "optimiser.weight_decay": 0.1, "loss.jaccard": 0}
    recipe = small_recipe(**{**plain, "schedule.warmup": 0.5})
    network = Tiny()
    each = new_trainer(recipe, deepcopy(network))
    batch = some_batch(0)
    image = (batch.image.permute(0, 3, 1, 2) - torch.tensor(CARD.mean).view(3, 1, 1)) / torch.tensor(CARD.std).view(
        3, 1, 1
    )
    logits = network(torch.cat([image, batch.coarse[:, None] * 2.0 - 1], dim=1))
    losses = nn.functional.cross_entropy(logits, batch.truth.long(), reduction="none")
    ring = torch.full((32, 32), 0.3)
    ring[8:24, 8:24] = 1
    # In noise, background and foreground are near each other everywhere: all pixels count twice.
    (2 * losses * ring).mean().backward()
    each.step(0, batch)
    rate = 0.003 / 6
    for (name, before), after in zip(network.named_parameters(), each.network.parameters(), strict=True):
        decay = 0.1 * before if before.ndim > 1 else 0
        torch.testing.assert_close(after, before - rate * (before.grad + decay), msg=name, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("accumulate", [2, 4])
def test_accumulated_passes_equal_the_large_batch(accumulate):
    recipe = small_recipe()
    whole, split = (new_trainer(recipe, deepcopy(Tiny()), count) for count in (1, accumulate))
    split.network.load_state_dict(whole.network.state_dict())
    for step in range(5):
        batch = some_batch(step, 8)
        torch.testing.assert_close(whole.step(step, batch), split.step(step, batch))
    for one, other in zip(whole.network.parameters(), split.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_without_the_mask_patch_the_coarse_mask_does_not_matter():
    batch = some_batch(0)
    inverted = batch._replace(coarse=1 - batch.coarse)
    shown, hidden = (
        [new_trainer(small_recipe(), card=card).step(0, each) for each in (batch, inverted)] for card in CARDS
    )
    assert shown[0] != shown[1]
    assert hidden[0] == hidden[1]


def test_which_weights_are_decayed():
    network = TinyNorm()
    settings = small_recipe().optimiser
    some, rest = build_optimiser(network, replace(settings, decay_all=False)).param_groups
    assert [each.ndim for each in some["params"]] == [4, 4]
    assert (some["weight_decay"], rest["weight_decay"]) == (0.02, 0)
    (every,) = build_optimiser(network, replace(settings, decay_all=True)).param_groups
    assert (len(every["params"]), every["weight_decay"]) == (6, 0.02)
    assert every["betas"] == (0.9, 0.999)


def test_pretrained_weights_learn_at_their_own_rate():
    """A step of plain SGD is as long as the learning rate: the two kinds of weights move by different factors."""
    changes = {"optimiser.clip": 0, "optimiser.weight_decay": 0, "schedule.warmup": 0}
    network, moved = BegunTiny(), {}
    for rate in (1, 0.25, 0):
        each = new_trainer(small_recipe(**{**SGD, **changes, "optimiser.encoder_rate": rate}), deepcopy(network))
        before = deepcopy(each.network)
        each.step(0, some_batch(0))
        pairs = zip(before.named_parameters(), each.network.parameters(), strict=True)
        moved[rate] = {name: after - old for (name, old), after in pairs}
    for name, whole in moved[1].items():
        factor = 0.25 if name.startswith("first.") else 1
        torch.testing.assert_close(moved[0.25][name], factor * whole, atol=1e-7, rtol=1e-3)
        assert (moved[0][name].abs().max() == 0) == name.startswith("first.")


def test_every_weight_is_in_one_group_of_the_optimiser():
    network = build_network("lite-unet")
    settings = replace(small_recipe().optimiser, encoder_rate=0.25)
    groups = build_optimiser(network, settings).param_groups
    grouped = [id(each) for group in groups for each in group["params"]]
    assert sorted(grouped) == sorted(map(id, network.parameters()))
    slow = {id(each) for group in groups if group["rate_factor"] == 0.25 for each in group["params"]}
    names = {name.split(".")[0] for name, each in network.named_parameters() if id(each) in slow}
    assert names == {"image_stem", "stem_norm", "encoder"}
    for group in groups:
        assert {each.ndim > 1 for each in group["params"]} == {group["weight_decay"] > 0}


def test_the_gradient_is_clipped():
    recipe = small_recipe(**{**SGD, "optimiser.clip": 0.01, "optimiser.weight_decay": 0, "schedule.warmup": 0})
    each = new_trainer(recipe, Tiny())
    before = deepcopy(each.network)
    each.step(0, some_batch(0))
    moved = [(one - other).flatten() for one, other in zip(each.network.parameters(), before.parameters(), strict=True)]
    assert torch.cat(moved).norm().item() == pytest.approx(0.003 * 0.01, rel=1e-3)


def test_the_average_against_a_loop():
    network = TinyNorm()
    average = WeightAverage(network, 0.8)
    expected = [tensor.clone() for tensor in network.state_dict().values()]
    for step in range(30):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        network(torch.randn(2, 4, 8, 8))
        average.update(step)
        decay = min(0.8, (1 + step) / (10 + step))
        for index, new in enumerate(network.state_dict().values()):
            mixed = decay * expected[index] + (1 - decay) * new
            expected[index] = mixed if new.is_floating_point() else new.clone()
    for found, wanted in zip(average.network.state_dict().values(), expected, strict=True):
        torch.testing.assert_close(found, wanted)
    assert not average.network.training


def test_dropped_features_do_not_depend_on_the_steps_before():
    """Each step seeds what is random within the network."""
    recipe = small_recipe()
    first, second = (new_trainer(recipe, nn.Sequential(nn.Dropout(0.5), Tiny())) for _ in range(2))
    second.network.load_state_dict(first.network.state_dict())
    torch.manual_seed(0)
    one = first.step(3, some_batch(0))
    torch.manual_seed(1)
    torch.rand(7)
    other = second.step(3, some_batch(0))
    assert one == other
    assert one != first.step(4, some_batch(0))


@pytest.mark.parametrize("recipe", RECIPES, ids=["average", "sgd", "adamw"])
def test_a_checkpoint_resumes_bit_for_bit(recipe):
    straight = new_trainer(recipe)
    for step in range(8):
        straight.step(step, some_batch(step))
    before = new_trainer(recipe)
    for step in range(5):
        before.step(step, some_batch(step))
    state = TrainState(5, (0.5, 1 / 3), ValidationResult(4, 0.75, 0.1), ValidationResult(5, 0.5, 0.25))
    content = pack(before, state)
    after = new_trainer(recipe)
    assert unpack(content, after) == state
    for step in range(5, 8):
        after.step(step, some_batch(step))
    assert_equal(straight.network, after.network)
    assert_equal(straight.result, after.result)
    assert pack(straight, state) == pack(after, state)


@pytest.mark.parametrize("harm", ["cut", "other network", "no progress", "noise"])
def test_a_damaged_checkpoint_is_refused(harm):
    each = new_trainer(small_recipe())
    content = pack(each, TrainState())
    if harm == "other network":
        each = new_trainer(small_recipe(), nn.Conv2d(4, 2, 1))
    damaged = {
        "cut": content[:-9],
        "other network": content,
        "no progress": content.replace(b'"standing"', b'"stunding"'),
        "noise": b"\x00" * 100,
    }[harm]
    with pytest.raises(BprError, match="it is damaged"):
        unpack(damaged, each)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: [],
        lambda state: {**state, "step": "5"},
        lambda state: {**state, "losses": ["high"]},
        lambda state: {**state, "best": {**state["best"], "iou": None}},
        lambda state: {**state, "best": [1]},
        lambda state: {**state, "scaler": None},
        lambda state: {**state, "more": 1},
    ],
)
def test_a_forged_checkpoint_is_reported(change):
    each = new_trainer(small_recipe())
    tensors = load(pack(each, TrainState(5, (0.5,), ValidationResult(5, 0.5, 0.5))))
    forged = json.dumps(change(json.loads(tensors[PROGRESS].numpy().tobytes()))).encode()
    tensors[PROGRESS] = torch.frombuffer(bytearray(forged), dtype=torch.uint8)
    with pytest.raises(BprError, match="it is damaged"):
        unpack(save(tensors), each)


@pytest.mark.parametrize("name", ["optimiser.99.exp_avg", "optimiser.-99.exp_avg", "optimiser.x", "network.more"])
def test_a_forged_tensor_is_reported(name):
    each = new_trainer(small_recipe())
    tensors = {**load(pack(each, TrainState())), name: torch.zeros(1)}
    with pytest.raises(BprError, match="it is damaged"):
        unpack(save(tensors), each)


def test_float16_scales_its_gradients_and_the_scale_is_saved():
    recipe = small_recipe()
    each, other = (Trainer(Tiny(), CARD, recipe, Arithmetic("float16", 1, 0), ALONE) for _ in range(2))
    before = deepcopy(each.network)
    each.step(0, some_batch(0))
    assert not torch.equal(before.last.weight, each.network.last.weight)
    scale = each.scaler.state_dict()
    assert scale["scale"] > 1
    unpack(pack(each, TrainState(scaler={**scale, "scale": 1024.0})), other)
    assert other.scaler.state_dict()["scale"] == 1024.0


def test_bfloat16_learns_the_same_within_its_precision():
    recipe = small_recipe()
    torch.manual_seed(1)
    network = Tiny()
    whole, half = (
        Trainer(deepcopy(network), CARD, recipe, Arithmetic(precision, 1, 0), ALONE)
        for precision in ("float32", "bfloat16")
    )
    losses = [
        (whole.step(step, some_batch(step)).item(), half.step(step, some_batch(step)).item()) for step in range(5)
    ]
    assert all(one == pytest.approx(other, rel=0.05) for one, other in losses)
    assert losses[0][0] != losses[0][1]
    assert all(parameter.dtype == torch.float32 for parameter in half.network.parameters())


POLY = load_recipe("paper").schedule
COSINE = replace(load_recipe("modern").schedule, min_rate=0.002, warmup=0.2)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.01),
        (40_000, 0.0099 * 0.75**0.9 + 0.0001),
        (80_000, 0.0099 * 0.5358867312681466 + 0.0001),
        (159_999, 0.0099 * (1 / 160_000) ** 0.9 + 0.0001),
    ],
)
def test_poly(step, rate):
    assert rate_at(step, 160_000, 0.01, POLY) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.05), (1, 0.1), (2, 0.102 - 0.002), (6, 0.051), (9, 0.002 + 0.098 * (1 + math.cos(math.pi * 7 / 8)) / 2)],
)
def test_warm_up_and_cosine(step, rate):
    """Ten steps, of which two warm up; half a wave in the eight steps after them."""
    assert rate_at(step, 10, 0.1, COSINE) == pytest.approx(rate, rel=1e-12)


def test_two_trainings_share_a_decay():
    """The first half of it in one, the second half in another, are the steps of a single training."""
    whole = replace(COSINE, warmup=0)
    first, second = replace(whole, end=0.5), replace(whole, begin=0.5)
    rates = [rate_at(step, 10, 0.1, first) for step in range(10)] + [
        rate_at(step, 10, 0.1, second) for step in range(10)
    ]
    assert rates == pytest.approx([rate_at(step, 20, 0.1, whole) for step in range(20)], rel=1e-12)


@given(steps=st.integers(1, 500), warmup=st.floats(0, 0.9), name=st.sampled_from(["poly", "cosine"]))
def test_it_rises_then_falls_between_zero_and_the_highest(steps, warmup, name):
    settings = replace(POLY, name=name, warmup=warmup)
    rates = [rate_at(step, steps, 0.01, settings) for step in range(steps)]
    assert all(0 < rate <= 0.01 + 1e-15 for rate in rates)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)


class Pooled(TinyNorm):
    """Normalises one value for each channel, as image pooling does."""

    def forward(self, x):
        return super().forward(x) + self.norm(self.first(x).mean((2, 3), keepdim=True))[:, :2]


def test_a_pass_of_one_patch_is_too_small_for_batch_norms():
    with pytest.raises(BprError, match=r"a forward pass has only 1 patch, too few .* lower --accumulate"):
        new_trainer(small_recipe(), Pooled(), accumulate=4).step(0, some_batch(0, count=4))
    assert new_trainer(small_recipe(), Pooled(), accumulate=2).step(0, some_batch(0, count=4)) > 0
