"""What a patch set remembers of its making: bounds, and the JSON of sets that exist already."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from bpr_cli.errors import BprError
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.settings import build

STORED = """{"patch_size": 48, "padding": 32, "scheme": "dense", "nms_threshold": 0.25, "min_iou": 0.5,
"keep_inferior": false, "max_patches": 300, "seed": 0, "simulate": 1, "jpeg": 90, "label_set": "trainIds",
"ignore_labels": [3, 255]}"""


def test_settings_of_stored_sets_are_read_and_written_as_before():
    settings = build(PatchSetSettings, json.loads(STORED))
    assert settings == PatchSetSettings(
        patch_size=48, max_patches=300, simulate=1, jpeg=90, label_set="trainIds", ignore_labels=(3, 255)
    )
    assert json.dumps(asdict(settings)) == STORED.replace("\n", " ")


def test_settings_load_without_numpy():
    code = "import sys, bpr_cli.patchset.settings; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"patch_size": 3}, "patch_size is 3"),
        ({"patch_size": 64.0}, "patch_size is 64.0"),
        ({"padding": -1}, "padding is -1"),
        ({"scheme": "sparse"}, "scheme is 'sparse'; expected one of dense, grid, instance"),
        ({"nms_threshold": 1}, "nms_threshold is 1"),
        ({"nms_threshold": "0"}, "nms_threshold is '0'"),
        ({"min_iou": -0.1}, "min_iou is -0.1"),
        ({"min_iou": float("nan")}, "min_iou is nan"),
        ({"max_patches": 0}, "max_patches is 0"),
        ({"jpeg": 0}, "jpeg is 0"),
        ({"jpeg": 101}, "jpeg is 101"),
        ({"seed": -1}, "seed is -1"),
        ({"simulate": -1}, "simulate is -1"),
        ({"keep_inferior": 1}, "keep_inferior is 1"),
    ],
)
def test_settings_out_of_range_are_refused(values, named):
    with pytest.raises(BprError, match=named):
        PatchSetSettings(**values)
