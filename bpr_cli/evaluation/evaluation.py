"""An evaluation: one pass over the files that reads, measures and releases every image, then the report."""

from __future__ import annotations

import hashlib
import math
import operator
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.evaluator import Measured
from bpr_cli.evaluation.inputs import EvaluationInputs, EvaluationPaths, open_evaluation
from bpr_cli.evaluation.report.files import write_report
from bpr_cli.evaluation.report.model import (
    ImageScore,
    InputRecord,
    Layers,
    OracleRow,
    Report,
    SegmentPair,
    Tables,
)
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.formats.images import read_image
from bpr_cli.formats.output_checks import check_outputs
from bpr_cli.formats.pixel_limit import MAX_PIXELS
from bpr_cli.formats.settings import Format, Task
from bpr_cli.settings import check_settings
from bpr_cli.system.atomic import remove_abandoned, writing
from bpr_cli.system.environment import installed_versions
from bpr_cli.system.paths import as_path, noting_digests, read_bytes
from bpr_cli.system.terminal import show_progress, tell
from bpr_cli.system.threads import PIXELS_AT_ONCE, Budget, in_order
from bpr_cli.truth.pairs import Pair, Sets, task_name
from bpr_cli.typing import Size

SCORE_NAME = "mean IoU of the image's true segments, each with its best prediction"
EXAMPLES = 6
"""Number of the largest gains, and of the largest losses, in the report."""

_LIBRARIES = ("numpy", "opencv-python", "pycocotools", "cityscapesscripts")


def evaluate(
    predictions: Path | str,
    ground_truth: Path | str,
    *,
    baseline: Path | str | None = None,
    images: Path | str | None = None,
    out: Path | str | None = None,
    settings: EvaluateSettings = EvaluateSettings(),  # noqa: B008 - immutable
    format: Format | None = None,  # noqa: A002 - the name that all functions of the API use
    task: Task | None = None,
    image_pattern: str | None = None,
    threshold: float | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: bool = False,
) -> Report:
    """Measure predictions against ground truth, as ``bpr evaluate`` does.

    Args:
        predictions: a file or directory of any format that ``bpr`` reads.
        ground_truth: annotations in the format of the predictions, a ``gtFine`` folder, or COCO annotations.
        baseline: predictions to compare with, such as those before refinement.
        images: a directory of images; only the pictures of the report use it.
        out: directory for ``report.json``, ``report.csv`` and ``report.html``, created if missing; None writes none.
        settings: what to measure and how.
        format: format of the predictions; None detects it.
        task: the segmentation task; None detects it.
        image_pattern: name of the image of a mask, with fields in braces; None finds images by name.
        threshold: threshold of soft masks, as a fraction of their range; None for one half.
        max_pixels: the largest image or map that is read, in pixels.
        progress: show what the inputs were taken for and progress on standard error.

    Returns:
        All metrics in percent; ``failures`` lists the images and the records that were left out.

    Raises:
        BprError: an input is missing or broken, inputs do not match, or the report cannot be written.
    """
    began = time.time()
    check_settings(settings, EvaluateSettings)
    optional = {"baseline": baseline, "images": images}
    paths = EvaluationPaths(
        as_path(predictions, "predictions"),
        as_path(ground_truth, "ground_truth"),
        **{name: as_path(path, name) for name, path in optional.items() if path is not None},
        format=format,
        task=task,
        image_pattern=image_pattern,
        threshold=threshold,
        max_pixels=max_pixels,
    )
    target = None if out is None else as_path(out, "out")
    if target:
        check_outputs(target, paths.all)
    inputs = open_evaluation(paths, settings)
    for sentence in inputs.sentences:
        tell(progress, sentence)
    evaluation = Evaluation(inputs)
    with show_progress(progress, "measuring", len(inputs.pairs)) as advance:
        report = evaluation.run(advance)
    if target:
        with writing(target):
            remove_abandoned(target, began)
        write_report(report, target, evaluation.layers)
    return report


