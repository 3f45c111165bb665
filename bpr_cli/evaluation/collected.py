"""What the measurements of all images add up to: the report of an evaluation."""

from __future__ import annotations

import hashlib
import operator
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError, counted, join_names
from bpr_cli.evaluation.evaluator import Measured
from bpr_cli.evaluation.inputs import EvaluationInputs
from bpr_cli.evaluation.report.model import ImageScore, InputRecord, OracleRow, OtherSet, Report, SegmentPair, Tables
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.system.paths import digest_file
from bpr_cli.truth.pairs import Pair, task_name
from bpr_cli.version import installed_versions

INSTANCE_SCORE = "mean IoU of the image's true segments, each with its best prediction"
SCORE_NAMES = {
    "semantic": "mean IoU of the classes that the ground truth has in the image",
    "binary": "IoU of the image's mask",
}
"""What the score of an image is, by task, where it is not ``INSTANCE_SCORE``."""
EXAMPLES = 6
"""Number of the largest gains, and of the largest losses, in the report."""

MOSTLY_MISSED = 0.5
"""Share of images without predictions from which on a note tells of them."""

_LIBRARIES = ("numpy", "opencv-python", "pycocotools", "cityscapesscripts")


@dataclass(frozen=True)
class MeasuredImage:
    """The measurements of one image.

    Attributes:
        pair: the image.
        scored: measurements of the predictions and the baselines.
        oracle: measurements of the predictions, corrected within each distance.
        digests: digests of the files of ground truth, predictions and baselines.
        failure: the reason why the image could not be measured; then the other fields are empty.
    """

    pair: Pair
    scored: tuple[Measured[Any], ...] = ()
    oracle: tuple[Measured[Any], ...] = ()
    digests: tuple[str, ...] = ()
    failure: Failure | None = None


def digest_files(files: Iterable[Path], known: Mapping[Path, bytes] | None = None) -> str:
    """SHA-256 over names and contents, hexadecimal; empty without files.

    Args:
        files: the files.
        known: SHA-256 of files that were read before, which are not read again.
    """
    read = known or {}
    digest = hashlib.sha256()
    count = 0
    for count, file in enumerate(files, 1):  # noqa: B007
        digest.update(file.name.encode("utf-8", "surrogateescape") + b"\0")
        digest.update(read.get(file) or digest_file(file))
    return digest.hexdigest() if count else ""


