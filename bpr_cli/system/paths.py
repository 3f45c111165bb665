"""Files and folders: sorted listings, safe relative paths, reads and writes with clear errors."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NoReturn

from bpr_cli.errors import BprError, shorten
from bpr_cli.system.atomic import write_atomically, writing
from bpr_cli.system.store import is_remote, is_url, mirrored, remote_content, shown


def as_path(given: object, name: str) -> Path:
    """The path in an argument of the Python API, which may be text, or the URL of a store, see ``system/store.py``.

    Raises:
        BprError: the argument is something else, or empty, or a path that the system refuses to look up; or a store
            cannot be listed.
    """
    if isinstance(given, str | Path) and is_url(given):
        return mirrored(shown(given), name)
    if isinstance(given, str | Path) and str(given):
        path = Path(given)
        try:
            path.exists()
        except OSError as error:
            raise BprError(
                f"{name} is {shorten(str(path))}, which cannot be looked up ({error.strerror}); check the path"
            ) from error
        return path
    if isinstance(given, os.PathLike):
        return as_path(os.fspath(given), name)
    expected = "expected a path, as text or Path"
    if given is None or isinstance(given, str | bytes | int | float):
        raise BprError(f"{name} is {shorten(given)}; {expected}")
    kind = type(given).__name__
    raise BprError(f"{name} is an object of the type {kind}; {expected}; arrays and images go to bpr_cli.Refiner")


def as_local_path(given: object, name: str) -> Path:
    """Like ``as_path``, but refuses URLs.

    Raises:
        BprError: as ``as_path``, or for a URL.
    """
    if is_url(given):
        raise BprError(f"{name} is {shown(str(given))}, expected a path on this machine; copy the files afterwards")
    return as_path(given, name)


def as_paths(given: object, name: str, convert: Callable[[object, str], Path] = as_path) -> list[Path]:
    """The paths in an argument of the Python API that takes one or several.

    Args:
        given: the argument.
        name: its name.
        convert: makes a path of one of them.

    Raises:
        BprError: the argument holds something else.
    """
    if isinstance(given, str) or not isinstance(given, Iterable):
        return [convert(given, name)]
    return [convert(each, f"{name}[{index}]") for index, each in enumerate(given)]


_digests: ContextVar[dict[Path, bytes] | None] = ContextVar("digests", default=None)
"""Where ``read_bytes`` notes digests, see ``noting_digests``; None for nowhere."""


_AT_ONCE = 2**20
"""Bytes of a file that are read at a time."""


def list_files(root: Path, suffixes: Collection[str]) -> list[Path]:
    """Files under ``root`` with one of the (lower-case) suffixes, as sorted paths relative to it.

    Hidden files and folders are left out, such as the thumbnails of file managers.

    Raises:
        BprError: a folder cannot be listed.
    """
    found = [file for file in _walk(root) if file.suffix.lower() in suffixes]
    return sorted(file.relative_to(root) for file in found)


def _walk(root: Path) -> Iterator[Path]:
    seen = set()
    for folder, folders, names in os.walk(root, onerror=_refuse, followlinks=True):
        # Follow links, because data sets often consist of them, but visit each folder once: links may form a cycle.
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _refuse(error: OSError) -> NoReturn:
    raise BprError(f"{error.filename} cannot be listed: {error.strerror or error}") from error


def list_folder(folder: Path) -> list[Path]:
    """Sorted files and folders directly in a folder, without hidden ones.

    Raises:
        BprError: the folder cannot be listed.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        _refuse(error)


def path_inside(root: Path, folder: Path, name: str) -> Path:
    """Resolve a file name found in ``root / folder`` to a path relative to ``root``.

    Raises:
        BprError: the name is absolute or invalid, or leads out of ``root``, e.g. through a symbolic link.
    """
    name = system_name(name)
    if not name or not _can_exist(root / folder / name):
        raise BprError(f"{name[:200]!r} is not a file name")
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).is_absolute():
        raise BprError(f"{name!r} is an absolute path, expected one inside the prediction directory {root}")
    inside = Path(os.path.normpath(folder / name))
    real_root = Path(os.path.realpath(root))
    if inside.parts[:1] == ("..",) or not Path(os.path.realpath(root / folder / name)).is_relative_to(real_root):
        raise BprError(f"{name!r} leads out of the prediction directory {root}; move the file inside it")
    return inside


