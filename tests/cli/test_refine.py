"""``bpr refine`` on every format: the output has the names of the input and can be opened as what it was."""

import doctest
import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

import bpr_cli.cli.refine  # noqa: F401 - its examples run
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings
from tests.cli.worlds import INFO, MASK, SIZE, record, results, tree
from tests.formats.format_builders import disc, load, panoptic_ids, panoptic_png, photo, pixels, png, save

LABELS = np.where(disc(SIZE, (30, 30), 18), 7, np.where(disc(SIZE, (50, 70), 15), 11, 0)).astype(np.uint8)
LABELS[:8] = 255
SEGMENTS = np.where(disc(SIZE, (30, 30), 18), 700, np.where(disc(SIZE, (50, 70), 15), 70_000, 3))


def files(folder):
    return sorted(name for name, content in results(folder).items() if content is not None)


def names(predictions, images, **options):
    """What can be opened."""
    opened = open_predictions(predictions, images, ReadSettings(**options))
    assert not opened.failures
    for item in opened.items:
        opened.read(item)
    return opened.format, [item.name for item in opened.items]


def test_one_mask_to_a_file(world, refine):
    outcome = refine("masks/a.png", "--images", "images/a.png", "--out", "new/deep/refined.png")
    assert (outcome.code, outcome.out, outcome.errors) == (0, "", [])
    assert files(world / "new") == ["deep/refined.png"]
    refined = pixels(world / "new/deep/refined.png")
    assert refined.shape == SIZE
    assert set(np.unique(refined)) == {0, 255}
    assert not np.array_equal(refined, MASK * 255)


def test_one_mask_to_a_directory(world, refine):
    assert refine("masks/a.png", "--images", "images/b.png", "--out", "new").code == 0
    assert files(world / "new") == ["a.png"]


def test_a_mask_and_an_image_of_other_names(world, bpr):
    outcome = bpr("refine", "masks/a.png", "--images", "images/b.png", "--out", "new")
    assert outcome.code == 0
    assert "1 image found as the only one, b.png, though its name differs" in outcome.err.splitlines()[0]


