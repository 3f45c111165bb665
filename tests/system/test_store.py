"""Files in stores: what stands for them, and what happens when a store is out of order."""

import hashlib
import os
import shutil
import sys
from contextlib import suppress

import pytest

import bpr_cli.system.store as module
from bpr_cli.errors import BprError
from bpr_cli.system.atomic import atomic_file
from bpr_cli.system.paths import as_local_path, as_path, fingerprint, list_files, read_bytes, write_bytes
from bpr_cli.system.store import is_remote, local, remove, shown


@pytest.fixture
def store():
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    return memory


@pytest.fixture
def files(store):
    store.pipe({"/data/a.txt": b"first", "/data/deep/b.txt": b"second", "/database/c.txt": b"third"})
    return as_path("memory://data", "images")


def test_files_are_there_without_their_content(files):
    assert [str(file) for file in list_files(files, [".txt"])] == ["a.txt", "deep/b.txt"]
    assert (files / "a.txt").stat().st_size == len(b"first")
    assert is_remote(files / "a.txt")
    assert read_bytes(files / "a.txt") == b"first"
    assert read_bytes(files / "deep/b.txt", 3) == b"sec"
    assert (shown(files / "a.txt"), shown("a.txt")) == ("memory://data/a.txt", "a.txt")
    assert local(files / "a.txt").read_bytes() == b"first"
    assert not is_remote(files / "a.txt")


def test_what_changes_in_a_store_is_seen(files, store):
    before = fingerprint([files / "a.txt"])
    assert before == fingerprint([as_path("memory://data", "images") / "a.txt"])
    store.pipe("/data/a.txt", b"other")
    store.rm("/data/deep/b.txt")
    again = as_path("memory://data", "images")
    assert fingerprint([again / "a.txt"]) != before
    assert read_bytes(again / "a.txt") == b"other"
    assert list_files(again, [".txt"]) == list_files(files, [".txt"]) == [(files / "a.txt").relative_to(files)]


def test_files_are_written_as_a_whole(files, store):
    write_bytes(files / "new/d.txt", b"fourth")
    assert store.cat("/data/new/d.txt") == b"fourth"
    assert is_remote(files / "new/d.txt")
    with suppress(ZeroDivisionError), atomic_file(files / "a.txt") as file:
        file.write(b"half")
        raise ZeroDivisionError
    assert store.cat("/data/a.txt") == read_bytes(files / "a.txt") == b"first"
    remove(files / "a.txt")
    assert not store.exists("/data/a.txt")
    assert not (files / "a.txt").exists()
    remove(files / "a.txt")


def test_a_single_file_and_what_lies_beside_it(store):
    store.pipe({"/one/preds.json": b"{}", "/one/preds/a.png": b"a", "/one/other.json": b"{}"})
    given = as_path("memory://one/preds.json", "predictions")
    assert sorted(path.name for path in given.parent.rglob("*")) == ["a.png", "preds", "preds.json"]
    shutil.rmtree(given.parent)
    given = as_path("memory://one/preds", "predictions")
    assert sorted(path.name for path in given.parent.rglob("*")) == ["a.png", "preds", "preds.json"]


def listed(store, monkeypatch, *keys, size=0):
    """Let the store list keys that are no files of its own, as others do for folders that were made by hand."""
    plain = type(store).find

    def find(self, path, **options):
        return {**plain(self, path, **options), **{key: {"name": key, "type": "file", "size": size} for key in keys}}

    monkeypatch.setattr(type(store), "find", find)


def test_what_stands_for_a_folder_is_no_file(files, store, monkeypatch):
    listed(store, monkeypatch, "/data/", "/data/deep/", "/data/deep", "/data/empty/")
    found = as_path("memory://data", "images")
    assert [str(file) for file in list_files(found, [".txt"])] == ["a.txt", "deep/b.txt"]
    assert not (found / "empty").exists()


def test_a_file_that_is_a_folder_too_is_told(files, store, monkeypatch):
    listed(store, monkeypatch, "/data/deep", size=7)
    with pytest.raises(BprError) as refusal:
        as_path("memory://data", "images")
    assert str(refusal.value) == (
        "images is memory://data, where data/deep is both a file and a folder; rename one of the two"
    )


class BrokenError(Exception):
    """A store that is out of order."""


@pytest.fixture
def broken(store, monkeypatch):
    """Let the store refuse some calls; the first argument says how many."""
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)

    def refuse(method, times, error):
        asked, plain = [], getattr(type(store), method)

        def call(*arguments, **named):
            asked.append(arguments)
            if len(asked) <= times:
                raise error
            return plain(*arguments, **named)

        monkeypatch.setattr(type(store), method, call)

    return refuse


def test_a_store_that_answers_now_and_then(files, store, broken):
    broken("cat_file", 3, BrokenError("503"))
    broken("put_file", 3, OSError("503"))
    assert read_bytes(files / "a.txt") == b"first"
    write_bytes(files / "a.txt", b"new")
    assert store.cat("/data/a.txt") == b"new"


def test_a_store_that_stays_out_of_order_is_told(files, store, broken):
    broken("cat_file", 99, BrokenError("503 Slow Down"))
    broken("put_file", 99, PermissionError("denied"))
    with pytest.raises(BprError, match=r"^memory://data/a\.txt cannot be read: 503 Slow Down$"):
        read_bytes(files / "a.txt")
    with pytest.raises(BprError, match=r"^memory://data/a\.txt cannot be written: denied$"):
        write_bytes(files / "a.txt", b"new")
    broken("find", 99, PermissionError("denied"))
    with pytest.raises(BprError, match=r"^images is memory://data, which cannot be listed: denied; check the URL, and"):
        as_path("memory://data", "images")
    assert not list(files.rglob(".*.tmp"))


def test_a_store_that_lets_nobody_in_says_why(files, store, broken):
    broken("find", 99, BrokenError("Unable to locate credentials"))
    with pytest.raises(BprError, match=r"^images is memory://data, which cannot be listed: Unable to locate creden"):
        as_path("memory://data", "images")


@pytest.mark.parametrize("url", ["memory://a/../b", "memory://a//b"])
def test_names_that_lead_elsewhere_are_refused(url):
    with pytest.raises(BprError, match=r"^images is .*, expected the URL of a file or folder"):
        as_path(url, "images")


def test_packages_that_are_missing_are_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(BprError, match=r"^s3:// needs the package fsspec; install it with pip install fsspec$"):
        as_path("s3://bucket/photos", "images")


def test_a_store_that_does_not_exist_is_told():
    pytest.importorskip("fsspec")
    with pytest.raises(BprError, match=r"^nowhere://b/c cannot be read: there is no store nowhere://"):
        as_path("nowhere://b/c", "images")


def test_some_commands_take_no_urls():
    with pytest.raises(
        BprError, match=r"^out is s3://b/set, expected a path on this machine; copy the files afterwards$"
    ):
        as_local_path("s3://b/set", "out")


def test_a_folder_of_this_machine_is_a_store_too(tmp_path):
    pytest.importorskip("fsspec")
    (tmp_path / "a.txt").write_bytes(b"first")
    os.utime(tmp_path / "a.txt", (1, 2))
    found = as_path(f"file://{tmp_path}", "images")
    assert (found / "a.txt").stat().st_mtime == 2
    assert shown(found / "a.txt") == f"file://{tmp_path}/a.txt"
    assert write_bytes(found / "new/b.txt", b"second") == hashlib.sha256(b"second").hexdigest()
    assert (tmp_path / "new/b.txt").read_bytes() == b"second"
