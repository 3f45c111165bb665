"""A lock for a folder in an object store: a lease, which is a file of its own that its holder renews.

Nothing depends on clocks: a lease whose content does not change for a while was left behind by a killed process. Nor
does anything depend on stores that refuse to replace a file: each holder writes its lease under a new name, then looks
for others. Of two that do so at the same time, at least one sees the other, and gives way.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
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

_NAME = ".lease-"

_WHOLE = "whole"
"""Place of those that share a folder with nobody."""


@contextmanager
def leased(folder: Path, in_use: str, place: int | None = None) -> Iterator[Callable[[], None]]:
    """Keep other processes out of a folder in a store.

    Args:
        folder: the path that stands for the folder.
        in_use: message of the error if another process holds a lease.
        place: share the folder with processes that have other places; None to keep out all.

    Yields:
        What raises a ``BprError`` if another process has taken the folder over, because this one stood still.

    Raises:
        BprError: another process holds a lease, or the store cannot be written to.
    """
    at = _WHOLE if place is None else str(place)
    own = folder / f"{_NAME}{at}-{uuid.uuid4().hex}"
    _await_rivals(folder, own, at, in_use)
    ended = Event()
    renewing = Thread(target=_renew, args=(own, ended), daemon=True)
    try:
        _begin(own)
        if _rivals(folder, own, at):
            raise BprError(in_use)
        renewing.start()
        yield partial(_check, own, in_use)
    finally:
        ended.set()
        if renewing.is_alive():
            renewing.join()
        with suppress(OSError):  # others wait until it was left behind
            _remove(own)


def _rivals(folder: Path, own: Path, at: str) -> set[Path]:
    """The leases of others in a folder that one of a place cannot share it with."""
    try:
        found = patiently(lambda: store_of(folder).ls(url_of(folder), detail=False))
    except FileNotFoundError:
        return set()
    leases = {name for name in (key.rpartition("/")[2] for key in found) if name.startswith(_NAME)} - {own.name}
    return {folder / name for name in leases if at == _WHOLE or name.split("-")[1] in (at, _WHOLE)}


def _await_rivals(folder: Path, own: Path, at: str, in_use: str) -> None:
    """Remove the leases that killed processes have left behind.

    Raises:
        BprError: a lease is renewed.
    """
    first = {rival: _content(rival) for rival in _rivals(folder, own, at)}
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
        _remove(rival)


def _content(lease: Path) -> bytes | None:
    """What a lease says; None if it is gone."""
    try:
        content: bytes = patiently(lambda: store_of(lease).cat_file(url_of(lease)))
    except FileNotFoundError:
        return None
    return content


def _remove(lease: Path) -> None:
    with suppress(FileNotFoundError):
        patiently(lambda: store_of(lease).rm_file(url_of(lease)))


def _write(lease: Path, count: int) -> None:
    patiently(lambda: store_of(lease).pipe_file(url_of(lease), f"{count}".encode()))


def _begin(own: Path) -> None:
    """Write a new lease.

    Raises:
        BprError: the store cannot be written to.
    """
    try:
        _write(own, 0)
    except OSError as error:
        raise BprError(f"{url_of(own.parent)} cannot be written: {error.strerror or error}") from error


def _renew(own: Path, ended: Event) -> None:
    """Change the content of a lease from time to time, as long as nobody has removed it."""
    count = 0
    while not ended.wait(RENEW_EVERY):
        with suppress(OSError):  # the next renewal may succeed
            if _content(own) is None:
                return
            count += 1
            _write(own, count)


def _check(own: Path, in_use: str) -> None:
    """Check that a lease is still there.

    Raises:
        BprError: another process has removed it, or the store cannot be read.
    """
    try:
        is_held = _content(own) is not None
    except OSError as error:
        raise BprError(f"{url_of(own)} cannot be read: {error.strerror or error}") from error
    if not is_held:
        raise BprError(in_use)
