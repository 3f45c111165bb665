"""Several processes: the result of one, whatever becomes of a worker."""

import os
import signal
import sys
from contextlib import closing

import pytest

import bpr_cli.refinement.job as module
from bpr_cli.errors import BprError
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.refinement.in_process import InProcess
from bpr_cli.refinement.job import refine_opened
from bpr_cli.refinement.processes import Processes
from bpr_cli.refinement.settings import RefineSettings
from tests.cli.resumable import MAKERS, NAMES
from tests.cli.worlds import SIZE, results
from tests.formats.format_builders import load, photo, save
from tests.refinement.test_merge import comparable


@pytest.fixture
def world(tmp_path, monkeypatch):
    for name in NAMES:
        photo(tmp_path / f"photos/{name}.png", SIZE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def two(weights_of):
    """An engine of two processes, which all tests share: they take seconds to start."""
    with closing(Processes(RefineSettings(weights=str(weights_of("unet-s")), device="cpu"), 2)) as engine:
        yield engine


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


@pytest.mark.parametrize("maker", MAKERS)
def test_two_processes_give_the_result_of_one(maker, world, refine, two, refiner):
    given, seen = MAKERS[maker](world), []
    refine(InProcess.of(refiner), *given, "whole")
    summary = refine(two, *given, "out", seen.append)
    assert (summary.images, sorted(item.image.stem for item in seen)) == (len(NAMES), NAMES)
    assert all(summary.seconds.values())
    check_equal(world)


def test_what_one_process_began_others_finish(world, refine, two, refiner):
    given = MAKERS["labels"](world)
    refine(InProcess.of(refiner), *given, "whole")
    refine(InProcess.of(refiner), *given, "out")
    for name in NAMES[::2]:
        (world / f"out/{name}.png").unlink()
    assert refine(two, *given, "out").resumed == len(NAMES) // 2
    check_equal(world)


def test_failures_and_broken_records_are_told(world, refine, two, refiner):
    given = MAKERS["coco"](world)
    document = load(world / "preds.json")
    document["annotations"][4]["segmentation"]["counts"] = "?"
    save(world / "preds.json", document)
    photo(world / "photos/07.png", (9, 9))
    whole = refine(InProcess.of(refiner), *given, "whole")
    assert refine(two, *given, "out").failures == whole.failures
    assert len(whole.failures) == 2
    check_equal(world)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_process_that_is_killed_is_replaced_and_nothing_is_lost(world, refine, two, refiner):
    given = MAKERS["panoptic"](world)
    refine(InProcess.of(refiner), *given, "whole")
    killed = []

    def kill(_):
        if not killed:
            killed.append(two.workers[0].process.pid)
            os.kill(killed[0], signal.SIGKILL)

    assert refine(two, *given, "out", kill).images == len(NAMES)
    check_equal(world)


def killing(engine, times, monkeypatch):
    """Kill the first process while it refines, and those in its place while they start; gives what to call then."""
    plain, killed = engine.replace, []

    def kill(worker):
        killed.append(worker.process.pid)
        os.kill(killed[-1], signal.SIGKILL)

    def replace(worker, how):
        place = engine.workers.index(worker)
        plain(worker, how)
        if len(killed) < times:
            kill(engine.workers[place])

    monkeypatch.setattr(engine, "replace", replace)
    return lambda _: None if killed else kill(engine.workers[0])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_processes_that_are_killed_while_they_start_are_replaced_too(world, refine, two, refiner, monkeypatch):
    given = MAKERS["panoptic"](world)
    refine(InProcess.of(refiner), *given, "whole")
    assert refine(two, *given, "out", killing(two, 4, monkeypatch)).images == len(NAMES)
    check_equal(world)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_processes_that_never_start_end_the_run(world, refine, weights_of, monkeypatch):
    given = MAKERS["labels"](world)
    settings = RefineSettings(weights=str(weights_of("unet-s")), device="cpu")
    with closing(Processes(settings, 1)) as engine:
        kill = killing(engine, 99, monkeypatch)
        with pytest.raises(BprError) as refusal:
            refine(engine, *given, "out", kill)
    assert str(refusal.value) == (
        "a process of --processes was killed by SIGKILL, as systems do when memory runs out, before its first image; "
        "try fewer, or start again"
    )


DEADLY = """
import os, signal, sys
from bpr_cli.formats import images
import bpr_cli.refinement.pipeline as pipeline

def read(path, *arguments, **named):
    if path.name == "05.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return images.read_image(path, *arguments, **named)

pipeline.read_image = read
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_an_image_that_kills_its_process_fails_and_the_others_are_refined(world, refine, weights_of, monkeypatch):
    given = MAKERS["masks"](world)
    (world / "site").mkdir()
    (world / "site/sitecustomize.py").write_text(DEADLY)  # what every new process runs first
    monkeypatch.setenv("PYTHONPATH", f"{world / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    settings = RefineSettings(weights=str(weights_of("unet-s")), device="cpu")
    with closing(Processes(settings, 1)) as engine:
        summary = refine(engine, *given, "out")
    assert [failure.name for failure in summary.failures] == ["05.png"]
    assert summary.failures[0].reason == (
        "photos/05.png cannot be refined: the process that tried it alone was killed by SIGKILL, as systems do when "
        "memory runs out"
    )
    assert set(results(world / "out")) == {f"{name}.png" for name in NAMES if name != "05"}


def test_weights_that_cannot_be_used_are_told_as_by_one_process(world, refine):
    given = MAKERS["masks"](world)
    (world / "bad.safetensors").write_bytes(b"no weights")
    settings = RefineSettings(weights="bad.safetensors", device="cpu")
    with (
        closing(Processes(settings, 2)) as engine,
        pytest.raises(BprError, match=r"the weights bad\.safetensors cannot be used"),
    ):
        refine(engine, *given, "out")


def test_all_processes_are_asked_to_end_before_any_is_waited_for():
    done = []

    class Busy:
        def stop(self):
            done.append("stop")

        def end(self):
            done.append("end")

    engine = Processes(RefineSettings(), 2)
    engine.workers = [Busy(), Busy()]
    engine.close()
    assert (done, engine.workers) == (["stop", "stop", "end", "end"], [])
