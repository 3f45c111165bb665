"""Complete trainings: their files, reproducibility, and resuming without loss or change."""

import csv
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import NETWORKS, build_network
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.training.checkpoint import CheckpointWriter, ValidationResult
from bpr_cli.training.recipe import load_recipe
from bpr_cli.training.run_folder import LogRow
from bpr_cli.training.settings import TrainSettings
from bpr_cli.training.train import open_training
from bpr_cli.training.trainer import rate_at
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import load_weights, save_weights
from tests.training.toy_data import small_recipe, toy_set
from tests.training.trainers import Tiny, TinyNorm

TRAIN = Path(__file__).resolve().parent
FILES = [
    "best.safetensors",
    "curves.png",
    "last.safetensors",
    "log.csv",
    "patches.jpg",
    "run.json",
    "state.safetensors",
]
FED = ["--padding", "8", "--input-size", "0"]


class Breaks(Tiny):
    """The loss of its eighth step is NaN."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        if self.training:
            self.steps += 1
        return super().forward(x) * (float("nan") if self.training and self.steps == 8 else 1)


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    for name, network in (("tiny", Tiny), ("tiny-norm", TinyNorm), ("breaks", Breaks)):
        monkeypatch.setitem(NETWORKS, name, network)


@pytest.fixture
def patches(tmp_path):
    return toy_set(tmp_path / "patches").path


def settings_of(changes=None, **settings) -> TrainSettings:
    recipe = small_recipe(**{"steps": 25, "validate_every": 10, **(changes or {})})
    return TrainSettings(recipe, **{"network": "tiny-norm", "padding": 8, "workers": 0, "save_every": 4, **settings})


def train(patches, out, settings, advance=lambda _: None):
    with open_training([patches], out, settings) as training:
        return training.run(advance)


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in FILES if name != "run.json"}


def refusal(*arguments) -> str:
    with pytest.raises(BprError) as caught:
        train(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_toy_data_is_learned_and_all_files_are_written(patches, tmp_path):
    changes = {"steps": 60, "validate_every": 20, "optimiser.learning_rate": 0.02}
    seen = []
    summary = train(patches, tmp_path / "run", settings_of(changes, licence="CC0"), seen.append)
    assert len(seen) == 60
    assert seen[9] > 1.5 * seen[-1] == 1.5 * summary.loss
    assert summary.best.boundary_f > summary.coarse.boundary_f
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted([*FILES, "lock"])
    with (tmp_path / "run/log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["loss"]] == [10, 20, 30, 40, 50, 60]
    assert [int(row["step"]) for row in rows if row["validation_iou"]] == [20, 40, 60]
    best = load_weights(tmp_path / "run/best.safetensors")
    assert (best.card.name, best.card.network, best.card.licence) == ("run", "tiny-norm", "CC0")
    assert (best.card.patch_size, best.card.padding, best.card.input_size) == (16, 8, 32)
    assert best.card.training_data == "36 patches of 9 images, coarse masks of preds"
    assert best.card.metrics["steps"] == summary.best.step
    assert best.card.metrics["patch boundary F, 1 px, %"] == round(summary.best.boundary_f, 3)
    assert "optimiser.learning_rate = 0.02" in best.card.recipe
    last = load_weights(tmp_path / "run/last.safetensors")
    assert (last.card.metrics["steps"], last.card.metrics["patch IoU, %"]) == (60, round(summary.last.iou, 3))
    document = json.loads((tmp_path / "run/run.json").read_text())
    assert document["settings"]["recipe.steps"] == 60
    assert document["circumstances"]["torch"] == torch.__version__


def test_the_same_seed_gives_the_same_bits_with_any_number_of_workers(patches, tmp_path):
    for name, workers in (("a", 0), ("b", 2)):
        train(patches, tmp_path / name, settings_of(workers=workers, name="same"))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    train(patches, tmp_path / "c", settings_of(seed=1, name="same"))
    assert contents(tmp_path / "a")["last.safetensors"] != contents(tmp_path / "c")["last.safetensors"]


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal: programs that a shell starts in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 7), (signal.SIGINT, 13)])
def test_a_stopped_training_resumes_bit_for_bit(number, step, patches, tmp_path):
    train(patches, tmp_path / "straight", settings_of(name="same"))
    done = []

    def interrupt(_):
        done.append(1)
        if len(done) == step:
            os.kill(os.getpid(), number)

    summary = train(patches, tmp_path / "stopped", settings_of(name="same"), interrupt)
    assert (summary.stopped_by, summary.stopped_at) == (number, step + 1)
    assert load_weights(tmp_path / "stopped/last.safetensors").card.metrics["steps"] == step + 1
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    summary = train(patches, tmp_path / "stopped", settings_of(name="same"))
    assert (summary.started_at, summary.stopped_at, summary.stopped_by) == (step + 1, 25, 0)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals between processes")
def test_a_training_that_is_stopped_with_its_workers_resumes_bit_for_bit(patches, tmp_path):
    train(patches, tmp_path / "straight", settings_of(name="same"))
    done = []

    def end_all(_):
        done.append(1)
        if len(done) == 7:
            for worker in multiprocessing.active_children():
                worker.terminate()
                worker.join()
            signal.raise_signal(signal.SIGTERM)

    summary = train(patches, tmp_path / "stopped", settings_of(name="same", workers=2), end_all)
    assert (summary.stopped_by, summary.stopped_at) == (signal.SIGTERM, 7)
    summary = train(patches, tmp_path / "stopped", settings_of(name="same"))
    assert (summary.started_at, summary.stopped_at, summary.stopped_by) == (7, 25, 0)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")


def test_a_killed_training_resumes_bit_for_bit(patches, tmp_path):
    steps = {"steps": 150, "validate_every": 50}
    arguments = ["train", patches, "--out", tmp_path / "killed", "--network", "tiny-norm", *FED]
    arguments += ["--workers", "1", "--save-every", "7", "--name", "same", "--set", "ema_decay=0.9"]
    arguments += ["--steps", "150", "--validate-every", "50", "--batch-size", "4", "--lr", "0.003"]
    environment = {**os.environ, "PYTHONPATH": str(TRAIN.parents[1])}
    command = [sys.executable, TRAIN / "train_program.py", *map(str, arguments)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        log = tmp_path / "killed/log.csv"
        while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 2):
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    summary = train(patches, tmp_path / "killed", settings_of(steps, name="same"))
    assert 0 < summary.started_at < summary.stopped_at == 150
    train(patches, tmp_path / "straight", settings_of(steps, name="same"))
    assert contents(tmp_path / "killed") == contents(tmp_path / "straight")


def test_a_finished_run_is_left_alone(patches, tmp_path):
    first = train(patches, tmp_path / "run", settings_of())
    before = contents(tmp_path / "run")
    again = train(patches, tmp_path / "run", settings_of())
    assert (again.started_at, again.stopped_at) == (25, 25)
    assert (again.best, again.last) == (first.best, first.last)
    assert contents(tmp_path / "run") == before


def test_a_finished_run_goes_on_with_more_steps(patches, tmp_path, caplog):
    """What comes after is what a run of that many steps does from there, with the weights of the shorter run."""
    train(patches, tmp_path / "run", settings_of({"steps": 20}))
    more = train(patches, tmp_path / "run", settings_of({"steps": 30}))
    assert (more.started_at, more.stopped_at, more.last.step) == (20, 30, 30)
    assert "goes on to 30 steps instead of 20; from step 20 on, the learning rate is that of a run of 30" in caplog.text
    with (tmp_path / "run/log.csv").open() as file:
        rates = {int(row["step"]): float(row["learning_rate"]) for row in csv.DictReader(file) if row["loss"]}
    recipe = settings_of({"steps": 30}).recipe
    assert list(rates) == [10, 20, 30]
    assert rates[30] == rate_at(29, 30, recipe.optimiser.learning_rate, recipe.schedule)
    before = contents(tmp_path / "run")
    assert train(patches, tmp_path / "run", settings_of({"steps": 30})).started_at == 30
    assert contents(tmp_path / "run") == before
    assert "recipe.steps=30, but this run has recipe.steps=20" in refusal(
        patches, tmp_path / "run", settings_of({"steps": 20})
    )


@pytest.mark.usefixtures("ctrl_c")
def test_a_continued_run_that_is_stopped_resumes_bit_for_bit(patches, tmp_path):
    for name in ("stopped", "straight"):
        train(patches, tmp_path / name, settings_of({"steps": 10}, name="same"))
    train(patches, tmp_path / "straight", settings_of({"steps": 25}, name="same"))
    calls = iter(range(25))
    stop = lambda _: next(calls) == 3 and signal.raise_signal(signal.SIGINT)  # noqa: E731
    assert train(patches, tmp_path / "stopped", settings_of({"steps": 25}, name="same"), stop).stopped_at < 25
    train(patches, tmp_path / "stopped", settings_of({"steps": 25}, name="same"))
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")


@pytest.fixture
def falling_scores(monkeypatch):
    """Validations whose scores are 50, 60, 55, 54, 53 and so on by their step."""
    scores = {5: 50, 10: 60, **{step: 58 - step / 5 for step in range(15, 200, 5)}}

    def validate(self, trainer, step, best):
        found = ValidationResult(step, scores[step], scores[step])
        self.logs.add(LogRow(step, validation_iou=found.iou, validation_boundary_f=found.boundary_f))
        return found

    monkeypatch.setattr(CheckpointWriter, "validate", validate)


@pytest.mark.usefixtures("falling_scores")
def test_patience_ends_a_training_once_and_for_all(patches, tmp_path):
    def settings(patience):
        return settings_of({"steps": 60, "validate_every": 5, "patience": patience})

    ended = train(patches, tmp_path / "run", settings(3))
    assert (ended.stopped_at, ended.stopped_early, ended.best.step, ended.stopped_by) == (25, True, 10, 0)
    before = (tmp_path / "run/state.safetensors").read_bytes()
    again = train(patches, tmp_path / "run", settings(3))
    assert (again.started_at, again.stopped_at, again.stopped_early) == (25, 25, True)
    assert (tmp_path / "run/state.safetensors").read_bytes() == before
    assert train(patches, tmp_path / "run", settings(5)).stopped_at == 35
    last = train(patches, tmp_path / "run", settings(0))
    assert (last.stopped_at, last.stopped_early) == (60, False)


def test_other_settings_are_refused_unless_the_run_is_overwritten(patches, tmp_path):
    train(patches, tmp_path / "run", settings_of())
    before = contents(tmp_path / "run")
    other = settings_of({"optimiser.learning_rate": 0.5})
    assert (
        "was started with recipe.optimiser.learning_rate=0.003, but this run has recipe.optimiser.learning_rate=0.5; "
        in refusal(patches, tmp_path / "run", other)
    )
    assert contents(tmp_path / "run") == before
    train(patches, tmp_path / "run", settings_of({"optimiser.learning_rate": 0.5}, overwrite=True))
    assert contents(tmp_path / "run") != before


def test_settings_that_do_not_change_the_result_may_change(patches, tmp_path):
    train(patches, tmp_path / "run", settings_of())
    summary = train(patches, tmp_path / "run", settings_of(workers=1, save_every=9, name="renamed", licence="CC0"))
    assert summary.started_at == 25


def test_a_damaged_state_is_named(patches, tmp_path):
    train(patches, tmp_path / "run", settings_of())
    state = tmp_path / "run/state.safetensors"
    state.write_bytes(state.read_bytes()[:1000])
    said = refusal(patches, tmp_path / "run", settings_of())
    assert said.startswith(f"{state} cannot be used: it is damaged (")
    assert said.endswith("; start afresh with --overwrite")


@pytest.mark.parametrize("save_every", [3, 100])
def test_a_loss_that_is_not_finite_stops_the_training(save_every, patches, tmp_path):
    said = refusal(patches, tmp_path / "run", settings_of(network="breaks", save_every=save_every))
    assert said.startswith("the loss of step 8 is nan, so the training was stopped; ")
    last = tmp_path / "run/last.safetensors"
    if save_every == 3:
        assert f"{last} holds the last good weights" in said
        assert load_weights(last).card.metrics == {"steps": 6}
    else:
        assert "nothing was saved before" in said
        assert not last.exists()


def test_an_absurd_learning_rate(patches, tmp_path):
    wild = {"optimiser.learning_rate": 1e30, "optimiser.name": "sgd", "optimiser.clip": 0, "save_every": 1}
    save_every = wild.pop("save_every")
    assert "was stopped" in refusal(patches, tmp_path / "run", settings_of(wild, network="tiny", save_every=save_every))


def test_initial_weights(patches, tmp_path):
    first = train(patches, tmp_path / "first", settings_of(licence="CC BY-NC 4.0"))
    start = tmp_path / "first/last.safetensors"
    settings = settings_of(
        {"steps": 1, "ema_decay": 0, "optimiser.learning_rate": 1e-12}, network=None, init=str(start)
    )
    summary = train(patches, tmp_path / "second", settings)
    assert summary.network == "tiny-norm"
    assert (summary.initial.patches, summary.coarse.patches) == (4, 4)
    found = summary.initial.iou, summary.initial.boundary_f
    assert found == pytest.approx((first.last.iou, first.last.boundary_f), abs=1e-9), "as the last validation saw them"
    assert first.initial is None
    assert train(patches, tmp_path / "second", settings).initial == summary.initial, "also of a finished run"
    card = load_weights(tmp_path / "second/last.safetensors").card
    assert card.training_data.endswith("; begun with first: 36 patches of 9 images, coarse masks of preds")
    assert card.licence == "CC BY-NC 4.0", "the terms of the weights it starts from hold for it too"
    begun, ended = load_weights(start).network, load_weights(tmp_path / "second/last.safetensors").network
    torch.testing.assert_close(list(begun.parameters()), list(ended.parameters()), atol=1e-6, rtol=0)
    said = refusal(patches, tmp_path / "third", settings_of(init=str(start), network="unet-s"))
    assert f"the weights {start} are of the network tiny-norm, but --network is unet-s; " in said


REFINES = {
    "scales": (2.0, 1.0),
    "view": 100,
    "follow": True,
    "min_part": 5,
    "min_movement": 0.5,
    "flip": True,
    "core": 0.3,
    "min_patch_size": 12,
    "rim": 4,
    "nms_threshold": 0.1,
}
"""Settings of refinement, none of them as by default."""


@pytest.fixture
def refining(tmp_path):
    """Weights with these settings, with judges, and with patches as the toy's."""
    numbers = dict.fromkeys(("judge", "final_judge", "map_judge", "int8"), (1.0,))
    card = WeightsCard("mine", "tiny-norm", 16, padding=8, input_size=32, **{**REFINES, **numbers})
    save_weights(tmp_path / "mine.safetensors", TinyNorm(), card)
    return tmp_path / "mine.safetensors"


