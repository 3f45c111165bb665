"""Indexed JSON files hold what parsing them as a whole gives, in a fraction of the memory."""

import gzip
import json
import pickle
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bpr_cli.errors import BprError
from bpr_cli.formats import large_json, packed_files
from bpr_cli.formats.json_files import JsonLines, read_records
from bpr_cli.formats.large_json import FileRecords, index_records
from bpr_cli.formats.open import open_predictions
from tests.cli.resumable import MAKERS, NAMES
from tests.cli.worlds import SIZE
from tests.formats.format_builders import photo

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=5) | VALUES, max_size=12)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, st.dictionaries(st.text(max_size=5), VALUES, max_size=4), st.booleans(), st.booleans(), st.data())
def test_indexed_documents_are_those_that_are_parsed(tmp_path, records, others, is_list, is_ascii, data):
    document = records if is_list else {**others, "annotations": records}
    path = tmp_path / "document.json"
    indent = data.draw(st.sampled_from([None, 1]))
    path.write_text(
        json.dumps(document, ensure_ascii=is_ascii, indent=indent), encoding="utf-8", errors="surrogatepass"
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(large_json, "WINDOW", data.draw(st.integers(1, 40)))
        indexed = index_records(path)
    found = indexed if is_list else indexed["annotations"]
    assert type(found) is FileRecords
    assert indexed == document
    assert pickle.loads(pickle.dumps(found))[:] == records
    assert found.fields == {name for record in records if isinstance(record, dict) for name in record}


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), min_size=2, max_size=9), st.data())
def test_objects_on_lines_are_those_that_are_parsed(tmp_path, records, data):
    path = tmp_path / "document.jsonl.gz"
    between = data.draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    path.write_bytes(gzip.compress(between.join(map(json.dumps, records)).encode()))
    small = read_records(path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(large_json, "WINDOW", data.draw(st.integers(1, 40)))
        indexed = index_records(path)
    assert isinstance(small, JsonLines)
    assert isinstance(indexed, large_json.FileLines)
    assert small == indexed[:] == pickle.loads(pickle.dumps(indexed))[:] == records


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"[1, 2",
        b"[1 2]",
        b"[1,]",
        b'{"a": 1} {"a": 2}',
        b'{"a" 1}',
        b"{1: 2}",
        b"7",
        b"[\xff]",
        "[1]".encode("utf-16"),
        b"\xef\xbb\xbf[1]",
    ],
)
def test_other_files_are_left_to_the_usual_parser(content, tmp_path):
    (tmp_path / "document.json").write_bytes(content)
    assert index_records(tmp_path / "document.json") is None


@pytest.mark.parametrize(
    "content",
    [b"[1,]", b'{"image_id": 1}\n{"image_id": 2}\n', b'{"image_id": 1}', b'{"a": 1}', "[1]".encode("utf-16")],
)
def test_files_are_read_alike_whatever_their_size(content, tmp_path, monkeypatch):
    path = tmp_path / "document.json"
    path.write_bytes(content)
    small = read_records(path)
    monkeypatch.setattr(large_json, "LARGE", 0)
    assert read_records(path) == small
    assert isinstance(read_records(path), JsonLines) == isinstance(small, JsonLines)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("maker", ["coco", "panoptic"])
def test_predictions_are_the_same(maker, ending, tmp_path, monkeypatch):
    for name in NAMES:
        photo(tmp_path / f"photos/{name}.png", SIZE)
    MAKERS[maker](tmp_path)
    small = open_predictions(tmp_path / "preds.json", tmp_path / "photos")
    monkeypatch.setattr(large_json, "LARGE", 0)
    if ending:
        (tmp_path / "preds.json.gz").write_bytes(gzip.compress((tmp_path / "preds.json").read_bytes()))
        (tmp_path / "preds.json").unlink()
    large = open_predictions(tmp_path / f"preds.json{ending}", tmp_path / "photos")
    assert isinstance(large.document["annotations"], FileRecords)
    assert (large.items, large.reading, large.faults()) == (small.items, small.reading, small.faults())
    for one, other in zip(large.items, small.items, strict=True):
        assert large.records(one) == small.records(other)
        assert str(large.read(one)) == str(small.read(other))


@pytest.mark.parametrize("name", ["document.json", "document.json.gz", "document.jsonl", "document.jsonl.gz"])
def test_an_index_takes_less_than_half_of_the_file(name, tmp_path, monkeypatch):
    monkeypatch.setattr(large_json, "WINDOW", 2**18)
    monkeypatch.setattr(packed_files, "IN_MEMORY", 2**18)
    monkeypatch.setattr(packed_files, "AT_ONCE", 2**18)
    record = {"image_id": 1, "category_id": 1, "score": 0.5, "segmentation": {"size": [80, 96], "counts": "x" * 180}}
    path = tmp_path / name
    records = [{**record, "image_id": number // 7} for number in range(20_000)]
    text = "\n".join(map(json.dumps, records)) if "jsonl" in name else json.dumps(records)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    peaks = []
    for read in (index_records, read_records):
        tracemalloc.start()
        document = read(path)
        peaks.append(tracemalloc.get_traced_memory()[1] / len(text))
        tracemalloc.stop()
        assert document[7]["image_id"] == 1
    assert peaks[0] < 0.5 < 2 < peaks[1]


def test_a_file_that_changes_meanwhile_is_named(tmp_path):
    path = tmp_path / "document.json"
    path.write_text('[{"a": 1}, {"a": 2}]')
    document = index_records(path)
    path.write_text("[]")
    with pytest.raises(BprError, match=r"document\.json has changed while it was read .*; start again"):
        document[1]


def test_of_two_lists_of_one_name_the_last_one_counts(tmp_path):
    path = tmp_path / "document.json"
    path.write_text('{"annotations": [{"a": 1}], "annotations": [{"a": 2}, {"a": 3}], "b": 7}')
    assert index_records(path) == json.loads(path.read_text())


@pytest.mark.parametrize("window", range(1, 6))
def test_numbers_that_a_window_splits_are_whole(window, tmp_path, monkeypatch):
    monkeypatch.setattr(large_json, "WINDOW", window)
    path = tmp_path / "document.json"
    path.write_text('{"a": 12.5, "annotations": [1.5e3, -2E+4, 0.5E-2, true, null], "b": 7}')
    assert index_records(path) == json.loads(path.read_text())


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"[1, 2]", "it is not compressed: rename it"),
        (gzip.compress(b"[1, 2]" * 999)[:-9], "it may be truncated: write it again"),
        (gzip.compress(b"[]")[:5] + b"garbage", "it may be truncated: write it again"),
        (gzip.compress(b"[]")[:1], "it may be truncated: write it again"),
    ],
    ids=["plain", "truncated", "garbage", "a byte"],
)
def test_a_file_that_gzip_cannot_read_is_named(content, advice, tmp_path):
    path = tmp_path / "document.json.gz"
    path.write_bytes(content)
    with pytest.raises(BprError, match=rf"document\.json\.gz is not a whole file of gzip \(.*\); {advice}$"):
        read_records(path)
