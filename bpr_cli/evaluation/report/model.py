"""The results of an evaluation, from the metrics to the report: plain data that becomes JSON, CSV, HTML and tables.

All metrics are percentages from 0 to 100, ``None`` where there is nothing to measure. With a baseline, ``baseline`` is
its metric ("before") and ``value`` that of the predictions ("after").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bpr_cli.formats.base import Failure
from bpr_cli.typing import ByteArray, LabelArray

PERCENT = "%"

Shares = Mapping[str, float]
"""Metrics by name as the official tools give them, from 0 to 1; NaN where there is nothing to measure."""


@dataclass(frozen=True)
class Metric:
    """One metric, before and after.

    Attributes:
        name: AP, boundary AP, mIoU, PQ, AF ...
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
        """Value minus baseline, in percentage points; None if either is missing."""
        return None if self.value is None or self.baseline is None else self.value - self.baseline


def metrics_of(shares: Shares) -> tuple[Metric, ...]:
    """Shares from 0 to 1 as metrics in percent."""
    return tuple(Metric(name, None if math.isnan(share) else 100 * share) for name, share in shares.items())


def _against(metrics: Sequence[Metric], baseline: Sequence[Metric]) -> tuple[Metric, ...]:
    """The metrics with those of a baseline, which are the same ones in the same order."""
    return tuple(replace(new, baseline=old.value) for new, old in zip(metrics, baseline, strict=True))


@dataclass(frozen=True)
class Row:
    """A row of a table of metrics; all rows of a table have the same metrics in the same order.

    Attributes:
        name: of the class, the size range, or the group of classes.
        metrics: its metrics.
        kind: ``thing`` or ``stuff`` where that matters, else empty.
    """

    name: str
    metrics: tuple[Metric, ...]
    kind: str = ""

    @classmethod
    def of(cls, name: str, shares: Shares, kind: str = "") -> Row:
        """A row of shares from 0 to 1."""
        return cls(name, metrics_of(shares), kind)


def _rows_against(rows: Sequence[Row], baseline: Sequence[Row]) -> tuple[Row, ...]:
    pairs = zip(rows, baseline, strict=True)
    return tuple(replace(new, metrics=_against(new.metrics, old.metrics)) for new, old in pairs)


@dataclass(frozen=True)
class Curve:
    """Precision over recall, averaged over the categories with ground truth.

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
class Tables:
    """All metrics of one set of predictions; the tables of all sets of an evaluation have the same rows.

    Attributes:
        summary: over everything.
        classes: by class, in the order of the label set.
        groups: things and stuff; empty where there are none.
        sizes: small, medium and large masks; empty where there are none.
        class_sizes: by class, with a metric for each size range; empty where there are none.
        curves: precision over recall; instances only.
        notes: sentences that readers of the metrics should know.
    """

    summary: tuple[Metric, ...]
    classes: tuple[Row, ...] = ()
    groups: tuple[Row, ...] = ()
    sizes: tuple[Row, ...] = ()
    class_sizes: tuple[Row, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()

    def against(self, baseline: Tables) -> Tables:
        """These tables with the metrics of a baseline in them."""
        before = {curve.name: curve.precision for curve in baseline.curves}
        return Tables(
            _against(self.summary, baseline.summary),
            _rows_against(self.classes, baseline.classes),
            _rows_against(self.groups, baseline.groups),
            _rows_against(self.sizes, baseline.sizes),
            _rows_against(self.class_sizes, baseline.class_sizes),
            tuple(replace(curve, baseline=before[curve.name]) for curve in self.curves),
            self.notes,
        )


@dataclass(frozen=True)
class OracleRow:
    """What the metrics would be if all pixels within a distance of the predicted boundary were correct.

    Attributes:
        distance: in pixels.
        metrics: the summary; ``value`` is the oracle's and ``baseline`` that of the predictions as they are.
        groups: the same for the rows of ``Report.groups``.
        sizes: the same for those of ``Report.sizes``.
        classes: the same for those of ``Report.classes``.
    """

    distance: int
    metrics: tuple[Metric, ...]
    groups: tuple[Row, ...] = ()
    sizes: tuple[Row, ...] = ()
    classes: tuple[Row, ...] = ()


@dataclass(frozen=True)
class ImageScore:
    """The score of one image, and its files.

    Attributes:
        name: of the image, as messages call it.
        image: path of the image, None if no images were given.
        prediction: path of the file with the predictions; a JSON file holds those of many images.
        baseline: the same of the baseline, None without one.
        truth: path of the file with the ground truth.
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
        """Score minus baseline score; None if either is missing."""
        both = self.score is not None and self.baseline_score is not None
        return self.score - self.baseline_score if both else None  # type: ignore[operator]


@dataclass(frozen=True)
class SegmentPair:
    """IoU of one ground-truth segment before and after: a dot of the scatter plot (BPR paper, Fig. 9).

    A segment is an instance, a panoptic segment, a class in one label map, or a binary mask. Its IoU is the highest
    with any predicted segment of its category, 0 if there is none.

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
class InputRecord:
    """One of the inputs.

    Attributes:
        role: ``predictions``, ``baseline`` or ``ground truth``.
        path: as the user gave it.
        format: name of the format.
        images: number of its images.
        digest: SHA-256 over the names and contents of the files that were read, hexadecimal.
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
        versions: versions of bpr and of the libraries that compute the metrics, by name.
        inputs: predictions, baseline if there is one, ground truth.
        images: number of measured images.
        elapsed: seconds from start to end.
        summary: the metrics over everything.
        groups, sizes, classes, class_sizes, curves: see ``Tables``.
        score_name: what ``ImageScore.score`` is.
        scores: every image, in the order of the ground truth.
        gains: the images that improved most over the baseline, the largest gain first; empty without a baseline.
        losses: the images that got worse most, the largest loss first; empty without a baseline.
        pairs: ground-truth segments before and after; empty without a baseline.
        oracle: the oracle upper bound at each distance, in the order of the settings.
        failures: what could not be measured, and why.
        notes: sentences that readers of the metrics should know.
    """

    task: str
    settings: dict[str, Any]
    versions: dict[str, str]
    inputs: tuple[InputRecord, ...]
    images: int
    elapsed: float
    summary: tuple[Metric, ...]
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
        """The report as plain data, with the difference beside each metric."""
        plain: dict[str, Any] = _to_plain(asdict(self))
        return plain

    def summary_json(self) -> dict[str, Any]:
        """The same without what grows with the number of images: scores, segments and curves."""
        return {name: value for name, value in self.to_json().items() if name not in ("scores", "pairs", "curves")}


@dataclass(frozen=True, eq=False)
class Layers:
    """What the overlays of one image are drawn from; not part of the report, but read again to draw it.

    In the maps, 0 is background or void; any other number is a class (of label maps) or a segment.

    Attributes:
        image: uint8, (H, W, 3), RGB; None if no images were given.
        truth: int32, (H, W).
        prediction: int32, (H, W).
        baseline: int32, (H, W); None without a baseline.
    """

    image: ByteArray | None
    truth: LabelArray
    prediction: LabelArray
    baseline: LabelArray | None = None


def _to_plain(value: Any) -> Any:  # noqa: ANN401
    """Plain data with a ``difference`` in every metric; files of the report call metrics ``figures``."""
    if isinstance(value, dict):
        plain = {"figures" if key == "metrics" else key: _to_plain(part) for key, part in value.items()}
        if {"value", "baseline", "unit"} <= set(plain):
            return plain | {"difference": Metric(plain["name"], plain["value"], plain["baseline"]).difference}
        return plain
    return [_to_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
