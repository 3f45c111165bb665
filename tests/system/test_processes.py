"""Functions in processes: results in order, and errors, notes and deaths told in this process."""

import logging
import os
import signal
import sys

import pytest

from bpr_cli.errors import LOGGER, BprError, note
from bpr_cli.system.processes import in_processes


def power(base: int, exponent: int) -> int:
    """Most of what can happen, by exponent."""
    if exponent == 100:
        raise BprError("too large")
    if exponent == 101:
        raise ValueError("a bug")
    if exponent == 102:
        os.kill(os.getpid(), signal.SIGKILL)
    if exponent == 3:
        note("%s is odd", exponent)
    return int(base**exponent)


def test_results_are_in_order_and_notes_come_back(caplog):
    LOGGER.propagate = True
    with caplog.at_level(logging.WARNING, "bpr_cli"):
        assert list(in_processes(power, 2, range(10), 2)) == [2**each for each in range(10)]
    assert [record.getMessage() for record in caplog.records] == ["3 is odd"]


@pytest.mark.parametrize(("exponent", "kind", "said"), [(100, BprError, "too large"), (101, RuntimeError, "a bug")])
def test_errors_are_raised_here(exponent, kind, said):
    with pytest.raises(kind, match=said):
        list(in_processes(power, 2, [1, exponent, 2], 1))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_death_is_told():
    said = r"one of several processes was killed by SIGKILL, .*; try fewer --processes"
    with pytest.raises(BprError, match=said):
        list(in_processes(power, 2, [1, 102, 2], 1))
