"""A Ray cluster of two nodes: the result of one process, whatever becomes of workers and nodes."""

import os
import random
import shutil
from contextlib import closing, contextmanager, suppress
from dataclasses import replace

import pytest

import bpr_cli.refinement.job as module
import bpr_cli.system.pool as pool
from bpr_cli.errors import BprError
from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.patchset.extract import extract
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.refinement.cluster import OnCluster, check_alike, on_cluster
from bpr_cli.refinement.in_process import InProcess
from bpr_cli.refinement.job import refine_opened
from bpr_cli.refinement.network_used import NetworkUsed, WeightsUsed
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.system.cluster import ClusterSettings
from bpr_cli.version import __version__
from tests.cli.evaluations import make
from tests.cli.resumable import MAKERS, NAMES
from tests.cli.worlds import SIZE, results, tree
from tests.formats.format_builders import load, photo
from tests.refinement.test_merge import comparable
from tests.system.clusters import add_node, on, small_cluster

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
def cluster():
    pytest.importorskip("ray")
    with small_cluster() as made:
        yield made


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


def test_a_cluster_gives_the_result_of_one_process_and_others_finish_its_work(
    world, refine, cluster, settings, refiner
):
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


def change_node(cluster):
    """A node joins, and another is lost."""
    lost = cluster.worker_nodes.copy().pop()
    add_node(cluster)
    cluster.remove_node(lost, allow_graceful=False)


def test_nodes_that_join_go_on_for_nodes_that_are_lost(world, refine, cluster, settings, refiner):
    given, seen = MAKERS["panoptic"](world), []
    refine(InProcess.of(refiner), *given, "whole")

    def change_nodes(item):
        seen.append(item.name)
        if len(seen) == 2:
            change_node(cluster)

    with closing(OnCluster(settings, on(cluster), None)) as engine:
        summary = refine(engine, *given, "out", change_nodes)
    assert (summary.images, summary.failures) == (len(NAMES), [])
    assert sorted(set(seen)) == sorted(seen)
    check_equal(world)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nodes_that_are_lost_at_many_moments(world, refine, cluster, settings, refiner):
    """Every second time the driver stops as well, and one process finishes the work."""
    given, draw, seen = MAKERS["panoptic"](world), random.Random(1), []
    refine(InProcess.of(refiner), *given, "whole")

    def lose(item):
        seen.append(item.name)
        if len(seen) == moment:
            change_node(cluster)
            if is_stopped:
                raise KeyboardInterrupt

    for is_stopped in (False, True) * 5:
        seen.clear()
        moment = draw.randrange(1, len(NAMES))
        shutil.rmtree(world / "out", ignore_errors=True)
        with closing(OnCluster(settings, on(cluster), None)) as engine, suppress(KeyboardInterrupt):
            refine(engine, *given, "out", lose)
        resumed = refine(InProcess.of(refiner), *given, "out").resumed
        assert resumed == (moment if is_stopped else len(NAMES))
        check_equal(world)


@contextmanager
def connected(cluster, world, startup):
    """This process is connected already, and its workers run some code when they start."""
    (world / "site").mkdir()
    (world / "site/sitecustomize.py").write_text(startup)
    import ray

    path = f"{world / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    ray.init(cluster.address, runtime_env={"env_vars": {"PYTHONPATH": path}}, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


def test_an_image_that_kills_its_worker_fails_and_the_others_are_refined(world, refine, cluster, settings):
    given = MAKERS["masks"](world)
    with connected(cluster, world, DEADLY), closing(OnCluster(settings, on(cluster), 1)) as engine:
        summary = refine(engine, *given, "out")
    (failure,) = summary.failures
    assert failure.reason.startswith(
        "photos/05.png cannot be refined: the process that tried it alone died on its node"
    )
    assert set(results(world / "out")) == {f"{name}.png" for name in NAMES if name != "05"}


FULL = """
import errno, os

def full(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

os.fsync = full
"""


def test_a_full_disk_on_a_worker_stops_the_run_which_goes_on_later(world, refine, cluster, settings, refiner):
    given = MAKERS["labels"](world)
    with (
        connected(cluster, world, FULL),
        closing(OnCluster(settings, on(cluster), None)) as engine,
        pytest.raises(BprError, match=r"cannot be written: No space left on device; make room, then start again"),
    ):
        refine(engine, *given, "out")
    assert not list((world / "out").rglob(".*.tmp"))
    refine(InProcess.of(refiner), *given, "out")
    refine(InProcess.of(refiner), *given, "whole")
    check_equal(world)


def refusal(cluster, settings, **changes) -> str:
    """What a cluster says in place of loading the network."""
    with closing(OnCluster(settings, on(cluster, **changes), None)) as engine, pytest.raises(BprError) as refused:
        engine.network()
    return str(refused.value)


