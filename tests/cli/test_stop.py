"""Ctrl-C and SIGTERM, at any moment and in every command: a sentence, an exit code, nothing half done, nobody left."""

import os
import signal
import time
from pathlib import Path

import pytest

from bpr_cli.cli.main import how_to_go_on
from bpr_cli.system.signals import Stopped
from tests.cli.evaluations import arguments as evaluate_arguments
from tests.cli.evaluations import make
from tests.cli.resumable import left_of, wait_for
from tests.cli.worlds import MASK, SIZE, results, tree
from tests.formats.format_builders import photo, png
from tests.training.toy_data import toy_set

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals between processes")

LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux lists processes in /proc")
EITHER = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])

AT_IMPORT = """
import os, sys
number, name = int(sys.argv.pop(1)), sys.argv.pop(1)

class Finder:
    def find_spec(self, fullname, path=None, target=None):
        if fullname == name:
            os.kill(os.getpid(), number)

sys.meta_path.insert(0, Finder())
from bpr_cli.cli.main import program
program()
"""

AT_START = AT_IMPORT.rpartition("from bpr_cli")[0] + "import runpy\nrunpy.run_module('bpr_cli', run_name='__main__')"

NEVER_DONE = """
import threading
from pathlib import Path
from bpr_cli.system import paths as files

def never_done(*_):
    Path("writing").touch()
    threading.Event().wait()

files.write_atomically = never_done
from bpr_cli.cli.main import program
program()
"""