@pytest.mark.parametrize(("padding", "defaults"), [(8, ()), (12, ()), (7, ("rim", "nms_threshold"))])
def test_settings_of_refinement_come_from_the_initial_weights(padding, defaults, refining, patches, tmp_path, caplog):
    train(patches, tmp_path / "run", settings_of({"steps": 2}, init=str(refining), padding=padding))
    card = load_weights(tmp_path / "run/last.safetensors").card
    expected = {name: getattr(WeightsCard, name) if name in defaults else value for name, value in REFINES.items()}
    assert {name: getattr(card, name) for name in REFINES} == expected
    assert (card.patch_size, card.padding) == (16, padding)
    assert (card.judge, card.final_judge, card.map_judge, card.int8) == ((), (), (), ())
    settings, *others = caplog.messages
    assert settings.startswith(
        "the new weights refine with settings of mine: scales (2.0, 1.0), view 100, follow True, "
    )
    assert [name for name in REFINES if f" {name} " not in settings] == [*defaults]
    assert others == [
        f"the new weights refine patches of 16 px with {padding} px of context, as they are trained on them; mine has "
        "patches of 16 px with 8 px of context"
    ] * (padding != 8)


def test_patches_too_small_to_shrink_as_those_of_the_initial_weights(refining, tmp_path):
    small = toy_set(tmp_path / "small", settings=PatchSetSettings(patch_size=10, padding=12)).path
    with open_training([small], tmp_path / "run", settings_of(init=str(refining))) as training:
        card = training.plan.card
    assert (card.patch_size, card.min_patch_size, card.view, card.rim) == (10, None, 100, 4)


