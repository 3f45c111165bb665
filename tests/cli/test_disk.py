"""Disks that are full, limited or read-only: one sentence, no half file, and the same command goes on afterwards."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bpr_cli.networks.registry import NETWORKS
from tests.cli.evaluations import arguments as evaluate_arguments
from tests.cli.evaluations import make
from tests.cli.worlds import REPOSITORY, results, tree
from tests.formats.format_builders import pixels
from tests.training.toy_data import toy_set
from tests.training.trainers import Tiny

resource = pytest.importorskip("resource", reason="Windows limits no sizes of files")

LIMITED = "cannot be written: File too large; allow larger files, then start again"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let the system refuse, with a real error, whatever would make a file larger."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def sizes(folder: Path) -> list[int]:
    """Sizes of the files in a folder, each once, in ascending order."""
    return sorted({len(content) for content in tree(folder).values() if content})


def check_sentence(outcome) -> None:
    """The limit is told in one sentence."""
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert outcome.errors[0].endswith(LIMITED)


def check_refused(outcome, written: Path, whole: Path) -> None:
    """One sentence, and every file that there is under its own name is what it is to become."""
    check_sentence(outcome)
    assert outcome.out == ""
    assert "Traceback" not in outcome.err
    assert not list(written.rglob(".*.tmp"))
    become = results(whole)
    assert all(content == become[name] for name, content in results(written).items())


def test_a_refinement(arguments, world, refine):
    chosen = (*arguments, "--workers", "2", "--batch-size", "8")
    assert refine(*chosen, "--out", "whole").code == 0
    found = sizes(world / "whole")
    for limit in (1, found[0], found[len(found) // 2], found[-2], found[-1] - 1):
        shutil.rmtree(world / "out", ignore_errors=True)
        with files_of_at_most(limit):
            check_refused(refine(*chosen, "--out", "out"), world / "out", world / "whole")
        assert refine(*chosen, "--out", "out").code == 0
        assert results(world / "out") == results(world / "whole")


def test_an_extraction(world, bpr):
    for name in "abc":
        for number in range(7):
            for folder in ("images", "masks"):
                shutil.copy(world / folder / f"{name}.png", world / folder / f"{name}{number}.png")
    given = ("extract", "masks", "--images", "images", "--ground-truth", "masks", "--patch-size", "16")
    assert bpr(*given, "--out", "whole").code == 0
    found = sizes(world / "whole")
    for limit in (1, found[0], found[-1] - 1):
        shutil.rmtree(world / "out", ignore_errors=True)
        with files_of_at_most(limit):
            check_refused(bpr(*given, "--out", "out"), world / "out/nothing", world / "whole")
        assert os.listdir(world / "out") == [".bpr"]  # noqa: PTH208
        assert bpr(*given, "--out", "out").code == 0
        assert tree(world / "out") == tree(world / "whole")


def test_a_training(world, bpr, monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny", Tiny)
    toy_set(world / "patches")
    given = ("train", "patches", "--network", "tiny", "--steps", "20", "--batch-size", "4", "--padding", "8")
    given = (*given, "--workers", "0", "--input-size", "0", "--save-every", "5", "--name", "same")
    assert bpr(*given, "--out", "whole").code == 0
    found = sizes(world / "whole")
    for limit in (1, *(size - 1 for size in found)):
        shutil.rmtree(world / "out", ignore_errors=True)
        with files_of_at_most(limit):
            check_sentence(bpr(*given, "--out", "out"))
        assert not list((world / "out").rglob(".*.tmp"))
        assert bpr(*given, "--out", "out").code == 0
        assert tree(world / "out") == tree(world / "whole")


def test_an_evaluation(world, bpr):
    given = ("evaluate", *evaluate_arguments(make("masks", world)))
    assert bpr(*given, "--out", "whole").code == 0
    for limit in (1, *(size - 1 for size in sizes(world / "whole"))):
        shutil.rmtree(world / "out", ignore_errors=True)
        with files_of_at_most(limit):
            check_sentence(bpr(*given, "--out", "out"))
        written = tree(world / "out") if (world / "out").exists() else {}
        assert set(written) < {"report.json", "report.csv", "report.html"}
        assert all(content.endswith(b"\n") for content in written.values())
        assert bpr(*given, "--out", "out").code == 0


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "No space left on device; make room, then start again"),
        (errno.EDQUOT, "Disk quota exceeded; make room, then start again"),
        (errno.EROFS, "Read-only file system; make the disk writable, then start again"),
    ],
)
@pytest.mark.parametrize("calls", [0, 1, 7, 12])
def test_a_disk_that_fails_in_the_middle(calls, number, advice, masks, world, refine, monkeypatch):
    fsync, done = os.fsync, []

    def fail(file):
        done.append(file)
        if len(done) > calls:
            raise OSError(number, os.strerror(number))
        fsync(file)

    refine(*masks, "--out", "whole")
    with monkeypatch.context() as failing:
        failing.setattr("os.fsync", fail)
        outcome = refine(*masks, "--out", "out", "--workers", "1")
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert outcome.errors[0].endswith(f" cannot be written: {advice}")
    assert not list((world / "out").rglob(".*.tmp"))
    assert refine(*masks, "--out", "out").code == 0
    assert results(world / "out") == results(world / "whole")


FULL = """
import shutil, subprocess, sys
from bpr_cli.cli.main import main