class Evaluation:
    """Measures opened inputs, and reads some images again for the pictures of the report."""

    def __init__(self, inputs: EvaluationInputs) -> None:
        self._inputs = inputs
        self._pairs = {pair.name: pair for pair in inputs.pairs}

    def run(self, advance: Callable[[], None] = lambda: None) -> Report:
        """Measure every image.

        Args:
            advance: called after every image.

        Raises:
            BprError: an image is broken and ``allow_missing`` is off, or no image could be measured.
        """
        began = time.monotonic()
        collected = _Collected(self._inputs)
        for image in _measure_all(self._inputs):
            collected.add(image)
            advance()
        if not collected.sums:
            raise BprError(f"no image could be measured: {collected.failures[0].reason}")
        collected.add_faults()
        return collected.report(time.monotonic() - began)

    def layers(self, score: ImageScore) -> Layers:
        """The layers that the pictures of an image are drawn from."""
        pair, sets, evaluator = self._pairs[score.name], self._inputs.sets, self._inputs.evaluator
        truth = evaluator.read_truth(sets.truth, pair)
        path = self._inputs.images.get(pair.name)
        predicted = [
            evaluator.layer(evaluator.compare(scored, item, pair, truth)) for scored, item in _scored_items(sets, pair)
        ]
        picture = read_image(path, self._inputs.paths.max_pixels, masks=pair.size) if path else None
        return Layers(picture, evaluator.truth_layer(truth), *predicted)


def _scored_items(sets: Sets, pair: Pair) -> list[tuple[PredictionSet, Item | None]]:
    """The predictions and, if given, the baseline, each with its item for an image."""
    return list(zip(sets.scored, (pair.prediction, pair.baseline), strict=False))


@dataclass(frozen=True)
class _Image:
    """The measurements of one image.

    Attributes:
        pair: the image.
        scored: measurements of the predictions and, if given, the baseline.
        oracle: measurements of the predictions, corrected within each distance.
        digests: digests of the files of ground truth, predictions and baseline.
        failure: the reason why the image could not be measured; then the other fields are empty.
    """

    pair: Pair
    scored: tuple[Measured[Any], ...] = ()
    oracle: tuple[Measured[Any], ...] = ()
    digests: tuple[str, ...] = ()
    failure: Failure | None = None


def _measure_all(inputs: EvaluationInputs) -> Iterator[_Image]:
    """Every image, in the order of the pairs."""
    budget = Budget(PIXELS_AT_ONCE)
    return in_order(lambda pair: _measure(inputs, pair, budget), inputs.pairs, inputs.settings.worker_count)


def _measure(inputs: EvaluationInputs, pair: Pair, budget: Budget) -> _Image:
    try:
        with budget.hold(math.prod(_size_of(inputs, pair))), noting_digests() as read:
            return _measure_image(inputs, pair, read)
    except BprError as error:
        if not inputs.settings.allow_missing:
            raise
        return _Image(pair, failure=Failure(pair.name, str(error)))


def _size_of(inputs: EvaluationInputs, pair: Pair) -> Size:
    """(H, W) of an image as far as it is known before pixels are decoded, else zeros."""
    return pair.size or (pair.truth and inputs.sets.truth.size(pair.truth)) or (0, 0)


def _measure_image(inputs: EvaluationInputs, pair: Pair, read: Mapping[Path, bytes]) -> _Image:
    """Measure an image; ``read`` holds the SHA-256 of the files that are read meanwhile, by path."""
    evaluator, sets = inputs.evaluator, inputs.sets
    with _naming(sets.truth, pair.truth):
        truth = evaluator.read_truth(sets.truth, pair)
    comparisons, scored = [], []
    for side, item in _scored_items(sets, pair):
        with _naming(side, item):
            comparisons.append(evaluator.compare(side, item, pair, truth))
            scored.append(evaluator.measure(pair, comparisons[-1]))
    oracle = [
        evaluator.measure(pair, evaluator.oracle(comparisons[0], distance)) for distance in inputs.settings.oracle
    ]
    sides = [(sets.truth, pair.truth), *_scored_items(sets, pair)]
    digests = tuple(digest_files(side.files(item), read) if item else "" for side, item in sides)
    return _Image(pair, tuple(scored), tuple(oracle), digests)


@contextmanager
def _naming(side: PredictionSet, item: Item | None) -> Iterator[None]:
    """Prefix errors with the name of the file if they lack it."""
    file = str(side.file(item)) if item else ""
    try:
        yield
    except BprError as error:
        if file in str(error):
            raise
        raise BprError(f"{file}: {error}") from error


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
        digest.update(read.get(file) or hashlib.sha256(read_bytes(file)).digest())
    return digest.hexdigest() if count else ""


