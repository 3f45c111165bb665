"""Shards and their merge: byte for byte the result of one process, whatever happens to a shard."""

import json
import shutil
from dataclasses import asdict
from functools import partial

import pytest
from PIL import Image

import bpr_cli.refinement.job as module
from bpr_cli.errors import BprError
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.refinement.in_process import InProcess
from bpr_cli.refinement.job import refine_opened
from bpr_cli.refinement.merge import merge
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.system.shards import Shard
from tests.cli.resumable import MAKERS, NAMES
from tests.cli.worlds import SIZE, results, tree
from tests.formats.format_builders import load, photo, save

DIFFERENT = ("seconds", "elapsed", "peak_memory", "resumed", "output")
"""What may differ between the reports of two refinements."""


@pytest.fixture
def world(tmp_path, monkeypatch):
    for name in NAMES:
        photo(tmp_path / f"photos/{name}.png", SIZE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refine(refiner, world):
    """Refine a shard with a refiner that is made once, as ``refine`` does."""

    def run(predictions, _, images, out="out", shard=None, *, stop_after=None, refiner=refiner, overwrite=False):
        target, done = world / out, []
        opened = module.open_for(predictions, images, target, ReadSettings())

        def count(item):
            done.append(item)
            if len(done) == stop_after:
                raise KeyboardInterrupt

        part = Shard.parse(shard) if shard else None
        return refine_opened(InProcess.of(refiner), opened, target, overwrite, count, shard=part)

    return run


def comparable(report: dict) -> dict:
    """A report without what may differ."""
    items = [{**item, "resumed": None} for item in report["items"]]
    return {**{name: value for name, value in report.items() if name not in DIFFERENT}, "items": items}


def check_equal(world, summary):
    assert results(world / "out") == results(world / "whole")
    assert comparable(load(world / "out/run.json")) == comparable(load(world / "whole/run.json"))
    assert load(world / "out/run.json") == json.loads(json.dumps(asdict(summary)))


@pytest.mark.parametrize("maker", MAKERS)
def test_shards_and_their_merge_are_the_result_of_one_process(maker, world, refine):
    given = MAKERS[maker](world)
    refine(*given, "whole")
    sizes = [refine(*given, "out", f"{number}/5").images for number in (3, 1, 5, 2, 4)]
    assert sizes == [2, 3, 2, 3, 2]
    assert not (world / "out/run.json").exists()
    assert not (world / "out/preds.json").exists()
    check_equal(world, merge("out"))
    check_equal(world, merge(world / "out"))
    assert refine(*given).resumed == len(NAMES)


def test_missing_shards_are_named_and_nothing_is_written(world, refine):
    given = MAKERS["coco"](world)
    with pytest.raises(BprError, match="out holds nothing to merge, expected the output of bpr refine with --shard"):
        merge("out")
    with pytest.raises(BprError, match=r"^\. holds nothing to merge, expected the output of bpr refine with --shard"):
        merge(".")
    refine(*given, "out", "2/4")
    refine(*given, "out", "3/4")
    journal = world / "out/.bpr/journal-3-of-4.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])  # as if killed in its last line
    with pytest.raises(BprError) as refusal:
        merge("out")
    assert str(refusal.value) == (
        "out: 7 of 12 images are missing from 3 of 4 shards; not begun: 1/4, 4/4; unfinished, or with files that "
        "changed since: 3/4 (1 of 3 images); run these shards again, then merge"
    )
    assert results(world / "out") == {}
    for shard in ("1/4", "3/4", "4/4"):
        refine(*given, "out", shard)
    refine(*given, "whole")
    check_equal(world, merge("out"))


def test_a_shard_that_runs_twice_has_nothing_left_to_do(world, refine):
    given = MAKERS["panoptic"](world)
    for shard in ("1/2", "1/2", "2/2"):
        summary = refine(*given, "out", shard)
        assert summary.images == 6
    assert refine(*given, "out", "2/2").resumed == 6
    refine(*given, "whole")
    check_equal(world, merge("out"))


def test_other_settings_in_one_shard_are_refused(world, refine, make_refiner):
    given, other = MAKERS["masks"](world), make_refiner(nms_threshold=0.5)
    refine(*given, "out", "1/2")
    with pytest.raises(BprError, match=r"shard 1/2 of .* was started with nms_threshold=null, but this run uses"):
        refine(*given, "out", "2/2", refiner=other)
    refine(*given, "out", "2/2", refiner=other, overwrite=True)
    with pytest.raises(BprError) as refusal:
        merge("out")
    assert str(refusal.value) == (
        "shard 2/2 of out was started with nms_threshold=0.5, but shard 1/2 uses nms_threshold=null; repeat one of "
        "them with --overwrite and the settings of all others"
    )
    with pytest.raises(BprError, match=r"shard 2/2 of .* was started with nms_threshold=0"):
        refine(*given, "out", "1/2")
    refine(*given, "out", "2/2", overwrite=True)
    refine(*given, "whole")
    check_equal(world, merge("out"))


def test_another_number_of_shards_is_refused(world, refine):
    given = MAKERS["masks"](world)
    refine(*given, "out", "1/3")
    with pytest.raises(BprError, match="out is split into 3 shards, but this is shard 1/1; give --shard I/3, or"):
        refine(*given, "out", "1/1")


@pytest.mark.parametrize("first", [None, "1/3"])
def test_a_refinement_begun_in_one_way_ends_in_the_other(first, world, refine):
    given = MAKERS["coco"](world)
    with pytest.raises(KeyboardInterrupt):
        refine(*given, "out", first, stop_after=2)
    if first:
        summary = refine(*given)
    else:
        for number in (1, 2, 3):
            refine(*given, "out", f"{number}/3")
        summary = merge("out")
    assert summary.resumed >= 2
    refine(*given, "whole")
    check_equal(world, summary)


def test_images_that_fail_are_told_by_their_shard_and_by_the_merge(world, refine):
    given = MAKERS["coco"](world)
    document = load(world / "preds.json")
    document["annotations"][4]["segmentation"]["counts"] = "?"  # one record of image 4
    document["annotations"][21]["segmentation"]["counts"] = "?"
    document["annotations"].append({"image_id": None})
    save(world / "preds.json", document)
    photo(world / "photos/07.png", (9, 9))
    (world / "photos/10.png").unlink()
    whole = refine(*given, "whole")
    parts = [refine(*given, "out", f"{number}/2") for number in (1, 2)]
    assert {len(part.failures) for part in parts} == {1, 2}
    merged = merge("out")
    assert merged.failures == whole.failures
    assert len(merged.failures) == 5
    check_equal(world, merged)


def test_images_that_changed_since_are_missing(world, refine):
    given = MAKERS["masks"](world)
    for number in (1, 2):
        refine(*given, "out", f"{number}/2")
    photo(world / "photos/03.png", SIZE, compress_level=0)
    (world / "out/05.png").unlink()
    with pytest.raises(BprError, match=r"with files that changed since: 2/2 \(2 of 6 images\); run these"):
        merge("out")
    refine(*given, "out", "2/2")
    refine(*given, "whole")
    check_equal(world, merge("out"))


def test_more_shards_than_images_and_a_failure_of_a_whole_shard(world, refine):
    given = MAKERS["labels"](world)
    (world / "preds/02.png").write_bytes(b"\x89PNG")
    whole = refine(*given, "whole")
    for number in range(1, 15):
        summary = refine(*given, "out", f"{number}/14")
        assert (summary.images, len(summary.failures)) == ((0, int(number == 3)) if number in (3, 13, 14) else (1, 0))
    merged = merge("out")
    assert [failure.name for failure in merged.failures] == [failure.name for failure in whole.failures] == ["02.png"]
    check_equal(world, merged)


def test_a_single_output_file_leaves_nothing_beside_it(world, refine):
    given = MAKERS["coco"](world)
    refine(*given, "whole")
    for number in (1, 2):
        refine(*given, "new/named.json", f"{number}/2")
    assert merge("new/named.json").images == len(NAMES)
    assert [path.name for path in (world / "new").iterdir()] == ["named.json"]
    assert (world / "new/named.json").read_bytes() == (world / "whole/preds.json").read_bytes()


def test_a_merge_from_elsewhere_finds_the_input(world, refine, monkeypatch):
    given = MAKERS["coco"](world)
    refine(*given, "whole")
    for number in (1, 2):
        refine(*given, "out", f"{number}/2")
    (world / "elsewhere").mkdir()
    monkeypatch.chdir(world / "elsewhere")
    assert merge("../out").images == len(NAMES)
    monkeypatch.chdir(world / "out")
    assert merge(".").images == len(NAMES)
    assert results(world / "out") == results(world / "whole")


@pytest.mark.parametrize("maker", ["coco", "panoptic"])
def test_inputs_that_have_moved_are_found_once_a_shard_was_repeated(maker, world, refine):
    given = MAKERS[maker](world)
    refine(*given, "whole")
    for number in (1, 2):
        refine(*given, "out", f"{number}/2")
    for path in list(world.glob("p*")):
        (world / "moved").mkdir(exist_ok=True)
        path.rename(world / "moved" / path.name)
    with pytest.raises(BprError) as refusal:
        merge("out")
    assert str(refusal.value) == (
        "out was refined from preds.json and photos, expected both to be there; if they have moved, repeat a shard "
        "with their new paths, then merge"
    )
    summary = refine(f"moved/{given[0]}", "--images", f"moved/{given[2]}", "out", "2/2")
    assert summary.resumed == summary.images == 6
    merged = merge("out")
    assert merged.inputs.images == "moved/photos"
    assert results(world / "out") == results(world / "whole")


def test_inputs_that_were_copied_can_be_merged_once_all_shards_were_repeated(world, refine):
    given = MAKERS["coco"](world)
    refine(*given, "whole")
    shutil.copytree("photos", "copied", copy_function=shutil.copy)  # with other times of change
    for images in ("photos", "copied"):
        for number in (1, 2):
            refine(given[0], "--images", images, "out", f"{number}/2")
    assert merge("out").resumed == len(NAMES)
    assert results(world / "out") == results(world / "whole")


def test_a_merge_needs_no_pytorch(world, refine, monkeypatch):
    import subprocess
    import sys

    given = MAKERS["panoptic"](world)
    for number in (1, 2):
        refine(*given, "out", f"{number}/2")
    program = "import sys; sys.modules['torch'] = None; from bpr_cli import merge; print(merge('out').images)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=world)
    assert (ended.returncode, ended.stdout.strip()) == (0, str(len(NAMES))), ended.stderr


def test_refine_takes_a_shard(world, weights_of):
    given = MAKERS["masks"](world)
    settings = RefineSettings(weights=str(weights_of("unet-s")), device="cpu", workers=1)
    run = partial(module.refine, given[0], given[2], world / "out", settings)
    seen = []
    assert run(shard=Shard(2, 6), on_item=seen.append).images == 2
    assert [item.name for item in seen] == ["01.png", "07.png"]
    assert set(results(world / "out")) == {"01.png", "07.png"}
    Image.open(world / "out/01.png").verify()
    assert "run.json" not in tree(world / "out")
