"""Quality of refinement on real predictions for held-out images, compared with target gains.

    python tests/benchmarks/quality.py DATA [--weights NAME] [--nms-threshold T] [--set FIELD=VALUE ...]
                                            [--only SET ...] [--limit N] [--json FILE]

DATA holds ``objects`` (DAVIS frames), ``street`` (CamVid frames), ``cells`` (nuclei) and ``coco`` as the weights' model
card describes them. Every set is refined once as ``bpr refine`` does it, to files, and the files are measured as
``bpr evaluate`` does it. Figures are percents; beside those of ``bpr evaluate``:

- mean IoU, boundary F: over the images of ``objects`` whose coarse mask is not empty.
- matched IoU, matched boundary F: over the coarse masks whose IoU with a true mask is above 0.5.
- videos of ``objects``: over the coarse masks that touch the true one; classes of ``street``: as in the evaluation.

Seconds are wall time; network seconds are the network's part of it. CPU seconds sum over all threads of the program, so
they compare the cost of two networks even if other programs are running.
"""

from __future__ import annotations

import argparse
import ast
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bpr_cli import Refiner, RefineSettings
from bpr_cli.evaluation.binary import BinaryEvaluator
from bpr_cli.evaluation.coco import CocoEvaluator
from bpr_cli.evaluation.coco_matching import mask_boundary_f
from bpr_cli.evaluation.evaluation import Evaluation
from bpr_cli.evaluation.inputs import EvaluationInputs, EvaluationPaths, open_evaluation
from bpr_cli.evaluation.instances import MATCHED
from bpr_cli.evaluation.report.model import Report
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import PredictionSet
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.masks.masks import Mask
from bpr_cli.refinement.pipeline import refine_predictions

ALLOWED_LOSS = 0.5
"""IoU points that a video or a class may lose."""

TARGETS: dict[str, dict[str, float | None]] = {
    "yolo": {
        "AP": 8,
        "AP75": None,
        "boundary AP": 15,
        "AF": None,
        "mean IoU": None,
        "boundary F": None,
        "matched IoU": None,
        "matched boundary F": 25,
    },
    "esp": {"mean IoU": 5, "boundary F": 25},
    "dice": {"mean IoU": 5, "boundary F": 25},
    "street": {"mIoU": 2.6, "AF": 11},
    "panoptic": {"PQ": 3, "boundary PQ": 6},
    "cells": {"AP": 8, "boundary AP": None, "matched IoU": None, "matched boundary F": 15},
    "coco": {"AP": 0, "boundary AP": None, "AF": None},
}
"""The figures of every set with the least gain that is asked for, in points; None where a figure is only shown."""


@dataclass(frozen=True)
class Source:
    """A prediction set: where it is and how it is read; paths are those inside DATA.

    Attributes:
        parts: parts that must not lose IoU: ``videos``, ``classes`` or none.
    """

    name: str
    predictions: str
    images: str
    truth: str
    image_info: str | None = None
    label_set: str | None = None
    parts: str = ""

    def open(self, data: Path) -> PredictionSet:
        info = data / self.image_info if self.image_info else None
        return open_predictions(data / self.predictions, data / self.images, ReadSettings(image_info=info))


def _objects(name: str, predictions: str, truth: str, image_info: str | None = None) -> Source:
    predictions, truth = f"objects/predictions/{predictions}", f"objects/{truth}"
    return Source(name, predictions, "objects/images/val", truth, image_info, parts="videos")


SOURCES = [
    _objects("yolo", "yolo/val.segm.json", "instances_val.json", "objects/instances_val.json"),
    _objects("esp", "esp/val", "masks/val"),
    _objects("dice", "dice/val", "masks/val"),
    Source(
        "street",
        "street/predictions/esp/val",
        "street/images/val",
        "street/labels/val",
        label_set="street/classes.txt",
        parts="classes",
    ),
    Source("panoptic", "street/panoptic/esp_val", "street/images/val", "street/panoptic/gt_val"),
    Source(
        "cells",
        "cells/predictions/otsu/val.segm.json",
        "cells/images/val",
        "cells/instances_val.json",
        "cells/instances_val.json",
    ),
    Source("coco", "coco/predictions/yolo/yolo.segm.json", "coco/images", "coco/instances.json", "coco/instances.json"),
]


@dataclass(frozen=True)
class Change:
    """One figure before and after, in percent; None where there is nothing to measure."""

    name: str
    coarse: float | None
    refined: float | None
    target: float | None = None

    @property
    def gain(self) -> float | None:
        return None if self.coarse is None or self.refined is None else self.refined - self.coarse

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.target is None else self.gain is not None and self.gain >= self.target

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"gain": self.gain, "met": self.met}


