"""The shipped weights at work on the demo: what a new user sees first."""

from __future__ import annotations

import pytest

from bpr_cli import Refiner
from bpr_cli.demo.run import parts_of, run_part


@pytest.fixture(scope="module")
def refiner():
    return Refiner()


@pytest.mark.parametrize("name", ["photo", "instances", "semantic", "panoptic"])
def test_the_shipped_weights_improve_every_part_of_the_demo(demo, refiner, name, tmp_path):
    part = next(part for part in parts_of(demo) if part.name == name)
    result = run_part(part, tmp_path, refiner)
    assert result.after.iou > result.before.iou
    assert result.after.boundary_f > result.before.boundary_f
    assert all(picture.stat().st_size > 10_000 for picture in result.pictures)
