"""COCO instance results and annotations."""

import gzip
import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from bpr_cli.errors import BprError
from bpr_cli.formats import large_json
from bpr_cli.formats.json_files import write_document
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.masks.masks import Mask
from bpr_cli.truth.open import open_without_images
from tests.formats.format_builders import (
    SIZE,
    compressed,
    disc,
    load,
    photo,
    read_all,
    round_trip,
    save,
    uncompressed,
    write_back,
)

POLYGON = [[2.5, 3.0, 20.0, 3.0, 20.5, 18.0, 2.5, 18.0]]


def record(image_id=1, segmentation=None, **fields):
    return {"image_id": image_id, "category_id": 3, "segmentation": segmentation or compressed(disc()), **fields}


def images_at(tmp_path, *names):
    for name in names:
        photo(tmp_path / "images" / name)
    return tmp_path / "images"


def every_form():
    mask = disc(center=(9, 20), radius=6)
    text = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return [
        record(2, compressed(mask), score=0.5, note="kept", nested={"a": [1, None]}),
        record(1, uncompressed(mask), score=1),
        record(2, {"size": list(SIZE), "counts": str(text["counts"])}),
        record(1, POLYGON, score=0.25, iscrowd=0),
        record(2, compressed(np.zeros(SIZE, bool))),
    ]


def test_masks_of_every_form(tmp_path):
    images = images_at(tmp_path, "1.png", "2.png")
    opened = open_predictions(save(tmp_path / "r.json", every_form()), images)
    assert (opened.format, opened.task, opened.failures) == ("coco", Task.INSTANCE, [])
    assert [item.name for item in opened.items] == ["2", "1"]
    masks = read_all(opened)
    expected = disc(center=(9, 20), radius=6)
    polygon = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(POLYGON, *SIZE))).astype(bool)
    assert [np.array_equal(mask.to_array(), expected) for mask in masks["2"]] == [True, True, False]
    assert np.array_equal(masks["1"][0].to_array(), expected)
    assert np.array_equal(masks["1"][1].to_array(), polygon)
    assert masks["2"][2].area == 0


def test_unchanged_masks_are_written_in_their_form_and_order(tmp_path):
    images = images_at(tmp_path, "1.png", "2.png")
    source = every_form()
    round_trip(save(tmp_path / "r.json", source), images, tmp_path / "out")
    written = load(tmp_path / "out/r.json")
    assert [list(one) for one in written] == [list(one) for one in source]
    assert written[0] == source[0]
    assert written[1] == source[1]
    assert written[4] == source[4]
    assert written[2]["segmentation"] == source[0]["segmentation"]
    assert written[3] == source[3]


def test_refined_polygons_stay_polygons(tmp_path):
    """A mask with a hole and a second part; the file says of itself what its polygons are."""
    images = images_at(tmp_path, "1.png")
    plane = (disc(radius=9) & ~disc(radius=3)) | disc(center=(4, 28), radius=3)
    source = [record(1, POLYGON, area=9.5, bbox=[0.5, 0, 1, 1]), record(1, compressed(disc())), record(1, POLYGON)]
    path = save(tmp_path / "r.json", source)
    opened = open_predictions(path, images)
    refined = (Mask.from_array(plane), Mask.from_array(plane), Mask.empty(SIZE))
    write_back(opened, tmp_path / "out", {"1": refined})
    first, second, third = load(tmp_path / "out/r.json")
    assert [type(each["segmentation"]) for each in (first, second, third)] == [list, dict, dict]
    assert len(first["segmentation"]) == 2
    read = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(first["segmentation"], *SIZE)))
    assert np.array_equal(read, plane)
    rows, columns = np.nonzero(plane)
    box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
    assert (first["area"], first["bbox"]) == (plane.sum(), box)
    assert third["segmentation"] == compressed(np.zeros(SIZE, bool))
    assert opened.settings["polygon_tolerance"] == 0.5
    again = open_predictions(tmp_path / "out/r.json", images, ReadSettings(polygon_tolerance=2.0))
    assert np.array_equal(again.read(again.items[0])[0].to_array(), plane)


