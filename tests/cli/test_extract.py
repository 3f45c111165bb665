"""``bpr extract`` as a user sees it: results, sentences and exit codes."""

import json

import numpy as np
import pytest

from bpr_cli.patchset.store import PatchSet
from tests.cli.evaluations import SIZE, make
from tests.cli.worlds import tree
from tests.formats.format_builders import compressed, load, png, save


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory: images, predictions ``after`` and ``before``, and ``truth``, as binary masks."""
    make("masks", tmp_path)
    (tmp_path / "notes.txt").write_text("a file")
    monkeypatch.chdir(tmp_path)
    return tmp_path


GIVEN = ("--images", "images", "--ground-truth", "truth", "--out", "set")


def test_a_set_is_made_and_summed_up(bpr, place):
    outcome = bpr("extract", "after", *GIVEN, "--patch-size", 16, "--json")
    assert outcome.code == 0
    assert outcome.errors == []
    summary = json.loads(outcome.out)
    patch_set = PatchSet(place / "set")
    patch_set.verify()
    assert summary["patches"] == len(patch_set)
    assert summary["digest"] == patch_set.digest
    assert summary["bytes"] == sum(
        len(content or b"") for name, content in tree(place / "set").items() if name != "set.json"
    )
    assert summary["settings"]["patch_size"] == patch_set.settings.patch_size == 16
    assert summary["sources"][0]["counts"] == {
        "images": 3,
        "failed": 0,
        "segments": 3,
        "matched": 3,
        "no_truth": 0,
        "patches": len(patch_set),
        "dropped": 0,
    }
    assert f"{len(patch_set)} patches in set" in outcome.err
    assert "did not match" not in outcome.err


def test_it_says_why_masks_do_not_match(bpr, place):
    make("coco", place)
    records = load(place / "after.json")
    records[0]["category_id"] = 77
    records[1]["segmentation"] = compressed(np.eye(*SIZE, dtype=bool))
    save(place / "after.json", records)
    outcome = bpr("extract", "after.json", "-i", "images", "-g", "truth.json", "-o", "set", "--patch-size", 16)
    assert (
        "2 of 3 masks did not match: 1 without ground truth of their category in the image, "
        "1 with an IoU of at most 0.5"
    ) in outcome.err.splitlines()


def test_images_are_found_by_a_pattern(bpr, place):
    for image in sorted((place / "images").iterdir()):
        image.rename(image.with_name(f"fog of {image.name}"))
    given = ("--images", "images", "--ground-truth", "truth", "--out")
    pattern = ("--image-pattern", "fog of {stem}.png")
    assert bpr("extract", "after", *given, "set").code == 2
    assert bpr("extract", "after", *given, "set", *pattern).code == 0
    assert bpr("evaluate", "after", *given, "report").code == 2
    assert bpr("evaluate", "after", *given, "report", *pattern).code == 0


def test_without_json_nothing_goes_to_standard_output(bpr, place):
    assert bpr("extract", "after", *GIVEN).out == ""


def test_every_setting_reaches_the_set(bpr, place):
    options = {
        "patch_size": 16,
        "padding": 2,
        "scheme": "grid",
        "nms_threshold": 0.5,
        "min_iou": 0.25,
        "max_patches": 7,
        "seed": 11,
        "jpeg": 80,
        "label_set": "trainIds",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    outcome = bpr("extract", "after", *GIVEN, *arguments, "--keep-inferior", "--simulations", 2, "--ignore-label", 9)
    assert outcome.errors == []
    settings = PatchSet(place / "set").settings
    assert {name: getattr(settings, name) for name in options} == options
    assert (settings.keep_inferior, settings.simulate, settings.ignore_labels) == (True, 2, (9,))


def test_sample_is_another_word_for_max_patches(bpr, place):
    assert bpr("extract", "after", *GIVEN, "--sample", 2).code == 0
    assert len(PatchSet(place / "set")) == 2


def test_predictions_of_several_models_share_images_and_truth(bpr, place):
    outcome = bpr("extract", "after", "before", *GIVEN, "--json")
    assert [source["name"] for source in json.loads(outcome.out)["sources"]] == ["after", "before"]


def test_images_and_truth_may_be_given_for_each(bpr, place):
    make("labels", place / "labels")
    each = ("-i", "images", "-i", "labels/images", "-g", "truth", "-g", "labels/truth", "--out", "set")
    outcome = bpr("extract", "after", "labels/after", *each, "--json")
    assert [source["format"] for source in json.loads(outcome.out)["sources"]] == ["masks", "labels"]


def test_masks_are_simulated_without_predictions(bpr, place):
    outcome = bpr("extract", "--simulate", *GIVEN, "--json")
    assert outcome.code == 0
    assert [source["name"] for source in json.loads(outcome.out)["sources"]] == ["simulated from truth"]


def test_a_finished_set_is_not_made_again(bpr, place):
    bpr("extract", "after", *GIVEN)
    before = tree(place / "set")
    outcome = bpr("extract", "after", *GIVEN)
    assert outcome.code == 0
    assert "done before: 3 images; --overwrite starts afresh" in outcome.err
    assert tree(place / "set") == before


def test_a_broken_image_is_named_and_the_exit_code_is_one(bpr, place):
    (place / "after" / "a.png").write_bytes(b"nothing")
    outcome = bpr("extract", "after", *GIVEN, "--json")
    assert outcome.code == 1
    assert len(outcome.errors) == 1
    assert "after/a.png" in outcome.errors[0]
    assert [failure["name"] for failure in json.loads(outcome.out)["failures"]] == ["a.png"]
    assert len(PatchSet(place / "set").items) == 2


def test_many_failures_are_counted_and_not_listed(bpr, place):
    for number in range(30):
        png(place / "after" / f"lost{number}.png", np.eye(*SIZE, dtype=np.uint8) * 255)
    outcome = bpr("extract", "after", *GIVEN)
    assert outcome.code == 1
    assert outcome.errors[-1] == "and 10 more; --json names them all"
    assert len(outcome.errors) == 21


BAD = [
    ((), "there are no predictions; give some, or make coarse masks from the ground truth with --simulate"),
    (("nowhere",), "nowhere does not exist, expected a file or directory of predictions; check the path"),
    (("after", "-i", "images", "-i", "images"), "images: 3 paths for 1 predictions; give one for all, or one for each"),
    (("after", "-g", "truth", "-g", "truth"), "ground truth: 3 paths for 1 predictions"),
    (("after", "--scheme", "sparse"), "--scheme is 'sparse'; expected one of dense, grid, instance"),
    (("after", "--patch-size", "1"), "--patch-size is 1; expected a whole number from 4 to 2048"),
    (("after", "--padding", "-1"), "--padding is -1; expected"),
    (("after", "--jpeg", "101"), "--jpeg is 101; expected a whole number from 1 to 100"),
    (("after", "--max-patches", "0"), "--max-patches is 0; expected"),
    (("after", "--min-iou", "1"), "--min-iou is 1.0; expected a number from 0"),
    (("after", "--nms-threshold", "1.5"), "--nms-threshold is 1.5; expected"),
    (("after", "--workers", "0"), "--workers is 0; expected a whole number of 1 or more"),
    (("after", "--format", "voc"), "--format is 'voc'; expected one of"),
    (("after", "--task", "semantic", "--format", "masks"), "the requested task is semantic"),
    (("after", "--simulations", "-1"), "--simulations is -1; expected"),
    (("images",), "image"),
    (("after", "--out", "after/set"), "the output after/set lies inside after, which is an input; give another --out"),
    (("after", "--out", "images"), "the output images lies inside images, which is an input"),
    (("after", "--out", "after/a.png"), "the output after/a.png is a file, expected a folder; give another --out"),
    (("after", "--out", "notes.txt/set"), "is not a directory; give another --out"),
]


@pytest.mark.parametrize(
    ("arguments", "said"), BAD, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_bad_input_is_one_sentence_and_writes_nothing(bpr, place, arguments, said):
    before = tree(place)
    given = GIVEN[:-2] if "--out" in arguments else GIVEN
    outcome = bpr("extract", *given, *arguments)
    assert outcome.code == 2
    assert len(outcome.errors) == 1
    assert said in outcome.errors[0]
    assert "Traceback" not in outcome.err
    assert tree(place) == before


def test_other_settings_are_refused_and_overwrite_starts_afresh(bpr, place):
    bpr("extract", "after", *GIVEN)
    before = tree(place)
    outcome = bpr("extract", "after", *GIVEN, "--padding", 0)
    assert outcome.code == 2
    assert outcome.errors == [
        "set holds a patch set already, made with padding 32, expected 0; give another --out, or --overwrite"
    ]
    assert tree(place) == before
    assert bpr("extract", "after", *GIVEN, "--padding", 0, "--overwrite").code == 0
    assert PatchSet(place / "set").settings.padding == 0
