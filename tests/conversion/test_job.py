"""Conversion between all formats: the same masks come back, and what is lost is told."""

import json

import numpy as np
import pytest
from pycocotools.mask import decode, frPyObjects, merge

from bpr_cli.conversion.exports import EXPORTS
from bpr_cli.conversion.job import convert
from bpr_cli.errors import BprError
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import FORMATS, ReadSettings
from bpr_cli.masks.masks import LabelMap
from tests.formats.format_builders import SIZE, compressed, disc, load, photo, png, save

FIRST, SECOND = disc(center=(8, 8), radius=5), disc(center=(14, 22), radius=6)
WITH_SCORES = ("coco", "cityscapes", "yolo", "labelme")


@pytest.fixture
def results(tmp_path):
    """Two masks of two classes with confidences, in one of two images."""
    for name in ("a.jpg", "sub/b.png"):
        photo(tmp_path / "images" / name)
    images = [
        {"id": number, "file_name": name, "height": SIZE[0], "width": SIZE[1]}
        for number, name in ((7, "a.jpg"), (9, "sub/b.png"))
    ]
    records = [
        {"id": 1, "image_id": 7, "category_id": 3, "score": 0.75, "segmentation": compressed(FIRST)},
        {"id": 2, "image_id": 7, "category_id": 5, "score": 0.5, "segmentation": compressed(SECOND)},
        {"id": 3, "image_id": 9, "category_id": 5, "score": 0.25, "segmentation": compressed(FIRST)},
    ]
    categories = [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}]
    save(tmp_path / "results.json", {"images": images, "annotations": records, "categories": categories})
    return tmp_path


def converted(folder, target, source="results.json", **options):
    out = folder / f"as_{target}"
    summary = convert(folder / source, out, target, folder / "images", ReadSettings(**options))
    assert summary.failures == []
    return out, summary


def reopened(folder, out, target):
    where = {"yolo": out / "labels", "panoptic": out / "panoptic.json"}.get(target, out)
    ids = {"objects": "objects", "tiff": "objects"}.get(target)
    wanted = target if target in ("masks", "labels") else None
    opened = open_predictions(where, folder / "images", ReadSettings(ids=ids, format=wanted))
    assert (opened.format, opened.failures) == (target, [])
    return opened


def planes(opened, item):
    """All masks of an item."""
    found = opened.read(item)
    if isinstance(found, LabelMap):
        values = sorted(set(np.unique(found.labels).tolist()) - found.void - {0})
        return [found.labels == value for value in values]
    return [mask.to_array() for mask in found]


@pytest.mark.parametrize("target", FORMATS)
def test_every_format_holds_the_masks(results, target):
    if target == "tiff":
        pytest.importorskip("tifffile")
    out, summary = converted(results, target)
    assert (summary.images, summary.segments) == (2, 3)
    opened = reopened(results, out, target)
    assert [item.image.name for item in opened.items] == ["a.jpg", "b.png"]
    first, second = (planes(opened, item) for item in opened.items)
    assert [each.tolist() for each in second] == [FIRST.tolist()]
    if target == "masks":
        assert np.array_equal(first[0], FIRST | SECOND)
    else:
        assert [each.tolist() for each in first] == [FIRST.tolist(), SECOND.tolist()]
    if target in WITH_SCORES:
        assert [record.score for record in opened.records(opened.items[0])] == [0.75, 0.5]


@pytest.mark.parametrize("target", ["yolo", "labelme", "coco", "panoptic"])
def test_names_of_classes_are_kept(results, target):
    out, _ = converted(results, target)
    opened = reopened(results, out, target)
    names = {category.id: category.name for category in opened.categories}
    assert [names[record.category] for record in opened.records(opened.items[0])] == ["cat", "dog"]


