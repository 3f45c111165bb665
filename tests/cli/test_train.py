"""``bpr train``: whole outputs, exit codes, and every option that is not a plain number."""

import json
import os
import re
import signal
import time
from types import SimpleNamespace

import pytest

from bpr_cli.cli.console import Console
from bpr_cli.cli.train import show
from bpr_cli.networks.registry import NETWORKS
from bpr_cli.training.checkpoint import ValidationResult
from bpr_cli.training.validate import PatchScores
from bpr_cli.weights.files import load_weights
from tests.cli.worlds import results, tree
from tests.formats.format_builders import pixels
from tests.training.toy_data import toy_set
from tests.training.trainers import Tiny, TinyNorm

SHORT = (
    "--network",
    "tiny",
    "--steps",
    "20",
    "--batch-size",
    "4",
    "--padding",
    "8",
    "--workers",
    "0",
    "--input-size",
    "0",
)


@pytest.fixture
def train(world, bpr, monkeypatch):
    """Run ``bpr train`` on a toy in the world, for some steps of a tiny network."""
    monkeypatch.setitem(NETWORKS, "tiny", Tiny)
    monkeypatch.setitem(NETWORKS, "tiny-norm", TinyNorm)
    toy_set(world / "patches")

    def run(*arguments):
        settled = [*SHORT, "--out", "run"]
        for name in {*settled[::2]} & {*arguments}:
            del settled[settled.index(name) : settled.index(name) + 2]
        return bpr("train", "patches", *settled, *arguments)

    return run


def test_what_is_shown(train, world):
    outcome = train("--validate-every", "10")
    assert (outcome.code, outcome.out, outcome.errors) == (0, "", [])
    # On a busy machine, more lines of progress come between.
    lines = [line for line in outcome.err.splitlines() if not line.startswith("training") or "20/20" in line]
    assert re.fullmatch(
        r"20 steps of 4 patches on cpu, about 0:00:\d\d \(h:mm:ss\) and the time of validations", lines[0]
    )
    assert re.fullmatch(r"training 20/20, [\d.]+ steps/s, 0 s left, loss 0\.\d{4}", lines[1])
    assert lines[2] == "tiny on 36 patches -> run, scores in percent"
    assert re.fullmatch(r"┃ 4 held-out patches ┃ step ┃ +IoU ┃ boundary F, 1 px ┃", lines[4])
    assert re.fullmatch(r"│ coarse masks +│ +│ \d\d\.\d │ +\d\d\.\d │", lines[6])
    assert re.fullmatch(r"│ last +│ +20 │ \d\d\.\d │ +\d\d\.\d │", lines[7])
    assert re.fullmatch(r"│ best +│ +[12]0 │ \d\d\.\d │ +\d\d\.\d │", lines[8])
    written = ["best.safetensors", "last.safetensors", "curves.png", "patches.jpg"]
    advice = (
        "the weights have no judge yet, which takes wrong changes back: bpr weights judge teaches one from sets that "
        "bpr extract makes with --scheme image"
    )
    assert lines[10:] == [*(f"written: run/{name}" for name in written), advice]
    assert pixels(world / "run/curves.png").ndim == 3


def test_the_scores_of_the_initial_weights_are_shown(train, world):
    assert train("--out", "first").code == 0
    still = ("--init", "first/last.safetensors", "--network", "tiny", "--lr", "1e-30", "--set", "schedule.min_rate=0")
    rows = [line for line in train(*still).err.splitlines() if line.startswith("│")]
    names, steps, *scores = zip(*(re.split(r" *│ *", row)[1:5] for row in rows), strict=True)
    assert (names[:3], steps[:3]) == (("coarse masks", "initial weights", "last"), ("", "0", "20"))
    assert all(initial == last for _, initial, last, *_ in scores), "nothing was learned"


@pytest.mark.parametrize(("initial", "told"), [(80.0, True), (60.0, False)])
def test_weights_that_are_worse_than_the_initial_ones_are_told(initial, told, capsys):
    found = ValidationResult(20, 70.0, 65.0)
    summary = SimpleNamespace(
        **{"network": "tiny", "patches": 9, "output": "run", "weights": {}, "curves": "c", "sheet": "s"},
        **{
            "coarse": PatchScores(4, 50.0, 20.0),
            "initial": PatchScores(4, initial, 60.0),
            "last": found,
            "best": found,
        },
    )
    show(Console(), summary)
    assert ("the initial weights score higher than all that followed" in capsys.readouterr().err) == told


