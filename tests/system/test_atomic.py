"""Temporary files of killed processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import atomic_file, remove_abandoned, sole_writer


def test_only_files_that_nobody_has_written_to_since_are_removed(tmp_path):
    abandoned, other = tmp_path / f".{'0' * 32}.tmp", tmp_path / ".notes.tmp"
    for path in (abandoned, other):
        path.write_bytes(b"half")
        os.utime(path, (1e9, 1e9))
    began = time.time()
    with atomic_file(tmp_path / "mine") as file:
        file.write(b"half")
        file.flush()
        os.utime(file.name, (began + 1, began + 1))
        remove_abandoned(tmp_path, began)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".notes.tmp", "mine"]


REPOSITORY = Path(__file__).resolve().parents[2]

HOLD = """
import sys, time
from pathlib import Path
from bpr_cli.system.atomic import sole_writer
with sole_writer(Path(sys.argv[1]), "in use"):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def hold():
    """Hold a folder in another process until it is killed."""

    def run(folder: Path):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, folder], env={"PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "locked\n"
        return process

    return run


def test_a_folder_in_use_is_refused_until_its_process_is_killed(tmp_path, hold):
    folder = tmp_path / "a/b"
    with hold(folder) as process:
        with pytest.raises(BprError, match="in use"), sole_writer(folder, "in use"):
            pass
        process.kill()
    with sole_writer(folder, "in use"):
        pass


def test_an_empty_folder_is_not_left_behind_and_nothing_else_is_touched(tmp_path):
    with sole_writer(tmp_path / "a/b", "in use"):
        assert (tmp_path / "a/b").is_dir()
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with sole_writer(tmp_path / "mine", "in use"):
        pass
    with sole_writer(tmp_path / "kept/inner", "in use"):
        (tmp_path / "kept/inner/result").write_text("")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "kept",
        "kept/inner",
        "kept/inner/result",
        "mine",
    ]


def test_a_place_that_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BprError, match="file cannot be written: File exists"), sole_writer(tmp_path / "file", "in use"):
        pass


def test_a_lock_file_that_cannot_be_removed_hides_no_error(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("not this user's")

    def run():
        with sole_writer(tmp_path / "folder", "in use"):
            monkeypatch.setattr(os, "unlink", refuse)
            raise BprError("full")

    with pytest.raises(BprError, match="full"):
        run()
