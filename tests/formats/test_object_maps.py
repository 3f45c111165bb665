"""Label maps whose values are objects."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bpr_cli.errors import BprError
from bpr_cli.evaluation.evaluation import evaluate
from bpr_cli.formats.object_maps import map_of, objects_of
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.masks.masks import LabelMap, Mask
from tests.formats.format_builders import SIZE, disc, photo, pixels, png, round_trip, write_back

PALETTE = [value for number in range(256) for value in (number, 255 - number, number // 2)]


def objects():
    labels = np.zeros(SIZE, np.uint8)
    labels[disc(center=(8, 8), radius=5)] = 3
    labels[disc(center=(14, 22), radius=6)] = 9
    labels[0] = 255
    return labels


@pytest.fixture
def data(tmp_path):
    photo(tmp_path / "images/clip/00000.jpg")
    png(tmp_path / "masks/clip/00000.png", objects(), palette=PALETTE)
    return tmp_path


def opened(data, **options):
    return open_predictions(data / "masks", data / "images", ReadSettings(ids="objects", **options))


def test_every_object_is_a_mask(data):
    found = opened(data)
    assert (found.format, found.task) == ("objects", Task.INSTANCE)
    (item,) = found.items
    assert [np.array_equal(mask.to_array(), objects() == n) for mask, n in zip(found.read(item), (3, 9), strict=True)]
    assert [record.id for record in found.records(item)] == [3, 9]
    sentence = found.reading.sentence("masks")
    assert "maps of objects (format objects, task instance)" in sentence
    assert "void 255" in sentence
    assert open_predictions(data / "masks", data / "images").format == "labels"


def test_palettes_and_values_are_kept(data):
    round_trip(data / "masks", data / "images", data / "out", ids="objects")
    with Image.open(data / "out/clip/00000.png") as image:
        assert (image.mode, image.getpalette()) == ("P", PALETTE)
        assert np.array_equal(np.array(image), objects())


def test_16_bits_are_kept(tmp_path):
    labels = objects().astype(np.uint16) * 200
    png(tmp_path / "masks/a.png", labels)
    round_trip(tmp_path / "masks", photo(tmp_path / "a.jpg"), tmp_path / "out", ids="objects")
    assert np.array_equal(pixels(tmp_path / "out/a.png"), labels)


def test_overlaps_void_and_lost_objects(data):
    found = opened(data)
    grown = disc(center=(8, 8), radius=20)
    write_back(found, data / "out", {"clip/00000.png": (Mask.from_array(grown), Mask.empty(SIZE))})
    expected = np.where(grown, 3, 0)
    expected[objects() == 9] = 9
    expected[0] = 255
    assert np.array_equal(pixels(data / "out/clip/00000.png"), expected)


maps = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).integers(0, 5, (6, 7)).astype(np.int32))


@given(maps, st.lists(st.integers(0, 2**32 - 1), min_size=5, max_size=5))
def test_every_pixel_goes_to_one_that_claims_it_and_no_object_is_lost(labels, seeds):
    void = frozenset({4})
    coarse = objects_of(LabelMap(labels, void))
    refined = [np.random.default_rng(seed).random((6, 7)) < 0.4 for seed, _ in zip(seeds, coarse, strict=False)]
    found = map_of(LabelMap(labels, void), list(coarse), [Mask.from_array(each) for each in refined])
    assert np.array_equal(found == 4, labels == 4)
    assert set(coarse) <= set(np.unique(found).tolist())
    claims = {number: mask & (labels != 4) for number, mask in zip(coarse, refined, strict=True)}
    claims = {n: claim if (claim & (labels == n)).any() else claim | (labels == n) for n, claim in claims.items()}
    for y, x in np.ndindex(labels.shape):
        claimants = [number for number, claim in claims.items() if claim[y, x]]
        if labels[y, x] != 4:
            assert found[y, x] in (claimants or [0])
            assert labels[y, x] not in claimants or found[y, x] == labels[y, x]


def test_objects_are_measured_like_instances(data):
    truth = objects()
    truth[truth == 3] = 7
    png(data / "truth/clip/00000.png", truth, palette=PALETTE)
    report = evaluate(data / "masks", data / "truth", ids="objects")
    assert (report.task, {metric.name: metric.value for metric in report.summary}["AP"]) == ("instance", 100.0)


def test_ids_are_those_of_maps(data):
    with pytest.raises(BprError, match=r"--ids applies to label maps, but .* --format coco; leave one out"):
        opened(data, format="coco")
