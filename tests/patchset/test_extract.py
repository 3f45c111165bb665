"""Extraction from files to the patch set: every format, chance, threads, and kills at any moment."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bpr_cli.patchset.extract as module
from bpr_cli.errors import BprError
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boxes import boundary_pixels, dense_boxes
from bpr_cli.patchset.extract import Extraction, pack, unpack
from bpr_cli.patchset.extract import extract as extract_folders
from bpr_cli.patchset.image import EncodedPatch
from bpr_cli.patchset.record import VOID
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.sources import SourcePaths
from bpr_cli.patchset.store import PatchOrigin, PatchSet
from bpr_cli.system.parts import Distribution
from tests.cli.evaluations import AFTER, CAR, CATEGORIES, KINDS, SIZE, TRUTH, make
from tests.formats.format_builders import compressed, load, panoptic_ids, panoptic_png, pixels, png, save
from tests.patchset.patch_cases import contents

SETTINGS = PatchSetSettings(patch_size=16, padding=4)
SIMULATED = replace(SETTINGS, simulate=2, max_patches=30)
CATEGORY = {"masks": [None], "labels": [1, 2], "coco": [1], "panoptic": [1, 2], "cityscapes": [CAR]}


def source(folder: Path, paths: dict[str, str], side: str | None = "after") -> SourcePaths:
    predictions = folder / paths[side] if side else None
    return SourcePaths(predictions, folder / "images", folder / paths["truth"])


def extract(given, out, settings=SETTINGS, **how):
    sources = given if isinstance(given, list) else [given]
    return Extraction(sources, settings).run(out, **{"workers": 1, **how})


@pytest.fixture
def world(tmp_path):
    """The source of each kind."""

    def make_one(kind, side="after"):
        given = source(tmp_path / kind, make(kind, tmp_path / kind), side)
        if kind == "cityscapes":
            for image in given.images.glob("?.png"):
                image.rename(image.with_name(f"ulm_{image.stem}_000019_leftImg8bit.png"))
        return given

    return make_one


def padded(plane):
    return np.pad(plane, 30, mode="reflect")


def inside(box, settings=SETTINGS):
    x, y = box[0] - settings.padding + 30, box[1] - settings.padding + 30
    return slice(y, y + settings.side), slice(x, x + settings.side)


def planes_of(kind: str, category: int | None):
    """The coarse and the true mask of a category, and what is not known of it."""
    void = np.zeros(SIZE, bool)
    coarse, true = AFTER, TRUTH
    if kind == "labels":
        void[:2] = True
        coarse, true = (mask if category == 2 else ~mask for mask in (coarse, true))
        coarse, true = coarse & ~void, true & ~void
    if kind == "panoptic" and category == 2:
        coarse, true = ~coarse, ~true
    return coarse, np.where(true, 1, np.where(void, VOID, 0))


@pytest.mark.parametrize("kind", KINDS)
def test_patches_of_every_format_are_the_pixels_of_its_files(kind, world, tmp_path):
    given = world(kind)
    result = extract(given, tmp_path / "set")
    patch_set = result.patch_set
    assert result.failures == []
    assert sorted({patch_set.origin(n).item for n in range(len(patch_set))}) == sorted(
        item.name for item in patch_set.items
    )
    assert len(patch_set.items) == 3
    found = {}
    for number in range(len(patch_set)):
        origin, sample = patch_set.origin(number), patch_set[number]
        coarse, truth = planes_of(kind, origin.category)
        np.testing.assert_array_equal(sample.coarse, padded(coarse)[inside(origin.box)])
        np.testing.assert_array_equal(sample.truth, padded(truth)[inside(origin.box)])
        [file] = given.images.glob(f"*{letter(origin.item, origin.image_id)}*.png")
        image = np.pad(pixels(file), ((30, 30), (30, 30), (0, 0)), mode="reflect")
        np.testing.assert_array_equal(sample.image, image[inside(origin.box)])
        found.setdefault((origin.item, origin.category), []).append(origin.box)
    for (_, category), boxes in found.items():
        mask = Mask.from_array(planes_of(kind, category)[0])
        assert boxes == [tuple(box) for box in dense_boxes(boundary_pixels(mask), SIZE, 16, 0.25).tolist()]
    assert sorted({category for _, category in found}, key=str) == sorted(CATEGORY[kind], key=str)


def letter(item: str, image_id: int | str | None) -> str:
    """What only the image of an item has in its name."""
    if isinstance(image_id, int):
        return "abc"[image_id - 1]
    return f"_{Path(item).name.split('_')[1]}_" if "_" in item else Path(item).stem


@pytest.mark.parametrize("kind", ["labels", "coco"])
def test_a_set_of_two_processes_is_that_of_one(kind, world, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART", 1)  # otherwise one part holds all images
    given = world(kind)
    settings = replace(SETTINGS, simulate=2, max_patches=20)
    one = extract(given, tmp_path / "one", settings)
    two = extract(given, tmp_path / "two", settings, distribution=Distribution(processes=2))
    assert contents(one.patch_set.path) == contents(two.patch_set.path)


def test_records_that_cannot_be_read_in_a_process_are_told_as_in_one(world, tmp_path):
    given = world("coco")
    records = load(given.predictions)
    records[1]["segmentation"]["counts"] = "?"
    save(given.predictions, records)
    one, two = (extract(given, tmp_path / f"{count}", distribution=Distribution(processes=count)) for count in (1, 2))
    assert one.failures == two.failures
    assert len(two.failures) == 1
    assert contents(one.patch_set.path) == contents(two.patch_set.path)


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_the_number_of_workers(kind, world, tmp_path):
    given = world(kind)
    settings = replace(SETTINGS, simulate=2, max_patches=20)
    one = extract(given, tmp_path / "one", settings)
    three = extract(given, tmp_path / "three", settings, workers=3)
    assert contents(one.patch_set.path) == contents(three.patch_set.path)
    assert not (tmp_path / "one" / ".bpr").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_coarse_masks_are_simulated_from_the_truth_of_every_format(kind, world, tmp_path):
    given = world(kind, side=None)
    result = extract(given, tmp_path / "set", replace(SETTINGS, simulate=3))
    assert result.failures == []
    [seen] = result.patch_set.sources
    assert seen.name == f"simulated from {given.truth}"
    assert seen.counts.images == 3
    assert seen.counts.segments == 3 * 3 * len(CATEGORY[kind])
    assert len(result.patch_set) > 3
    samples = list(result.patch_set)
    assert any((sample.coarse != sample.truth).any() for sample in samples)


def test_several_predictions_and_simulated_masks_are_mixed_into_one_set(world, tmp_path):
    masks, labels = world("masks"), world("labels")
    worse = replace(masks, predictions=masks.predictions.parent / "before")
    settings = replace(SETTINGS, simulate=1)
    result = extract([masks, worse, labels], tmp_path / "set", settings)
    names = [seen.name for seen in result.patch_set.sources]
    assert names == [
        str(masks.predictions),
        str(worse.predictions),
        str(labels.predictions),
        f"simulated from {masks.truth}",
        f"simulated from {labels.truth}",
    ]
    used = [result.patch_set.origin(number).source for number in range(len(result.patch_set))]
    assert list(dict.fromkeys(used)) == names
    counted = {seen.name: seen.counts.patches for seen in result.patch_set.sources}
    assert counted == {name: used.count(name) for name in names}


def test_masks_of_low_iou_are_left_out(world, tmp_path):
    given = world("masks")
    png(given.predictions / "b.png", np.eye(*SIZE, dtype=np.uint8) * 255)
    result = extract(given, tmp_path / "set")
    assert {item.name for item in result.patch_set.items} == {"a.png", "c.png"}
    assert result.patch_set.sources[0].counts.matched == 2
    everything = extract(given, tmp_path / "all", replace(SETTINGS, min_iou=0.0))
    assert everything.patch_set.sources[0].counts.matched == 3


def test_what_a_crowd_covers_is_void(world, tmp_path):
    given = world("coco")
    document = load(given.truth)
    crowd = np.zeros(SIZE, bool)
    crowd[:, 30:] = True
    document["annotations"].append(
        {"id": 9, "image_id": 1, "category_id": 1, "iscrowd": 1, "area": 1, "segmentation": compressed(crowd)}
    )
    save(given.truth, document)
    patch_set = extract(given, tmp_path / "set").patch_set
    expected = padded(np.where(TRUTH, 1, np.where(crowd, VOID, 0)))
    first = [number for number in range(len(patch_set)) if patch_set.origin(number).image_id == 1]
    assert first
    for number in first:
        np.testing.assert_array_equal(patch_set[number].truth, expected[inside(patch_set.origin(number).box)])
    others = set(range(len(patch_set))) - set(first)
    assert not any((patch_set[number].truth == VOID).any() for number in others)


def test_instances_match_within_their_category_only(world, tmp_path):
    given = world("coco")
    document = load(given.truth)
    document["categories"].append({"id": 5, "name": "other"})
    document["annotations"][0]["category_id"] = 5
    save(given.truth, document)
    result = extract(given, tmp_path / "set")
    assert result.patch_set.sources[0].counts.matched == 2
    assert {result.patch_set.origin(number).image_id for number in range(len(result.patch_set))} == {2, 3}


def test_panoptic_void_is_void_and_stuff_is_compared_as_a_whole(world, tmp_path):
    given = world("panoptic")
    ids = panoptic_ids(given.truth / "a.png")
    ids[:, :6] = 0
    ids[30:] = np.where(ids[30:] == 300, 301, ids[30:])
    panoptic_png(given.truth / "a.png", ids)
    document = load(given.truth.with_suffix(".json"))
    document["annotations"][0]["segments_info"].append({"id": 301, "category_id": 2, "iscrowd": 0})
    save(given.truth.with_suffix(".json"), document)
    patch_set = extract(given, tmp_path / "set").patch_set
    void = ids == 0
    for number in range(len(patch_set)):
        origin = patch_set.origin(number)
        if origin.item == "a.png":
            true = TRUTH if origin.category == 1 else ~TRUTH
            expected = padded(np.where(void, VOID, true))[inside(origin.box)]
            np.testing.assert_array_equal(patch_set[number].truth, expected)


def test_cityscapes_groups_and_void_labels_are_void(world, tmp_path):
    given = world("cityscapes")
    path = next(given.truth.rglob("*_a_*instanceIds.png"))
    ids = pixels(path)
    ids[:, 40:], ids[:, :4], ids[:, 4:6] = CAR, 3, 24
    png(path, ids.astype(np.uint16))
    patch_set = extract(given, tmp_path / "set").patch_set
    # A group of cars and a void label are unknown; a group of people is no car.
    expected = padded(np.where(ids == CAR * 1000 + 1, 1, np.where((ids == CAR) | (ids == 3), VOID, 0)))
    seen = [number for number in range(len(patch_set)) if "_a_" in patch_set.origin(number).item]
    assert seen
    for number in seen:
        np.testing.assert_array_equal(patch_set[number].truth, expected[inside(patch_set.origin(number).box)])


def test_ignored_labels_are_void(world, tmp_path):
    given = world("labels")
    patch_set = extract(given, tmp_path / "set", replace(SETTINGS, ignore_labels=(1, 255))).patch_set
    assert {patch_set.origin(number).category for number in range(len(patch_set))} == {2}
    assert all((sample.truth != 0).all() for sample in patch_set)


@pytest.mark.parametrize("count", [1, 5, 10**6])
def test_a_draw_is_part_of_the_whole_in_its_order(world, tmp_path, count):
    given = [world("coco"), world("labels")]
    everything = extract(given, tmp_path / "all").patch_set
    drawn = extract(given, tmp_path / "drawn", replace(SETTINGS, max_patches=count)).patch_set
    again = extract(given, tmp_path / "again", replace(SETTINGS, max_patches=count), workers=3).patch_set
    whole = [everything.origin(number) for number in range(len(everything))]
    part = [drawn.origin(number) for number in range(len(drawn))]
    assert len(part) == min(count, len(whole))
    assert len(set(part)) == len(part)
    assert part == [origin for origin in whole if origin in part]
    assert contents(drawn.path) == contents(again.path)
    assert drawn.sources == everything.sources


def test_another_seed_draws_other_patches(world, tmp_path):
    given = [world("coco"), world("labels")]
    drawn = [
        extract(given, tmp_path / f"{seed}", replace(SETTINGS, max_patches=8, seed=seed)).patch_set for seed in (0, 1)
    ]
    assert [drawn[0].origin(number) for number in range(8)] != [drawn[1].origin(number) for number in range(8)]


@pytest.mark.parametrize("scheme", ["dense", "grid", "instance"])
def test_every_scheme_makes_patches_of_one_size(world, tmp_path, scheme):
    patch_set = extract(world("labels"), tmp_path / "set", replace(SETTINGS, scheme=scheme)).patch_set
    assert len(patch_set) > 0
    assert {sample.image.shape for sample in patch_set} == {(24, 24, 3)}


def test_images_smaller_than_a_patch_are_reflected(world, tmp_path):
    patch_set = extract(world("masks"), tmp_path / "set", PatchSetSettings(patch_size=64, padding=32)).patch_set
    assert {sample.image.shape for sample in patch_set} == {(128, 128, 3)}
    np.testing.assert_array_equal(patch_set[0].coarse[32 : 32 + 40, 32 : 32 + 48], AFTER)
    np.testing.assert_array_equal(patch_set[0].coarse[:32], patch_set[0].coarse[32:65][:0:-1])


def label_patch_at_the_edge(folder):
    """Label maps in which class 1 is a line one pixel wide at the frame, whose patches are inferior."""
    labels = np.zeros((40, 48), np.uint8)
    labels[0] = 1
    for side in ("truth", "after"):
        for name in "abc":
            png(folder / side / f"{name}.png", labels)


def test_inferior_patches_of_label_maps_are_dropped_unless_they_are_kept(world, tmp_path):
    given = world("labels")
    label_patch_at_the_edge(tmp_path / "labels")
    forced = Extraction([given], SETTINGS, ReadSettings(format="labels"))
    with pytest.raises(BprError, match="has a useful patch"):
        forced.run(tmp_path / "set")
    forced = replace(SETTINGS, keep_inferior=True)
    kept = Extraction([given], forced, ReadSettings(format="labels")).run(tmp_path / "set")
    assert len(kept.patch_set) > 0


def test_broken_images_are_named_and_the_others_extracted(world, tmp_path):
    given = world("masks")
    (given.predictions / "a.png").write_bytes(b"\x89PNG nothing")
    (given.images / "b.png").unlink()
    result = extract(given, tmp_path / "set")
    assert {item.name for item in result.patch_set.items} == {"c.png"}
    # After a semicolon, messages give names of images that are there.
    named = ["a.png" in failure.reason.partition(";")[0] for failure in result.failures]
    assert named == [failure.name == "a.png" for failure in result.failures]
    assert {Path(failure.name).stem for failure in result.failures} == {"a", "b"}
    assert result.patch_set.sources[0].counts.failed == 2


def test_an_image_of_another_size_is_named(world, tmp_path):
    given = world("masks")
    png(given.images / "a.png", np.zeros((10, 10, 3), np.uint8))
    result = extract(given, tmp_path / "set")
    [failure] = result.failures
    assert "a.png" in failure.reason
    assert "10 x 10" in failure.reason


def test_ground_truth_without_prediction_is_no_failure(world, tmp_path):
    given = world("masks")
    (given.predictions / "a.png").unlink()
    result = extract(given, tmp_path / "set")
    assert result.failures == []
    assert len(result.patch_set.items) == 2


def test_predictions_without_ground_truth_are_named(world, tmp_path):
    given = world("masks")
    (given.truth / "a.png").unlink()
    [failure] = extract(given, tmp_path / "set").failures
    assert "has no ground truth called 'a'" in failure.reason


def test_where_nothing_matches_nothing_is_written(world, tmp_path):
    given = world("coco")
    records = [{**record, "category_id": 77} for record in load(given.predictions)]
    save(given.predictions, records)
    with pytest.raises(BprError, match=r"none of the 3 coarse masks matches the ground truth \(3 without ground truth"):
        extract(given, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_predictions_without_masks_are_refused(world, tmp_path):
    given = world("coco")
    save(given.predictions, [])
    with pytest.raises(BprError, match=r"after\.json holds no masks, expected those of images in .*truth\.json; check"):
        extract(given, tmp_path / "set")


def test_a_set_that_is_there_is_verified_and_left_as_it_is(world, tmp_path):
    given = world("masks")
    first = extract(given, tmp_path / "set")
    before = contents(tmp_path / "set")
    again = extract(given, tmp_path / "set")
    assert again.resumed == 3
    assert again.patch_set.digest == first.patch_set.digest
    assert contents(tmp_path / "set") == before
    shard = tmp_path / "set" / "patches-00000.bin"
    shard.write_bytes(bytes(len(shard.read_bytes())))
    with pytest.raises(BprError, match="is not as it was written"):
        extract(given, tmp_path / "set")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"patch_size": 8}, "made with patch_size 16, expected 8"),
        ({"seed": 3}, "made with seed 0, expected 3"),
        ({"max_patches": 5}, "made with max_patches None, expected 5"),
    ],
)
def test_a_set_with_other_settings_is_refused(world, tmp_path, change, said):
    given = world("masks")
    extract(given, tmp_path / "set")
    with pytest.raises(BprError, match=said):
        extract(given, tmp_path / "set", replace(SETTINGS, **change))
    over = extract(given, tmp_path / "set", replace(SETTINGS, **change), overwrite=True).patch_set
    assert over.settings == replace(SETTINGS, **change)


def test_a_set_of_other_predictions_is_refused(world, tmp_path):
    masks, labels = world("masks"), world("labels")
    extract(masks, tmp_path / "set")
    with pytest.raises(BprError, match=r"made with sources .*masks/after .*, expected .*labels/after"):
        extract(labels, tmp_path / "set")


KILLED = """
import os, signal, sys
from pathlib import Path
from bpr_cli.patchset import extract
from bpr_cli.system.journal import Journal
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.sources import SourcePaths