def test_the_recipe_is_shown_with_all_values_and_nothing_is_trained(train, world):
    outcome = train("--show-recipe", "--set", "loss.boundary_weight=7")
    assert (outcome.code, outcome.err) == (0, "")
    assert "loss.boundary_weight = 7.0" in outcome.out.splitlines()
    (world / "mine.toml").write_text(outcome.out)
    assert train("--recipe", "mine.toml", "--show-recipe").out == outcome.out
    assert not (world / "run").exists()


def test_the_recipe_is_shown_without_patches(bpr, world):
    shown = bpr("train", "--show-recipe", "--recipe", "paper", "--patience", "4")
    assert (shown.code, shown.err) == (0, "")
    assert {"steps = 160000", "patience = 4"} <= {*shown.out.splitlines()}
    for arguments, missing in ((["--out", "run"], "PATCHES"), (["patches"], "--out")):
        outcome = bpr("train", *arguments)
        assert outcome.code == 2
        assert re.fullmatch(rf"{missing} is missing \(.*\); see bpr train --help", outcome.errors[0])


def test_patience_is_told(train):
    still = ("--lr", "1e-30", "--set", "ema_decay=0", "--set", "schedule.min_rate=0")
    outcome = train(*still, "--steps", "60", "--validate-every", "5", "--patience", "2")
    assert outcome.code == 0
    assert outcome.err.splitlines()[-1] == (
        "stopped after step 15 of 60: no validation was better than that of step 5; to train on, repeat the command "
        "with more --patience"
    )


OWN_NETWORK = """
from torch import nn

class Mine(nn.Conv2d):
    def __init__(self):
        super().__init__(4, 2, 5, padding=2)
"""


def test_an_own_network_trains_and_refines(train, bpr, world, monkeypatch):
    (world / "code").mkdir()
    (world / "code/my_networks.py").write_text(OWN_NETWORK)
    assert "cannot be imported" in train("--network", "my_networks:Mine").errors[0]
    monkeypatch.syspath_prepend(world / "code")
    outcome = train("--network", "my_networks:Mine")
    assert outcome.code == 0
    told = "the code of the module my_networks is imported, because the network is my_networks:Mine"
    assert told in outcome.err
    assert load_weights(world / "run/best.safetensors").card.network == "my_networks:Mine"
    refined = bpr("refine", "masks", "--images", "images", "--out", "refined", "--weights", "run/best.safetensors")
    assert (refined.code, refined.errors) == (0, [])


def test_json(train):
    outcome = train("--json", "--seed", "3", "--set", "loss.boundary_weight=4", "--lr", "0.01")
    summary = json.loads(outcome.out)
    assert (outcome.code, summary["network"], summary["steps"], summary["stopped_at"]) == (0, "tiny", 20, 20)
    assert summary["weights"] == {"best": "run/best.safetensors", "last": "run/last.safetensors"}
    assert (summary["patches"], summary["coarse"]["patches"], summary["last"]["step"]) == (36, 4, 20)
    settings = summary["settings"]
    assert (settings["seed"], settings["recipe.loss.boundary_weight"]) == (3, 4.0)
    assert settings["recipe.optimiser.learning_rate"] == 0.01
    assert 0 < summary["loss"] < 2


def test_the_weights_refine(train, world, refine):
    assert train("--name", "my discs", "--licence", "CC0").code == 0
    card = load_weights(world / "run/best.safetensors").card
    assert (card.name, card.licence, card.patch_size, card.padding, card.input_size) == ("my discs", "CC0", 16, 8, 32)
    outcome = refine("masks", "--images", "images", "--out", "out", "--weights", "run/best.safetensors")
    assert (outcome.code, outcome.errors) == (0, [])
    assert re.search(r"format masks, weights my discs, on cpu \(\w+\) -> out\n", outcome.err)
    assert sorted(results(world / "out")) == ["a.png", "b.png", "c.png"]


def test_without_the_mask_patch(train, world):
    assert train("--no-mask-patch").code == 0
    assert not load_weights(world / "run/best.safetensors").card.mask_patch
    assert (
        train("--mask-patch")
        .errors[0]
        .startswith("run was started with mask_patch=false, but this run has mask_patch=true; ")
    )


