"""The paper's ablations (Tang et al., CVPR 2021, Tables 2 to 7; Hu et al., IJCV 2022, Table 14) on a small budget.

    python tests/benchmarks/ablation.py DATA --work DIR [--only TABLE ...] [--weights NAME] [--report FILE]
                                             [--steps N] [--batch-size N] [--patches N] [--images N]
                                             [--network-steps N] [--network-batch-size N] [--seed N]

Every line of a table changes one setting of the base: ``unet-s`` on patches of 64 px without resizing or context, along
the boundary with overlap 0.25, trained by the recipe ``modern`` on the train part of ``objects`` (yolo and esp; Table
14: ``street``, the only semantic set). Each line is trained, refines images of the val part, and is measured like in
``quality.py``: mean IoU and boundary F at 1 px over all masks, mIoU and AF of ``street``. Table 6 trains all networks
on the smaller budget ``--network-steps``. With ``--weights``, lines that need no training are also measured with these
weights.

DIR keeps patch sets, trainings and metrics of every budget. An interrupted run resumes, and each table can be made
alone. The report is updated after every line. Times are CPU seconds, which other programs hardly change.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from quality import SOURCES, Figures, refine_and_measure

from bpr_cli import Refiner, RefineSettings
from bpr_cli.networks.registry import NETWORKS
from bpr_cli.patches import Scheme
from bpr_cli.patches.crop import Patches
from bpr_cli.patchset.extract import Extraction
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.sources import SourcePaths
from bpr_cli.patchset.store import PatchSet
from bpr_cli.system.atomic import write_atomically
from bpr_cli.training.recipe import load_recipe
from bpr_cli.training.settings import TrainSettings
from bpr_cli.training.train import open_training
from bpr_cli.weights.files import load_weights

STORED_PADDING = 16
"""Context of the patch sets in pixels, so that one set serves several paddings."""

PLAIN = {
    "geometry.zoom": 0,
    "geometry.shift": 0,
    "composite": 0,
    "loss.jaccard": 0,
    "image.gamma": 0,
    "image.darken": 0,
    "optimiser.encoder_rate": 1,
}
"""Changes of the recipe: what uses context that is stored and not fed, of which some lines have none left, what a
short training does not pay for, and the slow rate of pretrained encoders, as all networks begin at random."""

VALIDATION_PATCHES = 64
"""Few: the figures of the tables are taken of whole images."""

TIMED_PASSES = 4
"""Forward passes on which the time of a patch is taken."""

TRAIN_SOURCES = {
    "objects": [
        ("objects/predictions/yolo/train.segm.json", "objects/images/train", "objects/instances_train.json"),
        ("objects/predictions/esp/train", "objects/images/train", "objects/masks/train"),
    ],
    "street": [("street/predictions/esp/train", "street/images/train", "street/labels/train")],
}
"""Predictions, images and ground truth that train, inside DATA."""

FIGURES = {
    "objects": [("esp", "mean IoU"), ("esp", "boundary F"), ("yolo", "mean IoU"), ("yolo", "boundary F")],
    "street": [("street", "mIoU"), ("street", "AF")],
}
"""What is measured: sets of ``quality.py`` with figures of theirs."""

Results = dict[str, Any]


@dataclass(frozen=True)
class Budget:
    """The budget of the ablations.

    Attributes:
        steps: steps of a training.
        batch_size: patches per step.
        network_steps: steps of a training in Table 6.
        network_batch_size: patches per step in Table 6.
        patches: largest number of patches in a patch set.
        images: number of evenly spread images of each val set.
        seed: random seed of the trainings; another seed shows how much of a difference is chance.
    """

    steps: int = 300
    batch_size: int = 16
    network_steps: int = 30
    network_batch_size: int = 8
    patches: int = 4800
    images: int = 24
    seed: int = 0


@dataclass(frozen=True)
class Config:
    """A line of a table; the defaults are the base.

    Attributes:
        label: name in the table.
        data: ``objects`` or ``street``.
        patch_size: side of the patches in pixels.
        padding: context in pixels, at most ``STORED_PADDING``.
        scheme: where patches lie, in training and refinement.
        keep_inferior: train on patches of label maps without a boundary inside.
        input_size: side that patch and context are resized to.
        network: what is trained.
        mask_patch: whether the network sees the coarse mask.
        short: whether to train on the budget of Table 6.
        nms_threshold: overlap of patches in refinement.
        weights: weights to refine with, instead of a training.
        scales: sizes of the patches in refinement, relative to those in training.
    """

    label: str
    data: str = "objects"
    patch_size: int = 64
    padding: int = 0
    scheme: Scheme = "dense"
    keep_inferior: bool = False
    input_size: int = 64
    network: str = "unet-s"
    mask_patch: bool = True
    short: bool = False
    nms_threshold: float = 0.25
    weights: str | None = None
    scales: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Table:
    """A table of the paper.

    Attributes:
        number: in the paper.
        title: what is compared.
        lines: one after the other.
    """

    number: int
    title: str
    lines: list[Config]


def tables(weights: str | None) -> list[Table]:
    """All tables; ``weights`` adds lines for these weights."""
    thresholds = (0, 0.15, 0.25, 0.35, 0.45, 0.55)
    overlaps = [Config(f"{threshold:g}", nms_threshold=threshold) for threshold in thresholds]
    sizes = [
        Config("32 px", patch_size=32),
        Config("32 px, context 16 px", patch_size=32, padding=16),
        Config("64 px"),
        Config("64 px, context 16 px", padding=16),
        Config("96 px", patch_size=96),
    ]
    if weights:
        overlaps += [replace(line, label=f"{line.label}, {weights}", weights=weights) for line in overlaps]
        sizes += [Config(f"{scale:g} x, {weights}", weights=weights, scales=(scale,)) for scale in (0.5, 1.0, 1.5, 2.0)]
    street = Config("removed", data="street")
    return [
        Table(2, "Mask patch", [Config("with"), Config("without", mask_patch=False)]),
        Table(7, "Overlap of patches in refinement (NMS threshold)", overlaps),
        Table(3, "Patch size and context, all resized to one input size", sizes),
        Table(4, "Scheme", [Config("dense"), Config("grid", scheme="grid"), Config("instance", scheme="instance")]),
        Table(5, "Input size", [Config(f"{side}", input_size=side) for side in (32, 64, 128)]),
        Table(14, "Inferior patches in training", [street, replace(street, label="kept", keep_inferior=True)]),
        Table(6, "Network", [Config(name, network=name, short=True) for name in NETWORKS]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="directory for patch sets, weights and results")
    parser.add_argument("--only", type=int, nargs="*", choices=[each.number for each in tables(None)], metavar="TABLE")
    parser.add_argument("--weights", help="shipped name or file, for lines that need no training")
    parser.add_argument("--report", type=Path, help="the tables in Markdown (default: ablations.md in DIR)")
    for name, default in vars(Budget()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"(default: {default})")
    arguments = parser.parse_args()
    budget = Budget(**{name: getattr(arguments, name) for name in vars(Budget())})
    bench = Bench(arguments.data, arguments.work, budget)
    chosen = [each for each in tables(arguments.weights) if arguments.only is None or each.number in arguments.only]
    report = arguments.report or arguments.work / "ablations.md"
    for table in chosen:
        for line in table.lines:
            bench.measure(line)
            write_atomically(report, report_of(chosen, bench).encode())
            print(f"Table {table.number}, {line.label}: done", file=sys.stderr)


class Bench:
    """Makes patch sets, weights and metrics, each once.

    Attributes:
        budget: budget of the ablations.
        results: ``trainings`` and ``figures`` by name; kept in a file.
    """

    def __init__(self, data: Path, work: Path, budget: Budget) -> None:
        self.budget = budget
        self._data, self._work = data, work
        self._file = work / "results.json"
        self.results: Results = {"trainings": {}, "figures": {}}
        if self._file.exists():
            self.results = json.loads(self._file.read_text())

    def measure(self, line: Config) -> None:
        """Measure a line, unless its metrics exist."""
        for source in dict.fromkeys(source for source, _ in FIGURES[line.data]):
            if self.found(line, source) is None:
                self._keep("figures", self._name(line, source), self._refine(line, source))

    def found(self, line: Config, source: str) -> Results | None:
        """The metrics of a line on a set; None if not measured."""
        found: Results | None = self.results["figures"].get(self._name(line, source))
        return found

    def training(self, line: Config) -> Results:
        """The results of the training of a line; empty without a training."""
        found: Results = self.results["trainings"].get(self._run_name(line), {})
        return found

    def _refine(self, line: Config, name: str) -> Results:
        """Refine a set and measure it."""
        settings = RefineSettings(
            weights=line.weights or str(self._trained(line)),
            nms_threshold=line.nms_threshold,
            scheme=line.scheme,
            scales=line.scales,
            device="cpu",
            workers=1,
        )
        refiner = Refiner(settings)
        source = next(source for source in SOURCES if source.name == name)
        refined = refine_and_measure(source, self._data, refiner, self.budget.images)
        return {
            "figures": plain(refined.figures),
            "patches": refined.patches,
            "milliseconds_a_patch": milliseconds_a_patch(refiner),
        }

    def _trained(self, line: Config) -> Path:
        """The weights of a line, trained unless they exist."""
        run = self._work / "runs" / self._run_name(line)
        weights = run / "last.safetensors"
        if not self.training(line):
            patches, settings = self._patch_set(line), self._train_settings(line)
            with open_training([patches], run, settings) as training:
                began = time.process_time()
                summary = training.run()
            if summary is None or summary.stopped_by:
                raise SystemExit("stopped; the same command goes on from there")
            seconds = (time.process_time() - began) / max(1, summary.stopped_at - summary.started_at)
            sources = PatchSet(patches).sources
            self._keep(
                "trainings",
                self._run_name(line),
                {
                    "patches": summary.patches,
                    "cut": sum(source.counts.patches for source in sources),
                    "dropped": sum(source.counts.dropped for source in sources),
                    "parameters": summary.parameters,
                    "seconds_a_step": seconds,
                },
            )
        return weights

    def _patch_set(self, line: Config) -> Path:
        """The patch set of a line, extracted unless it exists."""
        out = self._work / "sets" / self._set_name(line)
        settings = PatchSetSettings(
            patch_size=line.patch_size,
            padding=STORED_PADDING,
            scheme=line.scheme,
            keep_inferior=line.keep_inferior,
            max_patches=self.budget.patches,
            label_set=str(self._data / "street/classes.txt") if line.data == "street" else None,
        )
        sources = [SourcePaths(*(self._data / path for path in paths)) for paths in TRAIN_SOURCES[line.data]]
        Extraction(sources, settings).run(out)
        return out

    def _train_settings(self, line: Config) -> TrainSettings:
        steps, batch_size = self._steps(line)
        own = {"steps": steps, "batch_size": batch_size, "input_size": line.input_size, "validate_every": steps}
        return TrainSettings(
            load_recipe("modern", own | PLAIN),
            network=line.network,
            padding=line.padding,
            mask_patch=line.mask_patch,
            validation_patches=VALIDATION_PATCHES,
            seed=self.budget.seed,
            device="cpu",
            workers=0,
            save_every=max(1, steps // 4),
        )

    def _steps(self, line: Config) -> tuple[int, int]:
        """Steps, and patches per step."""
        budget = self.budget
        if line.short:
            return budget.network_steps, budget.network_batch_size
        return budget.steps, budget.batch_size

    def _set_name(self, line: Config) -> str:
        """Name of the patch set of a line."""
        kept = "-inferior" if line.keep_inferior else ""
        return f"{line.data}-{line.scheme}-{line.patch_size}{kept}-{self.budget.patches}"

    def _run_name(self, line: Config) -> str:
        """Name of the training of a line."""
        if line.weights:
            return digest_of(line.weights)
        hidden = "" if line.mask_patch else "-hidden"
        steps, batch_size = self._steps(line)
        shown = f"{line.padding}-{line.input_size}"
        return f"{self._set_name(line)}-{shown}-{line.network}{hidden}-{steps}x{batch_size}-{self.budget.seed}"

    def _name(self, line: Config, source: str) -> str:
        """Name of the measurement of a line."""
        scales = ",".join(map(str, line.scales or ()))
        return f"{self._run_name(line)} {line.scheme} {line.nms_threshold:g} {scales} {source} {self.budget.images}"

    def _keep(self, kind: str, name: str, result: Results) -> None:
        self.results[kind][name] = result
        write_atomically(self._file, json.dumps(self.results, indent=2).encode() + b"\n")


@cache
def digest_of(weights: str) -> str:
    """Digest of weights, because shipped weights may change under the same name."""
    return load_weights(weights).digest


def plain(figures: Figures) -> dict[str, tuple[float | None, float | None]]:
    """Coarse and refined figures by name."""
    return {change.name: (change.coarse, change.refined) for change in figures.changes}


def milliseconds_a_patch(refiner: Refiner) -> float:
    """CPU time of the network alone, on noise."""
    side, count = refiner.weights.card.input_size, refiner.predictor.batch_size
    noise = np.random.default_rng(0).integers(0, 256, (count, side, side, 4), np.uint8)
    patches = Patches(noise[..., :3], noise[..., 3] & 1)
    refiner.predictor.predict(patches)
    began = time.process_time()
    for _ in range(TIMED_PASSES):
        refiner.predictor.predict(patches)
    return 1000 * (time.process_time() - began) / (TIMED_PASSES * count)


def report_of(chosen: Sequence[Table], bench: Bench) -> str:
    """The tables in Markdown; missing results are empty."""
    spent = ", ".join(f"{name} {value}".replace("_", " ") for name, value in vars(bench.budget).items())
    head = f"{date.today()}, PyTorch {torch.__version__}, {torch.get_num_threads()} thread(s); {spent}"
    return "\n\n".join([head, *("\n".join(table_lines(table, bench)) for table in chosen)]) + "\n"


def table_lines(table: Table, bench: Bench) -> Iterator[str]:
    """The lines of a table: metrics, refined patches, and the cost of a step and of a patch."""
    columns = FIGURES[table.lines[0].data]
    names = [f"{source} {figure}" for source, figure in columns]
    yield f"### Table {table.number}: {table.title}\n"
    yield row(["", *names, "patches", "trained on", "CPU s a step", "CPU ms a patch"])
    yield row(["---", *["---:"] * (len(names) + 4)])
    coarse = [figure_of(bench, table.lines, column, refined=False) for column in columns]
    yield row(["coarse", *coarse, "", "", "", ""])
    for line in table.lines:
        yield row([line.label, *(figure_of(bench, [line], column) for column in columns), *costs(bench, line)])


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def figure_of(bench: Bench, lines: Sequence[Config], column: tuple[str, str], refined: bool = True) -> str:
    """A metric from the first line that has it."""
    source, name = column
    for line in lines:
        if found := bench.found(line, source):
            value = found["figures"][name][int(refined)]
            return "" if value is None else f"{value:.1f}"
    return ""


def costs(bench: Bench, line: Config) -> list[str]:
    """Refined patches, training patches, seconds per step, and milliseconds per patch."""
    measured = [found for source in dict(FIGURES[line.data]) if (found := bench.found(line, source))]
    training = bench.training(line)
    return [
        str(sum(found["patches"] for found in measured)) if measured else "",
        str(training["patches"]) if training else "",
        f"{training['seconds_a_step']:.2f}" if training else "",
        f"{measured[0]['milliseconds_a_patch']:.1f}" if measured else "",
    ]


if __name__ == "__main__":
    main()
