"""An evaluation from opened inputs to the report."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.kinds.base import Figures, Segments, TableRow, Tables
from bpr_cli.evaluation.measuring import Measured, Totals, digest_files, measure_all
from bpr_cli.evaluation.opening import Opened
from bpr_cli.evaluation.report import Curve, Figure, ImageScore, Input, Layers, OracleRow, Report, Row, SegmentPair
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.images import read_image
from bpr_cli.system.environment import installed_versions
from bpr_cli.truth.pairs import Pair, task_name

SCORE_NAME = "mean IoU of the image's true segments, each with its best prediction"
EXAMPLES = 6
"""How many of the largest gains, and of the largest losses, the report shows."""

_LIBRARIES = ("numpy", "opencv-python", "pycocotools", "cityscapesscripts")


class Evaluation:
    """Measures opened inputs, and reads images again for pictures."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._kind = opened.kind
        self._pairs = {pair.name: pair for pair in opened.pairs}

    def run(self, advance: Callable[[], None] = lambda: None) -> Report:
        """Measure every image.

        Args:
            advance: called when an image is done.

        Raises:
            BprError: an image is broken and that is not allowed, or none could be measured.
        """
        began = time.monotonic()
        collected = _Collected(self._opened)
        for measured in measure_all(self._opened):
            collected.add(measured)
            advance()
        if not collected.totals.sums:
            raise BprError(f"no image could be measured: {collected.failures[0].reason}")
        tables = [self._kind.tables(total) for total in collected.totals.sums]
        return _report(self._opened, collected, tables, time.monotonic() - began)

    def layers(self, score: ImageScore) -> Layers:
        """What the picture of an image is drawn from."""
        pair, sets = self._pairs[score.name], self._opened.sets
        truth = self._kind.read_truth(sets.truth, pair)

        def layer(side: PredictionSet, item: Item | None) -> np.ndarray[Any, np.dtype[np.int32]]:
            return self._kind.layer(self._kind.read(side, item, pair), truth)

        return Layers(
            _image(self._opened, pair),
            self._kind.truth_layer(truth),
            layer(sets.predictions, pair.prediction),
            layer(sets.baseline, pair.baseline) if sets.baseline else None,
        )


def _image(opened: Opened, pair: Pair) -> np.ndarray[Any, np.dtype[np.uint8]] | None:
    path = opened.images.get(pair.name)
    return read_image(path) if path is not None else None


