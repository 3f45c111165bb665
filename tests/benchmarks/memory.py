"""Peak resident memory of refinement: for few and for many images, and with the network.

    python tests/benchmarks/memory.py DATA [--few N] [--many N] [--many-maps N]

DATA holds ``speed``: 8 images of 2048 x 1024, which links repeat. Few and many images are refined in new processes by a
dummy network, which measures the memory of the pipeline. Then the default weights refine the instances of the 8 images.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from new_process import measured
from rows import Row, show
from speed_set import SpeedSet, instances, label_maps

GROWTH = 1.10
"""Times the memory for few images."""

MOST = 1500
"""Megabytes."""


def memory_rows(data: Path, few: int = 8, many: int = 800, many_maps: int = 80) -> list[Row]:
    """Peaks in megabytes."""
    kinds = {"images with their instances": (instances, many), "label maps": (label_maps, many_maps)}
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, (title, (make, most)) in enumerate(kinds.items()):
            sets = [make(data, folder / f"{number}-{count}", count) for count in (few, most)]
            low, high = (peak(each, folder / "out", by_network=False) for each in sets)
            aims = f"at most {GROWTH:.2f}", high <= GROWTH * low
            rows.append(Row(f"memory for {most} {title}", high, f"for {few}", low, "MB", *aims))
        whole = peak(instances(data, folder / "whole", 8), folder / "out", by_network=True)
    aims = f"at most {MOST} MB", whole <= MOST
    return [*rows, Row("memory with the network, 8 images", whole, "aim", MOST, "MB", *aims)]


def peak(chosen: SpeedSet, out: Path, by_network: bool) -> float:
    """Peak of a new process that refines a set."""
    return measured(_refine, chosen, out, by_network).peak


def _refine(chosen: SpeedSet, out: Path, by_network: bool) -> None:
    from bpr_cli import Refiner, RefineSettings
    from bpr_cli.refinement.pipeline import refine_predictions

    refiner = Refiner(RefineSettings(device="cpu"))
    if not by_network:
        side = refiner.weights.card.patch_size
        refiner.predictor.predict = lambda patches: np.zeros((len(patches), side, side), np.uint8)  # type: ignore[method-assign]
    predictions = chosen.open()
    result = refine_predictions(refiner, predictions, predictions.writer(out))
    if result.failures:
        raise RuntimeError(str(result.failures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    for name, count in (("--few", 8), ("--many", 800), ("--many-maps", 80)):
        parser.add_argument(name, type=int, default=count)
    options = parser.parse_args()
    show("peak resident memory", memory_rows(options.data, options.few, options.many, options.many_maps))


if __name__ == "__main__":
    main()
