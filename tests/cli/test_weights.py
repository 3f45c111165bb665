"""``bpr weights``: what is listed, shown, converted and checked."""

import hashlib
import json
import re
import shutil

import pytest

from tests.cli.worlds import tree


@pytest.fixture
def mine(world, random_weights):
    """Weights in the working directory."""
    shutil.copy(random_weights, world / "mine.safetensors")
    return world / "mine.safetensors"


@pytest.fixture
def shipped(world, mine, monkeypatch):
    """The same weights as if they were shipped, under two names."""
    ship = {"fast": mine, "fine": mine}
    for module in ("bpr_cli.cli.weights", "bpr_cli.weights.lookup"):
        monkeypatch.setattr(f"{module}.shipped_weights", lambda: ship)
    return ship


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


LISTED = """\
shipped weights (* is the default)
┏━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━┓
┃        ┃ network ┃ parameters ┃    size ┃ licence ┃
┡━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━┩
│ fast * │ unet-s  │  2,744,354 │ 11.0 MB │         │
│ fine   │ unet-s  │  2,744,354 │ 11.0 MB │         │
└────────┴─────────┴────────────┴─────────┴─────────┘
"""


def test_shipped_weights_are_listed(shipped, bpr):
    outcome = bpr("weights", "list")
    assert (outcome.code, outcome.out, outcome.err) == (0, LISTED, "")


def test_shipped_weights_are_listed_for_programs(shipped, mine, bpr):
    outcome = bpr("weights", "list", "--json")
    assert (outcome.code, outcome.err) == (0, LISTED)
    listed = json.loads(outcome.out)
    assert [(entry["name"], entry["default"]) for entry in listed] == [("fast", True), ("fine", False)]
    assert {entry["digest"] for entry in listed} == {digest(mine)}
    assert listed[0]["card"]["name"] == "small unet"


def test_a_damaged_file_does_not_keep_the_others_from_the_list(shipped, mine, bpr):
    damaged = mine.with_name("damaged.safetensors")
    damaged.write_bytes(mine.read_bytes()[:1000])
    whole = json.loads(bpr("weights", "list", "--json").out)
    shipped["broken"] = damaged
    outcome = bpr("weights", "list", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out) == whole
    assert outcome.err.startswith("error: ")
    assert str(damaged) in outcome.err
    assert outcome.err.endswith(LISTED)


def test_the_real_shipped_weights_can_be_used(bpr):
    listed = json.loads(bpr("weights", "list", "--json").out)
    assert [entry["name"] for entry in listed if entry["default"]] == ["fast"]
    for entry in listed:
        assert bpr("weights", "check", entry["name"]).code == 0


SHOWN = """\
name           small unet
network        unet-s
patch size     16
min patch size -
padding        8
input size     32
mean           123.675, 116.28, 103.53
std            58.395, 57.12, 57.375
mask patch     True
scales         1.0
view           -
rim            0
nms threshold  0.25
follow         False
min part       0
min movement   0.0
flip           False
core           1.0
training data  -
metrics        -
licence        -
description    -
recipe         -
judge          -
final judge    -
map judge      -
int8           -
tensors of     -
context        -
path           mine.safetensors
digest         {digest}
bytes          {bytes}
tensors        180
parameters     2744354
"""


def test_everything_known_is_shown(mine, bpr):
    outcome = bpr("weights", "show", "mine.safetensors")
    expected = SHOWN.format(digest=digest(mine), bytes=mine.stat().st_size)
    assert (outcome.code, outcome.out, outcome.err) == (0, expected, "")


def test_every_value_that_is_shown_is_explained(bpr):
    explained = bpr("weights", "show", "--help").out.partition("\nValues:\n")[2]
    entries = re.findall(r"^  (\S+(?: \S+)*)  +(\S.*)$", explained, re.MULTILINE)
    assert [name for name, _ in entries] == [line[:15].strip() for line in SHOWN.splitlines()]
    told = dict(entries)
    assert told["network"] == "Architecture by name, or module:Class"
    assert told["rim"].startswith("Part of the context that is pasted back as well"), "as bpr weights convert says"
    assert max(map(len, explained.splitlines())) <= 80


def test_everything_known_is_shown_for_programs(mine, bpr):
    summary = json.loads(bpr("weights", "show", "mine.safetensors", "--json").out)
    assert (summary["path"], summary["bytes"]) == ("mine.safetensors", mine.stat().st_size)
    assert (summary["tensors"], summary["parameters"]) == (180, 2744354)
    assert (summary["card"]["network"], summary["card"]["padding"]) == ("unet-s", 8)