def test_initial_weights_with_another_head(patches, tmp_path):
    state = build_network("hrnet18s").state_dict()
    state["decode_head.conv_seg.weight"] = torch.zeros(19, 270, 1, 1)
    state["decode_head.conv_seg.bias"] = torch.zeros(19)
    torch.save({"state_dict": state}, tmp_path / "cityscapes.pth")
    said = refusal(patches, tmp_path / "run", settings_of(network=None, init=str(tmp_path / "cityscapes.pth")))
    assert "decode_head.conv_seg.weight is (19, 270, 1, 1), expected (2, 270, 1, 1)" in said
    assert not (tmp_path / "run").exists()


def test_several_sets_and_separate_validation_sets(patches, tmp_path):
    other = toy_set(tmp_path / "other", 10, 5, PatchSetSettings(patch_size=16, padding=8), first=100).path
    held = toy_set(tmp_path / "held", 6, 1, first=200).path
    settings = settings_of({"balance": "sets"}, validation=(held,), padding=None)
    with open_training([patches, other], tmp_path / "run", settings) as training:
        assert (training.plan.sizes.padding, training.plan.sizes.input_size) == (8, 32)
        summary = training.run()
    assert (summary.patches, summary.coarse.patches) == (50, 6)


@pytest.mark.parametrize(("given", "recipes", "fed"), [(None, 16, 12), (None, 4, 4), (9, 4, 9)])
def test_the_context_that_is_fed(given, recipes, fed, patches, tmp_path):
    """The context of the user, of the recipe, or all of the set's 12 px."""
    settings = settings_of({"padding": recipes, "input_size": 64}, padding=given)
    with open_training([patches], tmp_path / "run", settings) as training:
        assert (training.plan.sizes.padding, training.plan.card.padding) == (fed, fed)
        assert training.plan.sizes.input_size == 64


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (settings_of(padding=13), "padding is 13, but the patch set {patches} has 12 px of context; give less"),
        (settings_of(network="nix"), "there is no network 'nix'; the networks are "),
        (
            settings_of({"batch_size": 5}, accumulate=2),
            "a batch of 5 patches cannot be shared evenly by 1 process with 2 passes each; give a multiple of 2",
        ),
        (settings_of(device="cuda:7"), "device is 'cuda:7', but PyTorch sees 0 CUDA devices"),
        (settings_of(init="nix.pth"), "there are no weights 'nix.pth': there is no such file"),
        (settings_of(validation=(Path("nix"),)), "nix holds no set.json, expected a finished patch set"),
    ],
)
def test_wrong_settings_are_reported_before_anything_is_written(settings, said, patches, tmp_path):
    assert said.format(patches=patches) in refusal(patches, tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


def test_sets_that_do_not_fit_together(patches, tmp_path):
    other = toy_set(tmp_path / "other", 4, 2, PatchSetSettings(patch_size=32, padding=4)).path
    empty = toy_set(tmp_path / "empty", 0).path
    for second, said in ((other, "has patches of 32 px, but"), (empty, f"the patch set {empty} is empty")):
        with pytest.raises(BprError, match=said), open_training([patches, second], tmp_path / "run", settings_of()):
            pass
    assert f"the output {patches} lies inside {patches}, which is an input" in refusal(patches, patches, settings_of())


@pytest.mark.parametrize("changes", [{"accumulate": 0}, {"seed": -1}, {"validation_share": 1.0}, {"precision": "half"}])
def test_settings_out_of_range(changes):
    (name,) = changes
    with pytest.raises(BprError, match=f"^{name} is .*; expected "):
        settings_of(**changes)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["paper", "modern"])
