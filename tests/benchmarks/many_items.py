"""Jobs of many small images with a network that answers at once: by shards, in processes and on a Ray cluster.

    python tests/benchmarks/many_items.py [--items N] [--ways shards,processes,ray]

Every step runs in a new process, for N items and for a fifth of them, which shows what an item costs beyond start-up.
Items are links to one image of 64 x 48 pixels with one COCO record each. The two shards run one after the other, or at
the same time with --at-once; the first runs a second time, which resumes. The cluster has two nodes of one CPU on this
machine. CPU time is that of the process itself: of the driver, where it has workers. The outputs of all ways must be
the same, byte for byte.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.benchmarks.new_process import Cost, measured  # noqa: E402
from tests.formats.format_builders import disc, photo, save  # noqa: E402

SIZE = (48, 64)

FEW = 5
"""The first run of every step has so many times fewer items."""

AT_ONCE = "import sys; sys.path.insert(0, {repository!r})\nfrom tests.benchmarks.many_items import answer\nanswer()\n"
"""What workers run when they start."""


@dataclass(frozen=True)
class Step:
    """A step of a way.

    Attributes:
        title: name in the output.
        parts: how many such steps the items are split into.
        work: does it; takes the folder of the world and ``arguments``.
        arguments: what else it takes.
    """

    title: str
    parts: int
    work: Callable[..., None]
    arguments: tuple[Any, ...]


def answer() -> None:
    """Have every network of this process answer at once."""
    from bpr_cli.inference.predictor import Predictor

    def predict(self: Any, patches: Any) -> Any:
        predicted = np.zeros((len(patches), self._output_size, self._output_size), np.uint8)
        predicted[:, :, : self._output_size // 2] = 255
        return predicted

    Predictor.predict = predict  # type: ignore[method-assign]


def make_world(folder: Path, items: int) -> Path:
    """Photographs, results, and what has workers answer at once."""
    from tests.cli.worlds import record

    shared = photo(folder / "photo.png", SIZE)
    for name in ("photos", "site"):
        (folder / name).mkdir()
    (folder / "site/sitecustomize.py").write_text(AT_ONCE.format(repository=str(REPOSITORY)))
    mask = disc(SIZE, (24, 30), 12)
    for index in range(items):
        (folder / f"photos/{index:06d}.png").symlink_to(shared)
    images = [{"id": index, "file_name": f"{index:06d}.png"} for index in range(items)]
    save(folder / "preds.json", {"annotations": [record(index, mask) for index in range(items)], "images": images})
    return folder


def in_process(folder: Path, out: str, shard: tuple[int, int] | None = None) -> None:
    """Refine in this process, all or a shard."""
    from bpr_cli import Shard
    from bpr_cli.refinement.in_process import InProcess

    answer()
    _refine(InProcess(_settings()), folder, out, Shard(*shard) if shard else None)


def in_processes(folder: Path, out: str, count: int) -> None:
    """Refine in several processes."""
    from bpr_cli.refinement.processes import Processes

    os.environ["PYTHONPATH"] = _path_of_workers(folder)
    _refine(Processes(_settings(), count), folder, out)


def on_ray(folder: Path, out: str) -> None:
    """Refine on a cluster of two nodes."""
    import ray

    from bpr_cli.refinement.cluster import OnCluster
    from tests.system.clusters import add_node, on, small_cluster

    with small_cluster() as cluster:
        add_node(cluster)
        variables = {"PYTHONPATH": _path_of_workers(folder)}
        ray.init(cluster.address, runtime_env={"env_vars": variables}, log_to_driver=False)
        _refine(OnCluster(_settings(), on(cluster), None), folder, out)
        ray.shutdown()


def merged(folder: Path, out: str) -> None:
    """Merge the shards."""
    import bpr_cli

    bpr_cli.merge(folder / out)


def _settings() -> Any:
    from bpr_cli import RefineSettings

    return RefineSettings(device="cpu", backend="pytorch", workers=1)


def _path_of_workers(folder: Path) -> str:
    return os.pathsep.join([str(folder / "site"), str(REPOSITORY)])


def _refine(engine: Any, folder: Path, out: str, shard: Any = None) -> None:
    from bpr_cli.formats.reading import ReadSettings
    from bpr_cli.refinement.job import open_for, refine_opened

    opened = open_for(folder / "preds.json", folder / "photos", folder / out, ReadSettings())
    with closing(engine):
        summary = refine_opened(engine, opened, folder / out, shard=shard)
    if summary.failures:
        raise RuntimeError(str(summary.failures[:3]))


SHARDS = [Step(f"shard {part}/2", 2, in_process, ("shards", (part, 2))) for part in (1, 2)]

WAYS = {
    "shards": [
        *SHARDS,
        Step("shard 1/2 again", 2, in_process, ("shards", (1, 2))),
        Step("merge", 1, merged, ("shards",)),
    ],
    "processes": [
        Step("1 process", 1, in_process, ("one",)),
        Step("driver of 2 processes", 1, in_processes, ("two", 2)),
        Step("1 process again", 1, in_process, ("one",)),
    ],
    "ray": [Step("driver of 2 workers on Ray", 1, on_ray, ("ray",))],
}


def costs_of(steps: list[Step], folder: Path, at_once: bool) -> Iterator[tuple[Step, Cost]]:
    """The cost of every step; those of ``SHARDS`` at the same time if asked."""
    together = [step for step in steps if at_once and step in SHARDS]
    with ThreadPoolExecutor(2) as pool:
        yield from zip(together, pool.map(lambda step: _cost(step, folder), together), strict=True)
    for step in steps:
        if step not in together:
            yield step, _cost(step, folder)


def _cost(step: Step, folder: Path) -> Cost:
    return measured(step.work, folder, *step.arguments)


def line(step: Step, items: int, cost: Cost, fewer: int, cost_of_fewer: Cost) -> str:
    """What a step cost for all items, and what each item costs beyond start-up."""
    items, fewer = items // step.parts, fewer // step.parts
    cpu = (cost.cpu - cost_of_fewer.cpu) / (items - fewer)
    seconds = (cost.seconds - cost_of_fewer.seconds) / (items - fewer)
    return (
        f"{step.title}: {items} items, {cost.seconds:.1f} s, {cost.cpu:.1f} s CPU, peak {cost.peak:.0f} MB; beyond "
        f"start-up {1000 * cpu:.3f} ms CPU an item, {1 / seconds:.0f} items/s"
    )


def main() -> None:
    """Run all ways, and print a line for each of their steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--at-once", action="store_true")
    options = parser.parse_args()
    fewer = options.items // FEW
    with tempfile.TemporaryDirectory() as name:
        small, large = (make_world(Path(name) / f"{count}", count) for count in (fewer, options.items))
        for way in options.ways.split(","):
            before = dict(costs_of(WAYS[way], small, options.at_once))
            for step, cost in costs_of(WAYS[way], large, options.at_once):
                print(line(step, options.items, cost, fewer, before[step]), flush=True)
        for folder in (small, large):
            digests = {path.parent.name: sha256(path.read_bytes()).hexdigest() for path in folder.glob("*/preds.json")}
            print(f"SHA-256 of the outputs of {folder.name} items: {digests}")
            if len(set(digests.values())) > 1:
                sys.exit("the outputs differ")
        print("the outputs are the same")


if __name__ == "__main__":
    main()