def test_starting_again_goes_on_or_says_why_not(train, world):
    train()
    again = train()
    assert again.code == 0
    assert again.err.startswith("resuming after step 20 of 20\n")
    before = tree(world)
    outcome = train("--lr", "0.5")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.errors == [
        "run was started with recipe.optimiser.learning_rate=0.002, but this run has "
        "recipe.optimiser.learning_rate=0.5; use the same settings to resume, give another --out, or --overwrite to "
        "start afresh"
    ]
    assert tree(world) == before
    assert train("--lr", "0.5", "--overwrite").code == 0


def test_a_recipe_file_and_its_errors(train, world):
    (world / "mine.toml").write_text('base = "paper"\nbatch_size = 8\n')
    assert train("--recipe", "mine.toml").code == 0
    (world / "mine.toml").write_text('base = "paper"\nbatchsize = 8\n')
    outcome = train("--recipe", "mine.toml", "--overwrite")
    assert outcome.code == 2
    (error,) = outcome.errors
    assert error.startswith("the recipe mine.toml cannot be used: batchsize is unknown; expected network, ")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--recipe", "quick"), "there is no recipe 'quick'; give a file, or one of fast, fast-2, "),
        (("--set", "steps"), "--set is 'steps', expected key=value such as optimiser.learning_rate=0.001"),
        (
            ("--steps", "0"),
            "--steps is 0; expected a whole number from 1 to 1,000,000,000",
        ),
        (("--network", "resnet"), "there is no network 'resnet'; the networks are "),
        (
            ("--padding", "99"),
            "padding is 99, but the patch set patches has 12 px of context; give less, ",
        ),
        (("--precision", "half"), "--precision is 'half'; expected one of float32, bfloat16, float16"),
        (("--device", "cuda:0,1"), "device is 'cuda:0,1', but PyTorch sees 0 CUDA devices; "),
        (("--init", "nix.pth"), "there are no weights 'nix.pth': there is no such file, and the shipped ones are "),
        (("--validation", "images"), "images holds no set.json, expected a finished patch set; make one, "),
        (("--validation-share", "1"), "--validation-share is 1.0; expected a number above 0 and below 1"),
        (
            ("--accumulate", "3"),
            "a batch of 4 patches cannot be shared evenly by 1 process with 3 passes each; give a multiple of 3",
        ),
        (
            ("--input-size", "33"),
            "--input-size is 33; expected a whole number from 0 to 1024, a multiple of 32",
        ),
        (("--out", "patches"), "the output patches lies inside patches, which is an input; give another --out"),
        (("--out", "images/a.png"), "the output images/a.png is a file, expected a folder"),
        (("--name", "a\nb"), "name is 'a\\nb'; expected printable characters"),
    ],
)
def test_wrong_usage_writes_nothing(arguments, error, train, world):
    before = tree(world)
    outcome = train(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    (said,) = outcome.errors
    assert said.startswith(error)
    assert tree(world) == before


def test_a_set_that_was_cut_short(train, world):
    (shard,) = (world / "patches").glob("patches-*.bin")
    shard.write_bytes(shard.read_bytes()[:-1])
    outcome = train()
    assert outcome.code == 2
    assert outcome.errors[0].startswith(f"patches/{shard.name} has ")
    assert not (world / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("send", "number", "code"),
    [(os.kill, signal.SIGINT, 130), (os.kill, signal.SIGTERM, 143), (os.killpg, signal.SIGTERM, 143)],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM to all processes"],
)
def test_stopping_saves_and_says_how_to_go_on(send, number, code, world, start):
    toy_set(world / "patches")
    arguments = ("train", "patches", "--out", "run", "--steps", "2000", "--batch-size", "2", "--padding", "8")
    log = world / "run/log.csv"
    with start(*arguments) as process:
        while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 1):
            time.sleep(0.02)
        send(process.pid, number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    (said,) = re.findall(r"^saved after step (\d+) of 2000; repeat the same command to resume$", err, re.MULTILINE)
    assert load_weights(world / "run/last.safetensors").card.metrics == {"steps": int(said)}
    with start(*arguments[:-1], "9") as process:
        assert "was started with padding=8, but this run has padding=9" in process.communicate(timeout=60)[1]