class _Collected:
    """The accumulated results of all images."""

    def __init__(self, inputs: EvaluationInputs) -> None:
        self._inputs = inputs
        self._has_baseline = inputs.sets.baseline is not None
        self.sums: list[Any] = []  # predictions, baseline if given, then the oracle of every distance
        self.failures = list(inputs.problems)
        self._scores: list[ImageScore] = []
        self._pairs: list[SegmentPair] = []
        self._digests = [hashlib.sha256() for _ in (inputs.sets.truth, *inputs.sets.scored)]

    def add(self, image: _Image) -> None:
        """Add the measurements of one image."""
        if image.failure:
            self.failures.append(image.failure)
            return
        sums = [measured.sums for measured in (*image.scored, *image.oracle)]
        self.sums = list(map(operator.iadd, self.sums, sums)) if self.sums else sums
        self._scores.append(self._score(image))
        if self._has_baseline:
            after, before = (measured.segments for measured in image.scored)
            self._pairs += [
                SegmentPair(image.pair.name, category, 100 * old, 100 * new)
                for (category, new), (_, old) in zip(after, before, strict=True)
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

    def _score(self, image: _Image) -> ImageScore:
        pair, sets = image.pair, self._inputs.sets
        scores = [_mean_iou(measured) for measured in image.scored]
        path = self._inputs.images.get(pair.name)
        return ImageScore(
            pair.name,
            None if path is None else str(path),
            _file(sets.predictions, pair.prediction),
            _file(sets.baseline, pair.baseline) if sets.baseline else None,
            _file(sets.truth, pair.truth),
            scores[0],
            scores[1] if self._has_baseline else None,
        )

    def report(self, elapsed: float) -> Report:
        """The report of all images."""
        evaluator = self._inputs.evaluator
        after, *others = map(evaluator.tables, evaluator.align(self.sums))
        before = others.pop(0) if self._has_baseline else None
        tables = after.against(before) if before else after
        oracle = zip(self._inputs.settings.oracle, (table.against(after) for table in others), strict=True)
        return Report(
            task=task_name(self._inputs.sets.predictions),
            settings=self._inputs.settings_used,
            versions=installed_versions(_LIBRARIES),
            inputs=self._input_records(),
            images=len(self._scores),
            elapsed=round(elapsed, 3),
            summary=tables.summary,
            score_name=SCORE_NAME,
            scores=tuple(self._scores),
            groups=tables.groups,
            sizes=tables.sizes,
            classes=tables.classes,
            class_sizes=tables.class_sizes,
            gains=_extremes(self._scores, 1),
            losses=_extremes(self._scores, -1),
            pairs=tuple(self._pairs),
            curves=tables.curves,
            oracle=tuple(
                OracleRow(distance, table.summary, table.groups, table.sizes, table.classes)
                for distance, table in oracle
            ),
            failures=tuple(self.failures),
            notes=self._notes(after, before),
        )

    def _notes(self, after: Tables, before: Tables | None) -> tuple[str, ...]:
        """Notes on how the inputs were read, on the metrics without repetitions, and on pictures without an image."""
        sets, known = self._inputs.sets, self._inputs.images
        read = [*sets.truth.notes("truth"), *(note for side in sets.scored for note in side.notes("measured"))]
        others = [note for note in before.notes if note not in after.notes] if before else []
        without = [pair.name for pair in self._inputs.pairs if pair.name not in known] if known else []
        lacking = [f"{self._inputs.paths.images} holds no image for {join_names(without)}"] if without else []
        return (*read, *after.notes, *(f"baseline: {note}" for note in others), *lacking)

    def _input_records(self) -> tuple[InputRecord, ...]:
        sets, paths = self._inputs.sets, self._inputs.paths
        truth, *scored = (
            _digest_of_set(digest, side) for digest, side in zip(self._digests, (sets.truth, *sets.scored), strict=True)
        )
        roles = zip(("predictions", "baseline"), (paths.predictions, paths.baseline), sets.scored, scored, strict=False)
        return (
            *(InputRecord(role, str(path), side.format, len(side.items), digest) for role, path, side, digest in roles),
            InputRecord("ground truth", str(paths.truth), sets.truth.format, sets.truth.listed_images, truth),
        )


def _file(side: PredictionSet, item: Item | None) -> str:
    """The file of an item; without an item, the file that all items share."""
    return str(side.file(item) if item else next(iter(side.shared_files()), ""))


def _mean_iou(measured: Measured[Any]) -> float | None:
    segments = measured.segments
    return 100 * sum(iou for _, iou in segments) / len(segments) if segments else None


def _digest_of_set(digest: Any, side: PredictionSet) -> str:  # noqa: ANN401 - hashlib's own type is private
    """The digest of all files: those of the items, and those that the items share."""
    digest.update(digest_files(side.shared_files()).encode())
    return str(digest.hexdigest())


def _extremes(scores: Sequence[ImageScore], sign: int) -> tuple[ImageScore, ...]:
    """The images with the largest changes in one direction, the largest first."""
    changed = [(sign * score.gain, score) for score in scores if score.gain is not None and sign * score.gain > 0]
    ranked = sorted(changed, key=lambda pair: -pair[0])
    return tuple(score for _, score in ranked[:EXAMPLES])