folder, out, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
left = int(moment) if moment.isdigit() else 99

def on_image():
    global left
    left -= 1
    if left == 0:
        die()

if moment == "while moving":
    replace = Path.replace
    Path.replace = lambda self, target: die() if Path(target).name == "set.json" else replace(self, target)
if moment == "before tidying":
    Journal.discard = die
settings = PatchSetSettings(patch_size=16, padding=4, simulate=2, max_patches=30)
given = [SourcePaths(folder / "after", folder / "images", folder / "truth")]
extract.Extraction(given, settings).run(out, 2, on_image=on_image)
"""


@pytest.mark.parametrize("moment", ["1", "3", "6", "while moving", "before tidying"])
def test_a_killed_extraction_goes_on_and_ends_with_the_same_bytes(world, tmp_path, moment):
    given = world("labels")
    whole = extract(given, tmp_path / "whole", SIMULATED)
    script = [sys.executable, "-c", KILLED, str(tmp_path / "labels"), str(tmp_path / "set"), moment]
    killed = subprocess.run(script, capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    if moment != "before tidying":
        with pytest.raises(BprError, match=r"expected a finished patch set"):
            PatchSet(tmp_path / "set")
    resumed = extract(given, tmp_path / "set", SIMULATED)
    assert resumed.resumed == (int(moment) if moment.isdigit() else 6)
    assert contents(tmp_path / "set") == contents(whole.patch_set.path)


@pytest.fixture
def unfinished(world, tmp_path):
    """The source of an extraction that was interrupted after the second of six images."""
    given = world("labels")
    done = []

    def stop_at_three():
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Extraction([given], SIMULATED).run(tmp_path / "set", 1, on_image=stop_at_three)
    return given


def test_an_unfinished_set_with_other_settings_is_refused(unfinished, tmp_path):
    with pytest.raises(BprError, match=r"was started with max_patches=30, but this run uses max_patches=null"):
        extract(unfinished, tmp_path / "set", replace(SETTINGS, simulate=2))
    fresh = extract(unfinished, tmp_path / "set", overwrite=True)
    assert contents(fresh.patch_set.path) == contents(extract(unfinished, tmp_path / "whole").patch_set.path)


def test_an_unfinished_set_of_changed_files_starts_again(unfinished, tmp_path):
    png(unfinished.predictions / "c.png", np.eye(*SIZE, dtype=np.uint8) + 1)
    result = extract(unfinished, tmp_path / "set", SIMULATED)
    assert result.resumed == 0
    assert contents(tmp_path / "set") == contents(extract(unfinished, tmp_path / "all", SIMULATED).patch_set.path)


def test_images_whose_records_are_damaged_are_extracted_again(unfinished, tmp_path):
    records = tmp_path / "set" / ".bpr" / "records.bin"
    records.write_bytes(records.read_bytes()[:-1])
    result = extract(unfinished, tmp_path / "set", SIMULATED)
    assert result.resumed == 2
    assert contents(tmp_path / "set") == contents(extract(unfinished, tmp_path / "all", SIMULATED).patch_set.path)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_packed_patches_come_back(count):
    name = os.fsdecode(b"\xff.png")
    patches = [
        EncodedPatch(bytes([n]) * n, PatchOrigin("a/", name, 2**70 * n, None, (1, 2, 3, 4), n), 2**64 - 1)
        for n in range(count)
    ]
    assert list(unpack(pack(patches))) == patches


def test_the_function_for_folders_gives_what_the_class_gives(world, tmp_path, capsys):
    given = world("masks")
    found = extract_folders(str(given.predictions), given.images, [given.truth], tmp_path / "a", SETTINGS)
    assert capsys.readouterr() == ("", "")
    assert contents(found.patch_set.path) == contents(extract(given, tmp_path / "b").patch_set.path)
    settings = replace(SETTINGS, simulate=2)
    result = extract_folders(None, given.images, given.truth, tmp_path / "c", settings, workers=2, progress=True)
    assert result.patch_set.sources[0].name == f"simulated from {given.truth}"
    assert "extracting" in capsys.readouterr().err


@pytest.mark.parametrize(("isthing", "matched"), [(0, 3), (1, 0)])
def test_stuff_needs_no_overlap_but_things_do(world, tmp_path, isthing, matched):
    given = world("panoptic")
    document = load(given.truth.with_suffix(".json"))
    ground = {**CATEGORIES[1], "isthing": isthing}
    save(given.truth.with_suffix(".json"), {**document, "categories": [CATEGORIES[0], ground]})
    strict = Extraction([given, world("masks")], replace(SETTINGS, min_iou=0.99, simulate=1))
    result = strict.run(tmp_path / "set")
    assert result.patch_set.sources[0].counts.matched == matched


HOLD = """
import sys, time
from pathlib import Path
from bpr_cli.system.atomic import sole_writer
with sole_writer(Path(sys.argv[1]), "in use"):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_second_extraction_into_a_directory_in_use_is_refused(world, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "set/.bpr"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "locked\n"
        with pytest.raises(BprError, match="set is in use by another process; wait for it"):
            extract(world("masks"), tmp_path / "set")
        process.kill()
    extract(world("masks"), tmp_path / "set")
