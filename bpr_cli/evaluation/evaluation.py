"""An evaluation: one pass over the files that reads, measures and releases every image, then the report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.evaluation.collected import Collected, MeasuredImage, digest_files
from bpr_cli.evaluation.inputs import EvaluationInputs, EvaluationPaths, open_evaluation
from bpr_cli.evaluation.report.files import write_report
from bpr_cli.evaluation.report.layers import Layers
from bpr_cli.evaluation.report.model import ImageScore, Report
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.formats.images import read_image
from bpr_cli.formats.output_checks import check_outputs
from bpr_cli.formats.reading import MAX_PIXELS, Format, Ids, ReadSettings, Task
from bpr_cli.settings import check_settings
from bpr_cli.system.atomic import remove_abandoned, writing
from bpr_cli.system.cluster import ClusterSettings
from bpr_cli.system.parts import Distribution, named_range
from bpr_cli.system.paths import as_path, as_paths, noting_digests
from bpr_cli.system.terminal import show_progress, tell
from bpr_cli.system.threads import PIXELS_AT_ONCE, Budget, in_order
from bpr_cli.truth.pairs import Pair, Sets
from bpr_cli.typing import Size

PART = 16
"""Images that a process measures at a time."""


def evaluate(
    predictions: Path | str,
    ground_truth: Path | str,
    *,
    baseline: Path | str | Sequence[Path | str] | None = None,
    images: Path | str | None = None,
    out: Path | str | None = None,
    settings: EvaluateSettings = EvaluateSettings(),  # noqa: B008 - immutable
    format: Format | None = None,  # noqa: A002 - the name that all functions of the API use
    task: Task | None = None,
    ids: Ids | None = None,
    image_pattern: str | None = None,
    threshold: float | None = None,
    max_pixels: int = MAX_PIXELS,
    processes: int | None = None,
    cluster: ClusterSettings = ClusterSettings(),  # noqa: B008 - frozen
    progress: bool = False,
) -> Report:
    """Measure predictions against ground truth, as ``bpr evaluate`` does.

    Args:
        predictions: a file or directory of any format that ``bpr`` reads.
        ground_truth: annotations in the format of the predictions, a ``gtFine`` folder, or COCO annotations.
        baseline: predictions to compare with, such as those before refinement. Several may be given; differences are
            measured from the first, and the others stand beside it.
        images: a directory of images, for the pictures of the report, and for the sizes of YOLO polygons.
        out: directory for ``report.json``, ``report.csv`` and ``report.html``, created if missing; None writes none.
        settings: what to measure and how.
        format: format of the predictions; None detects it.
        task: the segmentation task; None detects it.
        ids: what the values of label maps are: "classes" or "objects"; None for classes.
        image_pattern: name of the image of a mask, with fields in braces; None finds images by name.
        threshold: threshold of soft masks, as a fraction of their range; None for one half.
        max_pixels: the largest image or map that is read, in pixels.
        processes: number of processes that measure images; the figures are the same, bit for bit. None for one, and on
            a cluster for as many as it has room for. Programs that use more than one must be importable
            (``if __name__ == "__main__":``).
        cluster: the Ray cluster on which they run; by default none. All nodes must see the same files.
        progress: show what the inputs were taken for and progress on standard error.

    Returns:
        All metrics in percent; ``failures`` lists the images and the records that were left out.

    Raises:
        BprError: an input is missing or broken, inputs do not match, or the report cannot be written.
    """
    began = time.time()
    check_settings(settings, EvaluateSettings)
    distribution = Distribution(processes, cluster)
    paths = EvaluationPaths(
        as_path(predictions, "predictions"),
        as_path(ground_truth, "ground_truth"),
        () if baseline is None else tuple(as_paths(baseline, "baseline")),
        None if images is None else as_path(images, "images"),
    )
    target = None if out is None else as_path(out, "out")
    cluster.check_paths(paths.all)
    if target:
        check_outputs(target, paths.all)
    options = ReadSettings(format, task, ids, image_pattern=image_pattern, threshold=threshold, max_pixels=max_pixels)
    inputs = open_evaluation(paths, settings, options)
    for sentence in inputs.sentences:
        tell(progress, sentence)
    evaluation = Evaluation(inputs)
    with show_progress(progress, "measuring", len(inputs.pairs)) as advance:
        report = evaluation.run(advance, distribution)
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

    def run(self, advance: Callable[[], None] = lambda: None, distribution: Distribution = Distribution()) -> Report:  # noqa: B008
        """Measure every image.

        Args:
            advance: called after every image.
            distribution: how parts of the images are distributed; by default this process measures all.

        Raises:
            BprError: an image is broken and ``allow_missing`` is off, or no image could be measured.
        """
        began = time.monotonic()
        collected = Collected(self._inputs)
        for image in _measure_all(self._inputs, distribution):
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
        predicted, *baselines = (
            evaluator.layer(evaluator.compare(scored, item, pair, truth)) for scored, item in _scored_items(sets, pair)
        )
        picture = read_image(path, sets.truth.max_pixels, masks=pair.size) if path else None
        return Layers(picture, evaluator.truth_layer(truth), predicted, tuple(baselines))


def _scored_items(sets: Sets, pair: Pair) -> list[tuple[PredictionSet, Item | None]]:
    """The predictions and the baselines, each with its item for an image."""
    return list(zip(sets.scored, (pair.prediction, *pair.baselines), strict=True))


@dataclass(frozen=True)
class _Share:
    """What a worker measures with.

    Attributes:
        inputs: the opened inputs.
        threads: number of its threads.
        pixels: most pixels of the images that it holds together.
    """

    inputs: EvaluationInputs
    threads: int
    pixels: int


def _measure_all(inputs: EvaluationInputs, distribution: Distribution) -> Iterator[MeasuredImage]:
    """Every image, in the order of the pairs."""
    pairs, budget = inputs.pairs, Budget(PIXELS_AT_ONCE)
    if distribution.is_this_process:
        yield from in_order(lambda pair: _measure(inputs, pair, budget), pairs, inputs.settings.worker_count)
        return
    parts = [range(start, min(start + PART, len(pairs))) for start in range(0, len(pairs), PART)]
    share = _Share(inputs, distribution.threads(inputs.settings.worker_count), PIXELS_AT_ONCE // distribution.sharers)
    names = [pair.name for pair in pairs]
    measured = distribution.map(_measure_part, share, parts, lambda part: named_range(names[part.start : part.stop]))
    for part, images in zip(parts, measured, strict=True):
        for place, image in zip(part, images, strict=True):
            yield image or _measure(inputs, pairs[place], budget)  # this process must know what is wrong with it


def _measure_part(share: _Share, part: range) -> list[MeasuredImage | None]:
    """Images in one of several processes; None for those with something that cannot be read."""
    inputs, budget = share.inputs, Budget(share.pixels)
    pairs = [inputs.pairs[place] for place in part]
    return list(in_order(lambda pair: _measure_intact(inputs, pair, budget), pairs, share.threads))


def _measure_intact(inputs: EvaluationInputs, pair: Pair, budget: Budget) -> MeasuredImage | None:
    """The measurements of an image; None if something of it cannot be read."""
    try:
        image = _measure_image(inputs, pair, budget)
    except BprError:
        return None
    sides = [(inputs.sets.truth, pair.truth), *_scored_items(inputs.sets, pair)]
    return None if any(item and side.faults(item) for side, item in sides) else image


def _measure(inputs: EvaluationInputs, pair: Pair, budget: Budget) -> MeasuredImage:
    try:
        return _measure_image(inputs, pair, budget)
    except BprError as error:
        if not inputs.settings.allow_missing:
            raise
        return MeasuredImage(pair, failure=Failure(pair.name, str(error)))


def _measure_image(inputs: EvaluationInputs, pair: Pair, budget: Budget) -> MeasuredImage:
    """Measure an image once there is memory for it."""
    with budget.hold(math.prod(_size_of(inputs, pair))), noting_digests() as read:
        return _measure_files(inputs, pair, read)


def _size_of(inputs: EvaluationInputs, pair: Pair) -> Size:
    """(H, W) of an image as far as it is known before pixels are decoded, else zeros."""
    return pair.size or (pair.truth and inputs.sets.truth.size(pair.truth)) or (0, 0)


def _measure_files(inputs: EvaluationInputs, pair: Pair, read: Mapping[Path, bytes]) -> MeasuredImage:
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
    return MeasuredImage(pair, tuple(scored), tuple(oracle), digests)


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