@pytest.mark.parametrize("target", WITH_SCORES)
def test_what_comes_back_is_what_was_there(results, target):
    """From COCO and back, without any loss of masks; what was polygons in between comes back as polygons."""
    kind = list if target in ("yolo", "labelme") else dict
    out, summary = converted(results, target)
    names = ["cityscapes cannot hold the names of classes: 2 classes with a number only"]
    ids = [f"{target} cannot hold the ids of images: 2 images with a file name only"]
    assert summary.notes == (names if target == "cityscapes" else []) + (ids if target != "coco" else [])
    where = out / "labels" if target == "yolo" else out
    convert(where, results / "again.json", "coco", results / "images")
    before, after = load(results / "results.json"), load(results / "again.json")
    for old, new in zip(before["annotations"], after["annotations"], strict=True):
        plane = SECOND if old["id"] == 2 else FIRST
        assert (new["score"], new["area"], type(new["segmentation"])) == (old["score"], plane.sum(), kind)
        rle = frPyObjects(new["segmentation"], *SIZE) if kind is list else [new["segmentation"]]
        assert np.array_equal(decode(merge(rle)), plane)
    assert [each["file_name"] for each in after["images"]] == ["a.jpg", "sub/b.png"]


def test_classes_of_results_are_named_by_the_file_with_the_images(results):
    document = load(results / "results.json")
    save(results / "list.json", document["annotations"])
    convert(results / "list.json", results / "out", "yolo", options=ReadSettings(image_info=results / "results.json"))
    assert "0: cat" in (results / "out/data.yaml").read_text()


def test_images_without_ids_get_those_of_the_file_with_the_images(results):
    document = load(results / "results.json")
    document["images"] = [each | {"id": 10 * each["id"] + 5} for each in document["images"]]
    save(results / "list.json", {"images": document["images"]})
    info = ReadSettings(image_info=results / "list.json")
    out, _ = converted(results, "yolo")
    convert(out / "labels", results / "again.json", "coco", results / "images", options=info)
    ids = {each["file_name"]: each["id"] for each in document["images"]}
    found = load(results / "again.json")
    assert {each["file_name"]: each["id"] for each in found["images"]} == ids
    assert {each["image_id"] for each in found["annotations"]} <= {*ids.values()}


def test_losses_are_told(results):
    document = load(results / "results.json")
    document["annotations"][0]["iscrowd"] = 1
    document["annotations"][1] |= {"category_id": 3, "segmentation": compressed(FIRST)}
    document["annotations"][2]["segmentation"] = compressed(np.zeros(SIZE, dtype=bool))
    save(results / "results.json", document)
    _, summary = converted(results, "labels")
    pixels = int(FIRST.sum())
    assert summary.notes == [
        "labels cannot hold the names of classes: 2 classes with a number only",
        "labels cannot hold confidences, as 3 masks had",
        "labels cannot hold several masks of a class in an image: 1 mask joined with others",
        f"labels cannot hold overlaps: {pixels} pixels for the mask of the higher confidence, or the smaller",
        "labels cannot hold crowds: 1 ordinary mask instead",
        "labels cannot hold masks without pixels: 1 mask left out",
        "labels cannot hold the ids of images: 2 images with a file name only",
    ]
    assert converted(results, "coco")[1].notes == []


def test_ids_that_are_names_of_images_are_not_lost(results):
    summary = convert(named(results, "000000000007.jpg", "sub/9.jpg"), results / "out", "yolo")
    assert summary.notes == []


@pytest.mark.parametrize("target", ["labelme", "coco", "panoptic"])
def test_files_that_name_their_image_need_its_ending(results, target):
    photo(results / "images/c.v2.jpg")
    png(results / "masks/c.v2.png", FIRST.astype(np.uint8) * 255)
    summary = convert(results / "masks", results / "out", target)
    assert summary.notes == [
        f"{target} cannot hold the names of image files without knowing them: 1 image named without an ending such as "
        ".jpg; give --images"
    ]
    assert converted(results, target, "masks")[1].notes == []
    assert converted(results, "yolo", "masks")[1].notes == []


