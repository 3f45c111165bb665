"""The user's cache: content comes back as it was or not at all, and a place that cannot be used is no error."""

import os

from bpr_cli.system.cache import MOST_FILES, Cache


def test_content_comes_back_and_other_keys_and_kinds_are_others(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Cache("some").write("key", b"content")
    assert Cache("some").read("key") == b"content"
    assert Cache("some").read("other") is None
    assert Cache("another").read("key") is None


def test_damaged_content_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    Cache("some").write("key", b"content")
    (file,) = tmp_path.glob("bpr/some/*")
    content = file.read_bytes()
    for damaged in (content[:-1], content[:-1] + b"x", content[:10], b""):
        file.write_bytes(damaged)
        assert Cache("some").read("key") is None


def test_old_files_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(MOST_FILES + 3):
        Cache("some").write(f"{number}", b"content")
        for file in tmp_path.glob("bpr/some/*"):
            os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 10))
    assert len(list(tmp_path.glob("bpr/some/*"))) == MOST_FILES
    assert [Cache("some").read(f"{number}") is None for number in range(4)] == [True] * 3 + [False]


def test_a_cache_that_cannot_be_written_is_none(tmp_path, monkeypatch):
    (tmp_path / "bpr").write_text("a file")
    for place in (tmp_path, tmp_path / "missing"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(place))
        Cache("some").write("key", b"content")
        assert Cache("some").read("key") is None
    assert [path.name for path in tmp_path.iterdir()] == ["bpr"]
