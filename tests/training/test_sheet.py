"""The sheet of patches: every patch of a batch with both masks, as far as they fit."""

import cv2
import numpy as np
import pytest

from bpr_cli.masks.drawing import BEFORE, TRUTH
from bpr_cli.training.data import TrainBatch
from bpr_cli.training.sheet import COLUMNS, GAP, ROWS, SIDE, draw_sheet
from tests.training.toy_data import toy


@pytest.mark.parametrize("count", [1, 3, 4, 9, 30])
def test_patches_are_drawn_with_both_masks(count, tmp_path):
    draw_sheet(TrainBatch.of([toy(number) for number in range(count)]), tmp_path / "patches.jpg")
    sheet = cv2.imread(str(tmp_path / "patches.jpg"))[:, :, ::-1].astype(int)
    columns, rows = min(count, COLUMNS), -(-min(count, COLUMNS * ROWS) // COLUMNS)
    assert sheet.shape == (GAP + rows * (SIDE + GAP), GAP + columns * (2 * SIDE + 2 * GAP), 3)
    first = sheet[GAP : GAP + SIDE]
    for left, colour in ((GAP, BEFORE), (GAP + SIDE, TRUTH)):
        assert np.abs(first[:, left : left + SIDE] - colour).sum(axis=2).min() < 60
