"""A lock for a folder in an object store: a lease that its holder renews.

Nothing depends on clocks: a lease whose content does not change for a while was left behind by a killed process.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

from bpr_cli.errors import BprError
from bpr_cli.system.store import patiently, store_of, url_of

RENEW_EVERY = 5.0
"""Seconds between two renewals."""

LEFT_AFTER = 30.0
"""Seconds without a renewal after which a lease was left behind."""

LOOK_EVERY = 1.0

_NAME = ".lease"


@contextmanager
def leased(folder: Path, in_use: str, place: int | None = None) -> Iterator[None]:
    """Keep other processes out of a folder in a store.

    Args:
        folder: the path that stands for the folder.
        in_use: message of the error if another process holds a lease.
        place: share the folder with processes that have other places; None to keep out all.

    Raises:
        BprError: another process holds a lease, or the store cannot be written to.
    """
    own = folder / (_NAME if place is None else f"{_NAME}-{place}")
    _await_rivals(folder, own, in_use)
    token = uuid.uuid4().hex
    _create(own, token, in_use)
    ended = Event()
    renewing = Thread(target=_renew, args=(own, token, ended), daemon=True)
    try:
        if _rivals(folder, own) - {own}:
            raise BprError(in_use)
        renewing.start()
        yield
    finally:
        ended.set()
        if renewing.is_alive():
            renewing.join()
        with suppress(OSError):  # others wait until it is stale
            patiently(lambda: store_of(own).rm_file(url_of(own)))


def _rivals(folder: Path, own: Path) -> set[Path]:
    """The leases in a folder that a lease cannot share it with, and this one."""
    whole = folder / _NAME
    try:
        found = patiently(lambda: store_of(folder).ls(url_of(folder), detail=False))
    except FileNotFoundError:
        return set()
    leases = {folder / name for name in (key.rpartition("/")[2] for key in found) if name.startswith(_NAME)}
    return leases if own == whole else leases & {whole, own}


def _await_rivals(folder: Path, own: Path, in_use: str) -> None:
    """Remove the leases that killed processes have left behind.

    Raises:
        BprError: a lease is renewed.
    """
    first = {rival: _content(rival) for rival in _rivals(folder, own)}
    began = time.monotonic()
    while first and time.monotonic() - began < LEFT_AFTER:
        time.sleep(LOOK_EVERY)
        for rival, content in list(first.items()):
            now = _content(rival)
            if now is None:
                del first[rival]
            elif now != content:
                raise BprError(in_use)
    for rival in first:
        with suppress(FileNotFoundError):
            patiently(partial(store_of(rival).rm_file, url_of(rival)))


def _content(lease: Path) -> bytes | None:
    """What a lease says; None if it is gone."""
    try:
        content: bytes = patiently(lambda: store_of(lease).cat_file(url_of(lease)))
    except FileNotFoundError:
        return None
    return content


def _create(own: Path, token: str, in_use: str) -> None:
    """Write a new lease.

    Raises:
        BprError: another process was faster, or the store cannot be written to.
    """
    try:
        patiently(lambda: store_of(own).pipe_file(url_of(own), token.encode(), mode="create"))
    except FileExistsError:
        if _content(own) != token.encode():  # else the store has answered the first try with an error
            raise BprError(in_use) from None
    except OSError as error:
        raise BprError(f"{url_of(own.parent)} cannot be written: {error.strerror or error}") from error


def _renew(own: Path, token: str, ended: Event) -> None:
    """Change the content of a lease from time to time."""
    count = 0
    while not ended.wait(RENEW_EVERY):
        count += 1
        with suppress(OSError):  # the next renewal may succeed
            patiently(partial(store_of(own).pipe_file, url_of(own), f"{token} {count}".encode()))
