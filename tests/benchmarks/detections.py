"""CPU time of `bpr evaluate` on COCO results with 100 predictions an image, beside pycocotools and faster-coco-eval.

    python tests/benchmarks/detections.py [--images N] [--peer FOLDER]

The data is generated: images of 640 x 480 with some 7 true objects of 80 categories, polygons like those of COCO, and
100 predictions as run lengths. Some of them lie on objects, several on one; most are false. All sides read the same
files in this process, with one thread, and the figures are compared. FOLDER is where faster-coco-eval lies if it is not
installed (`pip install --no-deps --target FOLDER faster-coco-eval`); without it, only pycocotools is beside bpr.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from rows import Row, show

from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.evaluation.settings import EvaluateSettings

HEIGHT, WIDTH, CATEGORIES, PREDICTIONS = 480, 640, 80, 100
OUTLINE = np.linspace(0, 2 * np.pi, 40, endpoint=False)


@dataclass(frozen=True)
class Blob:
    """A round object whose radius changes smoothly with the angle."""

    x: float
    y: float
    radius: float
    waves: np.ndarray
    category: int

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Blob:
        """Sizes and categories are as skewed as those of COCO."""
        category = min(int(rng.exponential(12)), CATEGORIES - 1) + 1
        radius = float(np.clip(rng.lognormal(3.2, 0.8), 3, 200))
        return cls(rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), radius, rng.normal(0, 0.12, 8), category)

    def moved(self, rng: np.random.Generator, amount: float) -> Blob:
        """A prediction of the object, wrong by a share of its size."""
        x, y = rng.normal((self.x, self.y), amount * self.radius)
        radius = self.radius * np.exp(rng.normal(0, amount))
        return Blob(x, y, radius, self.waves + rng.normal(0, amount / 2, 8), self.category)

    def polygon(self) -> list[float]:
        """x1, y1, x2, y2, ... inside the image."""
        turns = np.outer(OUTLINE, np.arange(1, 5))
        radius = self.radius * np.maximum(1 + np.cos(turns) @ self.waves[:4] + np.sin(turns) @ self.waves[4:], 0.1)
        x = np.clip(self.x + radius * np.cos(OUTLINE), 0, WIDTH)
        y = np.clip(self.y + radius * np.sin(OUTLINE), 0, HEIGHT)
        return np.stack([x, y], axis=1).round(2).ravel().tolist()

    def encoded(self) -> dict[str, Any]:
        """Compressed run lengths, and the box."""
        found = coco_mask.frPyObjects([self.polygon()], HEIGHT, WIDTH)[0]
        return {
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": found["counts"].decode()},
            "bbox": coco_mask.toBbox(found).tolist(),
        }


def write_detections(folder: Path, images: int) -> tuple[Path, Path]:
    """Write ground truth and results; the same every time."""
    rng = np.random.default_rng(0)
    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image in range(1, images + 1):
        objects = [Blob.drawn(rng) for _ in range(1 + rng.poisson(6))]
        for each in objects:
            polygon, crowd = each.polygon(), int(rng.random() < 0.01)
            area = float(cv2.contourArea(np.array(polygon, np.float32).reshape(-1, 2)))
            common = {"id": len(annotations) + 1, "image_id": image, "category_id": each.category, "area": area}
            annotations.append(
                common
                | {"bbox": each.encoded()["bbox"], "iscrowd": crowd}
                | {"segmentation": each.encoded()["segmentation"] if crowd else [polygon]}
            )
        results += [
            {"image_id": image, "category_id": blob.category, "score": round(score, 5)} | blob.encoded()
            for blob, score in predicted(objects, rng)
        ]
    truth, found = folder / "instances.json", folder / "results.json"
    listed = [{"id": n, "file_name": f"{n:012}.jpg", "height": HEIGHT, "width": WIDTH} for n in range(1, images + 1)]
    named = [{"id": n, "name": f"class {n}"} for n in range(1, CATEGORIES + 1)]
    truth.write_text(json.dumps({"images": listed, "categories": named, "annotations": annotations}))
    found.write_text(json.dumps(results))
    return truth, found


def predicted(objects: list[Blob], rng: np.random.Generator) -> Iterator[tuple[Blob, float]]:
    """Predictions of one image with their scores."""
    close = [each.moved(rng, rng.uniform(0.01, 0.2)) for each in objects for _ in range(rng.integers(1, 5))]
    for number in range(PREDICTIONS):
        if number < len(close):
            yield close[number], float(rng.beta(4, 2))
        else:
            yield Blob.drawn(rng), float(rng.beta(1, 9))


def by_pycocotools(truth: Path, results: Path) -> dict[str, float]:
    """AP."""
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO(str(truth))
        evaluator = COCOeval(loaded, loaded.loadRes(str(results)), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return {"AP": evaluator.stats[0], "AP50": evaluator.stats[1]}


def by_faster_coco_eval(truth: Path, results: Path, kinds: dict[str, str]) -> dict[str, float]:
    """AP of each kind of overlap."""
    from faster_coco_eval import COCO as FastCOCO  # noqa: N811
    from faster_coco_eval import COCOeval_faster

    figures = {}
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = FastCOCO(str(truth))
        found = loaded.loadRes(str(results))
        for name, kind in kinds.items():
            evaluator = COCOeval_faster(loaded, found, kind, boundary_cpu_count=1)
            evaluator.run()
            figures[name] = evaluator.stats[0]
    return figures


def by_bpr(truth: Path, results: Path, metrics: tuple[str, ...]) -> dict[str, float]:
    """The figures of a whole evaluation."""
    report = evaluate(results, truth, settings=EvaluateSettings(metrics=metrics, workers=1))
    return {figure.name: figure.value / 100 for figure in report.summary}


def timed(run: Callable[..., dict[str, float]], *arguments: object) -> tuple[dict[str, float], float]:
    """The figures, and seconds of the processors."""
    began = time.process_time()
    figures = run(*arguments)
    return figures, time.process_time() - began


def compare(truth: Path, results: Path) -> Iterator[Row]:
    """Rows of the table; stops where figures differ."""
    official, slow = timed(by_pycocotools, truth, results)
    alone, quick = timed(by_bpr, truth, results, ("ap",))
    same(alone, official)
    yield row("AP", quick, "pycocotools, AP", slow, 1.0)
    both, band = timed(by_bpr, truth, results, ("ap", "boundary-ap"))
    every, whole = timed(by_bpr, truth, results, EvaluateSettings().metrics)
    with contextlib.suppress(ImportError):
        first, rapid = timed(by_faster_coco_eval, truth, results, {"AP": "segm"})
        kinds = {"AP": "segm", "boundary AP": "boundary"}
        theirs, broad = timed(by_faster_coco_eval, truth, results, kinds)
        for figures, expected in ((alone, first), (both, theirs), (every, theirs)):
            same(figures, expected)
        yield row("AP", quick, "faster-coco-eval, AP", rapid)
        yield row("AP, boundary AP", band, "faster-coco-eval, AP, boundary AP", broad, 0.6)
        yield row("AP, boundary AP, AF", whole, "faster-coco-eval, AP, boundary AP", broad)


def row(what: str, ours: float, beside: str, theirs: float, most: float | None = None) -> Row:
    if most is None:
        return Row(what, ours, beside, theirs, "CPU s")
    return Row(what, ours, beside, theirs, "CPU s", f"at most {most}", ours <= most * theirs)


def same(figures: dict[str, float], expected: dict[str, float]) -> None:
    for name, value in expected.items():
        if abs(figures[name] - value) > 1e-6:
            raise SystemExit(f"{name} is {figures[name]}, of the reference {value}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--peer", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.peer:
        sys.path.append(str(options.peer))
    with tempfile.TemporaryDirectory() as name:
        files = write_detections(Path(name), options.images)
        show(f"evaluation of {options.images} images with {PREDICTIONS} predictions each", compare(*files))


if __name__ == "__main__":
    main()
