"""Everything that an evaluation reports, as plain data ready for JSON; the terminal, CSV and HTML show what is here.

All figures are percentages from 0 to 100, ``None`` where there is nothing to measure. Where a baseline was scored too,
``baseline`` is its figure ("before") and ``value`` that of the predictions ("after").
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bpr_cli.formats.base import Failure

PERCENT = "%"


@dataclass(frozen=True)
class Figure:
    """One figure, before and after.

    Attributes:
        name: the field's own name: AP, boundary AP, mIoU, PQ, AF ...
        value: of the predictions.
        baseline: of the baseline; None without one.
        unit: of both.
    """

    name: str
    value: float | None
    baseline: float | None = None
    unit: str = PERCENT

    @property
    def difference(self) -> float | None:
        """Value less baseline, in percentage points; None when one of them is missing."""
        return None if self.value is None or self.baseline is None else self.value - self.baseline


@dataclass(frozen=True)
class Row:
    """A line of a table of figures; the lines of one table have the same figures in the same order.

    Attributes:
        name: of the class, the range of sizes, or the group of classes.
        figures: its figures.
        kind: ``thing`` or ``stuff`` where that matters, else empty.
    """

    name: str
    figures: tuple[Figure, ...]
    kind: str = ""


@dataclass(frozen=True)
class OracleRow:
    """What the figures would be if all pixels within a distance of the predicted boundary were right.

    Attributes:
        distance: in pixels.
        figures: the summary's figures; ``value`` is the oracle's and ``baseline`` that of the predictions as they are.
        groups: the same for the rows of ``Report.groups``.
        sizes: the same for those of ``Report.sizes``.
        classes: the same for those of ``Report.classes``.
    """

    distance: int
    figures: tuple[Figure, ...]
    groups: tuple[Row, ...] = ()
    sizes: tuple[Row, ...] = ()
    classes: tuple[Row, ...] = ()


@dataclass(frozen=True)
class ImageScore:
    """How well one image is segmented, and the files that show it.

    Attributes:
        name: of the image's predictions, as messages call them.
        image: path of the image, None where no images were given.
        prediction: path of the file that holds the predictions; JSON files hold those of many images.
        baseline: the same of the baseline, None without one.
        truth: path of the file that holds the ground truth.
        score: percent, see ``Report.score_name``.
        baseline_score: the same of the baseline.
    """

    name: str
    image: str | None
    prediction: str
    baseline: str | None
    truth: str
    score: float | None
    baseline_score: float | None = None

    @property
    def gain(self) -> float | None:
        """Score less baseline score; None when one of them is missing."""
        both = self.score is not None and self.baseline_score is not None
        return self.score - self.baseline_score if both else None  # type: ignore[operator]


@dataclass(frozen=True)
class SegmentPair:
    """One true segment's IoU before and after: a point of the scatter (paper, Fig. 9).

    A segment is an instance or a panoptic segment; for label maps it is a class in an image, for binary masks the
    mask. Its IoU is that with the best predicted segment of its category, 0 when there is none.

    Attributes:
        image: name of the image, as in ``ImageScore.name``.
        category: name of the category.
        before: IoU of the baseline, percent.
        after: IoU of the predictions, percent.
    """

    image: str
    category: str
    before: float
    after: float


@dataclass(frozen=True)
class Curve:
    """Precision over recall, mean over the categories with ground truth.

    Attributes:
        name: the IoU threshold and the measure, such as ``IoU 0.50``.
        recall: percent, rising.
        precision: percent at every recall.
        baseline: the same of the baseline, None without one.
    """

    name: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    baseline: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Input:
    """One of the inputs.

    Attributes:
        role: ``predictions``, ``baseline`` or ``ground truth``.
        path: as the user gave it.
        format: name of the format.
        images: number of images in it.
        digest: SHA-256 of the names and contents of the files that were read, as hex digits.
    """

    role: str
    path: str
    format: str
    images: int
    digest: str


@dataclass(frozen=True)
class Report:
    """A finished evaluation.

    Attributes:
        task: ``instance``, ``semantic``, ``panoptic`` or ``binary``.
        settings: name and value of every setting.
        versions: version of bpr and of the libraries that figures come from, by name.
        inputs: predictions, baseline if there is one, ground truth.
        images: number of images that were measured.
        elapsed: seconds from start to end.
        summary: the figures over everything.
        groups: the same over parts of it (things and stuff); empty where there are none.
        sizes: figures by size of the segments (small, medium, large); empty where there are none.
        classes: figures by class, in the order of the label set.
        class_sizes: the same classes by size of the segments; empty where there are no sizes.
        score_name: what ``ImageScore.score`` is.
        scores: every image, in the order of the predictions.
        gains: the images that gained most over the baseline, the largest gain first; empty without a baseline.
        losses: the images that lost most, the largest loss first; empty without a baseline.
        pairs: true segments before and after; empty without a baseline.
        curves: precision over recall; empty but for instances.
        oracle: head-room, in the order asked for; empty when not asked for.
        failures: items that could not be measured, and why.
        notes: sentences that whoever reads the figures should know.
    """

    task: str
    settings: dict[str, Any]
    versions: dict[str, str]
    inputs: tuple[Input, ...]
    images: int
    elapsed: float
    summary: tuple[Figure, ...]
    score_name: str
    scores: tuple[ImageScore, ...]
    groups: tuple[Row, ...] = ()
    sizes: tuple[Row, ...] = ()
    classes: tuple[Row, ...] = ()
    class_sizes: tuple[Row, ...] = ()
    gains: tuple[ImageScore, ...] = ()
    losses: tuple[ImageScore, ...] = ()
    pairs: tuple[SegmentPair, ...] = ()
    curves: tuple[Curve, ...] = ()
    oracle: tuple[OracleRow, ...] = ()
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_baseline(self) -> bool:
        """Whether a baseline was scored too."""
        return any(given.role == "baseline" for given in self.inputs)

    def to_json(self) -> dict[str, Any]:
        """The report as plain data; figures have their difference beside them."""
        plain: dict[str, Any] = _with_differences(asdict(self))
        return plain

    def summary_json(self) -> dict[str, Any]:
        """The same without what grows with the images: scores, segments and curves."""
        return {name: value for name, value in self.to_json().items() if name not in ("scores", "pairs", "curves")}


@dataclass(frozen=True, eq=False)
class Layers:
    """What an overlay of one image is drawn from; not part of the report, but read again when it is drawn.

    Whoever draws is given the report and a function ``Callable[[ImageScore], Layers]`` that reads them.

    In the maps 0 is background or void; any other number is a class (of label maps) or a segment.

    Attributes:
        image: uint8, (H, W, 3), RGB; None where no images were given.
        truth: int32, (H, W).
        prediction: int32, (H, W).
        baseline: int32, (H, W); None without a baseline.
    """

    image: NDArray[np.uint8] | None
    truth: NDArray[np.int32]
    prediction: NDArray[np.int32]
    baseline: NDArray[np.int32] | None = None


def _with_differences(value: Any) -> Any:  # noqa: ANN401
    """Plain data with a ``difference`` in every figure."""
    if isinstance(value, dict):
        plain = {key: _with_differences(part) for key, part in value.items()}
        if {"value", "baseline", "unit"} <= set(plain):
            return plain | {"difference": Figure(plain["name"], plain["value"], plain["baseline"]).difference}
        return plain
    return [_with_differences(part) for part in value] if isinstance(value, (list, tuple)) else value
