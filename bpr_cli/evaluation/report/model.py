"""The results of an evaluation as plain data, which becomes JSON, CSV, HTML and tables.

All metrics are percentages from 0 to 100, or ``None`` if undefined. With a baseline, ``baseline`` is its metric
("before") and ``value`` the metric of the predictions ("after").
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bpr_cli.formats.base import Failure

PERCENT = "%"

PAPER_PQ = "boundary PQ (paper)"
"""Boundary PQ by the definition of the paper, where the reference tool may give another figure."""

Shares = Mapping[str, float]
"""Metrics by name, from 0 to 1 as in the official tools; NaN if undefined."""


@dataclass(frozen=True)
class Metric:
    """One metric, before and after.

    Attributes:
        name: AP, boundary AP, mIoU, PQ, AF ...
        value: metric of the predictions.
        baseline: metric of the baseline; None without a baseline.
        unit: unit of both.
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
    """The metrics with their values for a baseline, which has the same metrics in the same order."""
    return tuple(replace(new, baseline=old.value) for new, old in zip(metrics, baseline, strict=True))


@dataclass(frozen=True)
class Row:
    """A row of a table of metrics; all rows of a table have the same metrics in the same order.

    Attributes:
        name: name of the class, size range or group of classes.
        metrics: metrics of the row.
        kind: ``thing`` or ``stuff`` in panoptic tables, else empty.
        count: number of true segments of the class, or of images that hold it in label maps; None if not counted.
    """

    name: str
    metrics: tuple[Metric, ...]
    kind: str = ""
    count: int | None = None

    @classmethod
    def of(cls, name: str, shares: Shares, kind: str = "") -> Row:
        """Create a row from shares from 0 to 1."""
        return cls(name, metrics_of(shares), kind)


def _rows_against(rows: Sequence[Row], baseline: Sequence[Row]) -> tuple[Row, ...]:
    pairs = zip(rows, baseline, strict=True)
    return tuple(replace(new, metrics=_against(new.metrics, old.metrics)) for new, old in pairs)