def test_there_and_back_again(world, mine, bpr):
    outcome = bpr("weights", "convert", "mine.safetensors", "deep/mine.pth")
    checkpoint = world / "deep/mine.pth"
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == f"unet-s as small unet: deep/mine.pth, SHA-256 {digest(checkpoint)}\n"
    assert bpr("weights", "check", "deep/mine.pth").code == 0
    assert bpr("weights", "convert", "deep/mine.pth", "again.safetensors").code == 0
    assert (world / "again.safetensors").read_bytes() == mine.read_bytes()


def test_an_average_with_themselves_is_the_same_file(world, mine, bpr):
    outcome = bpr("weights", "average", "mine.safetensors", "mine.safetensors", "both.safetensors", "--share", "0.3")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err == f"written: both.safetensors, SHA-256 {digest(mine)}\n"


CHANGES = {
    "name": "new",
    "patch_size": 32,
    "min_patch_size": 8,
    "padding": 4,
    "input_size": 64,
    "training_data": "none at all",
    "licence": "CC0",
    "description": "random",
}


def test_the_card_can_be_changed(world, mine, bpr):
    before = json.loads(bpr("weights", "show", "mine.safetensors", "--json").out)["card"]
    given = [part for name, value in CHANGES.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    more = ("--no-mask-patch", "--scales", "2,1", "--flip", "--core", "0.25", "--follow", "--rim", "4", "--view", "300")
    assert bpr("weights", "convert", "mine.safetensors", "new.safetensors", *given, *more).code == 0
    after = json.loads(bpr("weights", "show", "new.safetensors", "--json").out)["card"]
    placed = {"scales": [2, 1], "flip": True, "core": 0.25, "follow": True, "rim": 4, "view": 300}
    assert after == {**before, **CHANGES, "mask_patch": False, **placed}


def test_a_file_is_replaced_only_when_told(world, mine, bpr):
    (world / "there.pth").write_text("precious")
    before = tree(world)
    outcome = bpr("weights", "convert", "mine.safetensors", "there.pth")
    sentence = "the weights there.pth already exist; pass --overwrite to replace them, or choose another name"
    assert (outcome.code, outcome.out, outcome.errors) == (2, "", [sentence])
    assert tree(world) == before
    assert bpr("weights", "convert", "mine.safetensors", "there.pth", "--overwrite").code == 0
    assert bpr("weights", "check", "there.pth").code == 0


def test_a_check_tells_what_was_found(mine, bpr):
    outcome = bpr("weights", "check", "mine.safetensors")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == f"mine.safetensors can be used: 180 tensors of unet-s\nSHA-256 {digest(mine)}\n"
    assert json.loads(bpr("weights", "check", "mine.safetensors", "--json").out)["digest"] == digest(mine)


@pytest.mark.parametrize("command", [["show"], ["check"], ["check", "--json"], ["convert"]], ids=" ".join)
@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        (
            "coarse",
            None,
            "there are no weights 'coarse': there is no such file, and the shipped ones are fast, fine",
        ),
        ("model.onnx", b"", "the weights model.onnx cannot be used: expected a name that ends in .safetensors"),
        ("cut.safetensors", "cut", "the weights cut.safetensors cannot be used: it is not a complete safetensors file"),
        ("pickle.pth", b"\x80\x04cos\nsystem\n.", "the weights pickle.pth cannot be used: it"),
    ],
    ids=["unknown", "other format", "truncated", "code"],
)
def test_bad_weights_are_one_sentence(command, name, content, sentence, world, shipped, mine, bpr):
    if content is not None:
        (world / name).write_bytes(mine.read_bytes()[:-9] if content == "cut" else content)
    before = tree(world)
    out = ["out.safetensors"] if command == ["convert"] else []
    outcome = bpr("weights", *command, name, *out)
    assert (outcome.code, outcome.out) == (2, "")
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith(sentence)
    assert "Traceback" not in outcome.err
    assert tree(world) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["out.onnx"], "the weights out.onnx cannot be written: the name must end in .safetensors, or in .pth or .pt"),
        (["out.pth", "--patch-size", "0"], "--patch-size is 0; expected a whole number from 4 to 2048"),
        (
            ["out.pth", "--input-size", "100"],
            "--input-size is 100; expected a whole number from 32 to 1024, a multiple of 32",
        ),
        (["out.pth", "--name", ""], "--name is ''; expected text of 1 to 200 characters"),
        (["masks/a.png/out.pth"], "the weights masks/a.png/out.pth cannot be written: "),
    ],
    ids=["format", "patch size", "input size", "name", "folder"],
)
def test_what_cannot_be_converted_is_one_sentence(arguments, sentence, world, mine, bpr):
    before = tree(world)
    outcome = bpr("weights", "convert", "mine.safetensors", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith(sentence)
    assert tree(world) == before


def test_debug_works_here_too(world, bpr):
    outcome = bpr("weights", "show", "coarse", "--debug")
    assert outcome.code == 2
    assert "Traceback (most recent call last)" in outcome.err
