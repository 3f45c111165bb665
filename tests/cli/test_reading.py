"""What commands say first: what the input was taken for, and how to say otherwise."""

import json

import cv2
import numpy as np
import pytest

from tests.cli.evaluations import make
from tests.cli.worlds import MASK, SIZE
from tests.formats.format_builders import compressed, photo, pixels, png, save

SOFT = cv2.GaussianBlur(MASK.astype(np.float32) * 255, (0, 0), 1.5).round().astype(np.uint8)
"""A mask with soft edges whose foreground, above one half, is ``MASK`` but for its corners."""


@pytest.fixture
def soft(world):
    """One soft mask for every photograph of the world."""
    for name in "abc":
        png(world / f"soft/{name}.png", SOFT)


def first_line(outcome):
    return outcome.err.splitlines()[0]


def test_refine_says_what_soft_masks_are_and_writes_two_values(world, refine, soft):
    outcome = refine("soft", "--images", "images", "--out", "out")
    assert outcome.code == 0
    assert first_line(outcome) == (
        "soft: soft masks (format masks, task instance), 3 images found by name, foreground above 127.5 of 255 "
        "(threshold 0.5); change with --threshold or --format labels"
    )
    assert set(np.unique(pixels(world / "out/a.png"))) == {0, 255}
    reading = json.loads((world / "out/run.json").read_text())["reading"]
    assert (reading["content"], reading["images"], reading["found_by"]) == ("soft masks", 3, "by name")
    assert reading["foreground"] == "above 127.5 of 255 (threshold 0.5)"
    assert reading["options"] == ["--threshold", "--format labels"]


@pytest.mark.parametrize("name", ["b", "c"])
def test_the_soft_mask_that_makes_all_masks_soft_is_named(name, world, refine, soft):
    for other in {"a", "b", "c"} - {name}:
        png(world / f"soft/{other}.png", MASK.astype(np.uint8) * 255)
    outcome = refine("soft", "--images", "images", "--out", "out")
    assert f"foreground above 127.5 of 255 (threshold 0.5; {name}.png is soft); change with" in first_line(outcome)


def test_soft_output_agrees_with_the_binary_one(world, refine, soft):
    for threshold in ("0.5", "0.25"):
        images = ("--images", "images", "--threshold", threshold)
        assert refine("soft", *images, "--out", f"hard{threshold}").code == 0
        assert refine("soft", *images, "--out", f"soft{threshold}", "--soft").code == 0
        hard, values = (pixels(world / f"{name}{threshold}/a.png") for name in ("hard", "soft"))
        assert np.array_equal(values > float(threshold) * 255, hard > 0)
        assert len(np.unique(values)) > 2


def test_another_way_of_writing_is_another_run(world, refine, soft):
    assert refine("soft", "--images", "images", "--out", "out").code == 0
    for option in (("--soft",), ("--threshold", "0.2")):
        outcome = refine("soft", "--images", "images", "--out", "out", *option)
        assert outcome.code == 2
        assert "--overwrite" in outcome.err


def test_check_says_the_same_and_in_json(world, bpr, random_weights):
    outcome = bpr("check", "masks", "--images", "images", "--weights", random_weights, "--json")
    assert first_line(outcome) == (
        "masks: binary masks (format masks, task instance), 3 images found by name, foreground everything but 0; "
        "change with --format labels"
    )
    assert json.loads(outcome.out)["reading"]["content"] == "binary masks"


def test_label_maps_name_classes_and_void(world, bpr, random_weights):
    labels = np.zeros(SIZE, np.uint8)
    labels[10:30], labels[30:50], labels[50:] = 3, 7, 255
    for name in "abc":
        png(world / f"labels/{name}.png", labels)
    arguments = ("check", "labels", "--images", "images", "--weights", random_weights)
    assert first_line(bpr(*arguments)).endswith(
        "3 images found by name, 3 classes, void 255; change with --format masks or --ignore-label"
    )
    assert "2 classes, void 7, 255;" in first_line(bpr(*arguments, "--ignore-label", "7", "--ignore-label", "255"))


