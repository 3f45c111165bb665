"""A Ray cluster of two nodes: the result of one process, whatever becomes of workers and nodes."""

import os
import signal
import sys
from contextlib import closing, suppress
from dataclasses import replace

import pytest

import bpr_cli.refinement.job as module
import bpr_cli.system.pool as pool
from bpr_cli.errors import BprError
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.refinement.cluster import OnCluster, check_alike, on_cluster
from bpr_cli.refinement.engine import InProcess
from bpr_cli.refinement.job import refine_opened
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.system.cluster import ClusterSettings
from tests.cli.resumable import MAKERS, NAMES
from tests.cli.worlds import SIZE, results
from tests.formats.format_builders import load, photo, save
from tests.refinement.test_merge import comparable

ray = pytest.importorskip("ray")

DEADLY = """
import os, signal
import bpr_cli.formats.images as images
import bpr_cli.refinement.pipeline as pipeline

def read(path, *arguments, **named):
    if path.name == "05.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return images.read_image(path, *arguments, **named)

pipeline.read_image = read
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of a head, where this process is, and a node of one CPU, where a worker is."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 * 2**20})
    add_node(made)
    yield made
    with suppress(Exception):
        made.shutdown()


def add_node(cluster):
    return cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)


@pytest.fixture
def world(tmp_path, monkeypatch):
    for name in NAMES:
        photo(tmp_path / f"photos/{name}.png", SIZE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings(weights_of):
    return RefineSettings(weights=str(weights_of("unet-s")), device="cpu")


@pytest.fixture
def refine(world):
    """Refine predictions by an engine."""

    def run(engine, predictions, _, images, out, on_item=lambda _: None):
        opened = module.open_for(predictions, images, world / out, ReadSettings())
        return refine_opened(engine, opened, world / out, on_item=on_item)

    return run


def check_equal(world):
    assert results(world / "out") == results(world / "whole")
    assert comparable(load(world / "out/run.json")) == comparable(load(world / "whole/run.json"))


def on(cluster, **changes) -> ClusterSettings:
    return ClusterSettings(cluster=cluster.address, **changes)


def test_a_cluster_gives_the_result_of_one_process_and_others_finish_its_work(world, refine, cluster, settings, refiner):
    """One engine for several sets, since workers take seconds to start."""
    with closing(OnCluster(settings, on(cluster), None)) as engine:
        for maker in ("coco", "panoptic"):
            (world / maker).mkdir()
            os.chdir(world / maker)
            (world / maker / "photos").symlink_to(world / "photos")
            given = MAKERS[maker](world / maker)
            refine(InProcess.of(refiner), *given, f"{maker}/whole")
            summary = refine(engine, *given, f"{maker}/out")
            assert (summary.images, summary.devices) == (len(NAMES), ["cpu"])
            check_equal(world / maker)
        os.chdir(world)
        given = MAKERS["labels"](world)
        refine(InProcess.of(refiner), *given, "whole")
        refine(InProcess.of(refiner), *given, "out")
        for name in NAMES[::2]:
            (world / f"out/{name}.png").unlink()
        assert refine(engine, *given, "out").resumed == len(NAMES) // 2
        check_equal(world)
