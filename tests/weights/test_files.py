"""bpr's own weights files: they are loaded as they were saved, and broken ones are refused by name."""

import hashlib
import json
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bpr_cli.errors import BprError
from bpr_cli.networks.hrnet import HRNet
from bpr_cli.weights import files as weights
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import METADATA_KEY, load_weights, save_weights
from tests.weights.refusals import refusal


def rewritten(path, card: str | None, change=lambda tensors: tensors):
    """Save the file anew with another card text, or with changed tensors."""
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    save_file(change(tensors), path, metadata=None if card is None else {METADATA_KEY: card})
    return path


def test_saved_weights_are_loaded_bit_by_bit(saved, tiny, card):
    loaded = load_weights(saved)
    assert loaded.card == card
    assert loaded.path == saved
    assert loaded.digest == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert not loaded.network.training
    state = loaded.network.state_dict()
    assert list(state) == list(tiny.state_dict())
    for name, tensor in tiny.state_dict().items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor), name


def test_an_hrnet_in_channels_last_is_saved_and_loaded(tmp_path):
    network = HRNet().to(memory_format=torch.channels_last).eval()
    save_weights(tmp_path / "deep" / "hrnet.safetensors", network, WeightsCard("mine", "hrnet18s"))
    loaded = load_weights(tmp_path / "deep" / "hrnet.safetensors").network
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_equal_weights_make_equal_files(saved, tiny, card, tmp_path):
    again = tmp_path / "again.safetensors"
    save_weights(again, tiny, card)
    assert again.read_bytes() == saved.read_bytes()


def test_half_precision_files_are_loaded_as_float32(saved, card):
    halved = rewritten(saved, card.to_json(), lambda tensors: {n: _halved(t) for n, t in tensors.items()})
    assert load_weights(halved).network.conv.weight.dtype == torch.float32


def _halved(tensor):
    return tensor.half() if tensor.is_floating_point() else tensor


def test_a_shipped_name_is_found(saved, monkeypatch):
    monkeypatch.setattr("bpr_cli.weights.lookup.shipped_weights", lambda: {"fast": saved})
    assert load_weights().path == saved
    assert load_weights("fast").path == saved


def test_an_unknown_name_is_answered_with_the_shipped_ones(saved, monkeypatch):
    monkeypatch.setattr("bpr_cli.weights.lookup.shipped_weights", lambda: {"default": saved, "fine": saved})
    assert "there is no such file, and the shipped ones are default, fine" in refusal("coarse")


def test_without_shipped_weights_a_missing_file_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("bpr_cli.weights.lookup.shipped_weights", dict)
    assert "none are shipped" in refusal(tmp_path / "gone.safetensors")
    assert "that is a folder" in refusal(tmp_path)


def test_other_suffixes_are_answered_with_the_known_ones(tmp_path):
    path = tmp_path / "model.onnx"
    path.touch()
    assert ".safetensors (written by bpr) or in .pth or .pt" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"short", b"\xff" * 64, b"\x08" + b"\0" * 7 + b"not json", b"\x02" + b"\0" * 7 + b"[]", b"PK\x03\x04" * 99],
)
def test_a_file_that_is_no_safetensors_says_so(tmp_path, content):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    assert "not a complete safetensors file" in refusal(path)


def test_a_truncated_file_says_so(saved):
    saved.write_bytes(saved.read_bytes()[:-10])
    assert "not a complete safetensors file" in refusal(saved)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_damaged_files_are_read_or_refused_with_a_message(saved, tmp_path, data):
    content = bytearray(saved.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(BprError):
        load_weights(path)


def test_a_file_of_another_program_has_no_settings(saved):
    assert "no card in its metadata" in refusal(rewritten(saved, None))


def test_settings_must_be_json(saved):
    assert "card is invalid: it is not JSON" in refusal(rewritten(saved, "{"))


@pytest.mark.parametrize("text", ["null", "3", "[1, 2]", '"text"'])
def test_settings_must_be_an_object(saved, text):
    assert "expected an object" in refusal(rewritten(saved, text))


def test_settings_are_bounded_before_they_are_parsed(saved):
    assert "characters; expected at most" in refusal(rewritten(saved, " " * (weights.LARGEST_CARD + 1)))


def test_forged_settings_are_refused_before_a_network_is_built(saved, card, monkeypatch):
    def never(name):
        raise AssertionError("built a network")

    forged = json.dumps({**json.loads(card.to_json()), "input_size": 1 << 40})
    monkeypatch.setattr(weights, "build_network", never)
    assert "input_size is 1099511627776; expected a whole number from 32 to 1024, a multiple of 32" in refusal(
        rewritten(saved, forged)
    )


def test_an_unknown_network_is_answered_with_the_known_ones(saved, card):
    forged = json.dumps({**json.loads(card.to_json()), "network": "giant"})
    assert "no network 'giant'; the networks are deeplabv3plus-r50, fast-scnn, hrnet18" in refusal(
        rewritten(saved, forged)
    )


def test_misfits_are_counted_and_the_first_named(saved, card):
    def change(tensors):
        del tensors["bn.bias"]
        return {**tensors, "bn.weight": torch.zeros(3), "a": torch.zeros(1), "b": torch.zeros(1)}

    message = refusal(rewritten(saved, card.to_json(), change))
    assert "do not fit the network tiny: 1 missing (bn.bias); 2 unexpected (a, b)" in message
    assert "1 of another shape (bn.weight is (3,), expected (2,))" in message


def test_many_misfits_are_cut_short(saved, card):
    message = refusal(rewritten(saved, card.to_json(), lambda t: {f"x{i}" * 500: torch.zeros(1) for i in range(9)}))
    assert "9 unexpected" in message
    assert len(message) < 1000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite_are_refused(saved, card, value):
    def change(tensors):
        tensors["conv.weight"][0, 0, 0, 0] = value
        return tensors

    assert "tensor conv.weight holds NaN or infinity" in refusal(rewritten(saved, card.to_json(), change))


def test_a_value_that_only_float64_holds_is_refused(saved, card):
    def change(tensors):
        return {**tensors, "conv.bias": torch.tensor([1e300, 0.0], dtype=torch.float64)}

    assert "tensor conv.bias holds NaN or infinity" in refusal(rewritten(saved, card.to_json(), change))


def test_a_negative_variance_is_refused(saved, card):
    def change(tensors):
        return {**tensors, "bn.running_var": torch.tensor([1.0, -1.0])}

    assert "tensor bn.running_var holds a negative variance" in refusal(rewritten(saved, card.to_json(), change))


def test_integers_are_no_weights(saved, card):
    def change(tensors):
        return {**tensors, "conv.bias": torch.tensor([1, 0])}

    assert "tensor conv.bias is of type torch.int64" in refusal(rewritten(saved, card.to_json(), change))


def test_save_refuses_what_load_would_refuse(tiny, card, tmp_path):
    with pytest.raises(BprError, match=r"must end in \.safetensors, or in \.pth or \.pt for a checkpoint"):
        save_weights(tmp_path / "mine.onnx", tiny, card)
    with pytest.raises(BprError, match="do not fit the network hrnet18s"):
        save_weights(tmp_path / "mine.safetensors", tiny, WeightsCard("mine", "hrnet18s"))
    tiny.conv.bias.data[0] = float("nan")
    with pytest.raises(BprError, match=r"conv\.bias holds NaN"):
        save_weights(tmp_path / "mine.safetensors", tiny, card)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_no_other(saved, tiny, card, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    tiny.conv.bias.data += 1
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BprError, match=r"mine\.safetensors cannot be written: No space left on device"):
        save_weights(saved, tiny, card)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
