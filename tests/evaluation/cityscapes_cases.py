"""Small Cityscapes-like ground truth and predictions as files, and the official script run on them."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

import cityscapesscripts.evaluation.evalInstanceLevelSemanticLabeling as official  # noqa: N813
import cv2
import numpy as np

from bpr_cli.evaluation.instances import ScoredMask
from bpr_cli.masks.masks import Mask

AREAS = (0, 7, 11, 23)  # unlabeled (void), road, building, sky
GROUPS = (24, 26, 33)
INSTANCES = (24, 26, 26, 33, 29)  # 29 is a caravan: instances, but not measured


@dataclass(frozen=True)
class Frame:
    """One image: ground truth ids (H, W), and for every prediction its mask (H, W), label id and score."""

    ids: np.ndarray
    predictions: list[tuple[np.ndarray, int, float]]

    def segments(self):
        return [ScoredMask(Mask.from_array(mask), label, score) for mask, label, score in self.predictions]


def draw_shape(rng, size):
    """A blob, a thin line, a box near the 100 pixels that count, or next to nothing."""
    height, width = size
    mask = np.zeros(size, np.uint8)
    centre = (int(rng.integers(width)), int(rng.integers(height)))
    kind = rng.integers(5)
    if kind <= 1:
        axes = (int(rng.integers(6, width // 4)), int(rng.integers(6, height // 4)))
        cv2.ellipse(mask, centre, axes, float(rng.integers(180)), 0, 360, 1, -1)
    elif kind == 2:
        cv2.line(mask, centre, (int(rng.integers(width)), int(rng.integers(height))), 1, int(rng.integers(1, 3)))
    elif kind == 3:
        mask[centre[1] : centre[1] + 10, centre[0] : centre[0] + int(rng.integers(9, 13))] = 1
    else:
        mask[centre[1], centre[0]] = 1
    return mask.astype(bool)


def draw_ids(rng, size, instances):
    ids = np.full(size, 7, np.int32)
    for _ in range(3):
        ids[draw_shape(rng, size)] = rng.choice(AREAS)
    for number in range(instances):
        ids[draw_shape(rng, size)] = int(rng.choice(INSTANCES)) * 1000 + number
    for _ in range(int(rng.integers(0, 3))):
        ids[draw_shape(rng, size)] = rng.choice(GROUPS)
    return ids


def draw_prediction(rng, ids):
    """An instance, group or area as it is, moved, grown or cut; or anything; under its label or another one."""
    mask, label = draw_shape(rng, ids.shape), int(rng.choice((24, 25, 26, 33)))
    if rng.random() < 0.8:
        known = np.unique(ids)
        instances = known[known >= 1000]
        chosen = int(rng.choice(instances if instances.size and rng.random() < 0.8 else known))
        mask = np.roll(ids == chosen, rng.integers(-2, 3, 2), axis=(0, 1))
        if rng.random() < 0.3:
            mask = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        if chosen >= 1000 and rng.random() < 0.9:
            label = chosen // 1000
    if rng.random() < 0.05:
        mask = np.zeros_like(mask)
    return mask, label, float(rng.choice((0.2, 0.5, 0.5, 0.75, 0.9, 1.0)))


def draw_frame(rng, size=(64, 96), instances=None, predictions=None):
    """A frame with so many instances and predictions, by default up to 8 and 14, and up to two duplicates."""
    ids = draw_ids(rng, size, int(rng.integers(0, 9)) if instances is None else instances)
    number = int(rng.integers(0, 15)) if predictions is None else predictions
    drawn = [draw_prediction(rng, ids) for _ in range(number)]
    return Frame(ids, drawn + drawn[: int(rng.integers(0, 3))])


def write_frame(folder: Path, number: int, frame: Frame):
    """Write one image as Cityscapes has it; gives the files of the ground truth and of the predictions."""
    stem = f"town_{number:06d}_000019"
    truth, results = folder / f"{stem}_gtFine_instanceIds.png", folder / f"{stem}_pred.txt"
    cv2.imwrite(str(truth), frame.ids.astype(np.uint16))
    lines = []
    for d, (mask, label, score) in enumerate(frame.predictions):
        cv2.imwrite(str(folder / f"{stem}_{d}.png"), mask.astype(np.uint8) * 255)
        lines.append(f"{stem}_{d}.png {label} {score}\n")
    results.write_text("".join(lines))
    return str(truth), str(results)


def run_official(files, monkeypatch):
    """The result of the official script: AP of classes and thresholds, and averages.

    It reads its ground truth from a file of the installation that an earlier run left there, writes what it found to
    the working directory, which fails with the numbers of newer NumPy versions, and calls a function that these no
    longer have.
    """
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    monkeypatch.setattr(official, "writeDict2JSON", lambda *_: None)
    args = official.args
    folder = Path(files[0][1]).parent
    monkeypatch.setattr(args, "gtInstancesFile", str(folder / "none.json"))
    monkeypatch.setattr(args, "predictionPath", str(folder))
    monkeypatch.setattr(args, "JSONOutput", False)
    monkeypatch.setattr(args, "quiet", True)
    truths, results = zip(*files, strict=True)
    with contextlib.redirect_stdout(io.StringIO()):
        return official.evaluateImgLists(list(results), list(truths), args)
