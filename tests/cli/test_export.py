"""``bpr export``: what is written and said."""

import json

import torch


def test_a_network_is_written_and_told(world, bpr, random_weights):
    outcome = bpr(
        "export", "--format", "torchscript", "--weights", random_weights, "--out", "net.torchscript", "--json"
    )
    assert outcome.code == 0
    assert "small unet as torchscript, any number of patches a call: net.torchscript\n" in outcome.err
    told = json.loads(outcome.out)
    assert (told["files"], told["format"], told["batch"]) == (["net.torchscript"], "torchscript", None)
    assert torch.jit.load(world / "net.torchscript") is not None


def test_wrong_names_are_refused(world, bpr, random_weights):
    outcome = bpr("export", "--format", "torchscript", "--weights", random_weights, "--out", "net.onnx")
    assert (outcome.code, outcome.out) == (2, "")
    assert "net.onnx should end in .torchscript" in outcome.err