@dataclass(frozen=True)
class Figures:
    """What is measured of one refined set: the figures of ``TARGETS``, then IoU and boundary F of its parts."""

    changes: list[Change]
    parts: dict[str, tuple[Change, Change]]

    @property
    def losses(self) -> list[str]:
        """The parts that lose more IoU than they may."""
        return [name for name, (overlap, _) in self.parts.items() if (overlap.gain or 0) < -ALLOWED_LOSS]


@dataclass(frozen=True)
class Refined:
    """A refined set with its cost."""

    name: str
    images: int
    patches: int
    seconds: float
    network_seconds: float
    cpu_seconds: float
    figures: Figures

    def to_json(self) -> dict[str, Any]:
        parts = {name: [change.to_json() for change in changes] for name, changes in self.figures.parts.items()}
        figures = {"figures": [change.to_json() for change in self.figures.changes], "parts": parts}
        return asdict(self) | figures | {"losses": self.figures.losses}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    add_settings(parser)
    parser.add_argument("--nms-threshold", type=float)
    parser.add_argument("--only", nargs="*", choices=[*TARGETS], default=[*TARGETS], metavar="SET")
    parser.add_argument("--limit", type=int, help="so many images of every set, evenly spread, for a quick look")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    arguments = parser.parse_args()
    settings = refine_settings(arguments)
    refiner, console = Refiner(settings), Console(stderr=True)
    measured = []
    for source in SOURCES:
        if source.name in arguments.only:
            measured.append(refine_and_measure(source, arguments.data, refiner, arguments.limit))
            console.print(f"{source.name} done: {measured[-1].seconds:.0f} s", highlight=False)
    show(measured)
    if arguments.json:
        document = {"settings": asdict(settings), "limit": arguments.limit, "sets": [one.to_json() for one in measured]}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Let settings be given; see ``refine_settings``."""
    parser.add_argument("--weights", help="shipped name or file")
    parser.add_argument(
        "--set",
        nargs="*",
        action="extend",
        default=[],
        metavar="FIELD=VALUE",
        help="any other field of RefineSettings",
    )


def refine_settings(arguments: argparse.Namespace) -> RefineSettings:
    """The given settings; all others keep their defaults."""
    given = {name: getattr(arguments, name, None) for name in ("weights", "nms_threshold")}
    fields = {name: value for name, value in given.items() if value is not None}
    for pair in arguments.set:
        name, _, value = pair.partition("=")
        fields[name] = parse_value(value)
    return RefineSettings(**fields)


def parse_value(text: str) -> Any:
    """A number, truth value or tuple as Python writes it, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def refine_and_measure(source: Source, data: Path, refiner: Refiner, limit: int | None) -> Refined:
    """Refine one set to files and measure them."""
    predictions = source.open(data)
    predictions.items = spread(predictions.items, limit)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / Path(source.predictions).stem
        began = time.process_time()
        result = refine_predictions(refiner, predictions, predictions.writer(out))
        cpu_seconds = time.process_time() - began
        figures = measure(source, data, out, part=limit is not None)
    patches, network_seconds = result.stats.patches, result.seconds["network"]
    return Refined(source.name, result.written, patches, result.elapsed, network_seconds, cpu_seconds, figures)


def spread(items: list[Any], limit: int | None) -> list[Any]:
    """At most ``limit`` items, evenly spread."""
    if limit is None or limit >= len(items):
        return items
    return [items[position] for position in np.linspace(0, len(items) - 1, limit).astype(int)]


def measure(source: Source, data: Path, refined: Path, part: bool = False) -> Figures:
    """Figures of refined predictions beside the coarse ones.

    Args:
        source: the coarse set.
        data: where it is.
        refined: what ``bpr refine`` wrote for it.
        part: measure only the images that have refined predictions.
    """
    label_set = str(data / source.label_set) if source.label_set else None
    inputs = EvaluationPaths(refined, data / source.truth, (data / source.predictions,))
    opened = open_evaluation(inputs, EvaluateSettings(label_set=label_set, allow_missing=part))
    if part:
        opened = replace(opened, pairs=[pair for pair in opened.pairs if pair.prediction])
    report, scores = Evaluation(opened).run(), list(mask_scores(opened))
    found = [Change(figure.name, figure.baseline, figure.value) for figure in report.summary]
    by_name = {change.name: change for change in [*found, *mask_changes(scores)]}
    changes = [replace(by_name[name], target=target) for name, target in TARGETS[source.name].items()]
    return Figures(changes, part_changes(source, report, scores))