def test_the_tolerance_is_for_files_with_polygons(tmp_path):
    path = save(tmp_path / "r.json", [record(1, compressed(disc()))])
    with pytest.raises(BprError, match=r"--polygon-tolerance applies to polygons.* holds COCO results without any"):
        open_predictions(path, images_at(tmp_path, "1.png"), ReadSettings(polygon_tolerance=1.0))


def test_area_and_bbox_follow_the_mask(tmp_path):
    images = images_at(tmp_path, "1.png")
    source = [
        record(area=1.0, bbox=[0.0, 0.0, 1.0, 1.0]),
        record(area=1, bbox=[0, 0, 1, 1]),
        record(),
        record(segmentation=compressed(np.zeros(SIZE, bool)), area=5, bbox=None),
    ]
    round_trip(save(tmp_path / "r.json", source), images, tmp_path / "refined.json")
    written = load(tmp_path / "refined.json")
    encoded = coco_mask.encode(np.asfortranarray(disc().astype(np.uint8)))
    box = coco_mask.toBbox(encoded).tolist()
    assert written[0]["area"] == written[1]["area"] == int(coco_mask.area(encoded))
    assert written[0]["bbox"] == written[1]["bbox"] == box
    assert [type(value) for value in (written[0]["area"], written[1]["area"])] == [float, int]
    assert [type(one["bbox"][0]) for one in written[:2]] == [float, int]
    assert not {"area", "bbox"} & set(written[2])
    assert (written[3]["area"], written[3]["bbox"]) == (0, [0, 0, 0, 0])


def test_refined_masks_reach_their_records(tmp_path):
    images = images_at(tmp_path, "1.png", "2.png")
    opened = open_predictions(save(tmp_path / "r.json", [record(1), record(2), record(1)]), images)
    refined = {"1": (Mask.from_array(disc(radius=2)), Mask.from_array(disc(radius=3))), "2": (Mask.from_array(disc()),)}
    write_back(opened, tmp_path / "out", refined)
    found = [one["segmentation"] for one in load(tmp_path / "out/r.json")]
    assert found == [compressed(disc(radius=2)), compressed(disc()), compressed(disc(radius=3))]


