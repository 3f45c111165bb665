"""The patch set on disk: what comes back, and what is refused."""

import hashlib
import json
import multiprocessing
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.patchset.record import encode_sample
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.store import PatchSet, PatchSetWriter
from tests.patchset.patch_cases import SETTINGS, assert_same, contents, noise, origin, write_set


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("made") / "set")


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made.path, tmp_path / "copy")


def test_everything_written_comes_back(made):
    assert len(made) == 9
    assert made.settings == SETTINGS
    for number in range(9):
        assert_same(made[number], noise(number))
        assert made.origin(number) == origin(number)


def test_patches_fill_several_shards(made):
    assert len(list(made.path.glob("patches-*.bin"))) > 1


def test_item_numbers_group_the_patches_of_an_image(made):
    items = [made.items[number] for number in made.item_numbers]
    assert [(item.name, item.image_id) for item in items] == [
        (origin(number).item, origin(number).image_id) for number in range(9)
    ]


def test_an_index_out_of_range_is_an_index_error(made):
    with pytest.raises(IndexError):
        made[9]


def test_iterating_ends_after_the_last_patch(made):
    assert sum(1 for _ in made) == 9


def test_a_set_may_be_empty(tmp_path):
    empty = write_set(tmp_path / "set", count=0)
    assert len(empty) == 0
    empty.verify()
    with pytest.raises(IndexError):
        empty[0]


def test_a_pickled_set_is_its_path(made):
    pickled = pickle.dumps(made)
    assert len(pickled) < 500
    assert_same(pickle.loads(pickled)[3], noise(3))


def test_threads_read_at_once(made):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(made.__getitem__, list(range(9)) * 20))
    for number, sample in zip(list(range(9)) * 20, found, strict=True):
        assert_same(sample, noise(number))


def _checksum(given):
    patch_set, numbers = given
    return [int(patch_set[number].image.sum()) for number in numbers]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_read_at_once(made, method):
    numbers = list(range(9)) * 10
    with multiprocessing.get_context(method).Pool(2) as pool:
        sums = pool.map(_checksum, [(made, numbers), (made, numbers[::-1])])
    expected = [int(noise(number).image.sum()) for number in numbers]
    assert sums == [expected, expected[::-1]]


def test_equal_patches_make_equal_files(made, tmp_path):
    assert contents(write_set(tmp_path / "again").path) == contents(made.path)


def test_the_digest_tells_content_and_settings_apart(made, tmp_path):
    other_content = write_set(tmp_path / "a", count=8)
    other_settings = write_set(tmp_path / "b", settings=PatchSetSettings(patch_size=16, padding=4, seed=1))
    assert len({made.digest, other_content.digest, other_settings.digest}) == 3


def test_a_set_that_was_not_closed_is_none(tmp_path):
    writer = PatchSetWriter(tmp_path / "set", SETTINGS)
    writer.add(encode_sample(noise(0), None), origin(0))
    with pytest.raises(BprError, match=r"holds no set\.json, expected a finished patch set"):
        PatchSet(tmp_path / "set")


def test_a_new_writer_removes_what_an_unfinished_one_left(tmp_path):
    left = PatchSetWriter(tmp_path / "set", SETTINGS, shard_bytes=1)
    for number in range(5):
        left.add(encode_sample(noise(number), None), origin(number))
    made = write_set(tmp_path / "set", count=1)
    assert [path.name for path in made.path.glob("patches-*")] == ["patches-00000.bin"]


def test_a_finished_set_is_not_written_over(copy):
    with pytest.raises(BprError, match="holds a patch set already"):
        PatchSetWriter(copy, SETTINGS)


def test_a_patch_of_another_size_is_refused_on_reading(tmp_path):
    writer = PatchSetWriter(tmp_path / "set", SETTINGS)
    writer.add(encode_sample(noise(0, side=23), None), origin(0))
    with pytest.raises(BprError, match="expected 24 x 24"):
        writer.close()[0]


@pytest.mark.parametrize("name", ["items.json", "index.npy", "patches-00000.bin", "patches-00001.bin"])
def test_a_file_cut_short_is_noticed_on_opening(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1])
    with pytest.raises(BprError, match=f"{name} has {len(content) - 1} bytes, expected {len(content)}"):
        PatchSet(copy)


@pytest.mark.parametrize("name", ["items.json", "index.npy", "patches-00000.bin"])
def test_a_missing_file_is_noticed_on_opening(copy, name):
    (copy / name).unlink()
    with pytest.raises(BprError, match=f"{name} does not exist"):
        PatchSet(copy)


@pytest.mark.parametrize("name", ["items.json", "index.npy", "patches-00000.bin", "patches-00001.bin"])
def test_a_changed_bit_is_noticed_by_verify(copy, name):
    patch_set = PatchSet(copy)
    flip(copy / name)
    with pytest.raises(BprError, match=f"{name} is not as it was written"):
        patch_set.verify()


def flip(path, position=150):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_verify_accepts_what_was_written(made):
    made.verify()


def test_a_changed_index_is_noticed_on_opening(copy):
    flip(copy / "index.npy")
    with pytest.raises(BprError, match=r"index\.npy is not as it was written"):
        PatchSet(copy)


