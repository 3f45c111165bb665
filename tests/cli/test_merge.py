"""``bpr refine --shard`` and ``bpr merge``: shards are killed, run twice and at the same time."""

import json
import random
import re
import shlex
import shutil
import signal
import time

import pytest

from tests.cli.resumable import MAKERS, NAMES, left_of, wait_for
from tests.cli.worlds import REPOSITORY, results


def test_shards_are_refined_and_merged(masks, world, refine, bpr):
    assert refine(*masks, "--out", "whole").code == 0
    for number in (2, 1):
        outcome = refine(*masks, "--out", "out", "--shard", f"{number}/2", "--json")
        assert (outcome.code, json.loads(outcome.out)["images"]) == (0, len(NAMES) / 2)
        assert f"shard {number}/2 has ended; when all have, complete the output: bpr merge out" in outcome.err
    merged = bpr("merge", "out", "--json")
    assert (merged.code, json.loads(merged.out)["images"]) == (0, len(NAMES))
    assert "--overwrite" not in merged.err  # which bpr merge does not have
    assert results(world / "out") == results(world / "whole")


def test_a_merge_names_what_is_missing(masks, refine, bpr):
    refine(*masks, "--out", "out", "--shard", "1/3")
    outcome = bpr("merge", "out")
    assert outcome.code == 2
    assert outcome.errors == [
        "out: 8 of 12 images are missing from 2 of 3 shards; not begun: 2/3, 3/3; run these shards again, then merge"
    ]


def test_a_shard_can_come_from_a_scheduler_and_is_checked(masks, refine, monkeypatch):
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "2")
    outcome = refine(*masks, "--out", "out", "--shard", "job-index/4", "--json")
    assert (outcome.code, json.loads(outcome.out)["images"]) == (0, 3)
    assert refine(*masks, "--out", "out", "--shard", "5/4").errors == [
        "--shard is '5/4', which is shard 5 of 4; expected a number from 1 to the number of shards, which is at most "
        "1,048,576"
    ]
    assert refine(*masks, "--out", "none", "--shard", "").errors == [  # as a variable that is not set
        "--shard is ''; expected I/N such as 2/8, slurm, slurm/N or job-index/N"
    ]
    assert "shard 20/20 has ended; when all have" in refine(*masks, "--out", "empty", "--shard", "20/20").err
    assert "--shard does not apply to a check" in refine(*masks, "--shard", "1/4", "--dry-run", "--out", "o").errors[0]


def kill_shard(start, given: tuple, out, draw: random.Random, longest: float) -> None:
    """Kill a shard at a random moment after its start; it may have ended by then."""
    with start("refine", *given) as process:
        wait_for(out, process)
        time.sleep(draw.uniform(0, longest))
        process.kill()
        process.communicate(timeout=120)
    assert left_of(process) == []


def check_kills(world, refine, bpr, start, arguments, weights, kills: int) -> None:
    """Kill shard after shard at random moments: the merge makes the result of a run that nobody disturbed."""
    draw = random.Random(kills)
    given = (*arguments, "--weights", weights, "--workers", "2", "--batch-size", "8", "--out", "out")
    for kill in range(kills):
        kill_shard(start, (*given, "--shard", f"{1 + kill % 2}/2"), world / "out", draw, 1.5)
        assert bpr("merge", "out").code in (0, 2)
    for number in (1, 2):
        assert refine(*given, "--shard", f"{number}/2").code == 0
    assert bpr("merge", "out").code == 0
    refine(*arguments, "--out", "whole")
    assert results(world / "out") == results(world / "whole")


@pytest.mark.parametrize("maker", ["coco", "labels"])
def test_killed_shards_resume(maker, photos, world, refine, bpr, start, random_weights):
    check_kills(world, refine, bpr, start, MAKERS[maker](world), random_weights, 2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_shards_that_are_killed_many_times_resume(arguments, world, refine, bpr, start, random_weights):
    check_kills(world, refine, bpr, start, arguments, random_weights, 10)


def test_a_shard_in_use_shuts_out_itself_the_whole_and_a_merge(masks, world, refine, bpr, start, random_weights):
    with start("refine", *masks, "--out", "out", "--weights", random_weights, "--shard", "1/2") as first:
        wait_for(world / "out/.bpr/journal-1-of-2.jsonl", first)
        first.send_signal(signal.SIGSTOP)
        try:
            same, whole = refine(*masks, "--out", "out", "--shard", "1/2"), refine(*masks, "--out", "out")
            other, merged = refine(*masks, "--out", "out", "--shard", "2/2"), bpr("merge", "out")
        finally:
            first.send_signal(signal.SIGCONT)
        first.communicate(timeout=120)
    in_use = "is in use by another process; wait for it, stop it, or choose another --out"
    assert same.errors == [f"shard 1/2 of out, or all of it, {in_use}"]
    assert whole.errors == merged.errors == [f"out {in_use}"]
    assert (first.returncode, other.code, bpr("merge", "out").code) == (0, 0, 0)


GUIDE = REPOSITORY / "docs/how-to/shards.md"


def commands_of(section: str) -> list[list[str]]:
    """The commands of a section of the guide, also those that are handed to a scheduler."""
    page = GUIDE.read_text(encoding="utf-8")
    part = page.split(f"\n## {section}\n")[1] if section else page
    return [shlex.split(found) for found in re.findall(r"\bbpr ((?:refine|merge) [^\"\n`]*)", part.split("\n## ")[0])]


@pytest.mark.skipif(not GUIDE.is_file(), reason="the documentation is not here")
def test_the_commands_of_the_guide(photos, world, refine, bpr, monkeypatch):
    MAKERS["coco"](world)

    def run(command: list[str]) -> None:
        outcome = refine(*command[1:]) if command[0] == "refine" else bpr(*command)
        assert (outcome.code, outcome.errors) == (0, []), command

    first, array = commands_of(""), commands_of("Slurm")
    assert [command[0] for command in (*first, *array)] == [*["refine"] * 3, "merge", "refine", "merge", "refine"]
    for command in first:
        run(command)
    whole = results(world / "refined")
    shutil.rmtree(world / "refined")
    for task in range(1, 9):
        for name, value in {"ID": task, "MIN": 1, "MAX": 8, "COUNT": 8}.items():
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", f"{value}")
        run(array[2] if task in (3, 7) else array[0])  # 3 and 7 are those that were missing
    run(array[1])
    assert results(world / "refined") == whole
    assert set(whole) == {"preds.json"}
