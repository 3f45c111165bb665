"""Overlays of one image for the report: before, after and ground truth, complete and magnified."""

from __future__ import annotations

import base64
import colorsys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bpr_cli.evaluation.report.layers import Layer, Layers
from bpr_cli.masks.drawing import (
    AFTER,
    BEFORE,
    FILLS,
    TRUTH,
    Colour,
    Picture,
    Segments,
    busiest_places,
    draw_segments,
    magnify,
    to_jpeg,
)
from bpr_cli.masks.paint import painted
from bpr_cli.typing import BoolArray, Box, LabelArray

OTHERS: tuple[Colour, ...] = ((204, 121, 167), (0, 158, 115), (213, 94, 0))
"""Purple, green and vermilion of Okabe and Ito's palette: outlines of further baselines, used in turn."""
LONGEST = 720
"""Longer side of a picture of the entire image in pixels."""
ENLARGED = 2.0
"""Largest magnification of small images."""
PLACES, PLACE_SIDE, DETAIL = 3, 64, 224
"""Number of magnified places, their side in image pixels, and the side of their pictures in pixels."""
JPEG_QUALITY = 82
PAPER = 232
"""Grey level that replaces a missing image."""

Colours = Mapping[str, Colour]
"""Colour of each class by its name; empty to colour segments so that those that touch differ."""


@dataclass(frozen=True)
class View:
    """One segmentation of an image, drawn.

    Attributes:
        name: ``before``, ``after``, ``prediction``, ``ground truth``, or ``baseline 2`` and so on.
        colour: colour of its outlines.
        whole: data URI of the entire image.
        details: data URIs of the magnified places.
    """

    name: str
    colour: Colour
    whole: str
    details: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A magnified place: its left and upper side, width and height in percent of the image."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Comparison:
    """All segmentations of an image, drawn in the same way.

    Attributes:
        views: before (with a baseline), after, ground truth, and further baselines.
        size: (width, height) of the complete pictures in pixels.
        places: the magnified places.
        legend: the classes that the pictures show, with their colours; empty if colours do not tell classes.
        detail: side of the magnified pictures in pixels.
    """

    views: tuple[View, ...]
    size: tuple[int, int]
    places: tuple[Place, ...] = ()
    legend: tuple[tuple[str, Colour], ...] = ()
    detail: int = DETAIL

    @property
    def ratio(self) -> float:
        """Width over height."""
        return round(self.size[0] / self.size[1], 4)


def class_colours(names: Iterable[str]) -> dict[str, Colour]:
    """A colour for every class: a fixed palette, then hues that lie far from their predecessors."""
    return {name: _colour(number) for number, name in enumerate(names)}


def _colour(number: int) -> Colour:
    if number < len(FILLS):
        return FILLS[number]
    # Steps of the golden ratio spread hues evenly, however many there are.
    red, green, blue = colorsys.hls_to_rgb(number * 0.618 % 1, (0.35, 0.6, 0.48)[number % 3], 0.75)
    return round(255 * red), round(255 * green), round(255 * blue)


@dataclass(frozen=True, eq=False)
class Sheet:
    """One segmentation before it is drawn, with the colour of its outlines."""

    name: str
    colour: Colour
    layer: Layer

    @property
    def labels(self) -> LabelArray:
        """Its map."""
        return self.layer.labels


def sheets_of(layers: Layers) -> list[Sheet]:
    """The segmentations before, after, of the ground truth, and of further baselines."""
    before = [Sheet("before", BEFORE, layer) for layer in layers.baselines[:1]]
    after = Sheet("after" if before else "prediction", AFTER, layers.prediction)
    others = [
        Sheet(f"baseline {number}", OTHERS[number % len(OTHERS)], layer)
        for number, layer in enumerate(layers.baselines[1:], start=2)
    ]
    return [*before, after, Sheet("ground truth", TRUTH, layers.truth), *others]


def image_of(layers: Layers) -> Picture:
    """The image, or gray paper without one: uint8, (H, W, 3)."""
    if layers.image is not None:
        return layers.image
    return np.full((*layers.truth.labels.shape, 3), PAPER, dtype=np.uint8)


def compare_layers(layers: Layers, task: str, colours: Mapping[str, Colour] = {}) -> Comparison:
    """Draw all segmentations of one image.

    Args:
        layers: the image and its segmentations.
        task: task of the report. Semantic labels mean the same in all maps; segments are matched by overlap.
        colours: colours of the classes.
    """
    sheets = sheets_of(layers)
    if task in ("instance", "panoptic"):
        sheets = _matched(sheets)
    height, width = layers.truth.labels.shape
    scale = min(LONGEST / max(width, height), ENLARGED)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    places = busiest_places(_changed(sheets, task), PLACE_SIDE, PLACES)
    fills = list(_filled(sheets, task, colours))
    image = image_of(layers)
    return Comparison(
        tuple(_draw(image, sheet, size, places, each) for sheet, each in zip(sheets, fills, strict=True)),
        size,
        tuple(
            Place(100 * x0 / width, 100 * y0 / height, 100 * (x1 - x0) / width, 100 * (y1 - y0) / height)
            for x0, y0, x1, y1 in places
        ),
        _legend(sheets, colours),
    )


