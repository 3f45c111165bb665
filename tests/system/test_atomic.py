"""Temporary files of killed processes."""

import os
import time

from bpr_cli.system.atomic import atomic_file, remove_abandoned


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