IGNORING = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from bpr_cli.cli.main import program
program()
"""


@pytest.fixture
def many(world):
    """So many masks that there is time to stop."""
    for index in range(120):
        png(world / f"many/{index}.png", MASK.astype("uint8") * 255)
        photo(world / f"photos/{index}.png", SIZE)
    return ("many", "--images", "photos")


def check_stopped(process, number, err, advice="repeat the same command to resume"):
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    assert err.splitlines()[-1] == f"stopped by {name}; {advice}"
    assert "Traceback" not in err
    assert process.returncode == 128 + number
    assert left_of(process) == []


@EITHER
def test_a_refinement(number, many, world, refine, start, random_weights):
    arguments = ("refine", *many, "--out", "out", "--weights", random_weights)
    with start(*arguments, "--json") as process:
        wait_for(world / "out/0.png", process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    check_stopped(process, number, err)
    assert out == ""
    written = results(world / "out")
    assert 0 < len(written) < 120
    assert all(name.endswith(".png") and content.endswith(b"IEND\xaeB`\x82") for name, content in written.items())
    assert sorted(path.name for path in (world / "out/.bpr").iterdir()) == ["journal.jsonl", "records.bin"]
    assert refine(*arguments[1:]).code == 0
    assert refine(*many, "--out", "whole").code == 0
    assert results(world / "out") == results(world / "whole")


MODULES = ["typer", "numpy", "bpr_cli.cli.refine", "torch", "torch._C", "bpr_cli.refinement.job"]


@pytest.mark.parametrize("module", MODULES)
def test_while_modules_are_imported(module, world, start, random_weights):
    arguments = ("refine", "masks", "--images", "images", "--out", "out", "--weights", random_weights)
    before = tree(world)
    with start(signal.SIGINT, module, *arguments, program=("-c", AT_IMPORT)) as process:
        err = process.communicate(timeout=60)[1]
    check_stopped(process, signal.SIGINT, err)
    # PyTorch is imported after the line that says what the input was taken for.
    assert [line for line in err.splitlines()[:-1] if not line.startswith("masks: binary masks")] == []
    assert tree(world) == before


@pytest.mark.parametrize("module", ["bpr_cli.cli.main", "bpr_cli.errors", "bpr_cli.system.signals", "dataclasses"])
def test_ctrl_c_at_the_very_start_is_silent(module, start):
    with start(signal.SIGINT, module, "refine", program=("-c", AT_START)) as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (-signal.SIGINT, "", "")  # shells say 130


def test_a_second_signal_waits_for_nothing(world, start, random_weights):
    arguments = ("refine", "masks", "--images", "images", "--out", "out", "--weights", random_weights)
    with start(*arguments, program=("-c", NEVER_DONE)) as process:
        wait_for(world / "writing", process)  # before, the main thread may be importing, and stops at once
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        err = process.communicate()[1]
    assert process.returncode == -signal.SIGINT
    assert "Traceback" not in err
    assert left_of(process) == []


def test_an_ignored_signal_stays_ignored(world, start, random_weights):
    arguments = ("refine", "masks", "--images", "images", "--out", "out", "--weights", random_weights)
    with start(*arguments, program=("-c", IGNORING)) as process:
        wait_for(world / "out", process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


@EITHER
def test_an_extraction(number, many, world, bpr, start):
    arguments = ("extract", "many", "--images", "photos", "--ground-truth", "many", "--patch-size", "16")
    with start(*arguments, "--out", "set") as process:
        wait_for(world / "set/.bpr/journal.jsonl", process)
        process.send_signal(number)
        err = process.communicate(timeout=60)[1]
    check_stopped(process, number, err)
    assert os.listdir(world / "set") == [".bpr"]  # noqa: PTH208
    assert bpr(*arguments, "--out", "set").code == 0
    assert bpr(*arguments, "--out", "whole").code == 0
    assert tree(world / "set") == tree(world / "whole")


def test_an_evaluation(world, start):
    given = evaluate_arguments(make("masks", world))
    before = tree(world)
    arguments = (signal.SIGTERM, "bpr_cli.evaluation.report.files", "evaluate", *given, "--out", "report")
    with start(*arguments, program=("-c", AT_IMPORT)) as process:
        err = process.communicate(timeout=60)[1]
    check_stopped(process, signal.SIGTERM, err, "no partial file was left; repeat the same command to start over")
    assert tree(world) == before


@pytest.fixture
def training(world, start):
    """A training at work, with two workers."""
    toy_set(world / "patches")
    arguments = ("train", "patches", "--out", "run", "--network", "unet-s", "--steps", "5000", "--batch-size", "2")
    with start(*arguments, "--padding", "8", "--workers", "2") as process:
        wait_for(world / "run/log.csv", process)
        while process.poll() is None and len(left_of(process)) < 3:
            time.sleep(0.01)
        yield process
        process.kill()


def workers_of(process) -> list[int]:
    return [int(stat.split()[0]) for stat in left_of(process) if int(stat.split()[0]) != process.pid]


@LINUX
def test_a_worker_that_dies_is_told_of(training, world):
    os.kill(workers_of(training)[0], signal.SIGKILL)
    err = training.communicate(timeout=120)[1]
    assert err.count("error: ") == 1, err
    (error,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert error == (
        "error: a worker that prepares batches was killed by SIGKILL, as systems do when memory runs out; give the "
        "same command again, with fewer --workers, to go on from the last saved step"
    )
    assert (training.returncode, "Traceback" in err) == (2, False)
    assert left_of(training) == []
    assert not list((world / "run").rglob(".*.tmp"))


@LINUX
@EITHER
def test_a_training_that_stops_leaves_no_workers(number, training):
    training.send_signal(number)
    err = training.communicate(timeout=120)[1]
    assert "repeat the same command to resume" in err
    assert (training.returncode, "Traceback" in err) == (128 + number, False)
    assert left_of(training) == []


@LINUX
def test_workers_end_with_a_training_that_is_killed(training):
    training.kill()
    training.communicate(timeout=120)
    for _ in range(1000):
        if not left_of(training):
            return
        time.sleep(0.1)
    pytest.fail(f"still there: {left_of(training)}")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["refine", "a"], "repeat the same command to resume"),
        (["--debug", "train", "a"], "repeat the same command to resume"),
        (["extract", "a", "--overwrite"], "repeat the same command, without --overwrite, to resume"),
        (["evaluate", "a"], "no partial file was left; repeat the same command to start over"),
        ([], "no partial file was left; repeat the same command to start over"),
    ],
)
def test_how_a_command_goes_on(given, said):
    assert how_to_go_on(given) == said


def test_a_stop_is_an_exit_with_the_code_of_shells(world, bpr, monkeypatch):
    def stop(*_):
        raise Stopped(signal.SIGTERM)

    monkeypatch.setattr("bpr_cli.refinement.job.open_predictions", stop)
    outcome = bpr("refine", "masks", "--images", "images", "--out", "out")
    assert (outcome.code, outcome.out) == (143, "")
    assert outcome.err == "stopped by SIGTERM; repeat the same command to resume\n"
