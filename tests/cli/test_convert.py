"""``bpr convert``: predictions in another format."""

import json

from bpr_cli.formats.reading import FORMATS
from tests.cli.worlds import INFO, MASK, record
from tests.formats.format_builders import save


def test_polygons_and_back(world, bpr):
    document = {**INFO, "annotations": [record(1), record(2)], "categories": [{"id": 1, "name": "disc"}]}
    save(world / "results.json", document)
    outcome = bpr("convert", "results.json", "labels", "--format", "yolo", "--json")
    assert (outcome.code, outcome.errors) == (0, [])
    assert json.loads(outcome.out)["segments"] == 2
    assert "2 masks of 2 images -> labels (format yolo)" in outcome.err
    outcome = bpr("convert", "labels/labels", "back.json", "--format", "coco", "--images", "images")
    assert outcome.code == 0
    back = json.loads((world / "back.json").read_text())
    assert [each["area"] for each in back["annotations"]] == [MASK.sum()] * 2
    assert back["categories"] == [{"id": 0, "name": "disc"}]
    assert "change with --from" in outcome.err
    given = ("--images", "images", "--image-info", "results.json", "--overwrite")
    assert bpr("convert", "labels/labels", "back.json", "--format", "coco", *given).code == 0
    again = json.loads((world / "back.json").read_text())
    assert again["categories"] == document["categories"]
    assert {each["category_id"] for each in again["annotations"]} == {1}


def test_losses_are_noted_and_failures_named(world, bpr):
    save(world / "results.json", [record("a"), record("x")])
    outcome = bpr("convert", "results.json", "maps", "--format", "objects", "--images", "images")
    assert outcome.code == 1
    assert "note: objects cannot hold confidences, as 1 mask had" in outcome.err
    assert any("no image called 'x'" in error for error in outcome.errors)


def test_the_format_is_needed_and_known(world, bpr):
    assert bpr("convert", "masks", "out").code == 2
    outcome = bpr("convert", "masks", "out", "--format", "voc")
    assert outcome.code == 2
    assert all(name in outcome.err for name in FORMATS)


def test_nothing_is_written_where_nothing_can_be_read(world, bpr):
    save(world / "results.json", {**INFO, "annotations": [record(1)], "categories": [{"id": 1, "name": "disc"}]})
    assert bpr("convert", "results.json", "labels", "--format", "yolo").code == 0
    for out, form in (("back.json", "coco"), ("panoptic", "panoptic")):
        outcome = bpr("convert", "labels/labels", out, "--format", form)
        assert (outcome.code, len(outcome.errors)) == (2, 1)
        assert "--images" in outcome.err
        assert not (world / out).exists()