def test_annotations_are_refined_in_place(tmp_path):
    images = images_at(tmp_path, "some photo.png")
    document = {
        "info": {"year": 2020},
        "images": [{"id": 7, "file_name": "some photo.png", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [
            record(7, POLYGON, id=4, iscrowd=0, area=2.5),
            record(7, uncompressed(disc()), id=3, iscrowd=1),
        ],
        "categories": [{"id": 3, "name": "café"}],
    }
    opened = round_trip(save(tmp_path / "preds/a.json", document), images, tmp_path / "out")
    assert [item.image.name for item in opened.items] == ["some photo.png"]
    written = load(tmp_path / "out/a.json")
    assert list(written) == list(document)
    assert written["annotations"][1] == document["annotations"][1]
    assert {**document, "annotations": None} == {**written, "annotations": None}
    assert written["annotations"][0] == document["annotations"][0]


@pytest.mark.parametrize(
    ("image_id", "file"),
    [(42, "000000000042.jpg"), (42, "42.png"), ("42", "000000000042.png"), ("042", "042.png"), ("cat", "a/cat.webp")],
)
def test_image_names_from_ids(tmp_path, image_id, file):
    images = images_at(tmp_path, file, "other.png")
    opened = open_predictions(save(tmp_path / "r.json", [record(image_id)]), images)
    assert [item.image for item in opened.items] == [images / file]


@pytest.mark.parametrize(("image_id", "listed"), [(42, 42), ("42", 42), (42, "42"), ("000042", 42), ("x_7", "x_7")])
def test_image_names_from_image_info(tmp_path, image_id, listed):
    images = images_at(tmp_path, "deep/cat.jpg", "42.png")
    info = save(
        tmp_path / "info.json", {"images": [{"id": listed, "file_name": "deep/cat.jpg"}], "annotations": "not read"}
    )
    opened = open_predictions(save(tmp_path / "r.json", [record(image_id)]), images, ReadSettings(image_info=info))
    assert [item.image for item in opened.items] == [images / "deep/cat.jpg"]


def test_polygons_take_the_size_that_is_known(tmp_path):
    images = images_at(tmp_path, "1.png")
    predictions = save(tmp_path / "r.json", [record(1, POLYGON)])
    (alone,) = read_all(open_predictions(predictions, images))["1"]
    assert alone.size == SIZE
    info = save(tmp_path / "i.json", {"images": [{"id": 1, "file_name": "1.png", "height": 50, "width": 60}]})
    (listed,) = read_all(open_predictions(predictions, images, ReadSettings(image_info=info)))["1"]
    assert listed.size == (50, 60)


def test_a_lone_image_needs_no_matching_name(tmp_path):
    opened = open_predictions(save(tmp_path / "r.json", [record(1), record(1)]), photo(tmp_path / "cat.jpg"))
    assert [(item.name, item.image.name) for item in opened.items] == [("1", "cat.jpg")]


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (
            record(1, {"size": [0, 3], "counts": "0"}, id=77),
            "record 1 (id 77) of image 1 is broken: its size is [0, 3]",
        ),
        (
            record(1, {"size": [9, 9], "counts": [81]}),
            "record 1 of image 1 is broken: its size is 9 x 9, expected 24 x 32",
        ),
        (record(1, {"size": [24, 33], "counts": "0"}), "its counts do not add up to its size 24 x 33"),
        (record(1, [[1, 2, 3, "4"]]), "expected [[x1, y1, x2, y2, ...]]"),
        (record(1, [[1, 2, 3, 4, 5, float("nan")]]), "a value that is not a pixel position"),
        (record(1, "text"), "its segmentation is str"),
        (record(None), "record 1 has no image_id"),
        (record(1.5), "record 1 has the image_id 1.5, expected a whole number or a text"),
        (record([1]), "record 1 has the image_id [1]"),
        (record(["a; b"]), "record 1 has the image_id ['a; b']"),
        ("text", "record 1 has no image_id"),
    ],
)
def test_an_odd_record_is_named_and_left_as_it_was(tmp_path, odd, message):
    images = images_at(tmp_path, "1.png", "2.png")
    path = save(tmp_path / "r.json", [record(1), odd, record(1), record(2)])
    opened = open_predictions(path, images)
    coarse = {item.name: opened.read(item) for item in opened.items}
    assert [len(masks) for masks in coarse.values()] == [2, 1]
    assert opened.failures == []
    (fault,) = opened.faults()
    assert f"{path}: " in fault.reason
    assert message in fault.reason
    assert fault.reason.endswith("; correct the record or remove it")
    smaller = Mask.from_array(disc(radius=3))
    write_back(opened, tmp_path / "out", {name: (smaller,) * len(masks) for name, masks in coarse.items()})
    before, after = path.read_text(), (tmp_path / "out/r.json").read_text()
    assert json.dumps(json.loads(after)[1]) == json.dumps(json.loads(before)[1])
    assert [json.loads(after)[n]["segmentation"] for n in (0, 2, 3)] == [compressed(disc(radius=3))] * 3


@pytest.mark.parametrize("segmentation", [[], [[]], None, "missing"])
def test_records_without_a_mask_are_left_as_they_are(tmp_path, segmentation):
    images = images_at(tmp_path, "1.png")
    boxed = {"image_id": 1, "category_id": 3, "segmentation": segmentation, "bbox": [1, 2, 3, 4], "area": 12, "id": 9}
    if segmentation == "missing":
        del boxed["segmentation"]
    path = save(tmp_path / "r.json", [record(1), boxed, boxed, boxed])
    opened = round_trip(path, images, tmp_path / "out")
    assert (len(opened.read(opened.items[0])), opened.failures, opened.faults()) == (1, [], [])
    assert load(tmp_path / "out/r.json") == [record(1), boxed, boxed, boxed]
    assert opened.notes("refined") == [
        f"{path}: 3 of 4 records with no mask (record 1 (id 9), record 2 (id 9) and 1 more), written as before"
    ]


