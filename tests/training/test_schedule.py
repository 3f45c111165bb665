"""The learning rate, against values computed by hand."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpr_cli.training.recipe import load_recipe
from bpr_cli.training.schedule import rate_at

POLY = load_recipe("paper").schedule
COSINE = replace(load_recipe("modern").schedule, min_rate=0.002, warmup=0.2)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.01),
        (40_000, 0.0099 * 0.75**0.9 + 0.0001),
        (80_000, 0.0099 * 0.5358867312681466 + 0.0001),
        (159_999, 0.0099 * (1 / 160_000) ** 0.9 + 0.0001),
    ],
)
def test_poly(step, rate):
    assert rate_at(step, 160_000, 0.01, POLY) == pytest.approx(rate, rel=1e-12)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.05), (1, 0.1), (2, 0.102 - 0.002), (6, 0.051), (9, 0.002 + 0.098 * (1 + math.cos(math.pi * 7 / 8)) / 2)],
)
def test_warm_up_and_cosine(step, rate):
    """Ten steps, of which two warm up; half a wave in the eight steps after them."""
    assert rate_at(step, 10, 0.1, COSINE) == pytest.approx(rate, rel=1e-12)


@given(steps=st.integers(1, 500), warmup=st.floats(0, 0.9), name=st.sampled_from(["poly", "cosine"]))
def test_it_rises_then_falls_between_zero_and_the_highest(steps, warmup, name):
    settings = replace(POLY, name=name, warmup=warmup)
    rates = [rate_at(step, steps, 0.01, settings) for step in range(steps)]
    assert all(0 < rate <= 0.01 + 1e-15 for rate in rates)
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