class _Collected:
    """What remains of all images."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.totals = Totals(opened.kind)
        self.scores: list[ImageScore] = []
        self.pairs: list[SegmentPair] = []
        self.failures = list(opened.problems)
        self.digests = [hashlib.sha256() for _ in (opened.sets.truth, *opened.sets.scored)]

    def add(self, measured: Measured) -> None:
        """Take what one image adds."""
        if measured.failure:
            self.failures.append(measured.failure)
            return
        self.totals.add(measured.sums)
        self.scores.append(_score(self.opened, measured))
        if len(measured.segments) > 1:
            self.pairs += _segment_pairs(measured)
        for digest, new in zip(self.digests, measured.digests, strict=True):
            digest.update(new.encode())


def _score(opened: Opened, measured: Measured) -> ImageScore:
    pair, sets = measured.pair, opened.sets
    scores = [_mean(segments) for segments in measured.segments]
    image = opened.images.get(pair.name)
    return ImageScore(
        pair.name,
        None if image is None else str(image),
        _file(sets.predictions, pair.prediction),
        _file(sets.baseline, pair.baseline) if sets.baseline else None,
        _file(sets.truth, pair.truth),
        scores[0],
        scores[1] if len(scores) > 1 else None,
    )


def _file(side: PredictionSet, item: Item | None) -> str:
    """The file of an item, or the one that all share where it has no item."""
    return str(side.file(item) if item else next(iter(side.shared_files()), ""))


def _mean(segments: Segments) -> float | None:
    return 100 * sum(iou for _, iou in segments) / len(segments) if segments else None


def _segment_pairs(measured: Measured) -> list[SegmentPair]:
    after, before = measured.segments
    return [
        SegmentPair(measured.pair.name, category, 100 * old, 100 * new)
        for (category, new), (_, old) in zip(after, before, strict=True)
    ]


def _report(opened: Opened, collected: _Collected, tables: Sequence[Tables], elapsed: float) -> Report:
    after = tables[0]
    before = tables[1] if opened.sets.baseline else None
    oracles = tables[2:] if before else tables[1:]
    scores = collected.scores
    return Report(
        task=task_name(opened.sets.predictions),
        settings=_settings(opened),
        versions=installed_versions(_LIBRARIES),
        inputs=_inputs(opened, collected),
        images=len(scores),
        elapsed=round(elapsed, 3),
        summary=_figures(after.summary, before.summary if before else None),
        score_name=SCORE_NAME,
        scores=tuple(scores),
        groups=_rows(after.groups, before.groups if before else None),
        sizes=_rows(after.sizes, before.sizes if before else None),
        classes=_rows(after.classes, before.classes if before else None),
        class_sizes=_rows(after.class_sizes, before.class_sizes if before else None),
        gains=_extremes(scores, 1),
        losses=_extremes(scores, -1),
        pairs=tuple(collected.pairs),
        curves=_curves(after, before),
        oracle=tuple(
            _oracle_row(distance, table, after) for distance, table in zip(opened.settings.oracle, oracles, strict=True)
        ),
        failures=tuple(collected.failures),
        notes=_notes(opened, after, before),
    )


def _notes(opened: Opened, after: Tables, before: Tables | None) -> tuple[str, ...]:
    """Those of the predictions, those of the baseline that are others, and what lacks for the pictures."""
    others = [note for note in before.notes if note not in after.notes] if before else []
    without = [pair.name for pair in opened.pairs if pair.name not in opened.images] if opened.images else []
    lacking = [f"{opened.inputs.images} holds no image for {join_names(without)}"] if without else []
    return (*after.notes, *(f"baseline: {note}" for note in others), *lacking)


def _settings(opened: Opened) -> dict[str, Any]:
    settings = asdict(opened.settings) | {"workers": opened.settings.worker_count}
    return settings | ({"label_set": opened.label_set} if opened.label_set else {})


def _inputs(opened: Opened, collected: _Collected) -> tuple[Input, ...]:
    sets, given = opened.sets, opened.inputs
    truth, *scored = (
        _digest(digest, side) for digest, side in zip(collected.digests, (sets.truth, *sets.scored), strict=True)
    )
    inputs = [
        Input("predictions", str(given.predictions), sets.predictions.format, _count(sets.predictions), scored[0])
    ]
    if sets.baseline:
        inputs.append(Input("baseline", str(given.baseline), sets.baseline.format, _count(sets.baseline), scored[1]))
    return (
        *inputs,
        Input("ground truth", str(given.truth), sets.truth.format, _count(sets.truth, lists_all=True), truth),
    )


def _count(side: PredictionSet, lists_all: bool = False) -> int:
    """Images of a set; a COCO file of ground truth lists them all, also those without annotations."""
    return side.listed_images if lists_all else len(side.items)


def _digest(digest: Any, side: PredictionSet) -> str:  # noqa: ANN401
    """The digest of the files of all items, with that of the files they share."""
    digest.update(digest_files(side.shared_files()).encode())
    return str(digest.hexdigest())


def _figures(after: Figures, before: Figures | None) -> tuple[Figure, ...]:
    return tuple(
        Figure(name, _percent(value), _percent(before[name]) if before else None) for name, value in after.items()
    )


def _percent(share: float) -> float | None:
    return None if math.isnan(share) else 100 * share


def _rows(after: Sequence[TableRow], before: Sequence[TableRow] | None) -> tuple[Row, ...]:
    """Rows of a table, with those of the baseline, which are the same rows in the same order."""
    olds = [row.figures for row in before] if before is not None else [None] * len(after)
    return tuple(Row(row.name, _figures(row.figures, old), row.kind) for row, old in zip(after, olds, strict=True))


def _oracle_row(distance: int, oracle: Tables, asis: Tables) -> OracleRow:
    return OracleRow(
        distance,
        _figures(oracle.summary, asis.summary),
        _rows(oracle.groups, asis.groups),
        _rows(oracle.sizes, asis.sizes),
        _rows(oracle.classes, asis.classes),
    )


def _curves(after: Tables, before: Tables | None) -> tuple[Curve, ...]:
    def percent(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(100 * value for value in values)

    return tuple(
        Curve(
            name,
            tuple(np.linspace(0, 100, len(precision)).tolist()),
            percent(precision),
            percent(before.curves[name]) if before else None,
        )
        for name, precision in after.curves.items()
    )


def _extremes(scores: Sequence[ImageScore], sign: int) -> tuple[ImageScore, ...]:
    """The images that changed most in one direction, the most changed first."""
    changed = [(sign * score.gain, score) for score in scores if score.gain is not None and sign * score.gain > 0]
    ranked = sorted(changed, key=lambda pair: -pair[0])
    return tuple(score for _, score in ranked[:EXAMPLES])
