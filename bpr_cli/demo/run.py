"""The demo from start to end: write the data set, refine all of it, measure and draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from bpr_cli.demo.dataset import DemoSet, write_demo
from bpr_cli.demo.measure import Score, mean_score, score
from bpr_cli.demo.pictures import compare
from bpr_cli.errors import BprError
from bpr_cli.formats.images import read_image
from bpr_cli.formats.open import open_predictions
from bpr_cli.formats.settings import ReadSettings
from bpr_cli.masks.masks import Prediction
from bpr_cli.refinement.pipeline import refine_predictions
from bpr_cli.refinement.refiner import Refiner


@dataclass(frozen=True)
class DemoPart:
    """One prediction set of the demo.

    Attributes:
        name: how the table calls it.
        predictions: the coarse predictions.
        images: their images.
        truth: the exact masks, in the same format.
        options: how to read them.
    """

    name: str
    predictions: Path
    images: Path
    truth: Path
    options: ReadSettings


@dataclass(frozen=True)
class DemoResult:
    """What refinement did to one part.

    Attributes:
        name: how the table calls it.
        images: number of images.
        segments: number of segments.
        before: mean figures of the coarse predictions.
        after: mean figures of the refined ones.
        refined: where the refined predictions are.
        pictures: before/after pictures, one an image.
    """

    name: str
    images: int
    segments: int
    before: Score
    after: Score
    refined: Path
    pictures: tuple[Path, ...]


def run_demo(directory: Path, refiner: Refiner, on_part: Callable[[str], None] = lambda _: None) -> list[DemoResult]:
    """Write, refine, measure and draw the demo under ``directory``.

    Args:
        directory: made when missing; the files of an earlier demo are overwritten.
        refiner: what refines.
        on_part: called with the name of every part before it is refined.

    Raises:
        BprError: a file cannot be written.
    """
    try:
        demo = write_demo(directory)
        results = []
        for part in parts_of(demo):
            on_part(part.name)
            results.append(run_part(part, demo.root, refiner))
        return results
    except OSError as error:
        raise BprError(f"{directory}: {error.strerror or error}; give a directory that can be written") from error


def parts_of(demo: DemoSet) -> list[DemoPart]:
    """The demo's prediction sets: the photograph and one of every task."""
    truth, plain = demo.truth, ReadSettings()
    listed = ReadSettings(image_info=demo.image_info)
    return [
        DemoPart("photo", demo.photo_mask, demo.photo, truth.photo_mask, plain),
        DemoPart("instances", demo.instances, demo.images, truth.instances, listed),
        DemoPart("semantic", demo.semantic, demo.images, truth.semantic, plain),
        DemoPart("panoptic", demo.panoptic_json, demo.images, truth.panoptic_json, plain),
    ]


def run_part(part: DemoPart, root: Path, refiner: Refiner) -> DemoResult:
    """Refine one part as ``bpr refine`` would, then compare what was written with the truth."""
    refined_path = root / "refined" / part.name
    opened = open_predictions(part.predictions, part.images, part.options)
    result = refine_predictions(refiner, opened, opened.writer(refined_path))
    if result.failures:
        raise BprError(result.failures[0].reason)
    before, after, pictures = [], [], []
    for view in views(part, refined_path):
        before.append(score(view.coarse, view.truth))
        after.append(score(view.refined, view.truth))
        pictures.append(draw(view, root / "pictures" / f"{part.name}_{view.image.stem}.png"))
    means = mean_score(before), mean_score(after)
    return DemoResult(part.name, result.written, result.movement.segments, *means, refined_path, tuple(pictures))


@dataclass(frozen=True)
class View:
    """One image before and after, beside its truth."""

    image: Path
    coarse: Prediction
    refined: Prediction
    truth: Prediction


def views(part: DemoPart, refined_path: Path) -> Iterator[View]:
    """Read back every image of a part."""
    coarse, truth = (open_predictions(path, part.images, part.options) for path in (part.predictions, part.truth))
    refined = open_predictions(refined_path, part.images, part.options)
    for items in zip(coarse.items, refined.items, truth.items, strict=True):
        yield View(items[0].image, coarse.read(items[0]), refined.read(items[1]), truth.read(items[2]))


def draw(view: View, path: Path) -> Path:
    """Write the before/after picture of one image."""
    picture = compare(read_image(view.image), view.coarse, view.refined, view.truth)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), picture[:, :, ::-1]):
        raise BprError(f"{path} cannot be written; give a directory that can be written")
    return path
