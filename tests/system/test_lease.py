"""Leases: one process at a time, whatever clocks say, and whatever killed processes leave behind."""

import time
from contextlib import ExitStack
from threading import Thread

import pytest

import bpr_cli.system.lease as module
from bpr_cli.errors import BprError
from bpr_cli.system.lease import leased
from bpr_cli.system.paths import as_path


@pytest.fixture
def folder(monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").store.clear()
    for name, seconds in {"RENEW_EVERY": 0.02, "LEFT_AFTER": 0.5, "LOOK_EVERY": 0.05}.items():
        monkeypatch.setattr(module, name, seconds)
    return as_path("memory://leases/.bpr", "out")


def leases():
    import fsspec

    return sorted(fsspec.filesystem("memory").store)


@pytest.mark.parametrize(("first", "second"), [(None, None), (None, 1), (1, None), (1, 1)])
def test_a_lease_shuts_others_out_until_it_ends(folder, first, second):
    with leased(folder, "in use", first):
        for _ in range(2):
            with pytest.raises(BprError, match="in use"), leased(folder, "in use", second):
                pass
    with leased(folder, "in use", second):
        assert len(leases()) == 1
    assert leases() == []


def test_shards_share_a_folder(folder):
    with ExitStack() as stack:
        for place in (1, 2, 3):
            stack.enter_context(leased(folder, "in use", place))
        assert len(leases()) == 3


def test_what_a_killed_process_has_left_is_taken_over(folder):
    import fsspec

    # The time of the file says nothing: clocks differ, and this one is that of tomorrow.
    store = fsspec.filesystem("memory")
    store.pipe("/leases/.bpr/.lease-whole-1", b"left")
    store.store["/leases/.bpr/.lease-whole-1"].modified = time.time() + 86400
    began = time.monotonic()
    with leased(folder, "in use"):
        assert time.monotonic() - began > module.LEFT_AFTER
    assert leases() == []


def test_of_many_at_once_at_most_one_gets_in(folder):
    inside, most = [], []

    def enter():
        try:
            with leased(folder, "in use"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.2)
                inside.pop()
        except BprError:
            return

    threads = [Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most, default=0) <= 1
    assert leases() == []


def test_a_holder_that_stood_still_notices_that_it_was_replaced(folder, monkeypatch):
    monkeypatch.setattr(module, "RENEW_EVERY", 60.0)
    with leased(folder, "taken over") as check_first:
        check_first()
        with leased(folder, "in use") as check_second:
            with pytest.raises(BprError, match="taken over"):
                check_first()
            check_second()
    assert leases() == []


def test_the_end_of_a_lease_leaves_that_of_a_successor(folder, monkeypatch):
    monkeypatch.setattr(module, "RENEW_EVERY", 60.0)
    first, second = leased(folder, "in use"), leased(folder, "in use")
    first.__enter__()
    with second as check:
        first.__exit__(None, None, None)
        check()