@dataclass(frozen=True)
class Score:
    """IoU and boundary F of one mask with its true one before and after, 0 to 1, and the image it is of."""

    image: str
    coarse: tuple[float, float]
    refined: tuple[float, float]


def mask_scores(opened: EvaluationInputs) -> Iterator[Score]:
    """All instances whose coarse mask touches a true one, or all binary masks that are not empty."""
    for image, coarse, refined, truth in masks(opened):
        before, after = ((mask.iou(truth), mask_boundary_f(mask, truth, 1.0)) for mask in (coarse, refined))
        yield Score(image, before, after)


def masks(opened: EvaluationInputs) -> Iterator[tuple[str, Mask, Mask, Mask]]:
    """Stem of the image, coarse, refined and true mask; none of label maps and panoptic segments."""
    evaluator, sets = opened.evaluator, opened.sets
    if not isinstance(evaluator, CocoEvaluator | BinaryEvaluator):
        return
    for pair in opened.pairs:
        stem, truth = Path(pair.name).stem, evaluator.read_truth(sets.truth, pair)
        coarse = evaluator.compare(sets.baselines[0], pair.baselines[0], pair, truth)
        refined = evaluator.compare(sets.predictions, pair.prediction, pair, truth)
        if isinstance(evaluator, CocoEvaluator):
            for number, true in coarse.counterparts(0.0).items():
                yield stem, coarse.predictions[number].mask, refined.predictions[number].mask, truth.masks[true].mask
        elif coarse.prediction.any():
            yield stem, *(Mask.from_array(mask) for mask in (coarse.prediction, refined.prediction, truth))


def mask_changes(scores: Sequence[Score]) -> list[Change]:
    """Means over all masks and over the matched ones."""
    matched = [score for score in scores if score.coarse[0] > MATCHED]
    both = mean_changes("mean IoU", "boundary F", scores), mean_changes("matched IoU", "matched boundary F", matched)
    return [*both[0], *both[1]]


def mean_changes(overlap: str, boundary: str, scores: Sequence[Score]) -> tuple[Change, Change]:
    """The mean IoU and boundary F over masks, under these names."""
    if not scores:
        return Change(overlap, None, None), Change(boundary, None, None)
    before, after = (100 * np.mean(rows, axis=0) for rows in zip(*((s.coarse, s.refined) for s in scores), strict=True))
    return Change(overlap, float(before[0]), float(after[0])), Change(boundary, float(before[1]), float(after[1]))


def part_changes(source: Source, report: Report, scores: Sequence[Score]) -> dict[str, tuple[Change, Change]]:
    """IoU and boundary F of every video or class."""
    if source.parts == "classes":
        rows = {row.name: {figure.name: figure for figure in row.metrics} for row in report.classes}
        return {
            name: tuple(Change(which, row[which].baseline, row[which].value) for which in ("IoU", "boundary F"))
            for name, row in rows.items()
        }
    if source.parts == "videos":
        videos: dict[str, list[Score]] = defaultdict(list)
        for score in scores:
            videos[score.image.rsplit("_", 1)[0]].append(score)
        return {video: mean_changes("IoU", "boundary F", rows) for video, rows in sorted(videos.items())}
    return {}


def show(measured: Sequence[Refined]) -> None:
    console = Console(width=110)
    figures = new_table("figures", "set", "figure", "coarse", "refined", "gain", "target", "met")
    for one in measured:
        for change in one.figures.changes:
            met = {None: "", True: "yes", False: "NO"}[change.met]
            figures.add_row(one.name, change.name, *numbers(change), number(change.target, "+.1f"), met)
        figures.add_section()
    parts = new_table("parts", "set", "part", "IoU", "refined", "gain", "F", "refined", "gain", "IoU kept")
    for one in measured:
        for name, (overlap, boundary) in one.figures.parts.items():
            kept = "NO" if name in one.figures.losses else "yes"
            parts.add_row(one.name, name, *numbers(overlap), *numbers(boundary), kept)
        parts.add_section()
    costs = new_table("cost", "set", "images", "patches", "seconds", "network seconds", "CPU seconds")
    for one in measured:
        seconds = [number(value, ".1f") for value in (one.seconds, one.network_seconds, one.cpu_seconds)]
        costs.add_row(one.name, str(one.images), str(one.patches), *seconds)
    for table in (figures, parts, costs):
        if table.row_count:
            console.print(table)


def new_table(title: str, *columns: str) -> Table:
    """A table whose first two columns are names."""
    table = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 else "right")
    return table


def numbers(change: Change) -> list[str]:
    return [number(change.coarse), number(change.refined), number(change.gain, "+.2f")]


def number(value: float | None, form: str = ".2f") -> str:
    return "" if value is None else format(value, form)


if __name__ == "__main__":
    main()