def test_ids_written_as_floats_are_whole_numbers(tmp_path):
    images = images_at(tmp_path, "cat.png")
    info = save(tmp_path / "i.json", {"images": [{"id": 1, "file_name": "cat.png", "height": 24.0, "width": 32.0}]})
    source = [{**record(1.0), "category_id": 3.0, "id": 4.0}, record(1, POLYGON), record("1")]
    opened = round_trip(save(tmp_path / "r.json", source), images, tmp_path / "out", image_info=info)
    assert [(item.name, item.image.name) for item in opened.items] == [("1", "cat.png")]
    assert [one.category for one in opened.records(opened.items[0])] == [3, 3, 3]
    written = (tmp_path / "out/r.json").read_text()
    assert '"image_id": 1.0, "category_id": 3.0' in written
    assert '"id": 4.0' in written


@pytest.mark.parametrize("document", [[], {"info": {}, "images": [], "annotations": [], "categories": []}])
def test_no_results_are_results(tmp_path, document):
    opened = round_trip(save(tmp_path / "r.json", document), images_at(tmp_path, "1.png"), tmp_path / "out")
    assert (opened.format, opened.items, opened.failures) == ("coco", [], [])
    assert load(tmp_path / "out/r.json") == document
    assert opened.notes("refined") == [f"{tmp_path / 'r.json'} holds no masks, so there is nothing to refine"]


@pytest.mark.parametrize("name", ["r.jsonl", "r.ndjson", "r.json"])
@pytest.mark.parametrize("count", [1, 3])
def test_one_object_a_line(tmp_path, name, count):
    images = images_at(tmp_path, "1.png")
    lines = [json.dumps(record(1, note="ä")) for _ in range(count)]
    (tmp_path / name).write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    opened = round_trip(tmp_path / name, images, tmp_path / "out")
    assert len(opened.read(opened.items[0])) == count
    assert (tmp_path / "out" / name).read_text() == "".join(line + "\n" for line in lines)


@pytest.mark.parametrize("name", ["r.jsonl.gz", "r.ndjson.gz", "r.json.gz"])
@pytest.mark.parametrize("least", [0, large_json.LARGE])
def test_what_gzip_compressed_comes_back_compressed(tmp_path, name, least, monkeypatch):
    monkeypatch.setattr(large_json, "LARGE", least)
    images = images_at(tmp_path, "1.png")
    records = [record(1, note="ä"), record(1, score=0.5)]
    lines = "".join(json.dumps(each) + "\n" for each in records)
    text = json.dumps(records) if name == "r.json.gz" else lines
    (tmp_path / name).write_bytes(gzip.compress(text.encode()))
    opened = round_trip(tmp_path / name, images, tmp_path / "out")
    assert len(opened.read(opened.items[0])) == 2
    written = (tmp_path / "out" / name).read_bytes()
    assert gzip.decompress(written).decode() == text
    round_trip(tmp_path / name, images, tmp_path / f"again.{name}")
    assert (tmp_path / f"again.{name}").read_bytes() == written


