"""Weights that learn to compute in 8-bit integers."""

import pytest

from bpr_cli.errors import BprError
from bpr_cli.inference.int8 import rounded
from bpr_cli.training.quantise import quantise_weights
from bpr_cli.weights.convert import convert_weights
from bpr_cli.weights.files import load_weights
from tests.training.toy_data import image_set


def test_weights_note_what_they_need(tmp_path):
    toys, out = image_set(tmp_path / "toys", ["a", "b", "c"]), tmp_path / "quick.safetensors"
    convert_weights("fast", tmp_path / "plain.safetensors", int8=())
    assert quantise_weights(tmp_path / "plain.safetensors", [toys], out, patches=32) >= 8
    quick = load_weights(out)
    assert rounded(quick.network, quick.card.int8) is not quick.network
    assert quick.card.judge == load_weights("fast").card.judge
    with pytest.raises(BprError, match="already exist"):
        quantise_weights("fast", [toys], out, patches=16)


def test_the_same_seed_gives_the_same_numbers(tmp_path):
    toys = image_set(tmp_path / "toys", ["a", "b"])
    outs = [tmp_path / f"{seed}{turn}.safetensors" for seed in (0, 1) for turn in "ab"]
    for out in outs:
        quantise_weights("fast", [toys], out, patches=16, seed=int(out.name[0]))
    numbers = [load_weights(out).card.int8 for out in outs]
    assert numbers[0] == numbers[1]
    assert numbers[2] != numbers[0]


def test_nothing_can_be_measured_without_masks(tmp_path):
    with pytest.raises(BprError, match="no masks with a boundary"):
        quantise_weights("fast", [], tmp_path / "out.safetensors")
