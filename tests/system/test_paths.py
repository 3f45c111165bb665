"""Listings, names that stay inside, and writes that are whole or not there."""

import os
import threading
from pathlib import Path

import pytest

from bpr_cli.errors import BprError
from bpr_cli.formats.images import image_size, read_image
from bpr_cli.formats.json_files import read_json
from bpr_cli.formats.png import read_gray, read_ids, read_window
from bpr_cli.system.paths import as_path, list_files, output_file, path_inside, read_bytes, write_bytes


def test_listings_are_sorted_by_folder(tmp_path):
    for name in ("b/x.png", "a/y.PNG", "a-b/x.png", "x.png", "a/.x.png", "a/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.as_posix() for path in list_files(tmp_path, (".png",))] == ["a/y.PNG", "a-b/x.png", "b/x.png", "x.png"]


def test_a_path_that_the_system_refuses_is_named(tmp_path):
    with pytest.raises(BprError, match=r"predictions is '.*, which cannot be looked up \(File name too long\); check"):
        as_path(tmp_path / ("x" * 300), "predictions")


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


@pytest.mark.parametrize("name", ["", "\0", "a\0.png", "\ud800.png", "a\ud800", "x" * 300, "x/" * 3000])
def test_a_name_that_no_file_can_have(tmp_path, name):
    with pytest.raises(BprError, match="is not a file name"):
        path_inside(tmp_path, Path(), name)


@pytest.mark.parametrize("name", ["a b.png", "a\nb.png", "ä ネコ.png", "\udcff.png", "a.b..png", "-rf.png", "CON.png"])
def test_odd_names_are_names(tmp_path, name):
    (tmp_path / name).touch()
    assert path_inside(tmp_path, Path(), name) == Path(name)
    assert [name] == [path.name for path in list_files(tmp_path, (".png",))]


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for read in (read_bytes, read_image, image_size, read_gray, read_ids, read_window):
        with pytest.raises(BprError, match=r"a\.png is a pipe, socket or device, expected a file"):
            read(tmp_path / "a.png")


def test_json_that_is_nested_without_end(tmp_path):
    path = tmp_path / "a.json"
    for letter in ("[", '{"a":'):
        path.write_text(letter * 200_000)
        with pytest.raises(BprError, match=r"a\.json is not valid JSON"):
            read_json(path)


def test_json_of_a_number_that_never_ends(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(f"[{'9' * 100_000}]")
    with pytest.raises(BprError, match=r"a\.json is not valid JSON"):
        read_json(path)


def test_json_that_memory_does_not_hold(tmp_path, monkeypatch):
    def full(content):
        raise MemoryError

    (tmp_path / "a.json").write_text("[]")
    monkeypatch.setattr("json.loads", full)
    with pytest.raises(BprError, match=r"a\.json has 0 MiB, more than the memory holds"):
        read_json(tmp_path / "a.json")
