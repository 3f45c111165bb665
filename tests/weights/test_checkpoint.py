"""Checkpoints of users: the authors' layout in its usual wrappings, and nothing that runs code."""

import os
import pickle
import zipfile
from collections import OrderedDict
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.weights import checkpoint
from bpr_cli.weights.card import IMAGENET_MEAN, IMAGENET_STD
from bpr_cli.weights.files import load_weights
from tests.weights.refusals import refusal


def prefixed(state):
    return OrderedDict((f"module.{name}", tensor) for name, tensor in state.items())


WRAPPINGS = {
    "bare": lambda state: state,
    "mmcv": lambda state: {"meta": {"CLASSES": ("bg", "fg"), "epoch": 3}, "state_dict": state, "optimizer": {"lr": 1}},
    "model": lambda state: {"model": state},
    "both": lambda state: {"model": {"state_dict": state}},
    "parallel": prefixed,
    "parallel in mmcv": lambda state: {"state_dict": prefixed(state)},
    "parallel twice": lambda state: {"state_dict": prefixed(prefixed(state))},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".PTH"])
def test_usual_wrappings_are_undone(tiny, tmp_path, wrapping, suffix):
    path = tmp_path / f"iter_160000{suffix}"
    torch.save(WRAPPINGS[wrapping](tiny.state_dict()), path)
    loaded = load_weights(path)
    assert loaded.card.network == "tiny"
    assert not loaded.network.training
    for name, tensor in loaded.network.state_dict().items():
        assert torch.equal(tensor, tiny.state_dict()[name])


def test_a_head_that_only_training_needs_is_left_out(tiny, tmp_path):
    state = {**tiny.state_dict(), "auxiliary_head.conv_seg.bias": torch.zeros(2)}
    torch.save({"state_dict": prefixed(state)}, tmp_path / "deeply_supervised.pth")
    assert load_weights(tmp_path / "deeply_supervised.pth").card.network == "tiny"


def test_the_old_file_format_is_read(tiny, tmp_path):
    torch.save(tiny.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert load_weights(tmp_path / "old.pth").card.network == "tiny"


def test_the_authors_checkpoint_gets_the_settings_of_the_paper(shared_fixtures):
    loaded = load_weights(shared_fixtures / "hrnet18s_128.pth")
    card = loaded.card
    assert (card.name, card.network) == ("hrnet18s_128", "hrnet18s")
    assert (card.patch_size, card.padding, card.input_size) == (64, 0, 128)
    assert (card.mean, card.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert "unknown" in card.licence


class Payload:
    """Creates a file when unpickled."""

    def __init__(self, proof) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


@pytest.mark.parametrize("modern", [True, False])
def test_code_in_a_checkpoint_is_never_run(tiny, tmp_path, modern):
    proof = tmp_path / "proof"
    path = tmp_path / "evil.pth"
    content = {"state_dict": tiny.state_dict(), "meta": Payload(proof)}
    torch.save(content, path, _use_new_zipfile_serialization=modern)
    message = refusal(path)
    assert "mkdir, which could run code, so it was not opened" in message
    assert "torch.save({'state_dict': model.state_dict()}" in message
    assert not proof.exists()


def test_the_payload_would_have_worked(tmp_path):
    pickle.loads(pickle.dumps(Payload(tmp_path / "proof")))
    assert (tmp_path / "proof").exists()


def test_a_bare_pickle_with_code_is_never_run(tmp_path):
    proof = tmp_path / "proof"
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Payload(proof)))
    refusal(tmp_path / "evil.pt")
    assert not proof.exists()


def test_a_pickled_model_is_refused(tmp_path):
    torch.save(nn.Sequential(nn.Conv2d(4, 2, 3)), tmp_path / "model.pth")
    assert "holds the Python object" in refusal(tmp_path / "model.pth")


@pytest.mark.parametrize("content", [b"", b"text", b"\x80\x02", b"PK\x03\x04" + b"\0" * 64, b"\0" * 4096])
def test_files_that_are_not_checkpoints_are_refused(tmp_path, content):
    (tmp_path / "broken.pth").write_bytes(content)
    assert "damaged" in refusal(tmp_path / "broken.pth")


def test_truncated_checkpoints_are_refused(tiny, tmp_path):
    path = tmp_path / "cut.pth"
    torch.save(tiny.state_dict(), path)
    path.write_bytes(path.read_bytes()[:-200])
    assert "damaged" in refusal(path)