@pytest.mark.parametrize("target", ["objects", "tiff"])
def test_masks_that_others_cover_are_told(results, target):
    document = load(results / "results.json")
    document["annotations"][1]["segmentation"] = compressed(FIRST)
    save(results / "results.json", document)
    out, summary = converted(results, target)
    assert f"{target} cannot hold masks below others: 1 mask left out" in summary.notes
    opened = reopened(results, out, target)
    assert sum(len(planes(opened, item)) for item in opened.items) == summary.segments - 1


def test_the_higher_confidence_wins_an_overlap(results):
    document = load(results / "results.json")
    document["annotations"][1]["segmentation"] = compressed(np.ones(SIZE, dtype=bool))
    save(results / "results.json", document)
    out, _ = converted(results, "objects")
    opened = reopened(results, out, "objects")
    assert np.array_equal(planes(opened, opened.items[0])[0], FIRST)


def test_label_maps_become_a_mask_for_each_class(tmp_path):
    photo(tmp_path / "images/x.png")
    labels = np.where(FIRST, 4, 0).astype(np.uint8)
    labels[0], labels[SECOND] = 255, 2
    png(tmp_path / "maps/x_labelIds.png", labels)
    out, summary = converted(tmp_path, "coco", "maps")
    document = load(out / "annotations.json")
    assert [record["category_id"] for record in document["annotations"]] == [0, 2, 4]
    assert summary.notes == [f"coco cannot hold void: {SIZE[1]} pixels of background instead"]
    out, _ = converted(tmp_path, "yolo", "maps", ignore_labels={0, 255})
    assert len((out / "labels/x.txt").read_text().splitlines()) == 2


def test_sizes_come_from_files_without_images(results):
    summary = convert(results / "results.json", results / "yolo", "yolo")
    assert (summary.images, summary.segments) == (2, 3)
    with pytest.raises(BprError, match="the size of the image"):
        convert(results / "yolo/labels", results / "again", "coco")


def test_broken_items_do_not_spoil_the_others(results):
    document = load(results / "results.json")
    document["annotations"][0]["segmentation"]["counts"] = "?"
    save(results / "results.json", document)
    summary = convert(results / "results.json", results / "out", "labelme", results / "images")
    assert (summary.images, summary.segments, len(summary.failures)) == (2, 2, 1)


def test_files_are_replaced_only_if_asked(results):
    converted(results, "labelme")
    with pytest.raises(BprError, match="already holds files"):
        converted(results, "labelme")
    with pytest.raises(BprError, match="would overwrite the predictions"):
        convert(results / "results.json", results / "results.json", "coco", overwrite=True)
    with pytest.raises(BprError, match="lies inside"):
        convert(results / "results.json", results / "images", "labelme", results / "images")
    again = convert(results / "results.json", results / "as_labelme", "labelme", results / "images", overwrite=True)
    assert again.images == 2


def test_classes_that_do_not_fit_into_a_map_are_refused(results):
    text = (results / "results.json").read_text().replace('"category_id": 3', '"category_id": 99999')
    save(results / "results.json", json.loads(text))
    with pytest.raises(BprError, match="the class 99999 does not fit into a label map"):
        converted(results, "labels")


def named(folder, *names):
    """The results again, for images of other names."""
    document = load(folder / "results.json")
    for record, name in zip(document["images"], names, strict=True):
        record["file_name"] = name
    save(folder / "named.json", document)
    return folder / "named.json"


