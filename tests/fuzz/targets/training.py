"""What training reads: weights, checkpoints, patch sets, recipes, and the run folders that it resumes."""

import hashlib
import json
import zlib
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import torch

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import NETWORKS
from bpr_cli.patchset.layout import digest_of
from bpr_cli.patchset.store import PatchSet
from bpr_cli.patchset.whole import decode_whole
from bpr_cli.training.checkpoint import TrainState, ValidationResult, pack
from bpr_cli.training.recipe import load_recipe, parse_overrides, shipped_recipes
from bpr_cli.training.run_folder import CsvLog, LogRow, RunFolder
from bpr_cli.training.train import _resume
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import load_weights, save_weights
from tests.fuzz.harness import Sample, Target
from tests.patchset.patch_cases import SETTINGS, write_set
from tests.training.toy_data import image_set, small_recipe
from tests.training.trainers import ALONE, TinyNorm, new_trainer

CARD = WeightsCard("mine", "tiny", patch_size=48, padding=4, input_size=64, metrics={"iou": 0.9})
CHECKPOINTS, RECIPES = ("new.pth", "old.pt"), ("based.toml", "full.toml", "sampling.toml")
RUN_SETTINGS = {"seed": 0, "recipe.steps": 12}

tiny = patch.dict(NETWORKS, tiny=TinyNorm)


@tiny
def make_weights(folder: Path) -> None:
    save_weights(folder / "w.safetensors", TinyNorm(), CARD)


@tiny
def read_weights(folder: Path) -> None:
    load_weights(folder / "w.safetensors")


@tiny
def make_checkpoints(folder: Path) -> None:
    save_weights(folder / "new.pth", TinyNorm(), CARD)
    content = {"meta": {"bpr": CARD.to_json()}, "state_dict": TinyNorm().state_dict()}
    torch.save(content, folder / "old.pt", _use_new_zipfile_serialization=False)


@tiny
def read_checkpoints(folder: Path) -> None:
    for name in CHECKPOINTS:
        with suppress(BprError):
            load_weights(folder / name)


def make_patch_set(folder: Path) -> None:
    write_set(folder, count=4, settings=SETTINGS)


def read_patch_set(folder: Path) -> None:
    patches = PatchSet(folder)
    for index in range(len(patches)):
        hash(patches.origin(index))
        assert patches[index].image.shape == (patches.settings.side, patches.settings.side, 3)
    patches.verify()


def make_whole_image(folder: Path) -> None:
    patches = image_set(folder.parent / "set", ["a"])
    record = patches.read(0, bytes)
    end = 4 + int.from_bytes(record[:4], "little")
    (folder / "header.json").write_bytes(zlib.decompress(record[4:end]))
    (folder / "image.png").write_bytes(record[end:])


def read_whole_image(folder: Path) -> None:
    """Header and image apart, as checksums and deflation would hide all other damage."""
    header, image = (
        path.read_bytes() if path.exists() else b"" for path in (folder / "header.json", folder / "image.png")
    )
    packed = zlib.compress(header)
    whole = decode_whole(len(packed).to_bytes(4, "little") + packed + image)
    for number in range(len(whole.header.pairs)):
        assert whole.header.pair(number).truth_plane.shape == whole.pixels.shape[:2]


def with_digests(sample: Sample) -> Sample:
    """The patch set with the sizes and digests that its files have."""
    try:
        document = json.loads(sample["set.json"])
        for file in (document["items"], document["index"], *document["shards"]):
            content = sample[file["name"]]
            file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        stated = ("kind", "version", "digest")
        document["digest"] = digest_of({name: value for name, value in document.items() if name not in stated})
        return {**sample, "set.json": json.dumps(document).encode()}
    except Exception:  # too broken to be mended
        return sample


def make_recipes(folder: Path) -> None:
    based = 'base = "modern"\nsteps = 7\ngeometry.zoom_range = [0.5, 2.0]\nloss.jaccard = 0\n'
    (folder / RECIPES[0]).write_text(based)
    (folder / RECIPES[1]).write_bytes(shipped_recipes()["paper"].read_bytes())
    (folder / RECIPES[2]).write_bytes(shipped_recipes()["fast-2"].read_bytes())


def read_recipes(folder: Path) -> None:
    for path in (folder / name for name in RECIPES):
        with suppress(BprError):
            load_recipe(str(path))
        with suppress(BprError):
            load_recipe("modern", parse_overrides(path.read_text("utf-8", "replace").splitlines()))


def make_run(folder: Path) -> None:
    run = RunFolder(folder)
    run.begin(RUN_SETTINGS, {}, overwrite=False)
    found = ValidationResult(5, 0.5, 0.5)
    run.state.write_bytes(pack(new_trainer(small_recipe()), TrainState(5, (0.5, 0.25), found, found)))
    run.log.write_text("step,loss,learning_rate,validation_iou,validation_boundary_f\n5,0.5,0.1,,\n10,0.5,0.1,,\n")


def read_run(folder: Path) -> None:
    run = RunFolder(folder)
    with run.locked():
        run.begin(RUN_SETTINGS, {}, overwrite=False)
        state = _resume(run, new_trainer(small_recipe()), ALONE)
        log = CsvLog(run.log, state.step)
        log.add(LogRow(state.step + 1))
        log.close()


TARGETS = (
    Target("weights", make_weights, read_weights),
    Target("checkpoint", make_checkpoints, read_checkpoints),
    Target("patch set", make_patch_set, read_patch_set, with_digests),
    Target("whole image", make_whole_image, read_whole_image),
    Target("recipe", make_recipes, read_recipes),
    Target("training", make_run, read_run),
)
