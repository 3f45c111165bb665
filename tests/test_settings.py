"""Values that people give for settings in Python."""

from pathlib import Path

import numpy as np
import pytest

from bpr_cli.errors import BprError
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.training.recipe import load_recipe
from bpr_cli.training.settings import TrainSettings


def test_paths_and_text_may_stand_for_each_other():
    assert RefineSettings(weights=Path("a/w.safetensors")).weights == str(Path("a/w.safetensors"))
    assert ReadSettings(image_info="info.json").image_info == Path("info.json")
    assert TrainSettings(load_recipe(), validation=["a", Path("b")]).validation == (Path("a"), Path("b"))


def test_numbers_and_arrays_of_numpy():
    settings = RefineSettings(nms_threshold=np.float32(0.5), scales=np.array([2.0, 1.0]))
    assert (settings.nms_threshold, settings.scales) == (0.5, (2.0, 1.0))
    assert ReadSettings(ignore_labels=set(np.unique([255, 0, 0]))).ignore_labels == {0, 255}


def test_large_limits():
    assert RefineSettings(max_area_change=1e13).max_area_change == 1e13


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1, "much", True])
def test_limits_that_are_none(value):
    with pytest.raises(BprError, match="max_area_change is"):
        RefineSettings(max_area_change=value)


def test_a_part_of_a_recipe_is_no_recipe():
    with pytest.raises(BprError, match="recipe is"):
        TrainSettings(load_recipe().loss)
