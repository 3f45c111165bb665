"""What every kind of evaluation offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.truth.pairs import Pair

Content = TypeVar("Content")
"""The predictions of one image, as the kind compares them."""

Truth = TypeVar("Truth")
"""The ground truth of one image."""

Sums = TypeVar("Sums")
"""What one image, or several, add to the figures."""

Segments = list[tuple[str, float]]
"""Category and IoU of every true segment with its best prediction of the same category; see ``SegmentPair``."""

Figures = dict[str, float]
"""Shares from 0 to 1 by name, NaN where there is nothing to measure."""


@dataclass(frozen=True)
class Compared(Generic[Sums]):
    """One image, measured.

    Attributes:
        sums: what it adds to the figures.
        segments: its true segments.
    """

    sums: Sums
    segments: Segments


@dataclass(frozen=True)
class TableRow:
    """The figures of a class, a range of sizes or a group of classes; ``kind`` is thing, stuff or empty."""

    name: str
    figures: Figures
    kind: str = ""


@dataclass(frozen=True)
class Tables:
    """All figures of one set of predictions; tables of several sets have the same rows.

    Attributes:
        summary: over everything.
        classes: by class.
        groups: things and stuff.
        sizes: small, medium, large.
        class_sizes: by class, with a figure for each range of sizes.
        curves: precision by name of the curve, at recall 0, 0.01 .. 1.
        notes: sentences that whoever reads the figures should know.
    """

    summary: Figures
    classes: list[TableRow]
    groups: list[TableRow] = field(default_factory=list)
    sizes: list[TableRow] = field(default_factory=list)
    class_sizes: list[TableRow] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Kind(ABC, Generic[Content, Truth, Sums]):
    """One kind of evaluation. All methods but ``add`` and ``tables`` are thread-safe."""

    @abstractmethod
    def read(self, scored: PredictionSet, item: Item | None, pair: Pair) -> Content:
        """The predictions of one image; those of no item where there is none."""

    @abstractmethod
    def read_truth(self, truth: PredictionSet, pair: Pair) -> Truth:
        """The ground truth of one image."""

    @abstractmethod
    def measure(self, pair: Pair, content: Content, truth: Truth) -> Compared[Sums]:
        """Compare one image."""

    @abstractmethod
    def add(self, total: Sums, sums: Sums) -> Sums:
        """The sums of both, which may be ``total`` itself, changed."""

    @abstractmethod
    def oracle(self, content: Content, truth: Truth, distance: int) -> Content:
        """The predictions, made right within a distance of their boundaries."""

    @abstractmethod
    def tables(self, total: Sums) -> Tables:
        """The figures of all images."""

    @abstractmethod
    def layer(self, content: Content, truth: Truth) -> NDArray[np.int32]:
        """The predictions as a map for pictures, see ``Layers``."""

    @abstractmethod
    def truth_layer(self, truth: Truth) -> NDArray[np.int32]:
        """The ground truth as a map for pictures."""