def test_workers_of_another_version_are_refused(world, cluster, settings, monkeypatch):
    monkeypatch.setattr(pool, "__version__", "99.0")
    said = refusal(cluster, settings)
    assert said.startswith("the worker on node ")
    assert said.endswith(f" has bpr {__version__}, but this is bpr 99.0; install the same version on every node")


def test_weights_that_cannot_be_used_are_told_as_by_one_process(world, cluster):
    (world / "bad.safetensors").write_bytes(b"no weights")
    said = refusal(cluster, RefineSettings(weights="bad.safetensors", device="cpu"))
    assert said.startswith("the weights bad.safetensors cannot be used")


def test_workers_that_do_not_answer_are_told(world, cluster, settings, monkeypatch):
    monkeypatch.setattr(pool, "ANSWER_WITHIN", 1.0)
    assert refusal(cluster, settings, cpus_per_worker=64) == (
        f"no worker of the cluster {cluster.address} has answered for 1 seconds; it has 1 CPUs and 0 GPUs on 2 nodes, "
        "and a worker needs 64 CPUs; add nodes, or change --cpus-per-worker"
    )


def test_evaluations_and_extractions_give_what_one_process_gives(tmp_path, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bpr_cli.evaluation.evaluation.PART", 2)
    monkeypatch.setattr("bpr_cli.patchset.extract.PART", 1)
    paths = make("coco", tmp_path)
    alone, together = (
        evaluate(paths["after"], paths["truth"], baseline=paths["before"], cluster=where)
        for where in (ClusterSettings(), on(cluster))
    )
    assert alone == replace(together, elapsed=alone.elapsed)
    chosen = PatchSetSettings(patch_size=16, padding=4, simulate=2, max_patches=20)
    for out, where in (("one", ClusterSettings()), ("several", on(cluster))):
        assert extract(paths["after"], "images", paths["truth"], out, chosen, cluster=where).failures == []
    assert tree(tmp_path / "one") == tree(tmp_path / "several")


def test_an_evaluation_whose_workers_die_names_the_images(tmp_path, cluster, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = make("masks", tmp_path)
    deadly = "import os, signal\nimport bpr_cli.evaluation.binary as binary\n\n" + (
        "def read(*_):\n    os.kill(os.getpid(), signal.SIGKILL)\n\nbinary.BinaryEvaluator.read_truth = read\n"
    )
    with (
        connected(cluster, tmp_path, deadly),
        pytest.raises(BprError, match=r"3 workers have died with the images from"),
    ):
        evaluate(paths["after"], paths["truth"], cluster=on(cluster))


NETWORK = NetworkUsed({"bpr": "0.4"}, ["cuda:0"], "pytorch", WeightsUsed("fast", "unet-s", "a" * 64), 1.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"devices": ["cuda:1"]}, None),
        ({"versions": {"bpr": "0.4", "torch": "2"}}, None),
        ({"versions": {"bpr": "0.5"}}, "has bpr 0.5, but others have 0.4"),
        ({"devices": ["cpu"]}, "has the device cpu, but others have cuda"),
        ({"backend": "openvino"}, "has the backend openvino, but others have pytorch"),
        (
            {"weights": WeightsUsed("fast", "unet-s", "b" * 64)},
            "has weights fast (SHA-256 bbbbbbbbbbbb…), but others have fast (SHA-256 aaaaaaaaaaaa…)",
        ),
    ],
)
def test_workers_must_give_the_same_results(changes, said):
    other = replace(NETWORK, **changes)
    if said is None:
        check_alike(NETWORK, other, "10.0.0.2")
        return
    with pytest.raises(BprError) as refused:
        check_alike(NETWORK, other, "10.0.0.2")
    assert str(refused.value).startswith(f"the worker on node 10.0.0.2 {said}; results would differ")


@pytest.mark.parametrize(
    ("device", "gpus", "cpus", "expected"),
    [
        ("auto", 0, 1, ("cpu", 1)),
        ("cpu", 0, 2.5, ("cpu", 2)),
        ("auto", 0.5, 0.2, ("auto", 1)),
        ("cuda", 1, 64, ("cuda", 4)),
    ],
)
def test_what_a_worker_works_with(device, gpus, cpus, expected):
    settings = on_cluster(RefineSettings(device=device, workers=4), ClusterSettings(cpus_per_worker=cpus), gpus)
    assert (settings.device, settings.workers) == expected


def test_a_gpu_must_be_asked_for():
    with pytest.raises(BprError, match=r"--device is cuda, but workers have no GPU; give --gpus-per-worker 1, or less"):
        on_cluster(RefineSettings(device="cuda"), ClusterSettings(), 0)
