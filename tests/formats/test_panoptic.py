"""COCO panoptic results, also in the Cityscapes naming."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from bpr_cli.errors import BprError
from bpr_cli.formats.coco_json import measure_segments
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.png import encode_ids, read_ids
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.masks.masks import LabelMap
from tests.formats.format_builders import (
    SIZE,
    disc,
    load,
    panoptic_ids,
    panoptic_png,
    photo,
    pixels,
    png,
    round_trip,
    save,
    write_back,
)

LARGE = 256**3 - 1


def id_map():
    ids = np.zeros(SIZE, np.int64)
    ids[8:] = 70000
    ids[disc()] = LARGE
    ids[0, 5:9] = 300
    return ids


def segment(segment_id, **fields):
    return {"id": segment_id, "category_id": 1, **fields}


def annotation(image_id="x", name="x.png", ids=(LARGE, 300, 70000), **fields):
    return {"image_id": image_id, "file_name": name, "segments_info": [segment(one, **fields) for one in ids]}


def panoptic(root, annotations, name="preds", **fields):
    for one in annotations:
        if isinstance(one, dict) and "file_name" in one:
            panoptic_png(root / name / one["file_name"], id_map())
    return save(root / f"{name}.json", {"annotations": annotations, **fields})


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 20))
def test_ids_survive_the_colours(tmp_path_factory, seed, height, width):
    ids = np.random.default_rng(seed).integers(0, 256**3, (height, width)).astype(np.int32)
    path = tmp_path_factory.mktemp("ids") / "x.png"
    path.write_bytes(encode_ids(ids))
    assert np.array_equal(panoptic_ids(path), ids)
    assert np.array_equal(read_ids(path), ids)
    assert read_ids(path).dtype == np.int32


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.integers(1, 6))
def test_measures_are_those_of_pycocotools(seed, height, width, segments):
    rng = np.random.default_rng(seed)
    values = [0, *rng.choice(np.arange(1, 256**3), segments, replace=False).tolist()]
    ids = rng.choice(values, (height, width)).astype(np.int32)
    for wanted, found in zip(values[1:], measure_segments(ids, values[1:]), strict=True):
        encoded = coco_mask.encode(np.asfortranarray((ids == wanted).astype(np.uint8)))
        assert found.area == int(coco_mask.area(encoded))
        assert list(found.bbox) == coco_mask.toBbox(encoded).tolist()


def test_segments_are_read(tmp_path):
    opened = open_predictions(panoptic(tmp_path, [annotation()]), photo(tmp_path / "images/x.jpg").parent)
    assert (opened.format, opened.task) == ("panoptic", Task.PANOPTIC)
    label_map = opened.read(opened.items[0])
    assert np.array_equal(label_map.labels, id_map())
    assert label_map.void == {0}


def test_round_trip_keeps_order_and_fields(tmp_path):
    annotations = [
        annotation("y", "deep/y.png", iscrowd=0, note="kept"),
        {**annotation("x", "x.png", area=1, bbox=[0, 0, 1, 1]), "more": [1]},
    ]
    path = panoptic(tmp_path, annotations, info={"a": 1}, images=[{"id": "x", "file_name": "x.jpg"}], categories=[])
    for name in ("x", "y"):
        photo(tmp_path / f"images/{name}.jpg")
    round_trip(path, tmp_path / "images", tmp_path / "out")
    source, written = load(path), load(tmp_path / "out/preds.json")
    assert list(written) == list(source)
    assert written["annotations"][0] == source["annotations"][0]
    measured = written["annotations"][1].pop("segments_info")
    source["annotations"][1].pop("segments_info")
    assert written == source
    assert [one["id"] for one in measured] == [LARGE, 300, 70000]
    assert [one["area"] for one in measured] == [(id_map() == one["id"]).sum() for one in measured]
    assert measured[1]["bbox"] == [5, 0, 4, 1]
    for name in ("x.png", "deep/y.png"):
        assert np.array_equal(pixels(tmp_path / "out/preds" / name), pixels(tmp_path / "preds" / name))


def test_refined_segments_are_written(tmp_path):
    opened = open_predictions(panoptic(tmp_path, [annotation(area=0, bbox=[])]), photo(tmp_path / "x.jpg"))
    ids = np.full(SIZE, 300, np.int32)
    ids[:, 30:] = LARGE
    write_back(opened, tmp_path / "named.json", {opened.items[0].name: LabelMap(ids, frozenset({0}))})
    assert np.array_equal(panoptic_ids(tmp_path / "named/x.png"), ids)
    segments = load(tmp_path / "named.json")["annotations"][0]["segments_info"]
    assert [one["bbox"] for one in segments] == [[30, 0, 2, 24], [0, 0, 30, 24], [0, 0, 0, 0]]
    assert [one["area"] for one in segments] == [48, 720, 0]


def test_every_way_to_name_the_set(tmp_path, monkeypatch):
    images = photo(tmp_path / "images/x.jpg").parent
    panoptic(tmp_path / "set", [annotation()])
    ways = [tmp_path / "set/preds.json", tmp_path / "set/preds", tmp_path / "set"]
    for number, way in enumerate(ways):
        opened = round_trip(way, images, tmp_path / f"out{number}")
        assert opened.format == "panoptic"
        assert np.array_equal(panoptic_ids(tmp_path / f"out{number}/preds/x.png"), id_map())
        assert load(tmp_path / f"out{number}/preds.json") == load(tmp_path / "set/preds.json")
    monkeypatch.chdir(tmp_path / "set/preds")
    opened = round_trip(type(tmp_path)("."), images, tmp_path / "out_here")
    assert (tmp_path / "out_here/preds/x.png").exists()


def test_a_folder_of_another_name_or_none(tmp_path):
    images = photo(tmp_path / "images/x.jpg").parent
    panoptic(tmp_path / "a", [annotation()])
    (tmp_path / "a/preds").rename(tmp_path / "a/pngs")
    round_trip(tmp_path / "a", images, tmp_path / "out_a")
    assert (tmp_path / "out_a/pngs/x.png").exists()
    panoptic(tmp_path / "b", [annotation()])
    (tmp_path / "b/preds/x.png").rename(tmp_path / "b/x.png")
    (tmp_path / "b/preds").rmdir()
    round_trip(tmp_path / "b/preds.json", images, tmp_path / "out_b")
    assert (tmp_path / "out_b/x.png").exists()
    (tmp_path / "b/x.png").unlink()
    with pytest.raises(BprError, match=r"preds\.json holds panoptic results, but the folder.*preds/"):
        open_predictions(tmp_path / "b/preds.json", images)


@pytest.mark.parametrize("separator", ["/", "\\"])
@pytest.mark.parametrize("given", ["preds.json", "preds", "."])
@pytest.mark.parametrize("place", ["preds", "one", "deep/er"])
def test_file_names_relative_to_the_json_file(tmp_path, given, place, separator):
    """As panopticapi users have them: it joins the folder it is given with the file name."""
    if given == "preds" and place != "preds":
        pytest.skip("the given folder is not there")
    names = [separator.join([*place.split("/"), f"{stem}.png"]) for stem in "xy"]
    for stem in "xy":
        panoptic_png(tmp_path / "set" / place / f"{stem}.png", id_map())
        photo(tmp_path / f"images/{stem}.jpg")
    save(tmp_path / "set/preds.json", {"annotations": [annotation(name[-5], name) for name in names]})
    opened = round_trip(tmp_path / "set" / given, tmp_path / "images", tmp_path / "out")
    assert [item.image.name for item in opened.items] == ["x.jpg", "y.jpg"]
    assert load(tmp_path / "out/preds.json") == load(tmp_path / "set/preds.json")
    for stem in "xy":
        assert np.array_equal(panoptic_ids(tmp_path / "out" / place / f"{stem}.png"), id_map())


def test_cityscapes_naming(tmp_path):
    name = "frankfurt_000000_000294"
    path = panoptic(
        tmp_path,
        [annotation(name, f"{name}_gtFine_panoptic.png")],
        name="cityscapes_panoptic_val",
        images=[{"id": name, "file_name": f"{name}_gtFine_leftImg8bit.png"}],
    )
    image = photo(tmp_path / f"images/val/frankfurt/{name}_leftImg8bit.png")
    photo(tmp_path / "images/val/frankfurt/frankfurt_000000_000295_leftImg8bit.png")
    assert open_predictions(path, tmp_path / "images").items[0].image == image


def test_images_by_id_alone(tmp_path):
    path = panoptic(tmp_path, [annotation(25, "prediction_one.png")])
    image = photo(tmp_path / "images/000000000025.jpg")
    photo(tmp_path / "images/other.jpg")
    assert open_predictions(path, tmp_path / "images").items[0].image == image


def test_images_by_image_info(tmp_path):
    path = panoptic(tmp_path, [annotation(25, "one.png")])
    image = photo(tmp_path / "images/cat.jpg")
    photo(tmp_path / "images/one.jpg")
    info = save(tmp_path / "info.json", {"images": [{"id": 25, "file_name": "cat.jpg"}]})
    assert open_predictions(path, tmp_path / "images", ReadSettings(image_info=info)).items[0].image == image


@pytest.mark.parametrize(
    ("ids", "message", "void"),
    [
        (
            (LARGE, 300),
            "preds.json disagree: the PNG file has the ids 70000 without a segment; their pixels are void",
            70000,
        ),
        ((LARGE, 300, 70000, 5), "segment 3 of x.png is broken: its id 5 has no pixels", None),
        ((LARGE, 300, "70000"), "segment 2 of x.png is broken: its id '70000' is not a whole number from 1", 70000),
        ((LARGE, 300, 70000, 300), "segment 3 of x.png is broken: its id 300 occurs more than once", None),
        ((LARGE, 300, 70000, 0), "segment 3 of x.png is broken: its id 0 is not a whole number from 1", None),
        ((LARGE, 300, 70000, 256**3), "its id 16777216 is not a whole number", None),
        ((LARGE, 300, 70000, 1.5), "its id 1.5 is not a whole number", None),
        ((LARGE, 300, 70000, None), "its id None is not a whole number", None),
    ],
)
def test_an_odd_segment_leaves_the_others(tmp_path, ids, message, void):
    path = panoptic(tmp_path, [annotation(ids=ids)])
    opened = round_trip(path, photo(tmp_path / "x.jpg"), tmp_path / "out")
    (item,) = opened.items
    assert opened.read(item).void == {0, void} - {None}
    assert any(message in fault.reason for fault in opened.faults(item))
    assert [record.id for record in opened.records(item)] == [LARGE, 300, 70000][: 2 if void else 3]
    before, after = (load(folder / "preds.json")["annotations"][0] for folder in (tmp_path, tmp_path / "out"))
    assert [segment["id"] for segment in after["segments_info"]] == list(ids)
    assert after["segments_info"][3:] == before["segments_info"][3:]


def test_ids_written_as_floats_are_whole_numbers(tmp_path):
    path = panoptic(tmp_path, [annotation(ids=(float(LARGE), 300.0, 70000.0))])
    opened = round_trip(path, photo(tmp_path / "x.jpg"), tmp_path / "out")
    assert [record.id for record in opened.records(opened.items[0])] == [LARGE, 300, 70000]
    assert [segment["id"] for segment in load(tmp_path / "out/preds.json")["annotations"][0]["segments_info"]] == [
        LARGE,
        300,
        70000,
    ]
    assert opened.faults() == []


def test_png_and_json_of_different_images(tmp_path):
    opened = open_predictions(panoptic(tmp_path, [annotation(ids=(5, 6))]), photo(tmp_path / "x.jpg"))
    with pytest.raises(BprError, match=r"preds\.json disagree: the PNG file has the ids .* have no pixels"):
        opened.read(opened.items[0])


def test_ids_written_as_text_are_told_where_no_segment_has_pixels(tmp_path):
    photo(tmp_path / "images/x.png")
    path = panoptic(tmp_path, [annotation(ids=("300", "70000"))])
    opened = open_predictions(path, tmp_path / "images")
    with pytest.raises(BprError, match=r"disagree: .* without a segment \(.*: its id '300' is not a whole number"):
        opened.read(opened.items[0])


def test_swapped_channels_are_told(tmp_path):
    photo(tmp_path / "images/x.png")
    path = panoptic(tmp_path, [annotation(ids=(7, 9))])
    blue_first = np.where(id_map() == 70000, 7 << 16, 9 << 16)
    (tmp_path / "preds/x.png").write_bytes(encode_ids(blue_first.astype(np.int32)))
    opened = open_predictions(path, tmp_path / "images")
    with pytest.raises(BprError, match="red and blue are swapped, as OpenCV stores them"):
        opened.read(opened.items[0])


@pytest.mark.parametrize("categories", [["sky", "car"], [{"id": "1", "name": "sky"}]])
def test_an_odd_list_of_categories_does_not_stop_a_refinement(tmp_path, categories):
    photo(tmp_path / "images/x.png")
    opened = open_predictions(panoptic(tmp_path, [annotation()], categories=categories), tmp_path / "images")
    assert opened.reading.classes is None
    with pytest.raises(BprError, match=r"category 0 has the id .*, expected a whole number"):
        _ = opened.categories


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"file_name": "x.png", "segments_info": []}, "no image_id"),
        ({"image_id": 1, "segments_info": []}, "no file_name"),
        ({"image_id": 1, "file_name": "x.png"}, "no segments_info"),
        (annotation("good", "./good.png"), "already belongs to annotation 0"),
        (annotation("x", "../images/x.png"), "leads out"),
        ("text", "no image_id"),
    ],
)
def test_a_broken_annotation_fails_alone(tmp_path, broken, message):
    photo(tmp_path / "images/good.png")
    photo(tmp_path / "images/x.png")
    path = panoptic(tmp_path, [annotation("good", "good.png"), broken])
    photo(tmp_path / "images/x.png")
    opened = open_predictions(path, tmp_path / "images")
    assert [item.name for item in opened.items] == ["good.png"]
    (failure,) = opened.failures
    assert "preds.json: annotation 1 is broken" in failure.reason
    assert message in failure.reason


def test_a_missing_png(tmp_path):
    path = panoptic(tmp_path, [annotation("a", "a.png"), annotation("x", "x.png")])
    (tmp_path / "preds/a.png").unlink()
    photo(tmp_path / "images/a.jpg")
    photo(tmp_path / "images/x.jpg")
    opened = open_predictions(path, tmp_path / "images")
    assert "a.png does not exist" in opened.failures[0].reason


def test_a_png_that_is_not_rgb_or_cut_short(tmp_path):
    opened = open_predictions(panoptic(tmp_path, [annotation()]), photo(tmp_path / "x.jpg"))
    content = (tmp_path / "preds/x.png").read_bytes()
    (tmp_path / "preds/x.png").write_bytes(content[:70])
    with pytest.raises(BprError, match=r"x\.png is truncated"):
        opened.read(opened.items[0])
    png(tmp_path / "preds/x.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(BprError, match=r"x\.png has mode L, expected RGB"):
        opened.read(opened.items[0])


def test_items_never_written_are_left_out(tmp_path):
    path = panoptic(tmp_path, [annotation("a", "a.png"), annotation("x", "x.png")])
    photo(tmp_path / "images/a.jpg")
    photo(tmp_path / "images/x.jpg")
    opened = open_predictions(path, tmp_path / "images")
    write_back(opened, tmp_path / "out", {"x.png": opened.read(opened.items[1])})
    assert [one["image_id"] for one in load(tmp_path / "out/preds.json")["annotations"]] == ["x"]
    assert not (tmp_path / "out/preds/a.png").exists()