def test_a_line_that_is_not_json_is_named(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(f"{json.dumps(record(1))}\n{json.dumps(record(1))}\n{{'a': 1}}\n")
    with pytest.raises(BprError, match=r"r\.jsonl, line 3 is not valid JSON"):
        open_predictions(path, images_at(tmp_path, "1.png"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"image_id": 1', "it may be truncated; write it again"),
        ('[{"image_id": "a', "it may be truncated; write it again"),
        ("[1, 2, // three\n3]", "line 1 column 8 (char 7)); correct it at '// three'"),
        ("{'image_id': 1}", "line 1 column 2 (char 1)); correct it at \"'image_id': 1}\""),
    ],
)
def test_invalid_json_is_told_with_its_place(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(BprError) as caught:
        open_predictions(tmp_path / "r.json", images_at(tmp_path, "1.png"))
    assert message in str(caught.value)


def test_json_in_another_encoding_is_told_as_such(tmp_path):
    (tmp_path / "r.json").write_bytes(json.dumps([record(1, note="é")], ensure_ascii=False).encode("latin-1"))
    with pytest.raises(BprError, match=r"r\.json is not valid JSON .*; save it as text in UTF-8$"):
        open_predictions(tmp_path / "r.json", images_at(tmp_path, "1.png"))


def test_commas_before_brackets_are_passed_over(tmp_path, caplog):
    path = tmp_path / "r.json"
    text = json.dumps([record(1, note="a ,] b ,} \\"), record(1)], indent=1)
    path.write_text(text.replace("\n }\n]", ",\n },\n]"))
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(path.read_text())
    round_trip(path, images_at(tmp_path, "1.png"), tmp_path / "out")
    assert load(tmp_path / "out/r.json") == json.loads(text)
    (told,) = {record.getMessage() for record in caplog.records}
    assert told == f"{path} has commas before closing brackets, which JSON does not allow; they are passed over"


def test_runs_that_do_not_fit_the_size_are_found_when_read(tmp_path):
    images = images_at(tmp_path, "1.png")
    wrong = {"size": [24, 33], "counts": compressed(disc())["counts"]}
    opened = open_predictions(save(tmp_path / "r.json", [record(1, wrong, id=5)]), images)
    assert opened.read(opened.items[0]) == ()
    (fault,) = opened.faults()
    assert "r.json: record 0 (id 5) of image 1 is broken: its counts do not add up to its size 24 x 33" in fault.reason
    assert not opened.is_readable


def test_masks_of_two_sizes_go_by_the_image(tmp_path):
    images = images_at(tmp_path, "1.png")
    other = {"size": [9, 9], "counts": [40, 1, 40]}
    opened = open_predictions(save(tmp_path / "r.json", [record(1, other), record(1, other), record(1)]), images)
    assert [mask.size for mask in opened.read(opened.items[0])] == [SIZE]
    assert [fault.name for fault in opened.faults()] == ["record 0", "record 1"]


def test_an_id_that_image_info_does_not_have(tmp_path):
    images = images_at(tmp_path, "1.png", "2.png")
    info = save(tmp_path / "info.json", {"images": [{"id": 1, "file_name": "1.png"}]})
    opened = open_predictions(save(tmp_path / "r.json", [record(1), record(2)]), images, ReadSettings(image_info=info))
    assert [item.name for item in opened.items] == ["1"]
    assert "record 1 has the unknown image id 2" in opened.failures[0].reason
    assert "--image-info" in opened.failures[0].reason


def test_failures_come_in_the_order_of_the_input(tmp_path):
    images = images_at(tmp_path, "1.png")
    opened = open_predictions(save(tmp_path / "r.json", [record(9), record(None), record(1), record(8)]), images)
    assert [failure.name for failure in opened.failures] == ["9", "8"]
    assert [fault.name for fault in opened.faults()] == ["record 1"]


def test_image_info_with_unusable_images_says_what_they_lack(tmp_path):
    images = images_at(tmp_path, "1.png")
    info = save(tmp_path / "info.json", {"images": [{"id": 1.5, "file_name": "a.jpg"}, {"id": 2}]})
    with pytest.raises(BprError, match=r"info\.json lists 2 images, none with an id .* and a file_name; correct them"):
        open_predictions(save(tmp_path / "r.json", [record(1)]), images, ReadSettings(image_info=info))


@pytest.mark.parametrize("content", [{"images": []}, [], 3])
def test_image_info_without_images(tmp_path, content):
    images = images_at(tmp_path, "1.png")
    info = save(tmp_path / "info.json", content)
    with pytest.raises(BprError, match=r"info\.json holds .* 'images' list"):
        open_predictions(save(tmp_path / "r.json", [record(1)]), images, ReadSettings(image_info=info))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty, expected JSON"),
        ('[{"image_id": 1', "not valid JSON"),
        ("[" * 100000, "not valid JSON"),
        ("\xff\xfe\x00", "not valid JSON"),
        ("[1, 2]", "holds a list of int values"),
        ('{"a": 1}', "holds an object with the fields a"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "holds a list of objects with the fields bbox, image_id"),
        ('{"annotations": [{"caption": "x"}]}', "'annotations' are a list of objects with the fields caption"),
        ("null", "a single value"),
    ],
)
@pytest.mark.parametrize("forced", [None, "coco", "panoptic"])
def test_json_that_is_not_results(tmp_path, text, message, forced):
    path = tmp_path / "r.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BprError) as caught:
        open_predictions(path, images_at(tmp_path, "1.png"), ReadSettings(format=forced))
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_directory_with_one_json_file(tmp_path):
    images = images_at(tmp_path, "1.png")
    save(tmp_path / "preds/r.json", [record(1)])
    opened = round_trip(tmp_path / "preds", images, tmp_path / "out")
    assert opened.format == "coco"
    assert load(tmp_path / "out/r.json") == load(tmp_path / "preds/r.json")
    save(tmp_path / "preds/q.json", [record(1)])
    with pytest.raises(BprError, match=r"2 JSON files \(q\.json, r\.json\).*give the file itself"):
        open_predictions(tmp_path / "preds", images)


