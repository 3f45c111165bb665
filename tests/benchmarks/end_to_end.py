"""Overhead of refinement over its network alone, and start-up time.

    python tests/benchmarks/end_to_end.py DATA [--rounds N] [--maps N]

DATA holds ``speed``: 8 images of 2048 x 1024 with 96 instances and as many label maps, of which the first N are taken.
The refinement from files to files is compared with bare forward passes over the same patches in the same batches on the
CPU. Both run alternately, and the best of a few rounds counts. CPU seconds sum over all threads.

Start-up is the wall time of ``bpr refine`` in a new process for one image with 12 instances, without the seconds of the
network. It is compared with a process that only imports PyTorch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rows import Row, show
from speed_set import SpeedSet, instances, label_maps

from bpr_cli import Refiner, RefineSettings
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.pipeline import refine_predictions

ALLOWED = 1.10
"""Times the bare forward passes."""

START_UP = 3.0
"""Seconds to the first image."""


def end_to_end_rows(data: Path, rounds: int = 2, maps: int = 2) -> list[Row]:
    """Refinement beside its network, for instances and label maps, and start-up."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = {
            "8 images with 96 instances": instances(data, folder / "instances", 8),
            f"{maps} label maps": label_maps(data, folder / "maps", maps),
        }
        rows = [row for title, each in sets.items() for row in _against_network(title, each, folder / "out", rounds)]
        return [*rows, start_up_row(instances(data, folder / "one", 1), folder / "started", rounds)]


def _against_network(title: str, chosen: SpeedSet, out: Path, rounds: int) -> list[Row]:
    refiner = Refiner(RefineSettings(device="cpu"))
    batches: list[Patches] = []
    predictor = refiner.predictor
    predict = predictor.predict

    def refine() -> None:
        predictions = chosen.open()
        result = refine_predictions(refiner, predictions, predictions.writer(out))
        if result.failures:
            raise SystemExit(str(result.failures))

    def bare() -> None:
        for patches in batches:
            predict(patches)

    predictor.predict = lambda patches: batches.append(patches) or predict(patches)  # type: ignore[method-assign]
    refine()
    predictor.predict = predict  # type: ignore[method-assign]
    whole, network = best([refine, bare], rounds)
    beside = f"{sum(map(len, batches))} patches through the network"
    ratio = whole[0] / network[0]
    return [
        Row(f"refine {title}", whole[0], beside, network[0], "s", f"at most {ALLOWED:.2f}", ratio <= ALLOWED),
        Row(f"refine {title}, CPU", whole[1], beside, network[1], "s"),
    ]


def start_up_row(chosen: SpeedSet, out: Path, rounds: int) -> Row:
    """A whole process for one image, but for the network."""
    ours, theirs = [], []
    command = [sys.executable, "-m", "bpr_cli", "refine", *chosen.arguments(out), "--overwrite", "--json"]
    for _ in range(rounds):
        seconds, printed = _timed(command)
        ours.append(seconds - json.loads(printed)["seconds"]["network"])
        theirs.append(_timed([sys.executable, "-c", "import torch"])[0])
    row = ("start and refine one image, without its network", min(ours), "import torch", min(theirs), "s")
    return Row(*row, f"under {START_UP:g} s", min(ours) < START_UP)


def _timed(command: list[str]) -> tuple[float, str]:
    """Seconds by the clock that a program takes, and what it prints."""
    start = time.perf_counter()
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - start, printed


def best(works: list[Callable[[], object]], rounds: int) -> list[tuple[float, float]]:
    """The least seconds of every work, by the clock and of the processors, of a few rounds in turn."""
    taken: list[list[tuple[float, float]]] = [[] for _ in works]
    for _ in range(rounds):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter(), time.process_time()
            work()
            times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return [(min(wall for wall, _ in times), min(cpu for _, cpu in times)) for times in taken]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--maps", type=int, default=2)
    options = parser.parse_args()
    show("refinement beside its network", end_to_end_rows(options.data, options.rounds, options.maps))


if __name__ == "__main__":
    main()
