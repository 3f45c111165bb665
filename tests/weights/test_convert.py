"""Weights converted to the other format and with another card, averaged, summed up and tried."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.training.recipe import load_recipe, values_of
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.convert import (
    average_weights,
    convert_weights,
    join_weights,
    summarise_weights,
    try_weights,
)
from bpr_cli.weights.files import load_weights, save_weights
from tests.weights.refusals import refusal


def test_there_and_back_again_is_the_same_file(saved, tmp_path):
    checkpoint, again = tmp_path / "mine.pth", tmp_path / "again.safetensors"
    assert convert_weights(saved, checkpoint).path == checkpoint
    convert_weights(checkpoint, again)
    assert again.read_bytes() == saved.read_bytes()
    other = tmp_path / "other.pt"
    convert_weights(again, other)
    assert other.read_bytes() == checkpoint.read_bytes()


def test_mmsegmentation_can_read_a_checkpoint(saved, tiny, card, tmp_path):
    convert_weights(saved, tmp_path / "mine.pth")
    content = torch.load(tmp_path / "mine.pth", weights_only=True)
    assert list(content) == ["meta", "state_dict"]
    # Its init_segmentor asks for these two.
    assert len(content["meta"]["CLASSES"]) == len(content["meta"]["PALETTE"]) == 2
    assert WeightsCard.from_json(content["meta"]["bpr"]) == card
    assert list(content["state_dict"]) == list(tiny.state_dict())
    tiny.load_state_dict(content["state_dict"], strict=True)


def test_the_authors_checkpoint_comes_back_tensor_by_tensor(shared_fixtures, tmp_path):
    authors = shared_fixtures / "hrnet18s_128.pth"
    converted = convert_weights(authors, tmp_path / "own.safetensors", name="paper", input_size=256, licence="MIT")
    assert (converted.card.name, converted.card.input_size, converted.card.licence) == ("paper", 256, "MIT")
    assert (converted.card.network, converted.card.patch_size) == ("hrnet18s", 64)
    convert_weights(tmp_path / "own.safetensors", tmp_path / "back.pth")
    before = torch.load(authors, weights_only=True)["state_dict"]
    after = torch.load(tmp_path / "back.pth", weights_only=True)["state_dict"]
    assert type(before) is type(after)
    assert list(before) == list(after)
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name], tensor), name


def test_a_card_can_be_corrected_in_place(saved, tiny):
    converted = convert_weights(saved, saved, overwrite=True, padding=16, mask_patch=False)
    assert (converted.card.padding, converted.card.mask_patch, converted.card.patch_size) == (16, False, 48)
    assert torch.equal(load_weights(saved).network.conv.weight, tiny.conv.weight)


def test_existing_files_are_replaced_only_with_overwrite(saved, tmp_path):
    out = tmp_path / "there.pth"
    out.write_text("precious")
    with pytest.raises(BprError, match=r"there\.pth already exist; pass --overwrite"):
        convert_weights(saved, out)
    assert out.read_text() == "precious"
    convert_weights(saved, out, overwrite=True)
    assert load_weights(out).card == load_weights(saved).card


def test_nothing_is_written_where_something_is_wrong(saved, tmp_path):
    before = list(tmp_path.iterdir())
    with pytest.raises(BprError, match=r"must end in \.safetensors, or in"):
        convert_weights(saved, tmp_path / "new.onnx")
    with pytest.raises(BprError, match="patch_size is 1; expected"):
        convert_weights(saved, tmp_path / "new.pth", patch_size=1)
    with pytest.raises(BprError, match=r"there are no weights 'gone'"):
        convert_weights("gone", tmp_path / "new.pth")
    assert list(tmp_path.iterdir()) == before


def test_a_forged_card_in_a_checkpoint_is_refused(tiny, tmp_path):
    for text, sentence in (("{", "card is invalid: it is not JSON"), (" " * 2**21, "characters; expected")):
        torch.save({"state_dict": tiny.state_dict(), "meta": {"bpr": text}}, tmp_path / "forged.pth")
        assert sentence in refusal(tmp_path / "forged.pth")


def test_a_card_that_is_no_text_is_none(tiny, tmp_path):
    for meta in ({"bpr": 7}, {"bpr": {"name": "x"}}, ["bpr"], None):
        torch.save({"state_dict": tiny.state_dict(), "meta": meta}, tmp_path / "mine.pth")
        assert load_weights(tmp_path / "mine.pth").card.name == "mine"


def test_the_card_of_a_checkpoint_names_its_network(tiny, card, tmp_path):
    claimed = WeightsCard("mine", "unet-s").to_json()
    torch.save({"state_dict": tiny.state_dict(), "meta": {"bpr": claimed}}, tmp_path / "other.pth")
    assert "do not fit the network unet-s" in refusal(tmp_path / "other.pth")


def test_the_summary_counts(saved, tiny, card):
    summary = summarise_weights(load_weights(saved))
    assert summary.path == str(saved)
    assert summary.bytes == len(saved.read_bytes())
    assert summary.card == card
    # Convolution 4 -> 2, 3 x 3, with bias; batch norm with scale and shift; and its mean, variance and count.
    assert summary.parameters == 4 * 2 * 9 + 2 + 2 * 2
    assert summary.tensors == 2 + 2 + 3


def test_finite_weights_whose_scores_are_not_are_found(saved, tiny, card):
    try_weights(load_weights(saved))
    nn.init.constant_(tiny.conv.weight, 1e38)
    nn.init.constant_(tiny.bn.weight, 1e38)
    save_weights(saved, tiny, card)
    with pytest.raises(BprError, match=r"mine\.safetensors cannot be used: the network's output"):
        try_weights(load_weights(saved))


def other_training(saved, tiny, tmp_path):
    """Weights of the same network, whose every number is 4 more."""
    with torch.no_grad():
        for tensor in tiny.state_dict().values():
            tensor.add_(4)
    save_weights(tmp_path / "other.safetensors", tiny, WeightsCard("other", "tiny"))
    return load_weights(saved).network.state_dict(), tmp_path / "other.safetensors"


def test_an_average_lies_between_both_trainings(saved, tiny, card, tmp_path):
    before, other = other_training(saved, tiny, tmp_path)
    averaged = average_weights(saved, other, tmp_path / "both.safetensors", 0.25)
    assert averaged.card == card
    after = averaged.network.state_dict()
    for name, tensor in before.items():
        shift = 0 if name.endswith("num_batches_tracked") else 1
        torch.testing.assert_close(after[name], tensor + shift)


def test_what_cannot_be_averaged_is_refused(saved, tiny, tmp_path):
    _, other = other_training(saved, tiny, tmp_path)
    with pytest.raises(BprError, match=r"the share of .*other\.safetensors is 1\.5, expected 0 to 1"):
        average_weights(saved, other, tmp_path / "both.safetensors", 1.5)
    with pytest.raises(BprError, match=r"fast holds a lite-unet and .*other\.safetensors a tiny"):
        average_weights("fast", other, tmp_path / "both.safetensors")
    assert not (tmp_path / "both.safetensors").exists()


def test_weights_that_differ_in_their_card_share_tensors(saved, tiny, card, tmp_path):
    shared = tmp_path / "other.safetensors"
    made = convert_weights(saved, shared, share=True, name="other", flip=True)
    assert (made.card.name, made.card.flip, made.card.tensors_of[0]) == ("other", True, "mine.safetensors")
    assert shared.stat().st_size < 2000
    for name, tensor in tiny.state_dict().items():
        torch.testing.assert_close(made.network.state_dict()[name], tensor, rtol=0, atol=0)
    complete = convert_weights(shared, tmp_path / "complete.safetensors", name=card.name, flip=card.flip)
    assert complete.card == card
    assert (tmp_path / "complete.safetensors").read_bytes() == saved.read_bytes()


def test_shared_tensors_must_be_those_of_their_time(saved, tiny, card, tmp_path):
    shared = tmp_path / "other.safetensors"
    convert_weights(saved, shared, share=True)
    nn.init.constant_(tiny.bn.weight, 3)
    save_weights(saved, tiny, card)
    assert "shares the tensors of" in refusal(shared)
    assert "that file has the SHA-256" in refusal(shared)
    saved.unlink()
    assert "there is no such file; copy both files together" in refusal(shared)


def test_tensors_are_shared_with_the_file_that_holds_them(saved, tmp_path):
    convert_weights(saved, tmp_path / "second.safetensors", share=True)
    third = convert_weights(tmp_path / "second.safetensors", tmp_path / "third.safetensors", share=True)
    assert third.card.tensors_of[0] == "mine.safetensors"
    before = saved.read_bytes()
    for source in (saved, tmp_path / "second.safetensors"):
        with pytest.raises(BprError, match="cannot share the tensors of"):
            convert_weights(source, saved, share=True, overwrite=True)
    assert saved.read_bytes() == before


def test_tensors_are_shared_within_a_folder(saved, tmp_path):
    for other in ("deep/other.safetensors", "other.pth"):
        with pytest.raises(BprError, match="cannot share the tensors of"):
            convert_weights(saved, tmp_path / other, share=True)
    forged = (
        WeightsCard("mine", "tiny").to_json().replace('"tensors_of": null', f'"tensors_of": ["../x", "{"0" * 64}"]')
    )
    with pytest.raises(BprError, match="tensors_of"):
        WeightsCard.from_json(forged)


@pytest.mark.parametrize("of_two", [average_weights, join_weights])
def test_weights_of_two_keep_the_terms_and_the_data_of_both(of_two, saved, tmp_path):
    free = convert_weights(saved, tmp_path / "free.safetensors", licence="any use", training_data="own photographs")
    bound = convert_weights(saved, tmp_path / "bound.safetensors", licence="research only", training_data="films")
    both = of_two(free.path, bound.path, tmp_path / "both.safetensors")
    assert (both.card.licence, both.card.training_data) == ("any use; research only", "own photographs; films")
    same = of_two(free.path, free.path, tmp_path / "same.safetensors")
    assert (same.card.licence, same.card.training_data) == ("any use", "own photographs")


def test_the_summary_counts_both_networks(saved, tmp_path):
    one, two = load_weights(saved), join_weights(saved, saved, tmp_path / "two.safetensors")
    assert summarise_weights(two).tensors == 2 * summarise_weights(one).tensors
    assert summarise_weights(two).parameters == 2 * summarise_weights(one).parameters


def recipe_of(name: str) -> str:
    """A shipped recipe as ``bpr train`` notes it in a card."""
    return "; ".join(f"{key} = {json.dumps(value)}" for key, value in values_of(load_recipe(name)).items())


@pytest.mark.parametrize("recipe", [recipe_of("modern"), recipe_of("images")])
def test_weights_that_saw_patches_alone_are_not_joined_as_those_for_whole_masks(recipe, tiny, card, saved, tmp_path):
    save_weights(tmp_path / "patches.safetensors", tiny, replace(card, recipe=recipe))
    with pytest.raises(BprError) as refused:
        join_weights(saved, tmp_path / "patches.safetensors", tmp_path / "joined.safetensors")
    assert str(refused.value) == (
        f"the weights {tmp_path}/patches.safetensors were trained on patches alone, by the recipe in their card; "
        "expected weights for whole masks, of bpr train --recipe whole"
    )
    assert not (tmp_path / "joined.safetensors").exists()


@pytest.mark.parametrize("recipe", [recipe_of("whole"), recipe_of("fast-4"), "see the model card", ""])
def test_weights_that_may_have_seen_whole_masks_are_joined(recipe, tiny, card, saved, tmp_path):
    save_weights(tmp_path / "whole.safetensors", tiny, replace(card, recipe=recipe))
    assert join_weights(saved, tmp_path / "whole.safetensors", tmp_path / "joined.safetensors").context
