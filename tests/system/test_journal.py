"""The journal of a long job: what counts after a stop, a kill, a change of files, or a full disk."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bpr_cli.errors import BprError
from bpr_cli.system.journal import Journal, check_resumable
from bpr_cli.system.journal_files import LINES, RECORDS, JournalHeader

SETTINGS = {"scales": [2.0, 1.0], "seed": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/shared.json").write_text("{}")
    for name in "abc":
        (tmp_path / f"in/{name}").write_text(name)
    return tmp_path / "out/.bpr"


def opened(folder: Path, settings: Mapping[str, Any] = SETTINGS, overwrite: bool = False) -> Journal:
    return Journal(folder, folder.parent, JournalHeader(settings), [folder.parent.parent / "in/shared.json"], overwrite)


def inputs(folder: Path, name: str) -> list[Path]:
    return [folder.parent.parent / "in" / name]


def work(folder: Path) -> None:
    """Do the items a, b and c; each writes a file and two records, which alternate in the document."""
    with opened(folder) as journal:
        for number, name in enumerate("abc"):
            path = folder.parent / f"{name}.txt"
            path.write_bytes(name.encode())
            files = {path: hashlib.sha256(name.encode()).hexdigest()}
            records = {number: name.encode() * 3, number + 3: name.upper().encode() * 5}
            journal.add(name, inputs(folder, name), {"number": number}, files, records)


def done(folder: Path) -> dict[str, Any]:
    with opened(folder) as journal:
        return {name: journal.done(name, inputs(folder, name)) for name in "abc"}


def test_a_later_process_finds_all_results_and_records_in_order(folder: Path) -> None:
    work(folder)
    assert done(folder) == {"a": {"number": 0}, "b": {"number": 1}, "c": {"number": 2}}
    with opened(folder) as journal:
        assert (journal.resumed, list(journal.records())) == (True, [])
        journal.done("c", inputs(folder, "c"))
        journal.done("a", inputs(folder, "a"))
        assert [content for _, content in journal.records()] == [b"aaa", b"ccc", b"AAAAA", b"CCCCC"]
        assert dict(journal.records())[5] == b"CCCCC"


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_line_that_a_kill_cut_short_counts_for_nothing(folder: Path, cut: int) -> None:
    work(folder)
    content = (folder / LINES).read_bytes()
    (folder / LINES).write_bytes(content[:-cut])
    assert [each is None for each in done(folder).values()] == [False, False, True]
    with opened(folder) as journal:
        journal.add("c", inputs(folder, "c"), {"number": 7})
    assert done(folder)["c"] == {"number": 7}


def test_an_item_with_a_changed_or_missing_input_output_or_record_is_not_done(folder: Path) -> None:
    work(folder)
    (folder.parent / "a.txt").write_bytes(b"x")
    (folder.parent / "b.txt").unlink()
    inputs(folder, "c")[0].write_text("cc")
    assert done(folder) == {"a": None, "b": None, "c": None}


def test_changed_and_missing_records_count_for_nothing(folder: Path) -> None:
    work(folder)
    content = (folder / RECORDS).read_bytes()
    (folder / RECORDS).write_bytes(b"x" + content[1:-1])
    assert [each is None for each in done(folder).values()] == [True, False, True]
    (folder / RECORDS).unlink()
    assert done(folder) == {"a": None, "b": None, "c": None}


def test_nothing_is_done_once_a_shared_input_changed(folder: Path) -> None:
    work(folder)
    (folder.parent.parent / "in/shared.json").write_text("{ }")
    assert done(folder) == {"a": None, "b": None, "c": None}


def test_other_settings_are_refused_and_named(folder: Path) -> None:
    work(folder)
    out = folder.parent
    sentence = f"{out} was started with seed=null, but this run uses seed=3; use the same settings to resume"
    with pytest.raises(BprError, match=sentence), opened(folder, {**SETTINGS, "seed": 3}):
        pass
    with pytest.raises(BprError, match=sentence):
        check_resumable(folder, out, JournalHeader({**SETTINGS, "seed": 3}))
    check_resumable(folder, out, JournalHeader({"scales": (2, 1), "seed": None}))
    with opened(folder, {**SETTINGS, "seed": 3}, overwrite=True) as journal:
        assert journal.done("a", inputs(folder, "a")) is None


def test_a_second_process_is_locked_out(folder: Path) -> None:
    import subprocess
    import sys

    opening = f"Journal(Path({str(folder)!r}), Path('out'), JournalHeader({{}})).__enter__()"
    program = f"from bpr_cli.system.journal import *; {opening}"
    with opened(folder):
        second = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "BprError: out is in use by another process; wait for it, stop it, or choose another --out" in second.stderr


@pytest.mark.parametrize("content", [b"{}\n", b"[]\n", b"nonsense\n", b'{"version": 3, "settings": 1}\n'])
def test_what_is_no_journal_is_named(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True)
    (folder / LINES).write_bytes(content)
    with pytest.raises(BprError, match=r"journal.jsonl is damaged .* start afresh with --overwrite"), opened(folder):
        pass


def test_a_damaged_entry_and_another_version_are_named(folder: Path) -> None:
    work(folder)
    header, *lines = (folder / LINES).read_bytes().splitlines(keepends=True)
    (folder / LINES).write_bytes(header + b"{}\n" + b"".join(lines))
    with pytest.raises(BprError, match=r"journal.jsonl is damaged"), opened(folder):
        pass
    (folder / LINES).write_text(json.dumps({"version": 1, "settings": {}}) + "\n")
    with pytest.raises(BprError, match="another version of bpr"), opened(folder):
        pass


def test_a_discarded_journal_leaves_nothing(folder: Path) -> None:
    with opened(folder) as journal:
        journal.add("a", inputs(folder, "a"), {}, records={0: b"a"})
        journal.discard()
    assert not folder.exists()


def test_a_temporary_journal_takes_records_of_many_threads(tmp_path: Path) -> None:
    written = tmp_path / "written.txt"
    with Journal.temporary() as journal:
        threads = [
            threading.Thread(
                target=journal.add, args=(f"{n}", [], {}, {written: "0"}, {n: b"%d" % n * n, 100 + n: b""})
            )
            for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [content for _, content in journal.records()] == [b"%d" % n * n for n in range(20)] + [b""] * 20


def test_a_full_disk_is_named_and_leaves_no_part_of_a_line(folder: Path) -> None:
    resource = pytest.importorskip("resource", reason="Windows limits no sizes of files")
    work(folder)
    with opened(folder) as journal:
        before = (folder / LINES).read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limits[1]))
        try:
            with pytest.raises(BprError, match="cannot be written: File too large; allow larger files"):
                journal.add("d", [], {}, records={9: b"d"})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (folder / LINES).read_bytes() == before
        journal.add("d", [], {}, records={9: b"d"})
        assert [content for _, content in journal.records()] == [b"d"]


def test_many_items_are_synced_together_and_all_at_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(
        "os.fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
    )
    with opened(folder) as journal:
        for number in range(100):
            now[0] += 0.03
            journal.add(f"{number}", [], {}, records={number: b"x"})
    assert len(synced) == 2 * 3


def test_an_output_of_an_earlier_version_is_refused_until_it_is_overwritten(folder: Path):
    folder.mkdir(parents=True)
    for name in ("manifest.jsonl", "records.json"):
        (folder / name).write_text("{}\n")
    with pytest.raises(BprError, match=r"out was written by an earlier version .* pass --overwrite"), opened(folder):
        pass
    with pytest.raises(BprError, match="earlier version"):
        check_resumable(folder, folder.parent, JournalHeader(SETTINGS))
    with opened(folder, overwrite=True):
        assert sorted(path.name for path in folder.glob("*.json*")) == [LINES]


def test_a_job_that_is_resumed_and_completed_leaves_no_folder(folder: Path):
    work(folder)
    assert folder.is_dir()
    with opened(folder) as journal:
        journal.discard()
    assert not folder.exists()
    assert folder.parent.is_dir()


def test_digests_are_named_and_only_their_settings_are_compared(folder: Path) -> None:
    out = folder.parent
    with Journal(folder, out, JournalHeader({"weights": "ab"}, {"weights": "first.pth"})) as journal:
        journal.add("a", (), {})
    check_resumable(folder, out, JournalHeader({"weights": "ab"}, {"weights": "renamed.pth"}))
    said = "was started with weights=first.pth, but this run uses weights=second.pth; use the same settings to resume"
    with pytest.raises(BprError, match=said):
        check_resumable(folder, out, JournalHeader({"weights": "cd"}, {"weights": "second.pth"}))


def test_a_journal_without_names_is_resumed(folder: Path) -> None:
    work(folder)
    lines = (folder / LINES).read_bytes().splitlines(keepends=True)
    header = json.loads(lines[0])
    del header["names"]
    (folder / LINES).write_bytes(b"".join([json.dumps(header).encode() + b"\n", *lines[1:]]))
    assert None not in done(folder).values()


def test_a_journal_of_somebody_else_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work(folder)

    def refuse(owner: Any, name: str, kept: tuple[Path, ...] = ()) -> None:
        plain = getattr(owner, name)

        def call(path: Any, *arguments: Any, **named: Any) -> Any:
            if str(path).startswith(str(folder)) and path not in kept:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return plain(path, *arguments, **named)

        monkeypatch.setattr(owner, name, call)

    refuse(os, "stat", (folder,))
    refuse(io, "open")
    with pytest.raises(BprError, match=r"journal\.jsonl cannot be read: Permission denied$"):
        check_resumable(folder, folder.parent, JournalHeader(SETTINGS))
    refuse(os, "scandir")
    refuse(os, "listdir")
    with pytest.raises(BprError, match=r"/out/\.bpr cannot be read: Permission denied$"):
        check_resumable(folder, folder.parent, JournalHeader(SETTINGS))