@pytest.mark.parametrize("command", ["refine", "check"])
@pytest.mark.parametrize("fits", ["shown", "stored"])
def test_an_image_with_a_quarter_turn(world, random_weights, bpr, command, fits):
    """Masks of models that regard the EXIF orientation, and of models that do not."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(world / "turned.jpg", SIZE, exif=exif)
    mask = MASK.astype(np.uint8) * 255
    png(world / "turned.png", mask if fits == "stored" else np.ascontiguousarray(mask.T))
    outcome = bpr(command, "turned.png", "--images", "turned.jpg", "--out", "new", "--weights", random_weights)
    assert (outcome.code, outcome.errors) == (0, [])
    said = "note: turned.jpg is used as it is stored, not as its EXIF orientation shows it: only so it fits its mask"
    assert (said in outcome.err) == (fits == "stored")


def test_image_libraries_print_nothing(world, started):
    damaged = bytearray(photo(world / "images/a.tif", SIZE, compression="tiff_lzw").read_bytes())
    damaged[200:2000] = bytes(1800)
    (world / "images/a.tif").write_bytes(damaged)
    (world / "images/a.png").unlink()
    photo(world / "images/b.png", SIZE, exif=b"Exif\0\0II*\0" + b"\xff" * 4)
    done = started("check", "masks", "--images", "images")
    assert done.code == 1
    lines = [line for line in done.err.splitlines() if not set(line) & set("│┃━└┏")]
    known = ("masks: ", "masks with ", "checking 3/3", "error: images/a.tif is truncated or damaged (decoder error")
    assert [line for line in lines if not line.startswith(known)] == []


def test_images_and_masks_in_one_folder_and_a_pattern(world, refine):
    for name in "abc":
        (world / f"masks/{name}.png").rename(world / f"images/{name}_mask.png")
        photo(world / f"images/{name}_clear.png", SIZE)
    outcome = refine("images", "--images", "images", "--out", "out")
    assert outcome.code == 0
    assert "note: 6 of the PNG files in images are taken for images, not for masks, such as a.png" in outcome.err
    assert files(world / "out") == ["a_mask.png", "b_mask.png", "c_mask.png"]
    pattern = "{stem}_clear.png"
    assert refine("images/a_mask.png", "--images", "images", "--image-pattern", pattern, "--out", "a.png").code == 0


def test_one_mask_of_a_directory_of_images(world, refine):
    assert refine("masks/b.png", "--images", "images", "--out", "b.png").code == 0
    assert refine("masks/b.png", "--images", "images/b.png", "--out", "same.png").code == 0
    assert (world / "b.png").read_bytes() == (world / "same.png").read_bytes()


def test_a_folder_of_masks(world, refine):
    outcome = refine("masks", "--images", "images", "--out", "out")
    assert (outcome.code, outcome.out, outcome.errors) == (0, "", [])
    assert files(world / "out") == ["a.png", "b.png", "c.png"]
    assert names(world / "out", world / "images") == ("masks", ["a.png", "b.png", "c.png"])


@pytest.mark.parametrize("out", [".", "./", "..", "new/../elsewhere", "with space", "ärger/ネコ", "[red]", "-"])
def test_output_directories_of_all_kinds(out, world, refine):
    outcome = refine("masks", "--images", "images", "--out", out)
    assert (outcome.code, outcome.errors) == (0, [])
    assert {"a.png", "b.png", "c.png"} <= set(files((world / out).resolve()))
    written = re.search(r"format masks, weights small unet, on cpu \((pytorch|openvino)\) -> (.+)\n", outcome.err)
    assert written
    assert written[2] == str((world / out).relative_to(world))


def test_a_folder_does_not_become_a_directory_with_the_name_of_a_file(world, refine):
    outcome = refine("masks", "--images", "images", "--out", "o1.png")
    assert (outcome.code, (world / "o1.png").exists()) == (2, False)
    assert outcome.errors == [
        "the output o1.png has the name of a .png file, but it becomes a directory with 3 files; leave the ending out, "
        "or give a single file of predictions"
    ]


def test_an_absolute_output_and_everything_from_elsewhere(world, refine, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert refine("world/masks", "--images", world / "images", "--out", tmp_path / "out").code == 0
    assert files(tmp_path / "out") == ["a.png", "b.png", "c.png"]


def test_coco_results(world, refine):
    save(world / "results.json", [record(2, note="kept"), record(1, area=1, bbox=[0, 0, 1, 1]), record(2, disc(SIZE))])
    save(world / "info.json", INFO)
    arguments = ("results.json", "--images", "images", "--image-info", "info.json")
    assert refine(*arguments, "--out", "out").code == 0
    assert refine(*arguments, "--out", "named.json").code == 0
    refined = load(world / "out/results.json")
    assert [each["image_id"] for each in refined] == [2, 1, 2]
    assert refined[0]["note"] == "kept"
    assert refined[1]["area"] > 1
    assert files(world / "out") == ["results.json"]
    assert (world / "named.json").read_bytes() == (world / "out/results.json").read_bytes()
    reopened = names(world / "out/results.json", world / "images", image_info=world / "info.json")
    assert reopened == ("coco", ["2", "1"])


def test_label_maps_keep_what_is_ignored(world, refine):
    for name in ("town/a_gtFine_labelIds", "city/b_gtFine_labelIds"):
        png(world / f"preds/{name}.png", LABELS)
    for name in ("town/a", "city/b"):
        photo(world / f"photos/{name}_leftImg8bit.png", SIZE)
    outcome = refine("preds", "--images", "photos", "--out", "out")
    assert (outcome.code, outcome.errors) == (0, [])
    assert files(world / "out") == ["city/b_gtFine_labelIds.png", "town/a_gtFine_labelIds.png"]
    refined = pixels(world / "out/city/b_gtFine_labelIds.png")
    assert np.array_equal(refined == 255, LABELS == 255)
    assert not np.array_equal(refined, LABELS)
    assert set(np.unique(refined)) == {0, 7, 11, 255}
    assert names(world / "out", world / "photos")[0] == "labels"


def test_labels_to_ignore_are_chosen(world, refine):
    png(world / "a.png", LABELS)
    arguments = ("a.png", "--images", "images/a.png", "--ignore-label", "7", "--ignore-label", "255")
    assert refine(*arguments, "--out", "refined.png").code == 0
    refined = pixels(world / "refined.png")
    assert np.array_equal(refined == 7, LABELS == 7)
    assert not np.array_equal(refined, LABELS)


def test_panoptic_results(world, refine):
    panoptic_png(world / "pan/a.png", SEGMENTS)
    segments = [{"id": i, "category_id": 1, "area": 1} for i in (3, 700, 70_000)]
    save(world / "pan.json", {"annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": segments}]})
    for given, out in (("pan.json", "out"), ("pan", "other")):
        assert refine(given, "--images", "images", "--out", out).code == 0
    assert files(world / "out") == ["pan.json", "pan/a.png"]
    assert results(world / "out") == results(world / "other")
    refined = panoptic_ids(world / "out/pan/a.png")
    assert not np.array_equal(refined, SEGMENTS)
    written = load(world / "out/pan.json")["annotations"][0]["segments_info"]
    assert {each["id"]: each["area"] for each in written} == dict(
        zip(*np.unique(refined, return_counts=True), strict=True)
    )
    assert names(world / "out/pan.json", world / "images") == ("panoptic", ["a.png"])


def test_cityscapes_results(world, refine):
    for name in ("town/a", "town/b"):
        photo(world / f"photos/{name}_leftImg8bit.png", SIZE)
        for index in (0, 1):
            png(world / f"preds/{name}_pred_mask_{index}.png", disc(SIZE, (40, 30 + 30 * index), 15))
        stem = name.removeprefix("town/")
        lines = "".join(f"{stem}_pred_mask_{index}.png 24 0.{index}5\n" for index in (0, 1))
        (world / f"preds/{name}_pred.txt").write_text(lines)
    assert refine("preds", "--images", "photos", "--out", "out").code == 0
    assert files(world / "out") == files(world / "preds")
    assert (world / "out/town/a_pred.txt").read_text() == (world / "preds/town/a_pred.txt").read_text()
    assert names(world / "out", world / "photos") == ("cityscapes", ["town/a_pred.txt", "town/b_pred.txt"])


def test_masks_without_any_boundary_are_written_as_they_are(world, refine):
    for name, value in (("a", 0), ("b", 255)):
        png(world / f"flat/{name}.png", np.full(SIZE, value, np.uint8))
    outcome = refine("flat", "--images", "images", "--out", "out", "--format", "masks")
    assert (outcome.code, outcome.errors) == (0, [])
    assert (pixels(world / "out/a.png") == 0).all()
    assert (pixels(world / "out/b.png") == 255).all()


def test_the_format_may_be_forced(world, refine):
    assert refine("masks", "--images", "images", "--out", "out", "--format", "labels", "--json").code == 0
    assert names(world / "out", world / "images", format="labels") == ("labels", ["a.png", "b.png", "c.png"])


def test_the_output_of_a_refinement_can_be_refined(world, refine):
    assert refine("masks", "--images", "images", "--out", "once").code == 0
    assert refine("once", "--images", "images", "--out", "twice").code == 0
    assert files(world / "twice") == ["a.png", "b.png", "c.png"]


@pytest.fixture
def everything(world):
    """Predictions of many segments, so that batches mix images."""
    records = [record(i % 3 + 1, disc(SIZE, (20 + 5 * i, 15 + 8 * i), 12 + i)) for i in range(8)]
    save(world / "r.json", records)
    save(world / "info.json", INFO)
    for name in "abc":
        png(world / f"labels/{name}.png", LABELS)


@pytest.mark.parametrize("options", ["", "--workers 1 --batch-size 1", "--workers 3 --batch-size 7"])
def test_equal_files_whatever_the_workers_and_batches(options, world, refine, everything):
    for out, chosen in (("first", []), ("again", options.split())):
        assert refine("r.json", "--images", "images", "--image-info", "info.json", "--out", out, *chosen).code == 0
        assert refine("labels", "--images", "images", "--out", f"{out}/labels", *chosen).code == 0
    assert results(world / "first") == results(world / "again")


def test_files_of_others_are_replaced_only_if_asked_for(world, refine):
    png(world / "out/a.png", MASK)
    (world / "out/notes.txt").write_text("kept")
    outcome = refine("masks", "--images", "images", "--out", "out")
    assert (outcome.code, files(world / "out")) == (2, ["a.png", "notes.txt"])
    assert outcome.errors == [
        "the output out already holds a.png, which no refinement wrote; give another --out, or --overwrite to replace "
        "such files"
    ]
    assert refine("masks", "--images", "images", "--out", "out", "--overwrite").code == 0
    assert files(world / "out") == ["a.png", "b.png", "c.png", "notes.txt"]
    assert set(np.unique(pixels(world / "out/a.png"))) == {0, 255}


def test_the_input_stays_as_it_is(world, refine):
    before = tree(world)
    refine("masks", "--images", "images", "--out", "out")
    after = tree(world)
    assert {name: after[name] for name in before} == before


def test_json_holds_the_whole_summary(world, refine, random_weights):
    outcome = refine("masks", "--images", "images", "--out", "out", "--json", "--workers", "1", "--device", "cpu")
    summary = json.loads(outcome.out)
    assert outcome.code == 0
    assert (summary["format"], summary["task"], summary["output"]) == ("masks", "instance", "out")
    assert (summary["images"], summary["segments"], summary["failures"]) == (3, 3, [])
    assert summary["patches"] > 3
    assert summary["boundary_movement"] > 0
    assert set(summary["seconds"]) == {"read", "crop", "network", "paste", "write"}
    assert summary["devices"] == ["cpu"]
    assert summary["backend"] in ("pytorch", "openvino")
    assert (summary["weights"]["name"], summary["weights"]["network"]) == ("small unet", "unet-s")
    assert len(summary["weights"]["digest"]) == 64
    assert summary["settings"] == {
        "weights": str(random_weights),
        "nms_threshold": None,
        "scheme": "dense",
        "scales": None,
        "flip": None,
        "core": None,
        "device": "cpu",
        "precision": "float32",
        "backend": "auto",
        "max_area_change": None,
        "min_iou_with_coarse": None,
        "min_movement": None,
        "judge": True,
        "context": True,
        "batch_size": 64,
        "workers": 1,
    }


def test_settings_reach_the_refinement(world, refine):
    few, many = (
        json.loads(refine("masks", "--images", "images", "--out", value, "--json", "--nms-threshold", value).out)
        for value in ("0", "0.55")
    )
    assert few["settings"]["nms_threshold"] == 0
    assert few["patches"] < many["patches"]
    whole = json.loads(refine("masks", "--images", "images", "--out", "whole", "--json", "--scheme", "instance").out)
    assert (whole["settings"]["scheme"], whole["patches"]) == ("instance", whole["segments"])
    more = ("--scales", "2,1", "--flip", "--core", "0.5")
    rounds = json.loads(refine("masks", "--images", "images", "--out", "rounds", "--json", *more).out)
    given = rounds["settings"]
    assert (given["scales"], given["flip"], given["core"]) == ([2, 1], True, 0.5)
    assert rounds["patches"] > few["patches"]


def test_a_bound_that_nothing_can_keep_leaves_every_mask_as_it_is(world, refine):
    bound = ("--min-iou-with-coarse", "1", "--max-area-change", "0.5")
    outcome = refine("masks", "--images", "images", "--out", "out", "--json", *bound)
    summary = json.loads(outcome.out)
    assert (outcome.code, summary["kept_coarse"], summary["boundary_movement"]) == (0, 3, 0)
    assert (summary["settings"]["min_iou_with_coarse"], summary["settings"]["max_area_change"]) == (1, 0.5)
    assert "│ kept coarse by a limit" in outcome.err
    (note,) = summary["notes"]
    assert note in outcome.err
    assert "almost nothing: 3 of 3 segments exceeded a limit and were kept coarse; change or leave out" in note
    for name in "abc":
        assert np.array_equal(pixels(world / f"out/{name}.png"), pixels(world / f"masks/{name}.png"))


def test_the_closing_table(world, refine):
    outcome = refine("masks", "--images", "images", "--out", "out")
    lines = [line.strip("│┃ ") for line in outcome.err.splitlines()]
    rows = dict(line.split("│") for line in lines if line.count("│") == 1)
    shown = {name.strip(): value.strip() for name, value in rows.items()}
    assert list(shown) == [
        "images",
        "segments",
        "hardly moved",
        "moved up to 1 px",
        "moved 1 to 3 px",
        "moved 3 px and more",
        "mean boundary displacement",
        "patches",
        "time",
    ]
    assert (shown["images"], shown["segments"]) == ("3", "3")
    assert shown["mean boundary displacement"].endswith(" px")
    assert sum(int(shown[name]) for name in list(shown)[2:6]) == 3


def test_the_terms_of_the_weights_are_told(world, bpr, random_weights):
    bpr("weights", "convert", random_weights, "own.safetensors", "--licence", "for cats only")
    outcome = bpr("refine", "masks", "--images", "images", "--out", "out", "--weights", "own.safetensors")
    assert "terms of the weights small unet: for cats only" in outcome.err.splitlines()
    assert load(world / "out/run.json")["weights"]["licence"] == "for cats only"


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(sys.modules["bpr_cli.cli.refine"]).failed == 0


def test_the_closing_lines_say_what_to_look_at_and_what_to_do_next(world, refine):
    lines = refine("masks", "--images", "images", "--out", "with space").err.splitlines()
    items = sorted(load(world / "with space/run.json")["items"], key=lambda item: -max(item["movements"]))
    first = [f"  {item['image']} (moved {item['movements'][0]:.1f} px)" for item in items]
    assert re.fullmatch(r"busy, summed over threads: read [\d.]+ s, crop .* network .* paste .* write .*", lines[-7])
    assert lines[-6:] == [
        "look first at:",
        *first,
        "to see what changed, repeat the command with --pictures 3",
        "to measure it against ground truth: bpr evaluate 'with space' --ground-truth TRUTH --baseline masks "
        "--images images --out report",
    ]
    lines = refine("masks", "--images", "images", "--out", "with space", "--pictures", "1").err.splitlines()
    picture = load(world / "with space/run.json")["pictures"][0]
    assert lines[-4:-2] == ["look first at:", f"  {picture}{first[0].removeprefix('  ' + items[0]['image'])}"]
    assert lines[-2] == "pictures: with space/pictures"
    assert "repeat" not in lines[-1]
    (world / "masks/b.png").write_bytes(b"")
    outcome = refine("masks", "--images", "images", "--out", "partly")
    assert (outcome.code, outcome.err.splitlines()[-1].rpartition("report ")[2]) == (1, "--allow-missing")


def test_the_closing_lines_tell_of_images_without_anything_to_refine(world, refine):
    line = "nothing to refine in 1 of 3 images: no mask, or none with a boundary in the image"
    assert line not in refine("masks", "--images", "images", "--out", "full").err.splitlines()
    png(world / "masks/b.png", np.zeros(SIZE, np.uint8))
    assert line in refine("masks", "--images", "images", "--out", "partly").err.splitlines()
    for name in "ac":
        png(world / f"masks/{name}.png", np.zeros(SIZE, np.uint8))
    empty = refine("masks", "--images", "images", "--out", "empty").err
    assert "note: nothing was refined: all 3 masks are empty" in empty
    assert "nothing to refine in" not in empty