def test_maps_that_may_hold_objects_say_how_to_read_them(world, bpr):
    """Numbered objects look like classes, as long as nothing is void."""
    maps = np.zeros(SIZE, np.uint8)
    maps[10:30], maps[30:50] = 1, 2
    png(world / "maps/a.png", maps)
    line = first_line(bpr("convert", "maps", "shapes", "--format", "labelme"))
    assert line.endswith(", 3 classes, void 255; change with --from masks or --ids objects or --ignore-label")
    line = first_line(bpr("convert", "maps", "objects", "--format", "labelme", "--ids", "objects"))
    assert line.startswith("maps: maps of objects")
    maps[50:] = 255
    png(world / "maps/a.png", maps)
    line = first_line(bpr("convert", "maps", "classes", "--format", "labelme"))
    assert line.endswith("; change with --from masks or --ignore-label")


def test_coco_results_name_their_categories(world, bpr, random_weights):
    photo(world / "images/1.png", SIZE)
    records = [{"image_id": 1, "category_id": n, "score": 1, "segmentation": compressed(MASK)} for n in (3, 3, 9)]
    save(world / "results.json", records)
    line = first_line(bpr("check", "results.json", "--images", "images", "--weights", random_weights))
    assert line.startswith("results.json: COCO results (format coco, task instance), 1 image found by ")
    assert line.endswith(", 2 classes; change with --format")


def test_evaluate_says_it_of_every_input(tmp_path, monkeypatch, bpr):
    paths = make("masks", tmp_path)
    monkeypatch.chdir(tmp_path)
    outcome = bpr("evaluate", paths["after"], "-g", paths["truth"], "--baseline", paths["before"])
    first, second, third = outcome.err.splitlines()[:3]
    assert first.startswith("after: binary masks (format masks, task instance), 3 images, foreground everything but 0")
    assert second.startswith("truth: binary masks")
    assert third.startswith("before: binary masks")


def test_coco_annotations_are_told_from_results(tmp_path, monkeypatch, bpr):
    paths = make("coco", tmp_path)
    monkeypatch.chdir(tmp_path)
    results, annotations = bpr("evaluate", paths["after"], "-g", paths["truth"]).err.splitlines()[:2]
    assert results.startswith(f"{paths['after']}: COCO results (format coco")
    assert annotations.startswith(f"{paths['truth']}: COCO annotations (format coco")


def test_soft_masks_are_measured_at_their_threshold(world, bpr, soft):
    for name in "abc":
        png(world / f"thresholded/{name}.png", (SOFT > 0.3 * 255).astype(np.uint8))
    figures = []
    for predictions, option in (("soft", ("--threshold", "0.3")), ("thresholded", ())):
        outcome = bpr("evaluate", predictions, "-g", "masks", "--json", *option)
        assert outcome.code == 0
        figures.append(json.loads(outcome.out)["summary"][0])
    assert figures[0] == figures[1]
    found = json.loads(bpr("evaluate", "masks", "-g", "soft", "--json").out)["summary"][0]
    half = MASK.astype(bool), SOFT > 127.5
    assert found["value"] == pytest.approx(100 * (half[0] & half[1]).sum() / (half[0] | half[1]).sum())


def test_extract_says_it_of_predictions_and_ground_truth(world, bpr, soft):
    outcome = bpr("extract", "soft", "--images", "images", "-g", "masks", "--out", "set", "--patch-size", "16")
    assert outcome.err.splitlines()[0].startswith("soft: soft masks (format masks")
    assert outcome.err.splitlines()[1].startswith("masks: binary masks (format masks")


@pytest.mark.parametrize("command", ["refine", "evaluate"])
def test_values_that_may_be_both_are_asked_about(world, bpr, command):
    png(world / "three/a.png", np.where(MASK, 255, np.eye(*SIZE)).astype(np.uint8))
    more = ("--images", "images", "--out", "out") if command == "refine" else ("-g", "masks", "--allow-missing")
    outcome = bpr(command, "three", *more)
    assert outcome.code == 2
    assert outcome.err.startswith(
        "error: three holds the values 0, 1, 255: masks, or a label map; give --format labels"
    )