def file_inside(root: Path, folder: Path, name: str) -> Path:
    """Like ``path_inside``; where no such file exists, a name with the separators of Windows is taken apart there.

    Raises:
        BprError: as ``path_inside``.
    """
    inside = path_inside(root, folder, name)
    if "\\" in name and not (root / inside).is_file():
        return path_inside(root, folder, name.replace("\\", "/"))
    return inside


def system_name(name: str) -> str:
    """Convert a file name from UTF-8 text to the form in which Python lists it.

    The two differ if Python decodes file names in another encoding, such as ASCII in the locale ``C``. An invalid name
    is returned unchanged.
    """
    try:
        return os.fsdecode(name.encode("utf-8", "surrogateescape"))
    except UnicodeError:
        return name


def _can_exist(path: Path) -> bool:
    """Whether the operating system accepts a name: it is not too long and can be encoded."""
    try:
        os.lstat(path)
    except ValueError:
        return False
    except OSError as error:
        return error.errno not in (errno.ENAMETOOLONG, errno.EINVAL)
    return True


def check_regular(path: Path) -> None:
    """Refuse pipes, sockets and devices, because reading them may block or never end.

    Raises:
        BprError: the path is a pipe, socket or device. Folders and missing files pass; opening them raises an error.
    """
    if not path.is_file() and path.exists() and not path.is_dir():
        raise BprError(f"{path} is a pipe, socket or device, expected a file; remove it")


def read_bytes(path: Path, most: int = -1) -> bytes:
    """The content of a file, or at most its first ``most`` bytes.

    Raises:
        BprError: the file cannot be read.
    """
    check_regular(path)
    try:
        if is_remote(path):
            whole = remote_content(path)
            content = whole if most < 0 else whole[:most]
        else:
            with path.open("rb") as file:
                content = file.read(most)
    except OSError as error:
        raise BprError(f"{path} cannot be read: {error.strerror or error}") from error
    noted = _digests.get()
    if noted is not None and most < 0:
        noted[path] = hashlib.sha256(content).digest()
    return content


def digest_file(path: Path) -> bytes:
    """SHA-256 of a file, which need not fit into memory.

    Raises:
        BprError: the file cannot be read.
    """
    check_regular(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_AT_ONCE):
                digest.update(part)
    except OSError as error:
        raise BprError(f"{path} cannot be read: {error.strerror or error}") from error
    return digest.digest()


@contextmanager
def noting_digests() -> Iterator[dict[Path, bytes]]:
    """Collect the SHA-256 of every file that this thread reads with ``read_bytes`` meanwhile, by its path."""
    noted: dict[Path, bytes] = {}
    token = _digests.set(noted)
    try:
        yield noted
    finally:
        _digests.reset(token)


def write_bytes(path: Path, content: bytes) -> str:
    """Write a file atomically; its folders are created if missing.

    Returns:
        SHA-256 of the content, hexadecimal.

    Raises:
        BprError: the folder or the file cannot be written.
    """
    with writing(path):
        write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def fingerprint(paths: Iterable[Path]) -> str:
    """SHA-256 of the names, sizes and modification times of files, hexadecimal.

    Raises:
        BprError: a file is missing.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            known = path.stat()
        except OSError as error:
            raise BprError(f"{path} cannot be read: {error.strerror or error}") from error
        digest.update(f"{path.name}\0{known.st_size}\0{known.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def output_file(out: Path, name: str) -> Path:
    """Path of the output for an input file called ``name``.

    It is ``out`` itself if ``out`` has the suffix of the input, otherwise the file ``name`` in the folder ``out``.
    """
    if out.suffix.lower() == Path(name).suffix.lower() and not out.is_dir():
        return out
    return out / name
