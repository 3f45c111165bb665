"""The picture of a run: every log can be drawn, and scores and losses show."""

import cv2
import numpy as np
import pytest

from bpr_cli.training.curves import draw_curves
from bpr_cli.training.run_folder import CsvLog, LogRow
from bpr_cli.training.validate import PatchScores

COARSE = PatchScores(4, 0.6, 0.3)


def drawn(folder, rows):
    log = CsvLog(folder / "log.csv", 0)
    for row in rows:
        log.add(row)
    log.close()
    draw_curves(folder / "log.csv", folder / "curves.png", COARSE)
    return cv2.imread(str(folder / "curves.png"))


@pytest.mark.parametrize(
    "rows", [[], [LogRow(10, 0.5, 1e-3)], [LogRow(10, validation_iou=50, validation_boundary_f=20)]]
)
def test_any_log_can_be_drawn(rows, tmp_path):
    assert drawn(tmp_path, rows).shape[2] == 3


def test_losses_and_scores_show(tmp_path):
    losses = [LogRow(step, 1 / step, 1e-3) for step in (10, 20, 30)]
    scores = [LogRow(step, validation_iou=2.5 * step, validation_boundary_f=1.5 * step) for step in (10, 20, 30)]
    empty, full = drawn(tmp_path, []), drawn(tmp_path, [*losses, *scores])
    half = full.shape[1] // 2
    assert (empty[:, :half] != full[:, :half]).any()
    assert (empty[:, half:] != full[:, half:]).any()
    assert np.ptp(full) == 255
