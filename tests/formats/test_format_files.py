"""Listings, names that stay inside, and writes that are whole or not there."""

import threading
from pathlib import Path

import pytest

from bpr_cli.errors import BprError
from bpr_cli.formats.files import list_files, output_file, path_inside, write_bytes


def test_listings_are_sorted_by_folder(tmp_path):
    for name in ("b/x.png", "a/y.PNG", "a-b/x.png", "x.png", "a/.x.png", "a/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.as_posix() for path in list_files(tmp_path, (".png",))] == ["a/y.PNG", "a-b/x.png", "b/x.png", "x.png"]


def test_names_inside(tmp_path):
    assert path_inside(tmp_path, Path("city"), "masks/x.png") == Path("city/masks/x.png")
    assert path_inside(tmp_path, Path("city"), "../masks/./x.png") == Path("masks/x.png")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../x.png", "leads out"),
        ("a/../../../x.png", "leads out"),
        ("/etc/passwd", "absolute path"),
        ("C:\\x.png", "absolute path"),
        ("", "not a file name"),
        ("x\0.png", "not a file name"),
        ("link/x.png", "leads out"),
    ],
)
def test_names_that_lead_out(tmp_path, name, message):
    root = tmp_path / "root"
    (root / "city").mkdir(parents=True)
    (root / "city/link").symlink_to(tmp_path)
    with pytest.raises(BprError, match=message):
        path_inside(root, Path("city"), name)


def test_writing_replaces_whole_files_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "x.bin"
    write_bytes(path, b"first")
    threads = [threading.Thread(target=write_bytes, args=(path, bytes([n]) * 10000)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(path.read_bytes())) == 1
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BprError, match=r"x\.png cannot be written"):
        write_bytes(tmp_path / "file" / "x.png", b"")
    (tmp_path / "taken").mkdir()
    with pytest.raises(BprError, match="taken cannot be written"):
        write_bytes(tmp_path / "taken", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


def test_output_names(tmp_path):
    assert output_file(tmp_path, "x.json") == tmp_path / "x.json"
    assert output_file(tmp_path / "y.JSON", "x.json") == tmp_path / "y.JSON"
    assert output_file(tmp_path / "v1.0", "x.json") == tmp_path / "v1.0/x.json"
    (tmp_path / "z.json").mkdir()
    assert output_file(tmp_path / "z.json", "x.json") == tmp_path / "z.json/x.json"