def _changed(sheets: Sequence[Sheet], task: str) -> BoolArray:
    """Where before and after differ; without a baseline, where the prediction is wrong: bool, (H, W)."""
    changed: BoolArray = sheets[0].labels != sheets[1].labels
    if sheets[0].name == "prediction" and task in ("semantic", "panoptic"):
        # There 0 is void, where no pixel counts as wrong.
        changed &= sheets[1].labels != 0
    return changed


@dataclass(frozen=True, eq=False)
class _Filled:
    """What is drawn: a map or masks, and the colours of the numbers of the map; None for the usual ones."""

    segments: Segments
    fills: Mapping[int, Colour] | None = None


def _filled(sheets: Sequence[Sheet], task: str, colours: Colours) -> Iterator[_Filled]:
    """The segments of each sheet with their colours.

    Segments have the colours of their classes, if there are any. A single segment has the colour of its outline.
    """
    if all(len(np.unique(sheet.labels[sheet.labels != 0])) <= 1 for sheet in sheets) and not colours:
        yield from (_Filled([sheet.labels != 0]) for sheet in sheets)
    elif task in ("instance", "panoptic"):
        paints = painted(*(sheet.labels for sheet in sheets))
        yield from (_of_class(sheet, paint, colours) for sheet, paint in zip(sheets, paints, strict=True))
    else:
        for sheet in sheets:
            known = {number: colours[name] for number, name in sheet.layer.names.items() if name in colours}
            yield _Filled(sheet.labels, known or None)


def _of_class(sheet: Sheet, paint: LabelArray, colours: Colours) -> _Filled:
    """A map in which segments of one class share a number unless they touch, and the colours of the classes."""
    if not colours:
        return _Filled(paint)
    order = {name: place for place, name in enumerate(colours)}
    table = np.zeros(int(sheet.labels.max(initial=0)) + 1, dtype=np.int32)
    for number, name in sheet.layer.names.items():
        if number < len(table):
            table[number] = order.get(name, len(order)) * (len(FILLS) + 1)
    labels = np.where(sheet.labels == 0, 0, table[sheet.labels] + paint).astype(np.int32)
    fills = [*colours.values(), FILLS[-1]]
    return _Filled(labels, {int(label): fills[int(label) // (len(FILLS) + 1)] for label in np.unique(labels)})


def _legend(sheets: Sequence[Sheet], colours: Colours) -> tuple[tuple[str, Colour], ...]:
    """The classes that occur, in the order of the colours."""
    shown = {sheet.layer.names.get(int(number)) for sheet in sheets for number in np.unique(sheet.labels)}
    return tuple((name, colour) for name, colour in colours.items() if name in shown)


def _draw(image: Picture, sheet: Sheet, size: tuple[int, int], places: list[Box], filled: _Filled) -> View:
    whole = draw_segments(image, filled.segments, sheet.colour, size, 0, filled.fills)
    details = (
        magnify(image, filled.segments, sheet.colour, place, (DETAIL, DETAIL), 0, filled.fills) for place in places
    )
    return View(sheet.name, sheet.colour, data_uri(whole), tuple(data_uri(detail) for detail in details))


def data_uri(picture: Picture) -> str:
    """The picture as a data URI with a JPEG."""
    return f"data:image/jpeg;base64,{base64.b64encode(to_jpeg(picture, JPEG_QUALITY)).decode('ascii')}"


def _matched(sheets: Sequence[Sheet]) -> list[Sheet]:
    """Number the segments like those of the first sheet that they overlap most, so that they get one colour."""
    first = _renumbered(sheets[0].layer, np.zeros_like(sheets[0].labels))
    others = (_renumbered(sheet.layer, first.labels) for sheet in sheets[1:])
    return [replace(sheet, layer=layer) for sheet, layer in zip(sheets, (first, *others), strict=True)]


def _renumbered(layer: Layer, reference: LabelArray) -> Layer:
    """The layer with the numbers of ``renamed``."""
    labels = _renamed(layer.labels, reference)
    new, place = np.unique(labels, return_index=True)
    old = layer.labels.ravel()[place]
    names = {
        int(number): layer.names[int(known)] for number, known in zip(new, old, strict=True) if known in layer.names
    }
    return Layer(labels, names)


def _renamed(labels: LabelArray, reference: LabelArray) -> LabelArray:
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
