"""Metadata of segments, categories and images, as the files of predictions and ground truth state them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from bpr_cli.typing import Size


@dataclass(frozen=True)
class SegmentRecord:
    """The metadata of one mask or segment.

    Attributes:
        category: id of its category.
        score: confidence, not NaN; None if the file has none, as in ground truth.
        crowd: whether it is a group of objects.
        area: area in pixels according to the file, or None.
        id: value of its pixels in a panoptic map; None for masks.
    """

    category: int
    score: float | None = None
    crowd: bool = False
    area: float | None = None
    id: int | None = None

    def scored(self) -> SegmentRecord:
        """The same metadata with a score: 1 if there is none."""
        return self if self.score is not None else replace(self, score=1.0)


@dataclass(frozen=True)
class CategoryRecord:
    """A category in the category list of a set.

    Attributes:
        id: id that records refer to.
        name: human-readable name.
        thing: True for things, False for stuff, None if the file does not say.
        frequency: ``r``, ``c`` or ``f`` for rare, common and frequent categories of LVIS, else empty.
    """

    id: int
    name: str
    thing: bool | None = None
    frequency: str = ""


@dataclass(frozen=True)
class Searched:
    """The categories that annotators searched for in an image of a federated data set, such as LVIS.

    Attributes:
        absent: ids of the categories that are known not to be in the image.
        incomplete: ids of the categories whose objects are not exhaustively annotated.
    """

    absent: frozenset[int]
    incomplete: frozenset[int]


@dataclass(frozen=True)
class ImageRecord:
    """An entry in the image list of a file.

    Attributes:
        id: id in the file; 1 and "1" are equal.
        file_name: file name of the image.
        size: (H, W), or None if the file does not state it.
        searched: categories that were searched for; None for all.
    """

    id: int | str = field(compare=False)
    file_name: str
    size: Size | None
    searched: Searched | None = None