def test_records_of_items_never_written_stay_as_they_were(tmp_path):
    images = images_at(tmp_path, "1.png", "2.png")
    opened = open_predictions(save(tmp_path / "r.json", [record(1, POLYGON), record(2), record(3)]), images)
    write_back(opened, tmp_path / "out", {"2": (Mask.from_array(disc(radius=2)),)})
    assert load(tmp_path / "out/r.json") == [record(1, POLYGON), record(2, compressed(disc(radius=2))), record(3)]


@pytest.mark.parametrize("shell", [[], {"info": 1, "annotations": [], "images": []}])
def test_a_document_without_records_is_written(tmp_path, shell):
    write_document(tmp_path / "out/r.json", shell, iter(()))
    assert load(tmp_path / "out/r.json") == shell


def test_a_byte_order_mark_is_no_harm(tmp_path):
    path = tmp_path / "r.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps([record(1)]).encode())
    assert len(open_predictions(path, images_at(tmp_path, "1.png")).items) == 1


@pytest.mark.parametrize("score", [float("nan"), float("inf"), -float("inf"), 1e308, None, "0.5", True])
def test_refinement_needs_no_score(tmp_path, score):
    images = images_at(tmp_path, "1.png")
    opened = round_trip(save(tmp_path / "r.json", [record(1, score=score)]), images, tmp_path / "out")
    assert (opened.failures, opened.faults()) == ([], [])
    assert json.dumps(load(tmp_path / "out/r.json")) == json.dumps([record(1, score=score)])


def test_two_images_of_one_id_are_refused(tmp_path):
    images = images_at(tmp_path, "a.png", "b.png")
    predictions = save(tmp_path / "r.json", [record(-1)])
    one, other = ({"id": -1, "file_name": name} for name in ("a.png", "b.png"))
    info = save(tmp_path / "info.json", {"images": [one, one, other]})
    with pytest.raises(BprError, match=r"info\.json has two images with the id -1, a\.png and b\.png"):
        open_predictions(predictions, images, ReadSettings(image_info=info))
    save(info, {"images": [one, one]})
    assert open_predictions(predictions, images, ReadSettings(image_info=info)).items[0].image == images / "a.png"


def test_many_whole_frames_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("bpr_cli.formats.coco.MOST_UNPACKED", 3 * SIZE[0] * SIZE[1])
    whole = {"size": list(SIZE), "counts": [0, SIZE[0] * SIZE[1]]}
    images = images_at(tmp_path, "1.png", "2.png")
    records = [record(1, whole) for _ in range(3)] + [record(2, whole) for _ in range(4)]
    opened = open_predictions(save(tmp_path / "r.json", records), images)
    assert len(opened.read(opened.items[0])) == 3
    with pytest.raises(BprError, match=r"r\.json: the masks of image 2 unpack to more than"):
        opened.read(opened.items[1])


def test_polygons_in_an_image_said_to_be_huge(tmp_path):
    images = images_at(tmp_path, "1.png")
    info = save(tmp_path / "info.json", {"images": [{"id": 1, "file_name": "1.png", "height": 10**9, "width": 10**9}]})
    predictions = save(tmp_path / "r.json", [record(1, POLYGON)])
    opened = open_predictions(predictions, images, ReadSettings(image_info=info))
    assert opened.read(opened.items[0]) == ()
    assert "its image has 1000000000 x 1000000000 pixels, more than" in opened.faults()[0].reason


def test_without_images_no_name_in_a_file_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "7.png").rename(tmp_path / "7")
    opened = open_without_images(save(tmp_path / "r.json", [record(7, POLYGON)]), ReadSettings())
    with pytest.raises(BprError, match="the size of the image '7' is not stated"):
        opened.read(opened.items[0])
