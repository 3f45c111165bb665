"""``bpr check`` and ``bpr refine --dry-run``: what a refinement would say, before it is run."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from bpr_cli.cli.refine import duration
from tests.cli.worlds import INFO, SIZE, add_mask, cut_short, make_broken, record, tree
from tests.formats.format_builders import disc, panoptic_png, png, save

LABELS = np.where(disc(SIZE, (30, 30), 18), 7, np.where(disc(SIZE, (50, 70), 15), 11, 0)).astype(np.uint8)


@pytest.fixture
def check(bpr, random_weights):
    """Run ``bpr check`` with the random weights."""
    return lambda *arguments: bpr("check", *arguments, "--weights", random_weights)


@pytest.fixture
def broken(world):
    """Of the masks d to j only d can be refined."""
    make_broken(world)
    for name in "ij":
        add_mask(world, name)
    cut_short(world / "images/i.png")
    (world / "images/j.png").unlink()
    with Image.open(world / "images/a.png") as image:
        image.save(world / "images/j.jpg")
    cut_short(world / "images/j.jpg")
    return world


def test_it_names_what_the_refinement_will_name(broken, check, refine):
    before = tree(broken)
    checked = check("preds", "--images", "images", "--json")
    tried = refine("preds", "--images", "images", "--out", "out", "--dry-run", "--json")
    assert tree(broken) == before
    refined = refine("preds", "--images", "images", "--out", "out", "--json")
    assert len(refined.errors) == 6
    assert checked.errors == tried.errors == refined.errors
    assert checked.code == tried.code == refined.code == 1
    found = [json.loads(outcome.out) for outcome in (checked, tried, refined)]
    assert found[0]["failures"] == found[1]["failures"] == found[2]["failures"]
    assert [summary["images"] for summary in found] == [1, 1, 1]
    assert "│ broken              │       6 │" in checked.err


def test_when_nothing_can_be_refined(broken, check):
    (broken / "preds/d.png").unlink()
    outcome = check("preds", "--images", "images", "--json")
    summary = json.loads(outcome.out)
    assert (outcome.code, len(outcome.errors)) == (2, 6)
    assert (summary["images"], summary["patches"], summary["estimate"]["seconds"]) == (0, 0, 0)


def coco(world):
    save(world / "results.json", [record(2), record(1), record(2, disc(SIZE))])
    save(world / "info.json", INFO)
    return "results.json", "--image-info", "info.json"


def masks(world):
    return ("masks",)


def labels(world):
    png(world / "labels/a.png", LABELS)
    return "labels", "--ignore-label", "11"


def panoptic(world):
    panoptic_png(world / "pan/a.png", LABELS.astype(int))
    segments = [{"id": i, "category_id": 1} for i in (7, 11)]
    save(world / "pan.json", {"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}]})
    return ("pan",)


@pytest.mark.parametrize("make", [masks, coco, labels, panoptic])
def test_the_counts_are_those_of_the_refinement(make, world, check, refine):
    arguments = (*make(world), "--images", "images", "--json")
    checked, refined = check(*arguments), refine(*arguments, "--out", "out")
    assert (checked.code, checked.errors) == (0, [])
    summaries = [json.loads(outcome.out) for outcome in (checked, refined)]
    names = (
        "versions",
        "format",
        "task",
        "reading",
        "images",
        "segments",
        "patches",
        "devices",
        "weights",
        "settings",
        "failures",
    )
    for name in names:
        assert summaries[0][name] == summaries[1][name], name
    assert set(summaries[0]) == {*names, "estimate", "notes"}
    assert summaries[0]["patches"] > 0


def test_the_estimate(world, check):
    estimate = json.loads(check("masks", "--images", "images", "--json").out)["estimate"]
    assert set(estimate) == {"seconds", "patches_per_second", "memory"}
    assert estimate["patches_per_second"] > 0
    assert estimate["memory"] is None or estimate["memory"] > 10**7


def test_for_people(world, check):
    outcome = check("masks", "--images", "images")
    assert (outcome.code, outcome.errors) == (0, [])
    assert "format masks, weights small unet, on cpu: nothing is broken, nothing was written\n" in outcome.out
    assert "│ images              │       3 │" in outcome.out
    assert "│ network time, about │ 0:00:0" in outcome.out
    assert "the time is that of the network; reading, pasting and writing take more" in outcome.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nix", "--images", "images"),
        ("masks", "--images", "nix"),
        ("masks", "--images", "images", "--nms-threshold", "2"),
        ("masks", "--images", "images", "--task", "panoptic"),
    ],
)
def test_unusable_input_is_refused_as_by_the_refinement(arguments, world, check, refine):
    checked, refined = check(*arguments), refine(*arguments, "--out", "out")
    assert checked.code == refined.code == 2
    assert checked.errors == refined.errors
    assert len(checked.errors) == 1


def test_a_check_looks_at_an_output_too(world, check, refine):
    arguments = ("masks", "--images", "images", "--out", "images")
    outcomes = [check(*arguments), refine(*arguments, "--dry-run")]
    for outcome in outcomes:
        assert outcome.errors == ["the output images would overwrite images, which is an input; give another --out"]
        assert outcome.code == 2


def test_a_check_takes_the_options_of_the_refinement(bpr):
    options = {
        name: set(
            re.findall(r"--[a-z][\w-]+", bpr(name, "--help").out.partition("Arguments:")[2].partition("Examples:")[0])
        )
        for name in ("check", "refine")
    }
    of_engines = {"--processes", "--cluster", "--cpus-per-worker", "--gpus-per-worker"}
    assert options["check"] == options["refine"] - {"--dry-run", "--shard"} - of_engines


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00:00"), (59.6, "0:01:00"), (3725, "1:02:05"), (360_000, "100:00:00")]
)
def test_times_for_people(seconds, expected):
    assert duration(seconds) == expected