def test_the_shipped_recipes_train_real_networks(recipe, patches, tmp_path):
    short = load_recipe(recipe, {"steps": 3, "batch_size": 4})
    summary = train(patches, tmp_path / "run", TrainSettings(short, workers=0))
    assert summary.stopped_at == 3
    assert load_weights(tmp_path / "run/best.safetensors").card.network == short.network


TORCHRUN = """
import sys
from torch.distributed.run import main
main(sys.argv[1:])
"""


def start_together(count: int, *arguments) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHONPATH": str(TRAIN.parents[1]), "OMP_NUM_THREADS": "1"}
    launch = ["--standalone", "--nproc-per-node", str(count), TRAIN / "train_program.py"]
    command = [sys.executable, "-c", TORCHRUN, *launch, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*map(str, command)], env=environment, text=True, **pipes)


def run_together(count: int, *arguments) -> subprocess.CompletedProcess:
    with start_together(count, *arguments) as process:
        out, err = process.communicate(timeout=240)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.mark.slow
def test_two_processes_train_as_one(patches, tmp_path):
    common = ["--network", "tiny", *FED, "--steps", "20", "--batch-size", "8", "--validate-every", "10"]
    common += ["--set", "ema_decay=0.9", "--workers", "1", "--name", "same"]
    done = run_together(2, "train", patches, "--out", tmp_path / "two", *common, "--json", "--accumulate", "2")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["processes"], summary["stopped_at"], summary["device"]) == (2, 20, "cpu")
    settings = settings_of(
        {"steps": 20, "batch_size": 8, "optimiser.learning_rate": 0.002}, network="tiny", name="same"
    )
    train(patches, tmp_path / "one", settings)
    networks = [load_weights(tmp_path / name / "last.safetensors").network for name in ("one", "two")]
    for one, other in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)
    logs = [list(csv.DictReader((tmp_path / name / "log.csv").open())) for name in ("one", "two")]
    for one, other in zip(*logs, strict=True):
        for column, value in one.items():
            assert (value == "") == (other[column] == "")
            assert value == "" or float(value) == pytest.approx(float(other[column]), rel=0.02)


@pytest.mark.slow
def test_processes_that_stop_together_resume_together(patches, tmp_path):
    common = ["--network", "tiny-norm", *FED, "--batch-size", "8", "--validate-every", "100"]
    common += ["--steps", "200", "--set", "ema_decay=0.9", "--workers", "0", "--name", "same"]
    straight = run_together(2, "train", patches, "--out", tmp_path / "straight", *common)
    assert straight.returncode == 0, straight.stderr
    stopped = ["train", patches, "--out", tmp_path / "stopped", *common]
    with start_together(2, *stopped) as process:
        log = tmp_path / "stopped/log.csv"
        while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 2):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert "repeat the same command to resume" in process.communicate(timeout=60)[1]
    again = run_together(2, *stopped, "--json")
    assert again.returncode == 0, again.stderr
    assert 0 < json.loads(again.stdout)["started_at"] < 200
    assert contents(tmp_path / "stopped") == contents(tmp_path / "straight")
