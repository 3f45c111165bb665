"""Work in threads: order, look-ahead and errors."""

import threading
import time

import pytest

from bpr_cli.errors import BprError
from bpr_cli.threads import in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_keep_the_order(workers: int) -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number * number

    assert list(in_order(slow_first, range(20), workers)) == [number * number for number in range(20)]


def test_only_a_few_are_taken_ahead() -> None:
    taken = []

    def given():
        for number in range(100):
            taken.append(number)
            yield number

    results = in_order(lambda number: number, given(), 3)
    assert next(results) == 0
    assert len(taken) <= 6
    results.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_stops_the_pass(workers: int) -> None:
    done = []
    lock = threading.Lock()

    def fail_at_three(number: int) -> int:
        if number == 3:
            raise BprError("broken")
        with lock:
            done.append(number)
        return number

    with pytest.raises(BprError, match="broken"):
        list(in_order(fail_at_three, range(1000), workers))
    assert len(done) < 20
