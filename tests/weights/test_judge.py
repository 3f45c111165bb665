"""The judge: its numbers in a card, and its two layers worked out one by one."""

import math

import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.weights.judge import Judge


def random_judge(inputs: int, hidden: int, seed: int = 0) -> Judge:
    random = np.random.default_rng(seed)
    shapes = [(inputs,), (inputs,), (inputs, hidden), (hidden,), (hidden,), (1,)]
    centre, spread, *layers = (random.normal(size=shape) for shape in shapes)
    return Judge(centre, np.abs(spread) + 0.1, *layers)


def test_numbers_bring_the_judge_back():
    judge = random_judge(5, 3)
    again = Judge.of(judge.numbers(), inputs=5)
    for name in ("centre", "spread", "first", "first_offset", "second", "second_offset"):
        assert np.allclose(getattr(judge, name), getattr(again, name), atol=5e-5)
    assert again.numbers() == judge.numbers()


@pytest.mark.parametrize("count", [0, 11, 12, 2 * 5 + 3 * 7 + 2])
def test_a_count_that_fits_no_judge_is_refused(count):
    with pytest.raises(BprError, match=f"has {count} numbers, which fit no judge of 5 inputs; use the version of bpr"):
        Judge.of([0.0] * count, inputs=5)


def test_chances_are_those_of_the_layers():
    judge = random_judge(4, 3, seed=1)
    evidence = np.random.default_rng(2).normal(scale=6, size=(7, 4))
    for row, chance in zip(evidence, judge.chances(evidence), strict=True):
        scaled = [min(4, max(-4, (row[i] - judge.centre[i]) / judge.spread[i])) for i in range(4)]
        hidden = [
            math.tanh(sum(scaled[i] * judge.first[i, unit] for i in range(4)) + judge.first_offset[unit])
            for unit in range(3)
        ]
        logit = sum(hidden[unit] * judge.second[unit] for unit in range(3)) + judge.second_offset[0]
        assert chance == pytest.approx(1 / (1 + math.exp(-logit)))


def test_no_changes_have_no_chances():
    assert random_judge(4, 2).chances(np.zeros((0, 4))).shape == (0,)
