"""Peak resident memory for one large label map: ``bpr refine`` or ``bpr evaluate`` in a new process.

    python tests/benchmarks/large_map.py [--side 12000] [--bits 8] [--network] [--evaluate] [--keep FOLDER]

The map has 20 classes, all over it, in wavy cells with long boundaries; the image is a JPEG file of the same size.
Without ``--network``, every patch is predicted as its coarse mask: the memory is the same, without hours of computing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

CELLS, CLASSES = 8, 20
"""Cells of the map along each side, and its classes."""

STEP = 256
"""Rows that are drawn at a time."""


@dataclass(frozen=True)
class Measured:
    """A run in a process of its own: peak resident memory in megabytes, seconds, and the result."""

    peak: float
    seconds: float
    result: Any


def draw(folder: Path, side: int, bits: int) -> tuple[Path, Path]:
    """Write a label map, coarse by a few pixels, and its image."""
    labels = np.empty((side, side), dtype=np.uint16 if bits == 16 else np.uint8)
    image = np.empty((side, side, 3), dtype=np.uint8)
    random, x = np.random.default_rng(0), np.arange(side)
    for top in range(0, side, STEP):
        y = np.arange(top, min(top + STEP, side))[:, None]
        true, coarse = (_cells(x, y, side, error) for error in (0, 3))
        labels[y[:, 0]] = coarse * (300 if bits == 16 else 1)
        shade = np.stack([40 + 9 * true, 40 + 45 * (true % 5), 200 - 40 * (true // 5)], axis=2)
        image[y[:, 0]] = shade + random.integers(0, 12, shade.shape, dtype=np.uint8)
    paths = folder / "maps" / "large.png", folder / "images" / "large.jpg"
    for path, array in zip(paths, (labels, image), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return paths[0].parent, paths[1].parent


def _cells(x: np.ndarray, y: np.ndarray, side: int, error: float) -> np.ndarray:
    """The class of every pixel in rows ``y``: wavy cells whose boundaries are wrong by up to ``error`` pixels."""
    across = x + side / 60 * np.sin(y / side * 20) + error * np.sin(y / 11)
    down = y + side / 60 * np.sin(x / side * 25) + error * np.sin(x / 13)
    column, row = (np.clip(each * CELLS // side, 0, CELLS - 1).astype(np.int64) for each in (across, down))
    return (7 * column + 3 * row) % CLASSES


def measured(function, *arguments) -> Measured:
    """Run a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, function, *arguments).result()


def _measure(function, *arguments) -> Measured:
    began = time.monotonic()
    result = function(*arguments)
    return Measured(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000, time.monotonic() - began, result)


def refine_map(maps: Path, images: Path, out: Path, network: bool) -> str:
    """Refine the map, and say how many patches it has."""
    from bpr_cli import ReadSettings, Refiner, RefineSettings
    from bpr_cli.refinement.in_process import InProcess
    from bpr_cli.refinement.job import open_for, refine_opened

    opened = open_for(maps, images, out, ReadSettings(format="labels"))
    refiner = Refiner(RefineSettings(device="cpu"))
    if not network:
        inner = slice(refiner.weights.card.padding, -refiner.weights.card.padding or None)
        refiner.predictor.predict = lambda patches: patches.mask[:, inner, inner] * np.uint8(255)  # type: ignore[method-assign]
    summary = refine_opened(InProcess.of(refiner), opened, out, overwrite=True)
    if summary.failures:
        raise RuntimeError(str(summary.failures))
    return f"{summary.patches} patches, {summary.boundary_movement:.2f} px"


def evaluate_map(maps: Path, truth: Path) -> str:
    """Compare the map with another."""
    from bpr_cli import evaluate

    return " ".join(f"{metric.name} {metric.value:.2f}" for metric in evaluate(maps, truth, format="labels").summary)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=12_000, help="width and height in pixels")
    parser.add_argument("--bits", type=int, default=8, choices=(8, 16), help="bits of the label map")
    parser.add_argument("--network", action="store_true", help="predict with the default weights")
    parser.add_argument("--evaluate", action="store_true", help="also compare the refined map with the coarse one")
    parser.add_argument("--keep", type=Path, help="folder for the inputs and outputs (default: a temporary one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        # Drawn in a process of its own, because a process inherits the peak of the one that started it.
        maps, images = measured(draw, folder, options.side, options.bits).result
        out = folder / "refined"
        _show("refine", options.side, measured(refine_map, maps, images, out, options.network))
        if options.evaluate:
            _show("evaluate", options.side, measured(evaluate_map, out, maps))


def _show(command: str, side: int, found: Measured) -> None:
    each = found.peak * 1e6 / side**2
    print(
        f"{command} {side} x {side}: peak {found.peak:.0f} MB ({each:.1f} bytes a pixel), {found.seconds:.0f} s, "
        f"{found.result}"
    )


if __name__ == "__main__":
    main()
