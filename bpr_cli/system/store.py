"""Files in object stores, by URLs such as ``s3://bucket/folder``; ``fsspec`` is imported only when used.

A URL becomes a path in a temporary folder that mirrors what is under it: every file is there, with its size and time,
but without its content. Such a stand-in is read-only and takes no room. Its content is read from the store when it is
asked for, and what is written goes there as a whole, in a single PUT. The path alone tells the URL, also to other
processes.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from bpr_cli.errors import MIRRORS, BprError, begin_of, lacking

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}([^/].*)")
"""A URL, also one whose slashes ``Path`` has made one; drives of Windows have a single letter."""

_DOCUMENT = re.compile(r"\.(json|jsonl|ndjson)(\.gz)?$")
"""Ending of a JSON file; a folder of the same name beside it may hold its masks."""

_TRIES, _FIRST_PAUSE = 6, 0.2
"""How often a store is asked, and the seconds before it is asked again, which double each time."""

_RECENT = 2**27
"""Bytes of contents that are kept, because files are often read twice: for their size, and for their pixels."""

_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
"""What stores call the time of a file's change."""

_OPTIONS: dict[str, dict[str, Any]] = {"memory": {}, "file": {"auto_mkdir": True}, "local": {"auto_mkdir": True}}
"""What is asked of file systems that are no stores on a network."""

Result = TypeVar("Result")


def is_url(given: object) -> bool:
    """Whether text or a path is the URL of a store.

    >>> is_url("s3://bucket/photos"), is_url("photos"), is_url("C:/photos")
    (True, False, False)
    """
    return _URL.fullmatch(os.fspath(given)) is not None if isinstance(given, str | os.PathLike) else False


def mirrored(url: str, name: str) -> Path:
    """The path that stands for a URL; what is under it is listed anew.

    Args:
        url: the URL of a file or a folder, which need not exist.
        name: the argument that it was given for, for messages.

    Raises:
        BprError: a package is not installed, or the store cannot be listed.
    """
    match = _URL.fullmatch(url)
    parts = (match[2].rstrip("/") if match else "").split("/")
    if not match or any(part in ("", ".", "..") for part in parts):
        raise BprError(f"{name} is {url}, expected the URL of a file or folder, such as s3://bucket/folder")
    path = _root() / match[1] / Path(*parts)
    listed = _listed(path, name)
    with _lock:
        _recent.clear()
    if path.is_dir():
        for there in path.rglob("*"):
            if there not in listed and there.is_file():
                there.unlink()
    for file, info in listed.items():
        _stand_in(file, int(info.get("size") or 0), _time_of(info))
    return path


def shown(path: Path | str) -> str:
    """A path as users know it: the URL of what is in a store.

    >>> shown("photos/a.png"), shown("s3:/bucket/a.png")
    ('photos/a.png', 's3://bucket/a.png')
    """
    match = _URL.fullmatch(str(path))
    return f"{match[1]}{begin_of(match[1])}{match[2]}" if match else url_of(Path(path)) or str(path)


def is_mirrored(path: Path | str) -> bool:
    """Whether a path stands for a URL."""
    return MIRRORS in str(path)


def is_remote(path: Path) -> bool:
    """Whether the content of a file is in a store alone; on other machines than that of the mirror, it is."""
    if not is_mirrored(path):
        return False
    try:
        return not path.stat().st_mode & 0o200
    except OSError:
        return not any(each.name.startswith(MIRRORS) and each.is_dir() for each in path.parents)


def remote_content(path: Path) -> bytes:
    """The content of a file in a store.

    Raises:
        OSError: it cannot be read.
    """
    with _lock:
        if path in _recent:
            _recent.move_to_end(path)
            return _recent[path]
    content: bytes = patiently(lambda: store_of(path).cat_file(url_of(path)))
    with _lock:
        _recent[path] = content
        while len(_recent) > 1 and sum(map(len, _recent.values())) > _RECENT:
            _recent.popitem(last=False)
    return content


def local(path: Path) -> Path:
    """The path of a file, after its content was copied from a store if it was there alone.

    Raises:
        OSError: it cannot be copied.
    """
    if is_remote(path):
        copy = path.with_name(f".{os.getpid()}.{time.monotonic_ns()}.tmp")
        try:
            patiently(lambda: store_of(path).get_file(url_of(path), str(copy)))
            os.utime(copy, ns=(path.stat().st_mtime_ns,) * 2)
            copy.replace(path)
        finally:
            copy.unlink(missing_ok=True)
    return path


def put(path: Path, written: Path) -> None:
    """Put what was written to a file into a store, under the name of another; nothing if that is in no store.

    Raises:
        OSError: it cannot be written; the store holds what it held before.
    """
    if is_mirrored(path):
        with _lock:
            _recent.pop(path, None)
        patiently(lambda: store_of(path).put_file(str(written), url_of(path)))