def mount(*options):
    return subprocess.run(["mount", *options], check=False).returncode

def refine():
    try:
        main(sys.argv[2:])
    except SystemExit as stop:
        return stop.code

if mount("-t", "tmpfs", "-o", "size=" + sys.argv[1], "none", "out"):
    sys.exit(99)
print(refine())
shutil.copytree("out", "full")
mount("-o", "remount,size=20m", "out")
print(refine())
shutil.copytree("out", "again")
mount("-o", "remount,ro", "out")
print(refine())
"""
"""Refines thrice: where the disk becomes full, where it has grown, and where it may be read only."""

UNSHARE = ("unshare", "--map-root-user", "--mount")


@pytest.mark.skipif(
    shutil.which("unshare") is None or subprocess.run([*UNSHARE, "true"], check=False).returncode,
    reason="no file systems of one's own can be mounted here",
)
@pytest.mark.parametrize("size", ["24k", "48k"])
def test_a_disk_that_is_really_full(size, arguments, world, refine, random_weights):
    chosen = ("refine", *arguments, "--out", "out", "--weights", random_weights, "--workers", "2")
    command = (*UNSHARE, sys.executable, "-c", FULL, size, *chosen)
    (world / "out").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*map(str, command)], cwd=world, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    if done.returncode == 99:
        pytest.skip("no file systems can be mounted here")
    assert "Traceback" not in done.stderr
    full, read_only = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert full.endswith(" cannot be written: No space left on device; make room, then start again")
    assert read_only == "error: the output out cannot be written: no permission to write to out; give another --out"
    assert done.stdout.split() == ["2", "0", "2"]
    assert not list((world / "full").rglob(".*.tmp"))
    for path in (world / "full").rglob("*.png"):
        pixels(path)
    refine(*arguments, "--out", "whole")
    become = results(world / "whole")
    assert all(content == become[name] for name, content in results(world / "full").items())
    assert results(world / "again") == become


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_standard_output_is_full(world, start, random_weights):
    arguments = ("refine", "masks", "--images", "images", "--out", "out", "--weights", random_weights, "--json")
    with Path("/dev/full").open("w") as full, start(*arguments, stdout=full) as process:
        err = process.communicate(timeout=60)[1]
    assert process.returncode == 2
    assert err.splitlines()[-1] == "error: standard output cannot be written: No space left on device"
    assert "Traceback" not in err
    assert "Exception ignored" not in err
