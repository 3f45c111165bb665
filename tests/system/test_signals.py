"""Signals that ask the program to stop, at moments that are hard to meet."""

import os
import signal
import threading

import pytest

from bpr_cli.system.signals import Stopped, stopping

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM that can be handled")


def stop_during_a_wait(condition: threading.Condition) -> None:
    with stopping("start over"), condition:
        condition.release()  # as ``wait`` does
        signal.raise_signal(signal.SIGTERM)


def test_a_signal_at_the_end_of_a_wait_stops_the_program(capsys):
    """Then the lock of the wait is free, and Python cannot release it."""
    with pytest.raises(Stopped) as stopped:
        stop_during_a_wait(threading.Condition())
    assert stopped.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "stopped by SIGTERM; start over\n"


def test_other_errors_are_told():
    lock = threading.Lock()
    with pytest.raises(RuntimeError, match="release unlocked lock"), stopping("start over"):
        lock.release()
