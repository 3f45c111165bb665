"""Overlays of one image for the report: before, after and ground truth, complete and magnified."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bpr_cli.evaluation.report.model import Layers
from bpr_cli.masks.drawing import (
    AFTER,
    BEFORE,
    Colour,
    Picture,
    Segments,
    busiest_places,
    draw_segments,
    magnify,
    to_jpeg,
)
from bpr_cli.masks.paint import painted
from bpr_cli.typing import BoolArray, Box

Labels = NDArray[np.int32]

TRUTH: Colour = (240, 228, 66)
"""Yellow from the palette of Okabe and Ito."""
LONGEST = 720
"""Longer side of a picture of the entire image in pixels."""
ENLARGED = 2.0
"""Largest magnification of small images."""
PLACES, PLACE_SIDE, DETAIL = 3, 64, 224
"""Number of magnified places, their side in image pixels, and the side of their pictures in pixels."""
JPEG_QUALITY = 82
PAPER = 232
"""Grey level that replaces a missing image."""


@dataclass(frozen=True)
class View:
    """One segmentation of an image, drawn.

    Attributes:
        name: ``before``, ``after``, ``prediction`` or ``ground truth``.
        key: identifier: ``before``, ``after`` or ``truth``.
        whole: data URI of the entire image.
        details: data URIs of the magnified places.
    """

    name: str
    key: str
    whole: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """All segmentations of an image, drawn in the same way.

    Attributes:
        views: before (with a baseline), after, ground truth.
        size: (width, height) of the complete pictures in pixels.
        detail: side of the magnified pictures in pixels.
    """

    views: tuple[View, ...]
    size: tuple[int, int]
    detail: int = DETAIL

    @property
    def ratio(self) -> float:
        """Width over height."""
        return round(self.size[0] / self.size[1], 4)


@dataclass(frozen=True, eq=False)
class _Sheet:
    """One segmentation before it is drawn."""

    name: str
    key: str
    colour: Colour
    labels: Labels


def compare_layers(layers: Layers, task: str) -> Comparison:
    """Draw all segmentations of one image.

    Args:
        layers: the image and its segmentations.
        task: task of the report. Semantic labels mean the same in all maps; segments are matched by overlap.
    """
    sheets = list(_sheets(layers))
    if task in ("instance", "panoptic"):
        sheets = _coloured(sheets)
    height, width = layers.truth.shape
    image = layers.image if layers.image is not None else np.full((height, width, 3), PAPER, dtype=np.uint8)
    scale = min(LONGEST / max(width, height), ENLARGED)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    places = busiest_places(_changed(sheets, task), PLACE_SIDE, PLACES)
    plain = all(len(np.unique(sheet.labels[sheet.labels != 0])) <= 1 for sheet in sheets)
    return Comparison(tuple(_draw(image, sheet, size, places, plain=plain) for sheet in sheets), size)


def _sheets(layers: Layers) -> Iterator[_Sheet]:
    """The segmentations before, after, and of the ground truth."""
    if layers.baseline is not None:
        yield _Sheet("before", "before", BEFORE, layers.baseline)
    yield _Sheet("prediction" if layers.baseline is None else "after", "after", AFTER, layers.prediction)
    yield _Sheet("ground truth", "truth", TRUTH, layers.truth)


def _changed(sheets: list[_Sheet], task: str) -> BoolArray:
    """Where before and after differ; without a baseline, where the prediction is wrong: bool, (H, W)."""
    changed: BoolArray = sheets[0].labels != sheets[1].labels
    if sheets[1].key == "truth" and task in ("semantic", "panoptic"):
        # There 0 is void, where no pixel counts as wrong.
        changed &= sheets[1].labels != 0
    return changed


def _draw(image: Picture, sheet: _Sheet, size: tuple[int, int], places: list[Box], *, plain: bool) -> View:
    """Draw one segmentation; ``plain`` fills segments in the colour of the outline, else each has its own colour."""
    segments: Segments = [sheet.labels != 0] if plain else sheet.labels
    whole = draw_segments(image, segments, sheet.colour, size, background=0)
    details = (magnify(image, segments, sheet.colour, place, (DETAIL, DETAIL), background=0) for place in places)
    return View(sheet.name, sheet.key, data_uri(whole), tuple(data_uri(detail) for detail in details))


def data_uri(picture: Picture) -> str:
    """The picture as a data URI with a JPEG."""
    return f"data:image/jpeg;base64,{base64.b64encode(to_jpeg(picture, JPEG_QUALITY)).decode('ascii')}"


def _coloured(sheets: list[_Sheet]) -> list[_Sheet]:
    """Colour the segments with few labels: touching ones differ, and overlapping ones match across sheets."""
    first = _renamed(sheets[0].labels, np.zeros_like(sheets[0].labels))
    maps = [first, *(_renamed(sheet.labels, first) for sheet in sheets[1:])]
    return [replace(old, labels=new) for old, new in zip(sheets, painted(*maps), strict=True)]


def _renamed(labels: Labels, reference: Labels) -> Labels:
    """Number the labels like the segments of the reference that they overlap most; each number is used once."""
    both = np.stack([labels.ravel(), reference.ravel()])[:, (labels.ravel() != 0) & (reference.ravel() != 0)]
    pairs, areas = np.unique(both, axis=1, return_counts=True)
    names: dict[int, int] = {}
    taken: set[int] = set()
    for own, other in pairs[:, np.argsort(-areas, kind="stable")].T.tolist():
        if own not in names and other not in taken:
            names[own] = other
            taken.add(other)
    values, positions = np.unique(labels, return_inverse=True)
    fresh = int(reference.max(initial=0)) + 1
    renamed = [0 if own == 0 else names.get(own, fresh + index) for index, own in enumerate(values.tolist())]
    return np.asarray(renamed, dtype=np.int32)[positions].reshape(labels.shape)