def test_other_zip_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
        archive.writestr("a/data.pkl", b"nothing")
    refusal(tmp_path / "zip.pth")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data(), st.booleans())
def test_damaged_files_are_read_or_refused_with_a_message(tiny, tmp_path, data, modern):
    path = tmp_path / "damaged.pth"
    torch.save({"state_dict": tiny.state_dict()}, path, _use_new_zipfile_serialization=modern)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(BprError):
        load_weights(path)


def test_zip_files_with_a_damaged_directory_are_refused(tiny, tmp_path):
    path = tmp_path / "damaged.pth"
    torch.save(tiny.state_dict(), path)
    content = path.read_bytes()
    # The number of disks in the zip64 locator, from which Python's reader turns away in its first look.
    at = content.rindex(b"PK\x06\x07") + 16
    path.write_bytes(content[:at] + b"\x09" + content[at + 1 :])
    assert "damaged zip file" in refusal(path)


def test_zip_bombs_are_refused_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LARGEST_FILE", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(3 << 20))
    assert (tmp_path / "bomb.pth").stat().st_size < 1 << 20
    assert "unpacks to 3 MiB, more than the 1 MiB" in refusal(tmp_path / "bomb.pth")


def test_a_checkpoint_that_was_compressed_is_refused(tiny, tmp_path):
    torch.save(tiny.state_dict(), tmp_path / "mine.pth")
    rewrite(tmp_path / "mine.pth", lambda name, content: content, zipfile.ZIP_DEFLATED)
    assert "its parts are compressed" in refusal(tmp_path / "mine.pth")


@pytest.mark.parametrize("claimed", [10_000, 2**31 - 1])
def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path, claimed):
    """Memory behind the file must not be read as weights."""
    torch.save({"state_dict": {"a": torch.zeros(4)}}, tmp_path / "mine.pth")
    four, more = b"K\x04", b"J" + claimed.to_bytes(4, "little")
    rewrite(tmp_path / "mine.pth", lambda name, content: content.replace(four, more) if "data.pkl" in name else content)
    assert "it is damaged" in refusal(tmp_path / "mine.pth")


def rewrite(path, change, compression=zipfile.ZIP_STORED):
    """Change the parts of a checkpoint."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, change(name, content))


@pytest.mark.parametrize(
    "content",
    [7, [], {}, "text", torch.zeros(3), {"epoch": 3}, {1: torch.zeros(1)}, {"state_dict": {"conv.weight": [1.0]}}],
)
def test_a_file_without_a_state_dict_says_so(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    assert "holds no state dict" in refusal(tmp_path / "other.pth")


@pytest.mark.parametrize("value", [torch.zeros(3, device="meta"), torch.zeros(3).to_sparse()])
def test_tensors_without_their_numbers_are_refused(tmp_path, value):
    torch.save({"conv.bias": value}, tmp_path / "odd.pth")
    assert "not a plain tensor" in refusal(tmp_path / "odd.pth")


def test_another_network_is_answered_with_the_known_ones(tmp_path):
    torch.save({"features.weight": torch.zeros(3)}, tmp_path / "other.pth")
    message = refusal(tmp_path / "other.pth")
    assert "no tensor of a network that bpr knows (deeplabv3plus-r50, fast-scnn, hrnet18" in message
    assert "found features.weight" in message


def test_a_misfit_is_named(tiny, tmp_path):
    state = {**tiny.state_dict(), "conv.bias": torch.zeros(5), "extra": torch.zeros(1)}
    del state["bn.weight"]
    torch.save({"state_dict": state}, tmp_path / "near.pth")
    message = refusal(tmp_path / "near.pth")
    assert "do not fit the network tiny: 1 missing (bn.weight); 1 unexpected (extra)" in message
    assert "conv.bias is (5,), expected (2,)" in message


@pytest.mark.parametrize("value", [torch.tensor([1j, 0]), torch.tensor([1, 2]), torch.tensor([float("nan"), 0])])
def test_values_of_no_use_are_refused(tiny, tmp_path, value):
    torch.save({**tiny.state_dict(), "conv.bias": value}, tmp_path / "odd.pth")
    assert "tensor conv.bias" in refusal(tmp_path / "odd.pth")
