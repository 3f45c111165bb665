"""Which segments moved furthest in a refinement: those to look at first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bpr_cli.errors import BprError, without_notes
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.refinement.image import RefinementStats
from bpr_cli.system.store import shown

SHOWN_FIRST = 3
"""Number of images that a report names."""


@dataclass(frozen=True)
class FurthestSegment:
    """The segment of one image that moved furthest."""

    image: Annotated[str, Meta(description="Path of the image file.")]
    segment: Annotated[
        str,
        Meta(
            description="The segment as its file has it, with its class, such as record 42, dog; empty for the only "
            "mask of an image."
        ),
    ]
    movement: Annotated[float, Meta(ge=0, description="Mean boundary displacement of the segment in pixels.")]
    picture: Annotated[str | None, Meta(description="Path of the before/after picture; null if there is none.")]


def furthest_segments(
    predictions: PredictionSet, stats: Mapping[str, RefinementStats], pictures: Sequence[Path]
) -> list[FurthestSegment]:
    """The segments that moved furthest, one of each image, the furthest first.

    Args:
        predictions: the coarse predictions.
        stats: statistics of the refined images, by name.
        pictures: before/after pictures of the first of ``most_changed``.
    """
    chosen = [item for item in most_changed(predictions.items, stats) if stats[item.name].furthest][:SHOWN_FIRST]
    drawn = map(shown, pictures[: len(chosen)])
    with without_notes():
        return [
            FurthestSegment(
                shown(item.image),
                name_of_furthest(predictions, item, stats[item.name]),
                stats[item.name].furthest,
                picture,
            )
            for item, picture in zip_longest(chosen, drawn)
        ]


def most_changed(items: Sequence[Item], stats: Mapping[str, RefinementStats]) -> list[Item]:
    """The items that changed, those with the segment that moved furthest first.

    Args:
        items: the items, in any order.
        stats: statistics of those that were written, by name.
    """
    changed = [item for item in items if item.name in stats and stats[item.name].changed]
    return sorted(changed, key=lambda item: -stats[item.name].furthest)


def name_of_furthest(predictions: PredictionSet, item: Item, stats: RefinementStats) -> str:
    """The segment of an item that moved furthest, as its file has it; empty for the only mask of an image."""
    number, count = stats.movements.index(stats.furthest), len(stats.movements)
    names: list[str] = []
    with suppress(BprError):  # the file may be gone, or its category list broken
        names = predictions.segment_names(item)
    if len(names) == count:
        return names[number]
    return f"segment {number + 1} of {count}" if count > 1 else ""
