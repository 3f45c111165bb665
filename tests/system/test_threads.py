"""Work in threads: order, look-ahead and errors."""

import threading
import time

import pytest

from bpr_cli.errors import BprError
from bpr_cli.system.threads import Budget, default_workers, in_order, one_ahead


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


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_one_is_computed_ahead_of_what_is_used(count: int) -> None:
    taken = []

    def given():
        for number in range(count):
            taken.append(number)
            yield number

    for place, result in enumerate(one_ahead(lambda number: number * number, given())):
        assert result == place * place
        assert len(taken) == min(place + 2, count)
    assert taken == list(range(count))


def test_an_error_ahead_reaches_whoever_asks_for_it() -> None:
    def fail_at_one(number: int) -> int:
        if number == 1:
            raise BprError("one")
        return number

    results = one_ahead(fail_at_one, range(3))
    assert next(results) == 0
    with pytest.raises(BprError, match="one"):
        next(results)


@pytest.mark.parametrize(("cores", "expected"), [(None, 1), (1, 1), (2, 2), (64, 4)])
def test_workers_are_few(monkeypatch: pytest.MonkeyPatch, cores: int | None, expected: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert default_workers() == expected


@pytest.mark.parametrize(("amount", "together"), [(10, 10), (40, 2), (60, 1), (1000, 1)])
def test_threads_hold_no_more_than_the_budget(amount: int, together: int) -> None:
    budget, lock, held, most = Budget(100), threading.Lock(), 0, 0

    def work(_: int) -> None:
        nonlocal held, most
        with budget.hold(amount):
            with lock:
                held += 1
                most = max(most, held)
            time.sleep(0.005)
            with lock:
                held -= 1

    list(in_order(work, range(30), 8))
    assert 1 <= most <= together


def test_an_error_gives_the_budget_back() -> None:
    budget = Budget(1)
    with pytest.raises(BprError), budget.hold(5):
        raise BprError("broken")
    with budget.hold(5):
        pass