def test_a_changed_record_is_noticed_on_reading(copy):
    flip(copy / "patches-00000.bin")
    with pytest.raises(BprError, match=r"patches-00000\.bin: patch 0 is broken"):
        PatchSet(copy)[0]


def test_a_shard_cut_short_after_opening_is_noticed_on_reading(copy):
    patch_set = PatchSet(copy)
    (copy / "patches-00000.bin").write_bytes(b"")
    with pytest.raises(BprError, match="patch 0 is broken: it is not as it was written"):
        patch_set[0]


def test_a_shard_removed_after_opening_is_noticed_on_reading(copy):
    patch_set = PatchSet(copy)
    (copy / "patches-00000.bin").unlink()
    with pytest.raises(BprError, match="cannot be read"):
        patch_set[0]


def change(folder, **values):
    """Rewrite set.json."""
    path = folder / "set.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_another_version_is_refused(copy, version):
    change(copy, version=version)
    with pytest.raises(BprError, match=r"has the version .*, expected 1; extract the patch set again"):
        PatchSet(copy)


@pytest.mark.parametrize(
    "values",
    [
        {"settings": {}},
        {"settings": None},
        {"settings": {"patch_size": 0}},
        {"patches": -1},
        {"patches": "9"},
        {"patches": 8},
        {"images": None},
        {"items": None},
        {"index": {"name": "../index.npy", "bytes": 1, "sha256": ""}},
        {"shards": None},
        {"shards": [{"name": "/etc/passwd", "bytes": 1, "sha256": ""}]},
        {"shards": []},
        {"digest": "0"},
    ],
    ids=repr,
)
def test_a_damaged_document_is_refused(copy, values):
    change(copy, **values)
    with pytest.raises(BprError, match=r"(set\.json|index\.npy)"):
        PatchSet(copy)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"kind": "weights"}', '{"images": []}'])
def test_a_foreign_document_is_refused(tmp_path, content):
    (tmp_path / "set.json").write_text(content)
    with pytest.raises(BprError, match=r"set\.json"):
        PatchSet(tmp_path)


@pytest.mark.parametrize("name", ["nothing", "file.txt"])
def test_what_is_no_directory_of_a_set_is_refused(tmp_path, name):
    (tmp_path / "file.txt").write_text("text")
    with pytest.raises(BprError, match=r"holds no set\.json"):
        PatchSet(tmp_path / name)


def forge(folder, name, content):
    """Replace a file and make set.json agree with it, as a stranger could."""
    (folder / name).write_bytes(content)
    path = folder / "set.json"
    document = json.loads(path.read_text())
    entry = {"name": name, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    document[name.split(".")[0]] = entry
    said = {key: value for key, value in document.items() if key not in ("kind", "version", "digest")}
    digest = json.dumps(said, sort_keys=True)
    path.write_text(json.dumps({**document, "digest": hashlib.sha256(digest.encode()).hexdigest()}))


def test_an_index_with_a_pickle_inside_is_not_unpickled(copy, tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    forge(copy, "index.npy", (tmp_path / "evil.npy").read_bytes())
    with pytest.raises(BprError, match=r"index\.npy is not a NumPy file"):
        PatchSet(copy)


@pytest.mark.parametrize("harm", [(b"{'descr'", b"{'descr"), (b"{", b"("), (b"}", b"\n"), (b"NUMPY", b"NUMPI")])
def test_an_index_whose_header_is_no_python_gets_a_sentence(copy, harm):
    forge(copy, "index.npy", (copy / "index.npy").read_bytes().replace(*harm, 1))
    with pytest.raises(BprError, match=r"index\.npy is not a NumPy file"):
        PatchSet(copy)


def test_an_index_that_claims_to_be_huge_takes_no_memory(copy):
    content = (copy / "index.npy").read_bytes()
    forge(copy, "index.npy", content.replace(b"(9,)", b"(9" + b"0" * 12 + b",)").replace(b" " * 12, b"", 1))
    with pytest.raises(BprError, match=r"index\.npy"):
        PatchSet(copy)


@pytest.mark.parametrize(
    ("field", "value"), [("shard", 99), ("item", 99), ("offset", 2**63), ("length", 2**31), ("offset", 4000)]
)
def test_an_index_that_points_outside_is_refused(copy, field, value):
    index = np.load(copy / "index.npy")
    index[field][-1] = value
    np.save(copy / "forged.npy", index)
    forge(copy, "index.npy", (copy / "forged.npy").read_bytes())
    with pytest.raises(BprError, match="points outside"):
        PatchSet(copy)


@pytest.mark.parametrize("items", ['[[[], "b", 1]]', '[["a", {}, 1]]', '[["a", "b", []]]'])
def test_a_list_of_images_without_names_is_refused(tmp_path, items):
    write_set(tmp_path / "set", count=1)
    forge(tmp_path / "set", "items.json", items.encode())
    with pytest.raises(BprError, match=r"items\.json lists images whose names are not text"):
        PatchSet(tmp_path / "set").origin(0)


@pytest.mark.parametrize("items", ["{}", "[]", "[1]", '[["a", "b", 1, 2]]', "null"])
def test_a_list_of_images_that_is_none_is_refused(copy, items):
    forge(copy, "items.json", items.encode())
    patch_set = PatchSet(copy)
    with pytest.raises(BprError, match=r"items\.json"):
        patch_set.origin(0)
