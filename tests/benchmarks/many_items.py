"""A job of many small images with a network that answers at once, by shards and on a Ray cluster.

    python tests/benchmarks/many_items.py [--items N] [--ways shards,ray]

Each way runs in a new process; N items are links to one image of 64 x 48 pixels with one COCO record each. The two
shards run one after the other, the first a second time, which resumes. The cluster has two nodes of one CPU on this
machine; the CPU time is that of its driver. The outputs must be the same, byte for byte.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.formats.format_builders import disc, photo, save  # noqa: E402

SIZE = (48, 64)

AT_ONCE = "import sys; sys.path.insert(0, {repository!r})\nfrom tests.benchmarks.many_items import answer\nanswer()\n"
"""What workers on the cluster run when they start."""


@dataclass(frozen=True)
class Cost:
    """What one way took: seconds, CPU seconds of its process, megabytes at most."""

    seconds: float
    cpu: float
    peak: float


def answer() -> None:
    """Have every network of this process answer at once."""
    from bpr_cli.inference.predictor import Predictor

    def predict(self: Any, patches: Any) -> Any:
        predicted = np.zeros((len(patches), self._output_size, self._output_size), np.uint8)
        predicted[:, :, : self._output_size // 2] = 255
        return predicted

    Predictor.predict = predict  # type: ignore[method-assign]


def make_world(folder: Path, items: int) -> None:
    """Photographs and results."""
    from tests.cli.worlds import record

    shared = photo(folder / "photo.png", SIZE)
    (folder / "photos").mkdir()
    mask = disc(SIZE, (24, 30), 12)
    for index in range(items):
        (folder / f"photos/{index:06d}.png").symlink_to(shared)
    images = [{"id": index, "file_name": f"{index:06d}.png"} for index in range(items)]
    save(folder / "preds.json", {"annotations": [record(index, mask) for index in range(items)], "images": images})


def measured(way: Any, *arguments: object) -> Cost:
    """The cost of a way in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_measure, way, *arguments).result()


def _measure(way: Any, *arguments: object) -> Cost:
    began = time.monotonic()
    way(*arguments)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)


def in_process(folder: Path, out: str, shard: tuple[int, int] | None = None) -> None:
    """Refine in this process, all or a shard."""
    from bpr_cli import RefineSettings, Shard
    from bpr_cli.refinement.engine import InProcess

    answer()
    with closing(InProcess(RefineSettings(device="cpu", backend="pytorch", workers=1))) as engine:
        _refine(engine, folder, out, Shard(*shard) if shard else None)


def on_ray(folder: Path, out: str) -> None:
    """Refine on a cluster of two nodes."""
    import ray

    from bpr_cli import RefineSettings
    from bpr_cli.refinement.cluster import OnCluster
    from tests.system.clusters import add_node, on, small_cluster

    (folder / "site").mkdir()
    (folder / "site/sitecustomize.py").write_text(AT_ONCE.format(repository=str(REPOSITORY)))
    with small_cluster() as cluster:
        add_node(cluster)
        variables = {"PYTHONPATH": f"{folder / 'site'}:{REPOSITORY}"}
        ray.init(cluster.address, runtime_env={"env_vars": variables}, log_to_driver=False)
        settings = RefineSettings(device="cpu", backend="pytorch", workers=1)
        with closing(OnCluster(settings, on(cluster), None)) as engine:
            _refine(engine, folder, out, None)
        ray.shutdown()


def merged(folder: Path, out: str) -> None:
    """Merge the shards."""
    import bpr_cli

    bpr_cli.merge(folder / out)


def _refine(engine: Any, folder: Path, out: str, shard: Any) -> None:
    from bpr_cli.formats.reading import ReadSettings
    from bpr_cli.refinement.job import open_for, refine_opened

    opened = open_for(folder / "preds.json", folder / "photos", folder / out, ReadSettings())
    began = time.monotonic()
    summary = refine_opened(engine, opened, folder / out, shard=shard)
    if summary.failures:
        raise RuntimeError(str(summary.failures[:3]))
    print(f"  {summary.images / (time.monotonic() - began):.0f} items/s after opening", flush=True)


def main() -> None:
    """Run all ways, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--ways", default="shards,ray")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_world(folder, options.items)
        steps: list[tuple[str, int, tuple[Any, ...]]] = []
        half = options.items // 2
        if "shards" in options.ways:
            steps += [(f"shard {part}/2", half, (in_process, folder, "shards", (part, 2))) for part in (1, 2)]
            steps += [("shard 1/2 again", half, (in_process, folder, "shards", (1, 2)))]
            steps += [("merge", options.items, (merged, folder, "shards"))]
        if "ray" in options.ways:
            steps += [("ray, 2 workers", options.items, (on_ray, folder, "ray"))]
        for title, items, step in steps:
            cost = measured(*step)
            print(
                f"{title}: {items} items, {cost.seconds:.1f} s, {items / cost.seconds:.0f} items/s, "
                f"{1000 * cost.cpu / items:.3f} ms CPU an item, peak {cost.peak:.0f} MB",
                flush=True,
            )
        outputs = {path.read_bytes() for path in folder.glob("*/preds.json")}
        if len(outputs) > 1:
            sys.exit("the outputs differ")
        print("the outputs are the same")


if __name__ == "__main__":
    main()
