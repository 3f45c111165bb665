"""``bpr refine`` goes on where it was: after kills, with outputs that were changed, and never with other settings."""

import json
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from format_builders import disc, load, panoptic_png, photo, pixels, png, save
from worlds import INFO, MASK, SIZE, record, results, tree

NAMES = [f"{index:02d}" for index in range(12)]


def discs(index: int) -> list[np.ndarray]:
    """Two masks that do not overlap."""
    return [disc(SIZE, (25 + index, 25), 12), disc(SIZE, (40, 65 + index), 14)]


def make_masks(world: Path) -> tuple[str, ...]:
    for index, name in enumerate(NAMES):
        png(world / f"preds/{name}.png", discs(index)[0].astype(np.uint8) * 255)
    return ("preds", "--images", "photos")


def make_labels(world: Path) -> tuple[str, ...]:
    for index, name in enumerate(NAMES):
        first, second = discs(index)
        png(world / f"preds/{name}.png", (3 * first + 9 * second).astype(np.uint8))
    return ("preds", "--images", "photos")


def make_cityscapes(world: Path) -> tuple[str, ...]:
    for index, name in enumerate(NAMES):
        for number, mask in enumerate(discs(index)):
            png(world / f"preds/{name}_{number}.png", mask.astype(np.uint8) * 255)
        (world / f"preds/{name}_pred.txt").write_text(f"{name}_0.png 24 0.9\n{name}_1.png 26 0.8\n")
    return ("preds", "--images", "photos")


def make_coco(world: Path) -> tuple[str, ...]:
    # Records of one image are not neighbours, and the document has fields before and after them.
    records = [record(index, discs(index)[number]) for number in (0, 1) for index in range(len(NAMES))]
    images = [{"id": index, "file_name": f"{name}.png"} for index, name in enumerate(NAMES)]
    save(world / "preds.json", {"info": {"ä": [1.5, None]}, "annotations": records, "images": images})
    return ("preds.json", "--images", "photos")


def make_panoptic(world: Path) -> tuple[str, ...]:
    annotations = []
    for index, name in enumerate(NAMES):
        first, second = discs(index)
        panoptic_png(world / f"preds/{name}.png", 300 * first + 70_000 * second)
        segments = [{"id": each, "category_id": 1} for each in (300, 70_000)]
        annotations.append({"image_id": index, "file_name": f"{name}.png", "segments_info": segments})
    save(world / "preds.json", {"annotations": annotations, "categories": []})
    return ("preds.json", "--images", "photos")


MAKERS = {
    "masks": make_masks,
    "labels": make_labels,
    "cityscapes": make_cityscapes,
    "coco": make_coco,
    "panoptic": make_panoptic,
}


@pytest.fixture(params=MAKERS)
def arguments(request, world):
    """What to refine, in every format."""
    for name in NAMES:
        photo(world / f"photos/{name}.png", SIZE)
    return MAKERS[request.param](world)


@pytest.fixture
def masks(world):
    for name in NAMES:
        photo(world / f"photos/{name}.png", SIZE)
    return make_masks(world)


def resumed(outcome) -> int:
    return json.loads(outcome.out)["resumed"]


def images(outcome) -> int:
    return json.loads(outcome.out)["images"]


def test_a_finished_output_is_checked_and_not_made_again(arguments, world, refine):
    first = refine(*arguments, "--out", "out", "--json")
    before, times = results(world / "out"), {path: path.stat().st_mtime_ns for path in (world / "out").rglob("*.png")}
    again = refine(*arguments, "--out", "out", "--json")
    assert (first.code, again.code) == (0, 0)
    assert (resumed(first), resumed(again)) == (0, len(NAMES))
    assert results(world / "out") == before
    assert {path: path.stat().st_mtime_ns for path in (world / "out").rglob("*.png")} == times
    totals = ("images", "segments", "patches", "boundary_movement", "failures")
    assert [json.loads(first.out)[name] for name in totals] == [json.loads(again.out)[name] for name in totals]
    assert "12 images were done before; --overwrite starts afresh" in again.err


def test_outputs_that_are_cut_short_changed_or_gone_are_made_again(arguments, world, refine):
    refine(*arguments, "--out", "out")
    before = results(world / "out")
    found = sorted((world / "out").rglob("*.png"))[:3]
    if found:
        found[0].write_bytes(found[0].read_bytes()[:-5])
        found[1].write_bytes(found[1].read_bytes()[:-1] + b"x")
        found[2].unlink()
    for document in (world / "out").glob("preds.json"):
        document.write_text(document.read_text()[:100])
    again = refine(*arguments, "--out", "out", "--json")
    touched = {name.name.partition("_")[0] for name in found}
    assert (again.code, resumed(again)) == (0, len(NAMES) - len(touched))
    assert results(world / "out") == before


def test_kept_records_that_are_changed_count_for_nothing(world, refine):
    for name in NAMES:
        photo(world / f"photos/{name}.png", SIZE)
    arguments = make_coco(world)
    refine(*arguments, "--out", "out")
    before, kept = results(world / "out"), world / "out/.bpr/records.json"
    content = kept.read_bytes()
    kept.write_bytes(b"x" + content[1:-1])
    assert resumed(refine(*arguments, "--out", "out", "--json")) == len(NAMES) - 2
    kept.unlink()
    assert resumed(refine(*arguments, "--out", "out", "--json")) == 0
    assert results(world / "out") == before


