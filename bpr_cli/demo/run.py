"""The demo: refine photographs and generated scenes, measure the scenes, and draw before/after pictures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bpr_cli.demo.scene import write_scenes
from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import boundary_f, iou
from bpr_cli.formats.images import read_image
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.masks.drawing import Segments, to_jpeg
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.refinement.before_after import QUALITY, compare
from bpr_cli.refinement.pipeline import refine_predictions
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.system.paths import write_bytes
from bpr_cli.typing import BoolArray

PHOTOS = Path(__file__).parent / "data"
"""Photographs with predictions by YOLOv5n-seg; see ``ATTRIBUTION.txt`` in this directory."""


@dataclass(frozen=True)
class DemoPart:
    """One prediction set of the demo.

    Attributes:
        name: name in the table.
        predictions: path of the coarse predictions.
        images: path of the images.
        truth: path of the ground truth in the same format; None for photographs, which have no exact ground truth.
        reading: how to read predictions and ground truth.
    """

    name: str
    predictions: Path
    images: Path
    truth: Path | None
    reading: ReadSettings


@dataclass(frozen=True)
class Score:
    """Metrics from 0 to 1, averaged over the segments of the ground truth.

    Attributes:
        iou: intersection over union.
        boundary_f: boundary F-score at 1 px.
    """

    iou: float
    boundary_f: float


@dataclass(frozen=True)
class DemoResult:
    """The refinement of one part.

    Attributes:
        name: name in the table.
        images: number of images.
        segments: number of segments.
        before: mean scores of the coarse predictions; None without exact ground truth.
        after: mean scores of the refined predictions.
        refined: path of the refined predictions.
        pictures: before/after pictures, one per image.
    """

    name: str
    images: int
    segments: int
    before: Score | None
    after: Score | None
    refined: Path
    pictures: tuple[Path, ...]


def run_demo(directory: Path, refiner: Refiner, on_part: Callable[[str], None] = lambda _: None) -> list[DemoResult]:
    """Write, refine, measure and draw the demo under a directory.

    Args:
        directory: created if missing; the files of an earlier demo are overwritten.
        refiner: refines the predictions.
        on_part: called with the name of each part before its refinement.

    Raises:
        BprError: a file cannot be written.
    """
    try:
        shutil.copytree(PHOTOS, directory / "photos", dirs_exist_ok=True)
        write_scenes(directory)
        results = []
        for part in parts_of(directory):
            on_part(part.name)
            results.append(run_part(part, directory, refiner))
        return results
    except OSError as error:
        raise BprError(f"{directory}: {error.strerror or error}; give a directory that can be written") from error


def parts_of(root: Path) -> list[DemoPart]:
    """The prediction sets of the demo: photographs, and scenes for every task."""
    images, truth = root / "images", root / "truth"
    photos, scenes = (ReadSettings(image_info=folder / "image_info.json") for folder in (root / "photos", root))
    return [
        DemoPart("photos", root / "photos" / "predictions.json", root / "photos", None, photos),
        DemoPart("instances", root / "instances" / "predictions.json", images, truth / "instances.json", scenes),
        DemoPart("semantic", root / "semantic", images, truth / "semantic", ReadSettings()),
        DemoPart("panoptic", root / "panoptic.json", images, truth / "panoptic.json", ReadSettings()),
    ]


def run_part(part: DemoPart, root: Path, refiner: Refiner) -> DemoResult:
    """Refine one part as ``bpr refine`` does, then measure and draw the result.

    Raises:
        BprError: a file cannot be written.
    """
    refined = root / "refined" / part.name
    opened = open_predictions(part.predictions, part.images, part.reading)
    result = refine_predictions(refiner, opened, opened.writer(refined))
    if result.failures:
        raise BprError(result.failures[0].reason)
    sides = [open_predictions(path, part.images, part.reading) for path in (refined, part.truth) if path]
    before, after, pictures = [], [], []
    for items in zip(opened.items, *(side.items for side in sides), strict=True):
        coarse, better, *truth = (side.read(item) for side, item in zip((opened, *sides), items, strict=True))
        before += [score(as_segments(coarse), as_segments(each)) for each in truth]
        after += [score(as_segments(better), as_segments(each)) for each in truth]
        picture = compare(read_image(items[0].image), coarse, better, tuple(map(_caption, (before, after))))
        pictures.append(root / "pictures" / f"{part.name}_{items[0].image.stem}.jpg")
        write_bytes(pictures[-1], to_jpeg(picture, QUALITY))
    segments = result.stats.segments
    return DemoResult(part.name, result.written, segments, mean(before), mean(after), refined, tuple(pictures))


def as_segments(prediction: Prediction) -> Segments:
    """Convert a prediction: a label map to int32 (H, W), masks to a list of bool (H, W)."""
    if isinstance(prediction, LabelMap):
        return prediction.labels
    return [mask.to_array() for mask in prediction]


def score(found: Segments, truth: Segments) -> Score:
    """Mean scores over the segments of the ground truth; masks are paired in their order, labels by number."""
    pairs = list(_pairs(found, truth))
    return Score(*(float(np.mean([metric(*pair) for pair in pairs])) for metric in (iou, boundary_f)))


def _pairs(found: Segments, truth: Segments) -> Iterator[tuple[BoolArray, BoolArray]]:
    if isinstance(found, list) and isinstance(truth, list):
        yield from zip(found, truth, strict=True)
    else:
        for label in np.unique(truth):
            yield found == label, truth == label


def mean(scores: Sequence[Score]) -> Score | None:
    """Mean over images; None without images."""
    if not scores:
        return None
    return Score(*np.mean([(each.iou, each.boundary_f) for each in scores], axis=0).tolist())


def _caption(scores: Sequence[Score]) -> str:
    """Scores of the last image, in percent."""
    return f"IoU {100 * scores[-1].iou:.1f}   boundary F {100 * scores[-1].boundary_f:.1f}" if scores else ""