@dataclass(frozen=True)
class Curve:
    """Precision over recall, averaged over the categories with ground truth.

    Attributes:
        name: IoU threshold and measure, such as ``IoU 0.50``.
        recall: recall in percent, ascending.
        precision: precision in percent at every recall.
        baseline: precision of the baseline; None without a baseline.
    """

    name: str
    recall: tuple[float, ...]
    precision: tuple[float, ...]
    baseline: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Tables:
    """All metrics of one set of predictions; the tables of all sets of an evaluation have the same rows.

    Attributes:
        summary: metrics over all classes.
        classes: one row per class, in the order of the label set.
        groups: rows of groups of classes, such as things and stuff; may be empty.
        sizes: rows of small, medium and large masks; may be empty.
        class_sizes: one row per class, with a metric for each size range; may be empty.
        tolerances: boundary F at several tolerances, one row each; label maps and binary masks only.
        curves: precision over recall; instances only.
        notes: remarks for readers of the metrics.
    """

    summary: tuple[Metric, ...]
    classes: tuple[Row, ...] = ()
    groups: tuple[Row, ...] = ()
    sizes: tuple[Row, ...] = ()
    class_sizes: tuple[Row, ...] = ()
    tolerances: tuple[Row, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()

    def against(self, baseline: Tables) -> Tables:
        """These tables, completed by the metrics of a baseline."""
        before = {curve.name: curve.precision for curve in baseline.curves}
        return Tables(
            _against(self.summary, baseline.summary),
            _rows_against(self.classes, baseline.classes),
            _rows_against(self.groups, baseline.groups),
            _rows_against(self.sizes, baseline.sizes),
            _rows_against(self.class_sizes, baseline.class_sizes),
            _rows_against(self.tolerances, baseline.tolerances),
            tuple(replace(curve, baseline=before[curve.name]) for curve in self.curves),
            self.notes,
        )


@dataclass(frozen=True)
class OracleRow:
    """The metrics if all pixels within a distance of the predicted boundary were correct.

    Attributes:
        distance: distance in pixels.
        metrics: the summary; ``value`` belongs to the oracle and ``baseline`` to the predictions.
        groups: likewise for the rows of ``Report.groups``.
        sizes: likewise for the rows of ``Report.sizes``.
        classes: likewise for the rows of ``Report.classes``.
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
        name: name of the image in messages.
        image: path of the image; None if no images were given.
        prediction: path of the prediction file; a JSON file may hold many images.
        baseline: path of the baseline file; None without a baseline.
        truth: path of the ground-truth file.
        score: score in percent; see ``Report.score_name``.
        baseline_score: score of the first baseline in percent.
        classes: names of the categories of its true segments, in their order.
    """

    name: str
    image: str | None
    prediction: str
    baseline: str | None
    truth: str
    score: float | None
    baseline_score: float | None = None
    classes: tuple[str, ...] = ()

    @property
    def gain(self) -> float | None:
        """Score minus baseline score; None if either is missing."""
        both = self.score is not None and self.baseline_score is not None
        return self.score - self.baseline_score if both else None  # type: ignore[operator]


@dataclass(frozen=True)
class SegmentPair:
    """IoU of one ground-truth segment before and after: a dot of the scatter plot (BPR paper, Fig. 9).

    A segment is an instance, a panoptic segment, a class in one label map, or a binary mask. Its IoU is the highest IoU
    with a predicted segment of its category, or 0 without one.

    Attributes:
        image: name of the image, as in ``ImageScore.name``.
        category: name of the category.
        before: IoU of the first baseline in percent.
        after: IoU of the predictions in percent.
        number: number of the segment in the layers of the image.
    """

    image: str
    category: str
    before: float
    after: float
    number: int = 0

    @property
    def change(self) -> float:
        """IoU after minus IoU before, in percentage points."""
        return self.after - self.before


@dataclass(frozen=True)
class OtherSet:
    """The metrics of a further baseline.

    Attributes:
        path: path as given by the user.
        summary: metrics over all classes.
        classes: one row per class.
    """

    path: str
    summary: tuple[Metric, ...]
    classes: tuple[Row, ...] = ()


@dataclass(frozen=True)
class InputRecord:
    """One input of the evaluation.

    Attributes:
        role: ``predictions``, ``baseline``, ``baseline 2`` and so on, or ``ground truth``.
        path: path as given by the user.
        format: name of the format.
        images: number of images.
        digest: SHA-256 over the names and contents of the files read, hexadecimal.
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
        inputs: predictions, baselines, ground truth.
        images: number of measured images.
        elapsed: seconds from start to end.
        summary: metrics over all classes.
        groups, sizes, classes, class_sizes, tolerances, curves: see ``Tables``.
        score_name: name of the metric in ``ImageScore.score``.
        scores: scores of all images, in the order of the ground truth.
        gains: images with the largest gains over the baseline, the largest first; empty without a baseline.
        losses: images with the largest losses, the largest first; empty without a baseline.
        pairs: ground-truth segments before and after; empty without a baseline.
        others: metrics of all baselines but the first, which the other fields compare with.
        oracle: oracle upper bounds at each distance, in the order of the settings.
        failures: images that could not be measured, with reasons.
        notes: remarks for readers of the metrics.
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
    tolerances: tuple[Row, ...] = ()
    gains: tuple[ImageScore, ...] = ()
    losses: tuple[ImageScore, ...] = ()
    pairs: tuple[SegmentPair, ...] = ()
    curves: tuple[Curve, ...] = ()
    others: tuple[OtherSet, ...] = ()
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
        return plain | {"settings": self.settings}

    def summary_json(self) -> dict[str, Any]:
        """``to_json`` without scores, segments and curves, which are long."""
        return {name: value for name, value in self.to_json().items() if name not in ("scores", "pairs", "curves")}


def _to_plain(value: Any) -> Any:  # noqa: ANN401
    """Convert to plain data with a ``difference`` in every metric; the key of metrics in the files is ``figures``."""
    if isinstance(value, dict):
        plain = {"figures" if key == "metrics" else key: _to_plain(part) for key, part in value.items()}
        if {"value", "baseline", "unit"} <= set(plain):
            return plain | {"difference": Metric(plain["name"], plain["value"], plain["baseline"]).difference}
        return plain
    return [_to_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
