"""``bpr refine`` goes on where it was: after kills, with outputs that were changed, and never with other settings."""

import json
import random
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.cli.resumable import NAMES, left_of, make_coco, wait_for
from tests.cli.worlds import INFO, MASK, SIZE, record, results, tree
from tests.formats.format_builders import disc, load, photo, pixels, png, save


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
    assert "done before: 12 images; --overwrite starts afresh" in again.err


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
    before, kept = results(world / "out"), world / "out/.bpr/records.bin"
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
        (("--nms-threshold", "0.5"), "nms_threshold=null, but this run uses nms_threshold=0.5"),
        (("--scales", "2,1"), "scales=null, but this run uses scales=[2.0, 1.0]"),
        (("--min-iou-with-coarse", "0.5"), "min_iou_with_coarse=null, but this run uses min_iou_with_coarse=0.5"),
        (("--format", "labels"), 'format="masks", but this run uses format="labels"'),
        (("--weights", "other.safetensors"), "weights={weights} (SHA-256 "),
        (("--weights", "other.safetensors"), "but this run uses weights=other.safetensors (SHA-256 "),
    ],
)
def test_other_settings_or_weights_are_refused_and_named(options, sentence, masks, world, refine, random_weights):
    from bpr_cli.weights.files import load_weights, save_weights

    loaded = load_weights(random_weights)
    next(loaded.network.parameters()).data.mul_(2)
    save_weights(world / "other.safetensors", loaded.network, loaded.card)
    refine(*masks, "--out", "out")
    before = tree(world / "out")
    for dry in ((), ("--dry-run",)):
        outcome = refine(*masks, "--out", "out", *options, *dry)
        assert outcome.code == 2
        assert len(outcome.errors) == 1
        assert outcome.errors[0].startswith("out was started with ")
        assert sentence.replace("{weights}", str(random_weights)) in outcome.errors[0]
        assert outcome.errors[0].endswith("choose another --out, or pass --overwrite")
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
    assert second.errors == ["out is in use by another process; wait for it, stop it, or choose another --out"]


def strike(start, arguments: tuple, out: Path, number: int, delay: float) -> bool:
    """Send a signal to a run, so many seconds after its first file; gives whether it came before the run's end."""
    with start("refine", *arguments, "--out", out) as process:
        wait_for(out, process)
        time.sleep(delay)
        process.send_signal(number)
        err = process.communicate(timeout=120)[1]
    assert left_of(process) == []
    if number == signal.SIGKILL:
        return process.returncode == -number
    assert "Traceback" not in err
    if process.returncode in (0, -number):  # done, or about to exit
        return False
    name = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
    sentence = f"stopped by {name}; repeat the same command to resume"
    assert (process.returncode, err.splitlines()[-1]) == (128 + number, sentence)
    assert not list(out.rglob(".*.tmp"))
    return True


def check_strikes(world: Path, refine, start, arguments: tuple, weights: Path, numbers: Sequence[int]) -> None:
    """Strike run after run, with a fresh output now and then: in the end all is as in a run that nobody disturbed."""
    draw = random.Random(len(numbers))
    chosen = (*arguments, "--weights", weights, "--workers", "2", "--batch-size", "8")
    with start("refine", *chosen, "--out", "whole") as process:
        wait_for(world / "whole", process)
        began = time.monotonic()
        process.communicate(timeout=120)
        longest = time.monotonic() - began
    out = world / "out"
    for number in numbers:
        while not strike(start, chosen, out, number, draw.uniform(0, longest)):
            assert refine(*chosen, "--out", "out").code == 0
            assert results(out) == results(world / "whole")
            shutil.rmtree(out)
        for path in out.rglob("*.png"):
            pixels(path)
        if (out / "preds.json").exists():
            load(out / "preds.json")
    assert refine(*chosen, "--out", "out").code == 0
    assert results(out) == results(world / "whole")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_result_after_a_strike_is_that_of_an_undisturbed_run(
    number, arguments, world, refine, start, random_weights
):
    check_strikes(world, refine, start, arguments, random_weights, [number])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("numbers", [[signal.SIGKILL] * 10, [signal.SIGINT, signal.SIGTERM] * 5], ids=["kill", "stop"])
def test_the_result_after_many_strikes_is_that_of_an_undisturbed_run(
    numbers, arguments, world, refine, start, random_weights
):
    check_strikes(world, refine, start, arguments, random_weights, numbers)