def give_up(written: Path) -> None:
    """Drop the content of a file that was put into a store; it becomes a stand-in."""
    known = written.stat()
    _stand_in(written, known.st_size, known.st_mtime_ns)


def remove(path: Path) -> None:
    """Remove a file, if it exists, also from a store.

    Raises:
        OSError: it cannot be removed.
    """
    path.unlink(missing_ok=True)
    if is_mirrored(path):
        with _lock:
            _recent.pop(path, None)
        with suppress(FileNotFoundError):
            patiently(lambda: store_of(path).rm_file(url_of(path)))


_lock = Lock()
_recent: OrderedDict[Path, bytes] = OrderedDict()


@cache
def _root() -> Path:
    """The folder of the mirrors of this process, which is removed when it ends."""
    folder = Path(tempfile.mkdtemp(prefix=MIRRORS))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def url_of(path: Path) -> str:
    """The URL that a path stands for; empty if it stands for none."""
    for place, part in enumerate(path.parts):
        if part.startswith(MIRRORS) and len(path.parts) > place + 2:
            scheme = path.parts[place + 1]
            return f"{scheme}{begin_of(scheme)}{'/'.join(path.parts[place + 2 :])}"
    return ""


def store_of(path: Path) -> Any:  # noqa: ANN401 - of fsspec, which has no types
    """The file system of a URL.

    Raises:
        BprError: a package is not installed.
    """
    url = url_of(path)
    scheme = url.partition(":")[0]
    try:
        import fsspec  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise lacking(f"{scheme}://", ["fsspec"]) from error
    try:
        return fsspec.filesystem(scheme, **_OPTIONS.get(scheme, {"use_listings_cache": False}))
    except ImportError as error:
        raise BprError(f"{url} cannot be read: {error}") from error
    except ValueError as error:
        raise BprError(f"{url} cannot be read: there is no store {scheme}:// ({error})") from error


def _listed(path: Path, name: str) -> dict[Path, Any]:
    """What a store says of the files under a path, and of a JSON file of the same name beside it."""
    store, url = store_of(path), url_of(path)
    try:
        found: dict[str, Any] = patiently(lambda: store.find(url, detail=True))
        for beside in {_DOCUMENT.sub("", url), f"{url}.json"} - {url}:
            found.update(patiently(partial(store.find, beside, detail=True)))
    except FileNotFoundError:
        found = {}
    except Exception as error:  # every store has errors of its own
        reason = getattr(error, "strerror", None) or error or type(error).__name__
        raise BprError(
            f"{name} is {url}, which cannot be listed: {reason}; check the URL, and how this machine reaches the store"
        ) from error
    inside = url.partition("://")[2].strip("/")
    top = Path(*path.parts[: len(path.parts) - len(inside.split("/"))])
    files = {key: info for key, info in found.items() if info["type"] == "file" and not key.endswith("/")}
    named = {store._strip_protocol(key).strip("/"): info for key, info in files.items()}
    safe = {key: info for key, info in named.items() if not {"", ".", ".."} & set(key.split("/"))}
    for key in _folders(safe) & safe.keys():
        if safe.pop(key).get("size"):
            raise BprError(f"{name} is {url}, where {key} is both a file and a folder; rename one of the two")
    return {top / key: info for key, info in safe.items()}


def _folders(keys: Iterable[str]) -> set[str]:
    """Everything that is a folder to some key; a key of the same name and no size stands for the folder."""
    return {key[:place] for key in keys for place, letter in enumerate(key) if letter == "/"}


def _stand_in(path: Path, size: int, changed: int) -> None:
    """Make a read-only file of a size and a time in nanoseconds, without content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    os.utime(path, ns=(changed, changed))
    path.chmod(0o400)


def _time_of(info: dict[str, Any]) -> int:
    """When a file was changed, in nanoseconds; 0 if the store does not tell."""
    found = next((info[name] for name in _TIMES if info.get(name)), 0)
    if isinstance(found, str):
        found = datetime.fromisoformat(found.replace("Z", "+00:00"))
    return int((found.timestamp() if isinstance(found, datetime) else float(found)) * 1e9)


def patiently(ask: Callable[[], Result]) -> Result:
    """Ask a store, again and again if it is out of order for a while.

    Raises:
        OSError: it stays so, or refuses.
    """
    for attempt in range(_TRIES):
        try:
            return ask()
        except (FileNotFoundError, FileExistsError, PermissionError, BprError):
            raise
        except Exception as error:  # every store has errors of its own
            if attempt == _TRIES - 1:
                raise OSError(None, str(error) or type(error).__name__) from error
            time.sleep(_FIRST_PAUSE * 2**attempt)
    raise AssertionError