def test_changed_inputs_are_refined_again(masks, world, refine):
    refine(*masks, "--out", "out")
    png(world / "preds/03.png", disc(SIZE, (50, 50), 9).astype(np.uint8) * 255)
    photo(world / "photos/05.png", SIZE, compress_level=0)
    png(world / "preds/zz.png", MASK.astype(np.uint8) * 255)
    photo(world / "photos/zz.png", SIZE)
    outcome = refine(*masks, "--out", "out", "--json")
    assert (images(outcome), resumed(outcome)) == (len(NAMES) + 1, len(NAMES) - 2)
    refine(*masks, "--out", "fresh")
    assert results(world / "out") == results(world / "fresh")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--nms-threshold", "0.5"), "nms_threshold 0.25, not 0.5"),
        (("--scales", "2,1"), "scales null, not [2.0, 1.0]"),
        (("--min-iou-with-coarse", "0.5"), "min_iou_with_coarse null, not 0.5"),
        (("--format", "labels"), 'format "masks", not "labels"'),
        (("--weights", "other.safetensors"), "weights "),
    ],
)
def test_other_settings_or_weights_are_refused_and_named(options, sentence, masks, world, refine, random_weights):
    from bpr_cli.networks.weights import load_weights, save_weights

    loaded = load_weights(random_weights)
    next(loaded.network.parameters()).data.mul_(2)
    save_weights(world / "other.safetensors", loaded.network, loaded.card)
    refine(*masks, "--out", "out")
    before = tree(world / "out")
    for dry in ((), ("--dry-run",)):
        outcome = refine(*masks, "--out", "out", *options, *dry)
        assert outcome.code == 2
        assert len(outcome.errors) == 1
        assert outcome.errors[0].startswith(f"out holds a refinement with {sentence}")
        assert outcome.errors[0].endswith("another --out, or --overwrite to start afresh")
        assert tree(world / "out") == before
    assert refine(*masks, "--out", "out", *options, "--dry-run", "--overwrite").code == 0
    assert tree(world / "out") == before
    afresh = refine(*masks, "--out", "out", *options, "--overwrite", "--json")
    assert (afresh.code, resumed(afresh)) == (0, 0)
    assert resumed(refine(*masks, "--out", "out", *options, "--json")) == len(NAMES)


def test_batches_and_workers_may_change(masks, world, refine):
    refine(*masks, "--out", "out")
    assert resumed(refine(*masks, "--out", "out", "--json", "--workers", "3", "--batch-size", "8")) == len(NAMES)


def test_overwrite_makes_all_again(arguments, world, refine):
    refine(*arguments, "--out", "out")
    before = results(world / "out")
    assert resumed(refine(*arguments, "--out", "out", "--overwrite", "--json")) == 0
    assert results(world / "out") == before


def test_failed_items_are_tried_again(masks, world, refine):
    whole = (world / "preds/04.png").read_bytes()
    (world / "preds/04.png").write_bytes(whole[:40])
    assert refine(*masks, "--out", "out").code == 1
    (world / "preds/04.png").write_bytes(whole)
    outcome = refine(*masks, "--out", "out", "--json")
    assert (outcome.code, images(outcome), resumed(outcome)) == (0, len(NAMES), len(NAMES) - 1)


def test_an_output_of_one_file_leaves_nothing_beside_it(world, refine):
    save(world / "r.json", [record(1), record(2)])
    save(world / "info.json", INFO)
    arguments = ("r.json", "--images", "images", "--image-info", "info.json")
    assert refine(*arguments, "--out", "new/named.json").code == 0
    assert [path.name for path in (world / "new").iterdir()] == ["named.json"]


def test_a_second_run_into_a_directory_in_use_is_refused(masks, world, refine, start, random_weights):
    with start("refine", *masks, "--out", "out", "--weights", random_weights) as first:
        wait_for(world / "out/.bpr/.lock", first)
        first.send_signal(signal.SIGSTOP)
        try:
            second = refine(*masks, "--out", "out")
        finally:
            first.send_signal(signal.SIGCONT)
        first.communicate(timeout=120)
    assert (first.returncode, second.code) == (0, 2)
    assert second.errors == [
        "the output out is in use by another refinement; wait for it, stop it, or give another --out"
    ]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists() and process.poll() is None:
        time.sleep(0.005)


def kill_at_random(world: Path, start, arguments: tuple, out: Path, draw: random.Random, longest: float) -> bool:
    """Kill a run, anywhere from before its first file to its end; gives whether it was killed before its end."""
    with start("refine", *arguments, "--out", out) as process:
        wait_for(out, process)
        time.sleep(draw.uniform(0, longest))
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def check_kills(world: Path, refine, start, arguments: tuple, weights: Path, kills: int) -> None:
    """Kill run after run, with a fresh output now and then: in the end all is as in a run that nobody disturbed."""
    draw = random.Random(kills)
    chosen = (*arguments, "--weights", weights, "--workers", "2", "--batch-size", "8")
    with start("refine", *chosen, "--out", "whole") as process:
        wait_for(world / "whole", process)
        began = time.monotonic()
        process.communicate(timeout=120)
        longest = time.monotonic() - began
    out = world / "out"
    killed = 0
    while killed < kills:
        if not kill_at_random(world, start, chosen, out, draw, longest):
            assert refine(*chosen, "--out", "out").code == 0
            assert results(out) == results(world / "whole")
            shutil.rmtree(out)
            continue
        killed += 1
        for path in out.rglob("*.png"):
            pixels(path)
        if (out / "preds.json").exists():
            load(out / "preds.json")
    assert refine(*chosen, "--out", "out").code == 0
    assert results(out) == results(world / "whole")


def test_the_result_after_kills_is_that_of_an_undisturbed_run(arguments, world, refine, start, random_weights):
    check_kills(world, refine, start, arguments, random_weights, kills=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_result_after_many_kills_is_that_of_an_undisturbed_run(arguments, world, refine, start, random_weights):
    check_kills(world, refine, start, arguments, random_weights, kills=10)
