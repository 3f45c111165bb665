"""The page on the papers: every command as it stands there, on miniatures of Cityscapes and COCO.

Trainings take one step with patches shown at 32 x 32 pixels; networks are a convolution each, and those of the page in
a slow test. ``torchrun`` is left out, as one process trains here; ``tests/training`` trains in several. All reports
share one template, and trainings draw no curves, which takes longer than a step.
"""

import re
import subprocess
from collections import OrderedDict
from functools import cache, partial
from pathlib import Path

import pytest
import torch
from torch import nn

from bpr_cli.cli.main import main
from bpr_cli.evaluation.report import html
from bpr_cli.networks.registry import NETWORKS, build_network
from bpr_cli.training import checkpoint
from bpr_cli.weights import files
from bpr_cli.weights.files import load_weights
from tests.docs.miniature import drawn_scene, make_miniature, street_scene
from tests.docs.pages import DOCS, blocks_of

PAGE = "how-to/reproduce.md"

RECORDER = """
set -euo pipefail
bpr() { printf 'bpr'; printf '\\x1f%s' "$@"; echo; }
torchrun() { printf 'torchrun'; printf '\\x1f%s' "$@"; echo; }
"""
"""Lets the shell write down the commands of the page instead of running them."""

QUICK = {
    "train": {"steps": 1, "batch-size": 4, "input-size": 32, "validation-patches": 2, "workers": 0, "device": "cpu"},
    "refine": {"backend": "pytorch", "device": "cpu"},
}
"""Options that make a command quick; they replace those of the page."""

IMAGENET = {
    "hrnetv2_w18_small": "hrnet18s",
    "hrnetv2_w18": "hrnet18",
    "hrnetv2_w48": "hrnet48",
    "resnet18_v1c": "resnet18",
    "resnet50_v1c": "resnet50",
}
"""Networks here by the names of their encoders."""

RELEASED = {
    "hrnet48_256-cbf4922c.pth": ("hrnet48", 256),
    "hrnet18s_128.pth": ("hrnet18s", 128),
    "hrnet18s_coco-c172955f.pth": ("hrnet18s", 128),
}
"""Network and input size of the weights that the authors released."""

KEYS = {"hrnet48": "hrnet48_256.keys.txt", "hrnet18s": "hrnet18s_128.keys.txt"}
"""Lists of the tensors in the authors' files."""

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")


def commands() -> list[list[str]]:
    """The commands of the page, as a shell expands its variables, functions and loops."""
    script = RECORDER + "\n".join(blocks_of(PAGE, "sh"))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    found = [line.split("\x1f") for line in done.stdout.splitlines()]
    launched = ["torchrun", "--nproc-per-node", "4", "-m", "bpr_cli"]
    return [each[5:] if each[:5] == launched else each[1:] for each in found]


def run(command: list[str]) -> None:
    command = list(command)
    for option, value in QUICK.get(command[0], {}).items():
        if (flag := f"--{option}") in command:
            command[command.index(flag) + 1] = str(value)
        else:
            command += [flag, str(value)]
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert not stop.value.code, command


class Small(nn.Module):
    """A network of one convolution, with the names of the paper's networks."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        parts = {"conv1": nn.Conv2d(3, channels, 3, padding=1), "conv_mask": nn.Conv2d(1, channels, 3, padding=1)}
        self.backbone, self.head = nn.ModuleDict(parts), nn.Conv2d(channels, 2, 1)

    def forward(self, x):
        return self.head((self.backbone["conv1"](x[:, :3]) + self.backbone["conv_mask"](x[:, 3:])).relu())


def write_encoder(path: Path, network: str) -> None:
    """An encoder as MMSegmentation's ImageNet checkpoints hold it: the backbone and a classifier."""
    torch.manual_seed(1)
    tensors = build_network(network).state_dict().items()
    backbone = {name.removeprefix("backbone."): tensor for name, tensor in tensors if name.startswith("backbone.")}
    kept = {name: tensor for name, tensor in backbone.items() if not name.startswith("conv_mask")}
    torch.save({"state_dict": {**kept, "fc.weight": torch.zeros(8, 8)}}, path)


def run_page(monkeypatch, folder: Path, scene_of) -> None:
    """Run all commands of the page in a folder with a miniature of what it needs."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(files, "PAPER_INPUT_SIZES", {"hrnet48": 32})
    monkeypatch.setattr(html, "_environment", cache(html._environment))
    monkeypatch.setattr(checkpoint, "draw_curves", lambda *_: None)
    make_miniature(folder, scene_of)
    for name in ("imagenet", "ckpts"):
        Path(name).mkdir()
    for name, network in IMAGENET.items():
        write_encoder(Path(f"imagenet/{name}.pth"), network)
    for name, (network, _) in RELEASED.items():
        torch.save({"meta": {}, "state_dict": build_network(network).state_dict()}, f"ckpts/{name}")
    for command in commands():
        run(command)
    assert len(list(Path("reports").glob("*/report.html"))) > 30
    results = {path.name for path in Path("preds/maskrcnn_test").iterdir()}
    assert results < {path.name for path in Path("refined/test").iterdir()}


@pytest.mark.parametrize("scenes", ["drawn", "street"])
def test_every_command_runs(monkeypatch, tmp_path, scenes):
    street = Path(__file__).resolve().parents[3] / "shared/data/street"
    if scenes == "street" and not street.is_dir():
        pytest.skip("the street scenes in ../shared/data are not here")
    for channels, name in enumerate(["deeplabv3plus-r50", *dict.fromkeys(IMAGENET.values()), "fast-scnn"], start=3):
        monkeypatch.setitem(NETWORKS, name, partial(Small, channels))
    monkeypatch.setitem(NETWORKS, "deeplabv3plus-r50", NETWORKS["resnet50"])
    run_page(monkeypatch, tmp_path, partial(street_scene, street) if scenes == "street" else drawn_scene)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_command_runs_with_the_networks_of_the_page(monkeypatch, tmp_path):
    run_page(monkeypatch, tmp_path, drawn_scene)


def test_every_table_of_the_papers_is_there():
    text = (DOCS / PAGE).read_text(encoding="utf-8")
    headings = re.findall(r"^## Tables? (\d+)(?: (?:to|and) (\d+))?:", text, re.MULTILINE)
    covered = {number for first, last in headings for number in range(int(first), int(last or first) + 1)}
    assert covered == {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}


@pytest.mark.parametrize("name", RELEASED)
def test_released_weights_load_under_their_names(shared_fixtures, tmp_path, name):
    """Files with the tensors that the authors' files list, by name, shape and type, and nothing that bpr adds."""
    assert name in (DOCS / PAGE).read_text(encoding="utf-8").replace("{weights}", name)
    network, size = RELEASED[name]
    state = OrderedDict()
    for line in (shared_fixtures / "keys" / KEYS[network]).read_text().splitlines():
        key, shape, kind = re.fullmatch(r"(\S+) \((.*)\) torch\.(\w+)", line).groups()
        sides = [int(side) for side in shape.split(",") if side.strip()]
        state[key] = torch.ones(sides, dtype=getattr(torch, kind))
    torch.save({"meta": {"mmseg_version": "0.7.0"}, "state_dict": state, "optimizer": {}}, tmp_path / name)
    card = load_weights(tmp_path / name).card
    assert (card.network, card.input_size, card.patch_size, card.padding) == (network, size, 64, 0)
