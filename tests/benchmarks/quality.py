"""Quality of refinement on real predictions of held-out images: IoU and boundary F before and after.

    python tests/benchmarks/quality.py DATA [--weights NAME] [--nms-threshold T] [--only SET ...]

DATA holds ``objects`` (DAVIS frames) and ``street`` (CamVid frames) as the weights' model card describes them.
Every set is refined as ``bpr refine`` does it, to files, and the files are measured. Figures are percents:

- objects: mean over the frames whose coarse mask is not empty (``yolo, matched``: with IoU > 0.5).
- street: mIoU of one pooled confusion matrix; boundary F per image and class, averaged over images, then classes,
  a class absent from truth and prediction counts 1 (GSCNN's convention). Void pixels are left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from bpr_cli import Refiner, RefineSettings
from bpr_cli.evaluate.boundary import boundary_f, iou
from bpr_cli.evaluate.semantic import SemanticSettings, SemanticSums, semantic_figures, semantic_sums
from bpr_cli.formats import PredictionSet, ReadOptions, open_predictions
from bpr_cli.masks import LabelMap
from bpr_cli.refine.pipeline import refine_predictions

VOID = 255


@dataclass(frozen=True)
class Figures:
    """Percents of one set or part of it."""

    count: int
    iou: float
    boundary_f: float


@dataclass(frozen=True)
class Source:
    """A prediction set: where it is and how it is read."""

    name: str
    predictions: str
    images: str
    image_info: str | None = None

    def open(self, data: Path, predictions: Path | None = None) -> PredictionSet:
        info = data / self.image_info if self.image_info else None
        return open_predictions(
            predictions or data / self.predictions, data / self.images, ReadOptions(image_info=info)
        )


SOURCES = [
    Source("yolo", "objects/predictions/yolo/val.segm.json", "objects/images/val", "objects/instances_val.json"),
    Source("esp", "objects/predictions/esp/val", "objects/images/val"),
    Source("dice", "objects/predictions/dice/val", "objects/images/val"),
    Source("street", "street/predictions/esp/val", "street/images/val"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default="default")
    parser.add_argument("--nms-threshold", type=float, default=0.25)
    parser.add_argument("--only", nargs="*", default=[source.name for source in SOURCES])
    arguments = parser.parse_args()
    refiner = Refiner(RefineSettings(weights=arguments.weights, nms_threshold=arguments.nms_threshold))
    for source in SOURCES:
        if source.name in arguments.only:
            measure(source, arguments.data, refiner)


def measure(source: Source, data: Path, refiner: Refiner) -> None:
    """Refine one source and print its figures."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "refined"
        opened = source.open(data)
        result = refine_predictions(refiner, opened, opened.writer(out))
        seconds = time.perf_counter() - began
        figures = street_figures if source.name == "street" else object_figures
        before, after = figures(source, data, None), figures(source, data, out)
    title = f"{source.name}: {result.written} images, {result.movement.patches} patches, {seconds:.0f} s"
    show(title, before, after)


def show(title: str, before: dict[str, Figures], after: dict[str, Figures]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("part", "count", "IoU", "refined", "change", "F", "refined", "change"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part, old in before.items():
        new = after[part]
        row = (old.iou, new.iou, new.iou - old.iou), (old.boundary_f, new.boundary_f, new.boundary_f - old.boundary_f)
        cells = [f"{a:.2f} {b:.2f} {c:+.2f}".split() for a, b, c in row]
        table.add_row(part, str(old.count), *cells[0], *cells[1])
    Console(width=110).print(table)


def object_figures(source: Source, data: Path, refined: Path | None) -> dict[str, Figures]:
    """Overall, for matched masks, and per video."""
    parts: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for stem, coarse, mask in object_masks(source, data, refined):
        truth = np.asarray(Image.open(next((data / "objects/masks").rglob(f"{stem}.png")))) > 0
        figures = (100 * iou(mask, truth), 100 * boundary_f(mask, truth))
        parts["all"].append(figures)
        if iou(coarse, truth) > 0.5:
            parts["matched"].append(figures)
        parts[stem.rsplit("_", 1)[0]].append(figures)
    return {part: Figures(len(rows), *np.mean(rows, axis=0)) for part, rows in parts.items()}


def object_masks(
    source: Source, data: Path, refined: Path | None
) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Stem, coarse mask and measured mask of every image whose coarse mask is not empty."""
    coarse, measured = source.open(data), source.open(data, refined)
    for item, twin in zip(coarse.items, measured.items, strict=True):
        for mask, other in zip(coarse.read(item), measured.read(twin), strict=True):
            if mask.area:
                yield item.image.stem, mask.to_array(), other.to_array()


def street_figures(source: Source, data: Path, refined: Path | None) -> dict[str, Figures]:
    """Overall and per class."""
    names = (data / "street/classes.txt").read_text().split()
    settings = SemanticSettings(tuple(range(len(names))), frozenset({VOID}), dilation_ratio=None)
    sums = SemanticSums.zero(len(names))
    measured = source.open(data, refined)
    for item in measured.items:
        prediction = measured.read(item)
        assert isinstance(prediction, LabelMap)
        truth = np.asarray(Image.open(data / "street/labels/val" / f"{item.image.stem}.png"))
        sums += semantic_sums(prediction.labels, truth, settings)
    figures = semantic_figures(sums)
    rows = zip(["all", *names], [figures.miou, *figures.iou], [figures.af, *figures.boundary_f], strict=True)
    return {name: Figures(sums.images, 100 * overlap, 100 * boundary) for name, overlap, boundary in rows}


if __name__ == "__main__":
    main()
