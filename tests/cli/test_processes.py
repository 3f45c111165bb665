"""``bpr refine --processes``: stopped and killed, and finished in another way."""

import json
import os
import random
import shutil
import signal
import time

import pytest

from tests.cli.resumable import MAKERS, NAMES, left_of
from tests.cli.worlds import results


def test_processes_give_the_result_of_one(masks, world, refine):
    assert refine(*masks, "--out", "whole").code == 0
    outcome = refine(*masks, "--out", "out", "--processes", "2", "--json")
    assert (outcome.code, json.loads(outcome.out)["images"]) == (0, len(NAMES))
    assert results(world / "out") == results(world / "whole")


WORK = 5.0
"""Seconds that workers take to load the network and to refine everything, roughly."""


def check_ends(world, refine, start, arguments, weights, numbers) -> None:
    """Stop or kill drivers at random moments: no process is left, and one process finishes what they began."""
    draw = random.Random(len(numbers))
    given = (*arguments, "--weights", weights, "--out", "out")
    for number in numbers:
        if (world / "out/run.json").exists():  # the signal before came too late
            shutil.rmtree(world / "out")
        with start("refine", *given, "--processes", "2") as process:
            while len(left_of(process)) == 1 and process.poll() is None:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, WORK))
            os.killpg(process.pid, number) if number == signal.SIGINT else process.send_signal(number)
            err = process.communicate(timeout=120)[1]
        for _ in range(300):
            if not left_of(process):
                break
            time.sleep(0.1)
        assert left_of(process) == []
        if number != signal.SIGKILL:
            assert "Traceback" not in err
            assert not list((world / "out").rglob(".*.tmp"))
    assert refine(*given).code == 0
    refine(*arguments, "--out", "whole")
    assert results(world / "out") == results(world / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_driver_that_ends_leaves_no_process(number, photos, world, refine, start, random_weights):
    check_ends(world, refine, start, MAKERS["labels"](world), random_weights, [number])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_drivers_that_end_at_many_moments(number, photos, world, refine, start, random_weights):
    check_ends(world, refine, start, MAKERS["coco"](world), random_weights, [number] * 10)