@pytest.mark.parametrize("target", FORMATS)
def test_images_of_one_stem_replace_no_files_of_each_other(results, target):
    if target == "tiff":
        pytest.importorskip("tifffile")
    summary = convert(named(results, "a.jpg", "a.png"), results / "out", target)
    if target == "coco":
        assert (summary.images, summary.failures) == (2, [])
        return
    assert (summary.images, summary.segments) == (1, 2)
    assert [failure.reason.split(" in ")[0] for failure in summary.failures] == [
        "a.png would get the same files as a.jpg"
    ]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("../../evil.jpg", "evil.json"),
        ("x/../../evil.jpg", "evil.json"),
        ("{root}/evil.jpg", "evil.json"),
        ("C:\\data\\evil.jpg", "evil.json"),
        ("sub\\evil.jpg", "sub/evil.json"),
        ("b.v2.jpg", "b.v2.json"),
    ],
)
def test_no_name_of_an_image_leads_out_of_the_output(results, name, written):
    before = {path for path in results.rglob("*") if path.is_file()}
    given = named(results, name.replace("{root}", str(results)), "b.jpg")
    convert(given, results / "deep/out", "labelme")
    new = {path for path in results.rglob("*") if path.is_file()} - before - {given}
    assert new == {results / "deep/out" / written, results / "deep/out/b.json"}


def test_all_formats_can_be_written():
    assert set(EXPORTS) == set(FORMATS)


def test_a_background_that_is_a_class_is_told(results):
    labels = np.where(FIRST, 3, 0).astype(np.uint8)
    png(results / "maps/a.png", labels)
    png(results / "maps/sub/b.png", np.where(FIRST, 5, 0).astype(np.uint8))
    _, summary = converted(results, "masks", "maps", format="labels")
    assert summary.notes == [
        "masks cannot hold classes: the 3 classes become one",
        "masks cannot hold a background that is a class: 2 images of foreground only; if 0 is background, give "
        "--ignore-label 0",
    ]
    how = ReadSettings(format="labels", ignore_labels=frozenset({0}))
    summary = convert(results / "maps", results / "others", "masks", results / "images", how)
    assert "background that" not in " ".join(summary.notes)


def test_images_and_classes_that_are_not_listed_get_no_ids_of_others(results):
    """The image ``a`` is not listed, and the classes have the ids of other ones in the list."""
    document = load(results / "results.json")
    given = {"images": [each | {"id": 1} for each in document["images"] if "b" in each["file_name"]]}
    given["categories"] = [{"id": 0, "name": "kite"}, {"id": 7, "name": "cat"}]
    save(results / "list.json", given)
    out, _ = converted(results, "yolo")
    options = ReadSettings(image_info=results / "list.json")
    summary = convert(out / "labels", results / "again.json", "coco", results / "images", options=options)
    again = load(results / "again.json")
    assert [each["id"] for each in again["images"]] == [1]
    assert [each.reason.partition(" is not listed")[0] for each in summary.failures] == ["a.jpg"]
    names = {each["id"]: each["name"] for each in again["categories"]}
    others = {each["name"] for each in document["categories"]} - {"cat"}
    assert (names[0], names[7], {names[key] for key in names if key > 7} <= others) == ("kite", "cat", True)
    assert {names[each["category_id"]] for each in again["annotations"]} <= {"cat", *others}


def test_masks_are_of_no_listed_class(results):
    save(
        results / "list.json",
        {"images": load(results / "results.json")["images"], "categories": [{"id": 1, "name": "cat"}]},
    )
    out, _ = converted(results, "masks")
    options = ReadSettings(image_info=results / "list.json")
    convert(out, results / "again.json", "coco", results / "images", options=options)
    assert [each["name"] for each in load(results / "again.json")["categories"]] == ["1"]


def test_scores_that_are_no_numbers_stay_valid_json(results):
    document = load(results / "results.json")
    document["annotations"][0]["score"] = float("nan")
    document["annotations"][1] |= {"segmentation": []}
    save(results / "results.json", document)
    summary = convert(results / "results.json", results / "again.json", "coco")
    no_mask, no_number = summary.notes
    assert "records with no mask (record 1 (id" in no_mask
    assert no_mask.endswith("left out")
    assert no_number.endswith("written as the lowest number")
    text = (results / "again.json").read_text()
    scores = [each["score"] for each in json.loads(text, parse_constant=pytest.fail)["annotations"]]
    assert scores[0] == min(scores)