class Collected:
    """The accumulated results of all images."""

    def __init__(self, inputs: EvaluationInputs) -> None:
        self._inputs = inputs
        self._baselines = len(inputs.sets.baselines)
        self.sums: list[Any] = []  # predictions, baselines, then the oracle of every distance
        self.failures = list(inputs.problems)
        self._scores: list[ImageScore] = []
        self._pairs: list[SegmentPair] = []
        self._counts: Counter[str] = Counter()
        self._digests = [hashlib.sha256() for _ in (inputs.sets.truth, *inputs.sets.scored)]

    def add(self, image: MeasuredImage) -> None:
        """Add the measurements of one image."""
        if image.failure:
            self.failures.append(image.failure)
            return
        sums = [measured.sums for measured in (*image.scored, *image.oracle)]
        self.sums = list(map(operator.iadd, self.sums, sums)) if self.sums else sums
        self._scores.append(self._score(image))
        self._counts.update(segment.category for segment in image.scored[0].segments)
        if self._baselines:
            after, before = (measured.segments for measured in image.scored[:2])
            self._pairs += [
                SegmentPair(image.pair.name, new.category, 100 * old.iou, 100 * new.iou, new.number)
                for new, old in zip(after, before, strict=True)
            ]
        for digest, new in zip(self._digests, image.digests, strict=True):
            digest.update(new.encode())

    def add_faults(self) -> None:
        """Add the records that could not be read, once all images are measured.

        Raises:
            BprError: a set has no other records.
        """
        sets = self._inputs.sets
        for side in (sets.truth, *sets.scored):
            faults = side.faults()
            if faults and not side.is_readable:
                raise BprError(f"{len(faults)} records cannot be read, such as: {faults[0].reason}")
            self.failures += faults

    def _score(self, image: MeasuredImage) -> ImageScore:
        pair, sets = image.pair, self._inputs.sets
        scores = [_mean_iou(measured) for measured in image.scored]
        path = self._inputs.images.get(pair.name)
        return ImageScore(
            pair.name,
            None if path is None else str(path),
            _file(sets.predictions, pair.prediction),
            _file(sets.baselines[0], pair.baselines[0]) if self._baselines else None,
            _file(sets.truth, pair.truth),
            scores[0],
            scores[1] if self._baselines else None,
            tuple(dict.fromkeys(segment.category for segment in image.scored[0].segments)),
        )

    def report(self, elapsed: float) -> Report:
        """The report of all images."""
        evaluator, task = self._inputs.evaluator, task_name(self._inputs.sets.predictions)
        after, *others = map(evaluator.tables, evaluator.align(self.sums))
        baselines, upper = others[: self._baselines], others[self._baselines :]
        tables = after.against(baselines[0]) if baselines else after
        oracle = zip(self._inputs.settings.oracle, (table.against(after) for table in upper), strict=True)
        further = zip(self._inputs.paths.baselines[1:], baselines[1:], strict=True)
        return Report(
            task=task,
            settings=self._inputs.settings_used,
            versions=installed_versions(_LIBRARIES),
            inputs=self._input_records(),
            images=len(self._scores),
            elapsed=round(elapsed, 3),
            summary=tables.summary,
            score_name=SCORE_NAMES.get(task, INSTANCE_SCORE),
            scores=tuple(self._scores),
            groups=tables.groups,
            sizes=tables.sizes,
            classes=tuple(replace(row, count=self._counts[row.name]) for row in tables.classes),
            class_sizes=tables.class_sizes,
            tolerances=tables.tolerances,
            gains=_extremes(self._scores, 1),
            losses=_extremes(self._scores, -1),
            pairs=tuple(self._pairs),
            curves=tables.curves,
            others=tuple(OtherSet(str(path), table.summary, table.classes) for path, table in further),
            oracle=tuple(
                OracleRow(distance, table.summary, table.groups, table.sizes, table.classes)
                for distance, table in oracle
            ),
            failures=tuple(self.failures),
            notes=self._notes(after, baselines),
        )

    def _notes(self, after: Tables, baselines: Sequence[Tables]) -> tuple[str, ...]:
        """Notes on how the inputs were read, on the metrics without repetitions, and on pictures without an image."""
        sets, known = self._inputs.sets, self._inputs.images
        read = [*sets.truth.notes("truth"), *(note for side in sets.scored for note in side.notes("measured"))]
        others = dict.fromkeys(note for table in baselines for note in table.notes if note not in after.notes)
        without = [pair.name for pair in self._inputs.pairs if pair.name not in known] if known else []
        lacking = [f"{self._inputs.paths.images} holds no image for {join_names(without)}"] if without else []
        return (*read, *self._missed(), *after.notes, *(f"baseline: {note}" for note in others), *lacking)

    def _missed(self) -> list[str]:
        """A note if most images have no predictions, but not all; COCO results leave out such images."""
        count = len(self._inputs.pairs)
        missed = sum(pair.prediction is None and pair.truth is not None for pair in self._inputs.pairs)
        if not MOSTLY_MISSED * count <= missed < count:
            return []
        return [
            f"{missed} of {counted(count, 'image')} have no predictions, so that all their objects are missed; to "
            "measure a part of the images, give ground truth of that part"
        ]

    def _input_records(self) -> tuple[InputRecord, ...]:
        sets, paths = self._inputs.sets, self._inputs.paths
        truth, *scored = (
            _digest_of_set(digest, side) for digest, side in zip(self._digests, (sets.truth, *sets.scored), strict=True)
        )
        names = ("baseline" if number == 1 else f"baseline {number}" for number in range(1, self._baselines + 1))
        roles = zip(("predictions", *names), (paths.predictions, *paths.baselines), sets.scored, scored, strict=True)
        return (
            *(InputRecord(role, str(path), side.format, len(side.items), digest) for role, path, side, digest in roles),
            InputRecord("ground truth", str(paths.truth), sets.truth.format, sets.truth.listed_images, truth),
        )


def _file(side: PredictionSet, item: Item | None) -> str:
    """The file of an item; without an item, the file that all items share."""
    return str(side.file(item) if item else next(iter(side.shared_files()), ""))


def _mean_iou(measured: Measured[Any]) -> float | None:
    segments = measured.segments
    return 100 * sum(segment.iou for segment in segments) / len(segments) if segments else None


def _digest_of_set(digest: Any, side: PredictionSet) -> str:  # noqa: ANN401 - hashlib's own type is private
    """The digest of all files: those of the items, and those that the items share."""
    digest.update(digest_files(side.shared_files()).encode())
    return str(digest.hexdigest())


def _extremes(scores: Sequence[ImageScore], sign: int) -> tuple[ImageScore, ...]:
    """The images with the largest changes in one direction, the largest first."""
    changed = [(sign * score.gain, score) for score in scores if score.gain is not None and sign * score.gain > 0]
    ranked = sorted(changed, key=lambda pair: -pair[0])
    return tuple(score for _, score in ranked[:EXAMPLES])
