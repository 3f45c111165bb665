import multiprocessing
import os
import signal
import sys
import time
from contextlib import nullcontext

import pytest

from bpr_cli.errors import BprError
from bpr_cli.system.signals import StopRequest
from bpr_cli.training import data
from bpr_cli.training.workers import begin_worker, reporting_deaths, until_stopped

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals between processes")


def die_soon(ready, lingering: bool) -> None:
    ready.set()
    if lingering:
        # As the system does while it ends a process: all connections are gone, the sentinel's too, but no exit code is.
        os.closerange(3, 1000)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)


def speak_and_lose(error: BaseException, path: str) -> None:
    """As in the thread that hands batches over, whose errors are shown by the hook."""
    with open(path, "w") as sys.stderr:  # noqa: PTH123
        begin_worker(0)
        sys.excepthook(type(error), error, None)


def begin_late_and_wait(ready, ended) -> None:
    """A worker that is set up only after the process that started it has ended."""
    ready.set()
    multiprocessing.parent_process().join()
    begin_worker(0)
    ended.poll(60)


def start_worker_and_die(ended) -> None:
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    context.Process(target=begin_late_and_wait, args=(ready, ended)).start()
    ready.wait()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system does not fork")
def test_a_worker_ends_with_a_main_process_that_was_killed_before_it_began():
    """The worker holds the only open end of a pipe, which breaks when it ends."""
    ours, theirs = multiprocessing.Pipe()
    main = multiprocessing.get_context("spawn").Process(target=start_worker_and_die, args=(theirs,))
    main.start()
    theirs.close()
    main.join()
    assert ours.poll(30)
    with pytest.raises(EOFError):
        ours.recv()


@pytest.mark.parametrize("lingering", [False, True])
def test_a_death_that_the_system_has_not_reported_yet_is_reported(lingering):
    """Connections of a process break before its exit code is known."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    worker = context.Process(target=die_soon, args=(ready, lingering))
    worker.start()
    ready.wait()
    told = pytest.raises(BprError, match="a worker that prepares batches was killed by SIGKILL")
    with told, reporting_deaths([worker]):
        raise ConnectionResetError(104, "Connection reset by peer")


@pytest.mark.parametrize("number", [0, signal.SIGTERM])
def test_the_death_of_a_worker_ends_the_batches_only_after_a_signal_to_stop(number):
    worker = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    worker.start()

    def batches():
        yield "a batch"
        worker.kill()
        worker.join()
        raise ConnectionResetError

    told = pytest.raises(BprError, match="was killed by SIGKILL") if not number else nullcontext()
    with told:
        assert list(until_stopped(batches(), [worker], StopRequest(number))) == ["a batch"]


def test_other_errors_stay_as_they_are():
    with pytest.raises(ConnectionResetError), reporting_deaths([]):
        raise ConnectionResetError


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), EOFError("gone"), ValueError("a mistake")])
def test_workers_are_silent_only_about_broken_connections(error, tmp_path):
    path = tmp_path / "said.txt"
    worker = multiprocessing.get_context("spawn").Process(target=speak_and_lose, args=(error, str(path)))
    worker.start()
    worker.join()
    assert ("a mistake" in path.read_text(), "gone" in path.read_text()) == (isinstance(error, ValueError), False)


def test_a_death_while_workers_start_is_reported(monkeypatch, start_method):
    """PyTorch raises it wherever the program is: also before the first batch is asked for."""
    if start_method != "fork":
        pytest.skip("what is patched here is inherited by forked processes only")
    monkeypatch.setattr(data, "begin_worker", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    workers: list = []
    told = pytest.raises(BprError, match="a worker that prepares batches was killed by SIGKILL")
    with told, reporting_deaths(workers):
        list(data.load_batches([], range(7), 2, False, workers))
    assert len(workers) == 2
