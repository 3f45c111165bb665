"""What the report shows of images and segments: which of them, with which pictures, and how to link to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

from bpr_cli.errors import BprError
from bpr_cli.evaluation.report.layers import Layers
from bpr_cli.evaluation.report.model import ImageScore, Report, SegmentPair
from bpr_cli.evaluation.report.overlays import Colours, Comparison, class_colours, compare_layers
from bpr_cli.evaluation.report.segments import SegmentCard, draw_segment, extreme_pairs

LOWEST = 6
"""Number of images shown without a baseline."""
LISTED = 3000
"""Largest number of images in the list of all images."""

ReadLayers = Callable[[ImageScore], Layers]
"""Reads the layers that the pictures of one image are drawn from."""


@dataclass(frozen=True)
class ImageCard:
    """One image of the report.

    Attributes:
        score: its score.
        comparison: its pictures, or None without pictures.
        problem: the reason why the pictures are missing; empty if none were requested.
    """

    score: ImageScore
    comparison: Comparison | None = None
    problem: str = ""


Card = TypeVar("Card", ImageCard, SegmentCard)


@dataclass(frozen=True)
class Gallery(Generic[Card]):
    """Images or segments that are shown together under one title.

    Attributes:
        key: anchor of the gallery.
        title: its title.
        cards: what it shows.
    """

    key: str
    title: str
    cards: tuple[Card, ...]

    @property
    def anchored(self) -> Iterator[tuple[str, Card]]:
        """Every card with its anchor."""
        return ((f"{self.key}-{number}", card) for number, card in enumerate(self.cards, start=1))


@dataclass(frozen=True)
class ImageRow:
    """A row of the list of all images.

    Attributes:
        score: the image with its score.
        anchor: where its pictures are; empty without pictures.
        classes: positions of its classes in ``Galleries.classes``, separated by spaces.
    """

    score: ImageScore
    anchor: str
    classes: str


@dataclass(frozen=True)
class Galleries:
    """All pictures of a report.

    Attributes:
        segments: segments with the largest gains and losses; empty without a baseline.
        images: images with the largest gains and losses, or the lowest scores.
        rows: all images; only those with the largest changes if there are many.
        classes: names of the classes that images hold.
    """

    segments: tuple[Gallery[SegmentCard], ...]
    images: tuple[Gallery[ImageCard], ...]
    rows: tuple[ImageRow, ...]
    classes: tuple[str, ...]

    def anchor_of(self, pair: SegmentPair) -> str:
        """Where the pictures of a segment are; empty if there are none."""
        anchored = chain.from_iterable(gallery.anchored for gallery in self.segments)
        return next((anchor for anchor, card in anchored if card.pair == pair), "")


def galleries_of(report: Report, read_layers: ReadLayers | None) -> Galleries:
    """Choose and draw the images and segments of a report.

    Args:
        report: the report.
        read_layers: reads the layers of one image, which is done once for all its pictures. Without it, or if it raises
            ``BprError``, there are no pictures.
    """
    pairs = [pair for pair in report.pairs if math.isfinite(pair.before) and math.isfinite(pair.after)]
    gained, lost = extreme_pairs(pairs, 1), extreme_pairs(pairs, -1)
    chosen = _chosen_images(report)
    drawn = _Drawn(report, read_layers)
    drawn.draw([score for _, _, scores in chosen for score in scores], [*gained, *lost])
    images = tuple(
        Gallery(key, title, tuple(drawn.images[score.name] for score in scores))
        for key, title, scores in chosen
        if scores
    )
    segments = tuple(
        Gallery(key, title, tuple(drawn.segments[pair] for pair in some))
        for key, title, some in (
            ("segment-gains", "Segments that gained most", gained),
            ("segment-losses", "Segments that lost most", lost),
        )
        if some
    )
    classes = tuple(_class_names(report))
    return Galleries(segments, images, tuple(_rows(report, images, segments, classes)), classes)


def _chosen_images(report: Report) -> list[tuple[str, str, Sequence[ImageScore]]]:
    """Key, title and images of each gallery: the largest gains and losses; without a baseline, the lowest scores."""
    if report.has_baseline:
        return [
            ("gains", "Images that gained most", report.gains),
            ("losses", "Images that lost most", report.losses),
        ]
    scored = [each for each in report.scores if each.score is not None and math.isfinite(each.score)]
    lowest = sorted(scored, key=lambda each: each.score if each.score is not None else 0.0)[:LOWEST]
    return [("lowest", "Images with the lowest scores", lowest)]


def _class_names(report: Report) -> list[str]:
    """The classes of the report, in its order; then others that images hold."""
    names = [*(row.name for row in report.classes), *chain.from_iterable(score.classes for score in report.scores)]
    held = {name for score in report.scores for name in score.classes}
    return [name for name in dict.fromkeys(names) if name in held]


class _Drawn:
    """The cards of images and segments; draws all of one image at a time, so that its layers are read once."""

    def __init__(self, report: Report, read_layers: ReadLayers | None) -> None:
        self._task, self._read = report.task, read_layers
        names = [row.name for row in report.classes] or _class_names(report)
        self._colours: Colours = class_colours(names) if len(names) > 1 else {}
        self._scores = {score.name: score for score in report.scores}
        self.images: dict[str, ImageCard] = {}
        self.segments: dict[SegmentPair, SegmentCard] = {}

    def draw(self, scores: Sequence[ImageScore], pairs: Sequence[SegmentPair]) -> None:
        """Draw images and segments."""
        whole = {score.name: score for score in scores}
        for name in dict.fromkeys([*whole, *(pair.image for pair in pairs)]):
            here = [pair for pair in pairs if pair.image == name]
            try:
                self._draw_image(whole.get(name), here, self._layers(name))
            except BprError as error:
                self._leave_out(whole.get(name), here, str(error))

    def _layers(self, name: str) -> Layers | None:
        return self._read(self._scores[name]) if self._read and name in self._scores else None

    def _draw_image(self, score: ImageScore | None, pairs: Sequence[SegmentPair], layers: Layers | None) -> None:
        if layers is None:
            self._leave_out(score, pairs, "")
            return
        if score:
            self.images[score.name] = ImageCard(score, compare_layers(layers, self._task, self._colours))
        self.segments |= {pair: draw_segment(pair, layers, self._task) for pair in pairs}

    def _leave_out(self, score: ImageScore | None, pairs: Sequence[SegmentPair], problem: str) -> None:
        if score:
            self.images[score.name] = ImageCard(score, problem=problem)
        self.segments |= {pair: SegmentCard(pair, problem=problem) for pair in pairs}


def _rows(
    report: Report,
    images: Sequence[Gallery[ImageCard]],
    segments: Sequence[Gallery[SegmentCard]],
    classes: Sequence[str],
) -> Iterator[ImageRow]:
    """The rows of the list of images, in the order of the ground truth."""
    parts = {card.pair.image: anchor for gallery in segments for anchor, card in gallery.anchored if card.views}
    whole = {card.score.name: anchor for gallery in images for anchor, card in gallery.anchored if card.comparison}
    anchors = parts | whole
    places = {name: str(place) for place, name in enumerate(classes)}
    for score in _listed(report.scores):
        yield ImageRow(score, anchors.get(score.name, ""), " ".join(places[name] for name in score.classes))


def _listed(scores: Sequence[ImageScore]) -> Sequence[ImageScore]:
    """All images, or those with the largest changes, or else the lowest scores, if there are too many."""
    if len(scores) <= LISTED:
        return scores
    order = sorted(scores, key=lambda score: (-abs(score.gain or 0.0), score.score or 0.0))
    kept = {score.name for score in order[:LISTED]}
    return [score for score in scores if score.name in kept]
