"""``bpr refine --cluster``: drivers and workers that are stopped and killed, and their work finished in another way."""

import json
import os
import random
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.resumable import MAKERS, NAMES, wait_for
from tests.cli.worlds import results
from tests.docs.pages import DOCS, commands_of
from tests.system.clusters import small_cluster

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux lists processes in /proc")


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    with small_cluster() as made:
        yield made


def parent_of(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def servers() -> list[int]:
    """The workers on the nodes that this process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            process = int(path.parent.name)
            if b"ray::_Server" in path.read_bytes() and parent_of(parent_of(process)) == os.getpid():
                found.append(process)
    return found


def test_a_cluster_gives_the_result_of_one_process(cluster, masks, world, refine):
    assert refine(*masks, "--out", "whole").code == 0
    outcome = refine(*masks, "--out", "out", "--cluster", cluster.address, "--json")
    assert (outcome.code, json.loads(outcome.out)["images"]) == (0, len(NAMES))
    assert results(world / "out") == results(world / "whole")


WORK = 6.0
"""Seconds that a worker takes to load the network and to refine everything, roughly."""


def check_drivers(cluster, world, refine, start, given, numbers) -> None:
    """Stop or kill drivers at random moments: no worker is left, and one process finishes what they began."""
    draw = random.Random(len(numbers))
    assert refine(*given[:-1], "whole").code == 0
    for number in numbers:
        if (world / "out/run.json").exists():  # the signal before came too late
            shutil.rmtree(world / "out")
        with start("refine", *given, "--cluster", cluster.address) as process:
            while not servers() and process.poll() is None:
                time.sleep(0.05)
            time.sleep(draw.uniform(0, WORK))
            process.send_signal(number)
            err = process.communicate(timeout=120)[1]
        assert process.returncode in (0, -number, 128 + number), err
        if process.returncode == 128 + number:
            assert "Traceback" not in err
            assert "repeat the same command to resume" in err
            assert not list((world / "out").rglob(".*.tmp"))
        for _ in range(300):
            if not servers():
                break
            time.sleep(0.1)
        assert servers() == []
    assert refine(*given).code == 0
    assert results(world / "out") == results(world / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_leaves_no_worker(number, cluster, photos, world, refine, start, random_weights):
    given = (*MAKERS["labels"](world), "--weights", random_weights, "--out", "out")
    check_drivers(cluster, world, refine, start, given, [number])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_drivers_that_end_at_many_moments(number, cluster, photos, world, refine, start, random_weights):
    given = (*MAKERS["coco"](world), "--weights", random_weights, "--out", "out")
    check_drivers(cluster, world, refine, start, given, [number] * 10)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_workers_that_are_killed_at_many_moments(cluster, photos, world, refine, start, random_weights):
    given = (*MAKERS["panoptic"](world), "--weights", random_weights)
    refine(*given, "--out", "whole")
    draw = random.Random(1)
    for attempt in range(10):
        with start("refine", *given, "--out", f"out-{attempt}", "--cluster", cluster.address) as process:
            wait_for(world / f"out-{attempt}", process)
            time.sleep(draw.uniform(0, 0.5))
            for worker in servers():
                os.kill(worker, signal.SIGKILL)
            err = process.communicate(timeout=300)[1]
        assert process.returncode == 0, err
        assert results(world / f"out-{attempt}") == results(world / "whole")


WITHOUT_PYTORCH = ("-c", "import sys; sys.modules['torch'] = None; from bpr_cli.cli.main import program; program()")
"""Runs ``bpr`` where PyTorch cannot be imported."""


def test_a_driver_needs_no_pytorch(cluster, masks, world, refine, started, random_weights):
    assert refine(*masks, "--out", "whole").code == 0
    given = ("refine", *masks, "--out", "out", "--weights", random_weights)
    for where in (("--cluster", cluster.address), ()):  # the second time, nothing is left to do
        assert started(*given, *where, program=WITHOUT_PYTORCH).code == 0
        assert results(world / "out") == results(world / "whole")


@pytest.mark.parametrize("command", ["refine", "check"])
def test_what_needs_the_network_says_so(command, masks, world, started):
    ended = started(command, *masks, "--out", "out", program=WITHOUT_PYTORCH)
    assert (ended.code, ended.errors) == (2, ["the network needs the package torch; install it with pip install torch"])


@pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is not here")
def test_the_commands_of_the_guide(cluster, photos, world, refine, monkeypatch):
    """One after the other, into outputs of their own; ``/data`` is the world, and the cluster is that of the tests."""
    MAKERS["coco"](world)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)  # as on a machine of the cluster
    refine("preds.json", "--images", "photos", "--out", "whole")
    commands = commands_of("how-to/ray.md")
    assert [command[0] for command in commands] == ["refine", "refine"]
    for command in commands:
        shutil.rmtree(world / "refined", ignore_errors=True)
        words = (word.replace("/data", str(world)).replace("10.0.0.1:6379", cluster.address) for word in command)
        outcome = refine(*list(words)[1:])
        assert (outcome.code, outcome.errors) == (0, []), command
        assert results(world / "refined") == results(world / "whole")
