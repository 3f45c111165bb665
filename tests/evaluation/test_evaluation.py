"""The pass over the files: what it read."""

from pathlib import Path

from bpr_cli.evaluation.evaluation import digest_files


def test_digests_tell_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    (tmp_path / "ab").write_bytes(b"")
    digests = {digest_files([tmp_path / name]) for name in ("a", "b", "ab")}
    assert len(digests) == 3
    (tmp_path / "a").write_bytes(b"two")
    assert digest_files([tmp_path / "a"]) not in digests
    assert digest_files([]) == ""
