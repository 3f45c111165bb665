"""Some items are broken: they are named, the others are written, and the exit code is 1."""

import json

import pytest

from tests.cli.worlds import INFO, MASK, make_broken, record, results, tree
from tests.formats.format_builders import load, panoptic_png, pixels, save


@pytest.fixture
def broken(world):
    """Of the masks d to h only d can be refined."""
    make_broken(world)
    return world


SENTENCES = (
    "no image called 'h' in images (7 images)",
    "the prediction e.png does not fit images/e.png: the image is 96 x 80 pixels but the mask 32 x 24",
    "preds/f.png is truncated or damaged",
    "images/g.png is not a PNG, JPEG, TIFF, WebP or BMP image",
)


def test_each_is_named_once_and_the_others_are_written(broken, refine):
    outcome = refine("preds", "--images", "images", "--out", "out")
    assert (outcome.code, outcome.out) == (1, "")
    assert len(outcome.errors) == 4
    for error, sentence in zip(outcome.errors, SENTENCES, strict=True):
        assert error.startswith(sentence)
    assert list(results(broken / "out")) == ["d.png"]
    assert "│ images                     │" in outcome.err
    assert "│ failed                     │       4 │" in outcome.err
    assert "Traceback" not in outcome.err


def test_the_good_one_is_as_if_it_were_alone(broken, refine):
    refine("preds", "--images", "images", "--out", "out")
    refine("preds/d.png", "--images", "images/d.png", "--out", "alone")
    assert results(broken / "out") == results(broken / "alone")


def test_json_lists_them_too(broken, refine):
    outcome = refine("preds", "--images", "images", "--out", "out", "--json")
    summary = json.loads(outcome.out)
    assert (outcome.code, summary["images"]) == (1, 1)
    assert [failure["name"] for failure in summary["failures"]] == ["h.png", "e.png", "f.png", "g.png"]
    assert [failure["reason"] for failure in summary["failures"]] == outcome.errors


def test_when_all_fail_nothing_is_written_and_json_still_says_why(broken, refine):
    (broken / "preds/d.png").unlink()
    before = tree(broken)
    outcome = refine("preds", "--images", "images", "--out", "out", "--json")
    summary = json.loads(outcome.out)
    assert (outcome.code, summary["images"], len(summary["failures"])) == (2, 0, 4)
    assert len(outcome.errors) == 4
    assert "┃" not in outcome.err
    assert tree(broken) == before


def test_odd_coco_records_stay_as_they_were(world, refine):
    broken = record(2, segmentation={"size": [80, 96], "counts": "\x01\x02"})
    records = [record(1), broken, record(2), record(9), record(3), "nonsense"]
    save(world / "r.json", records)
    save(world / "info.json", INFO)
    outcome = refine("r.json", "--images", "images", "--image-info", "info.json", "--out", "out")
    assert outcome.code == 1
    assert len(outcome.errors) == 3
    assert any(error.startswith("r.json: record 1 of image 2 is broken: ") for error in outcome.errors)
    assert any(error.startswith("r.json: record 3 has the unknown image id 9, ") for error in outcome.errors)
    assert any(error.startswith("r.json: record 5 has no image_id, ") for error in outcome.errors)
    written = load(world / "out/r.json")
    assert [written[index] for index in (1, 3, 5)] == [broken, record(9), "nonsense"]
    assert "records that failed are in the output as they were; bpr evaluate measures them, too\n" in outcome.err
    assert [written[index]["image_id"] for index in (0, 2, 4)] == [1, 2, 3]
    assert [item["name"] for item in load(world / "out/run.json")["items"]] == ["1", "2", "3"]
    again = refine("r.json", "--images", "images", "--image-info", "info.json", "--out", "out")
    assert (again.code, again.errors) == (1, outcome.errors)
    assert all(item["resumed"] for item in load(world / "out/run.json")["items"])


def test_a_panoptic_image_with_a_broken_file_is_left_out(world, refine):
    for name in "ab":
        panoptic_png(world / f"pan/{name}.png", MASK.astype(int) * 7)
    (world / "pan/b.png").write_bytes(b"")
    annotations = [
        {"image_id": i, "file_name": f"{name}.png", "segments_info": [{"id": 7, "category_id": 1}]}
        for i, name in enumerate("abc")
    ]
    save(world / "pan.json", {"annotations": annotations})
    outcome = refine("pan.json", "--images", "images", "--out", "out")
    assert outcome.code == 1
    assert outcome.errors == [
        "pan.json: annotation 2 is broken: its file pan/c.png does not exist",
        "pan/b.png is empty (0 bytes), expected a PNG file; write it again",
    ]
    assert [each["file_name"] for each in load(world / "out/pan.json")["annotations"]] == ["a.png"]
    assert sorted(results(world / "out")) == ["pan", "pan.json", "pan/a.png"]


def test_a_place_that_cannot_be_written(world, refine):
    (world / "out/b.png").mkdir(parents=True)
    outcome = refine("masks", "--images", "images", "--out", "out")
    assert outcome.code == 1
    assert outcome.errors == ["out/b.png cannot be written: Is a directory"]
    assert pixels(world / "out/a.png").shape == MASK.shape
    assert sorted(results(world / "out")) == ["a.png", "b.png", "c.png"]


def test_a_results_file_that_cannot_be_written(world, refine):
    save(world / "r.json", [record(1)])
    save(world / "info.json", INFO)
    (world / "out/r.json").mkdir(parents=True)
    before = results(world)
    outcome = refine("r.json", "--images", "images", "--image-info", "info.json", "--out", "out")
    assert outcome.code == 2
    assert outcome.errors == ["out/r.json cannot be written: Is a directory"]
    assert results(world) == before
