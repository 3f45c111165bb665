"""Peak resident memory of refinement: for few and for many images, and for the largest sets of the data.

    python tests/benchmarks/memory.py DATA [--few N] [--many N] [--maps N]

DATA holds ``speed``: 8 images of 2048 x 1024, which come round again as links. Few and many images are refined by a
network that answers at once, in a new process each, so that all that is measured is what the pipeline holds. Then the
8 images, with their instances and with N of their label maps, are refined by the default weights.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from rows import Row, show
from speed_set import SpeedSet, instances, label_maps

GROWTH = 1.10
"""Times the memory for few images."""

MOST = 1500
"""Megabytes."""


def memory_rows(data: Path, few: int = 8, many: int = 800, maps: int = 8) -> list[Row]:
    """Peaks in megabytes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peaks = [peak(instances(data, folder / f"{count}", count), folder / "out", False) for count in (few, many)]
        whole = {
            "8 images with 96 instances": peak(instances(data, folder / "all", 8), folder / "out", True),
            f"{maps} label maps": peak(label_maps(data, folder / "maps", maps), folder / "out", True),
        }
    growth = peaks[1] / peaks[0]
    asked = f"at most {GROWTH:.2f}"
    rows = [Row(f"memory for {many} images", peaks[1], f"for {few}", peaks[0], "MB", asked, growth <= GROWTH)]
    for title, amount in whole.items():
        asked = f"at most {MOST} MB"
        rows.append(Row(f"memory for {title}", amount, "pipeline alone", peaks[0], "MB", asked, amount <= MOST))
    return rows


def peak(chosen: SpeedSet, out: Path, by_network: bool) -> float:
    """Peak of a new process that refines a set."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_refine, chosen, out, by_network).result()


def _refine(chosen: SpeedSet, out: Path, by_network: bool) -> float:
    from bpr_cli import Refiner, RefineSettings
    from bpr_cli.refine.pipeline import refine_predictions

    refiner = Refiner(RefineSettings(device="cpu"))
    if not by_network:
        side = refiner.weights.card.patch_size
        refiner.decide = lambda patches: np.zeros((len(patches), side, side), np.uint8)  # type: ignore[method-assign]
    predictions = chosen.open()
    result = refine_predictions(refiner, predictions, predictions.writer(out))
    if result.failures:
        raise RuntimeError(str(result.failures))
    return _peak_of_this_process()


def _peak_of_this_process() -> float:
    """Megabytes. Linux only: getrusage would count what the process was started from, too."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    for name, count in (("--few", 8), ("--many", 800), ("--maps", 8)):
        parser.add_argument(name, type=int, default=count)
    options = parser.parse_args()
    show("peak resident memory", memory_rows(options.data, options.few, options.many, options.maps))


if __name__ == "__main__":
    main()
