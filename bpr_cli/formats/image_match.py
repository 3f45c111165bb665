"""Gives every item of a prediction set its image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item
from bpr_cli.formats.image_lookup import ImageIndex


@dataclass(frozen=True)
class Candidate:
    """An item whose image is not found yet.

    Attributes:
        name: name of the item.
        image_names: possible names of its image, for ``ImageIndex.find``.
        problem: reason why it cannot be processed, or None.
        hint: advice appended to the message if no image is found.
        files: files of this item alone, none of which is an image.
    """

    name: str
    image_names: tuple[str, ...] = ()
    problem: str | None = None
    hint: str = ""
    files: tuple[Path, ...] = ()


def match_images(candidates: Sequence[Candidate], index: ImageIndex) -> tuple[list[Item], list[Failure]]:
    """Find the image of every candidate; candidates with a problem or without an image become failures.

    If there is only one candidate and one image file, they match whatever their names.
    """
    index.leave_out(file for candidate in candidates for file in candidate.files)
    items: list[Item] = []
    failures: list[Failure] = []
    for candidate in candidates:
        if candidate.problem is not None:
            failures.append(Failure(candidate.name, candidate.problem))
            continue
        file = candidate.files[0] if candidate.files else None
        alone = len(candidates) == 1
        try:
            only = index.only_image(candidate.image_names, file) if alone else None
            items.append(Item(candidate.name, only or index.find(candidate.image_names, file)))
        except BprError as error:
            failures.append(Failure(candidate.name, f"{error}{candidate.hint}"))
    return items, failures
