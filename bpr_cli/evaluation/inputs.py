"""The inputs of an evaluation, opened, paired and checked before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.binary import BinaryEvaluator
from bpr_cli.evaluation.cityscapes import CityscapesEvaluator
from bpr_cli.evaluation.coco import COCO_DETECTIONS, LVIS_DETECTIONS, CocoEvaluator
from bpr_cli.evaluation.evaluator import Evaluator
from bpr_cli.evaluation.panoptic import PanopticEvaluator
from bpr_cli.evaluation.semantic import SemanticEvaluator
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Failure, Family, PredictionSet
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.open import FORMATS, open_as
from bpr_cli.formats.reading import ReadSettings
from bpr_cli.formats.source import Source
from bpr_cli.truth.label_sets import VOID, ending_of
from bpr_cli.truth.open import NoImages, open_truth, open_without_images
from bpr_cli.truth.pairs import Pair, Sets, pair_sets

EVALUATORS: dict[Family, type[Evaluator[Any, Any, Any]]] = {
    "semantic": SemanticEvaluator,
    "binary": BinaryEvaluator,
    "coco": CocoEvaluator,
    "cityscapes": CityscapesEvaluator,
    "panoptic": PanopticEvaluator,
}
"""The evaluator of each family of predictions."""

_NOUNS: dict[Family, str] = {kind.family: kind.noun for kind in FORMATS.values()} | {"coco": FORMATS["coco"].noun}
"""The name of each family of predictions in messages; that of COCO has several formats."""


@dataclass(frozen=True)
class EvaluationPaths:
    """The paths of the inputs of an evaluation.

    Attributes:
        predictions: a file or a directory.
        truth: the ground truth, a file or a directory.
        baselines: other predictions to compare with.
        images: a directory of images, or None; only pictures and the sizes of YOLO polygons need it.
    """

    predictions: Path
    truth: Path
    baselines: tuple[Path, ...] = ()
    images: Path | None = None

    @property
    def all(self) -> list[Path]:
        """All given paths."""
        return [self.predictions, self.truth, *self.baselines, *([self.images] if self.images else [])]


@dataclass(frozen=True)
class EvaluationInputs:
    """Matching inputs, ready to be measured.

    Attributes:
        paths: paths of the inputs.
        settings: how to measure, with the benchmark's limit on detections.
        sets: the opened inputs.
        evaluator: computes the metrics.
        pairs: the images with their items.
        problems: items that do not match and were left out.
        images: path of the image by the name of its pair; empty without images.
    """

    paths: EvaluationPaths
    settings: EvaluateSettings
    sets: Sets
    evaluator: Evaluator[Any, Any, Any]
    pairs: list[Pair]
    problems: list[Failure]
    images: Mapping[str, Path]

    @property
    def sentences(self) -> list[str]:
        """What each input was taken for."""
        sets, paths = self.sets, self.paths
        named = [(paths.predictions, sets.predictions), (paths.truth, sets.truth)]
        named += zip(paths.baselines, sets.baselines, strict=True)
        return [opened.reading.sentence(path) for path, opened in named]

    @property
    def settings_used(self) -> dict[str, Any]:
        """Name and effective value of every setting."""
        ratio = self.settings.band_ratio(self.evaluator.usual_ratio)
        used = asdict(self.settings) | {"workers": self.settings.worker_count, "dilation_ratio": ratio}
        return used | ({"label_set": self.evaluator.label_set} if self.evaluator.label_set else {})


def open_evaluation(
    paths: EvaluationPaths,
    settings: EvaluateSettings,
    options: ReadSettings = ReadSettings(),  # noqa: B008 - frozen
) -> EvaluationInputs:
    """Open and check everything that can be checked before measuring.

    Args:
        paths: the inputs.
        settings: what to measure and how; void labels are those of these settings.
        options: how to read the predictions and find images.

    Raises:
        BprError: an input is missing, of the wrong kind, or does not match the others.
    """
    ignored = settings.ignore_labels
    # Who names classes or void has label maps, even if their values look like those of masks.
    if ignored is None and settings.label_set is not None:
        ignored = (VOID,)
    options = replace(options, ignore_labels=None if ignored is None else frozenset(ignored))
    index = ImageIndex.scan(paths.images, options.image_pattern) if paths.images else None
    sizes = NoImages(index)
    predictions = open_without_images(paths.predictions, options, sizes)
    _check_settings(settings, predictions, paths.predictions)
    baselines = tuple(_open_baseline(path, predictions, options, sizes) for path in paths.baselines)
    truth = open_truth(paths.truth, predictions, options, ending_of(settings.label_set), sizes)
    sets = Sets(predictions, truth, baselines)
    pairs, problems = pair_sets(sets, settings.allow_missing)
    if settings.max_detections is None:
        settings = replace(settings, max_detections=LVIS_DETECTIONS if truth.is_federated else COCO_DETECTIONS)
    evaluator = EVALUATORS[predictions.family].of(sets, pairs, settings)
    images = _find_images(index, pairs, sets) if index else {}
    return EvaluationInputs(paths, settings, sets, evaluator, pairs, problems, images)


def _check_settings(settings: EvaluateSettings, predictions: PredictionSet, path: Path) -> None:
    """Check that no setting is given that has no effect on predictions of this family."""
    defaults = EvaluateSettings()
    special = frozenset().union(*(evaluator.applicable for evaluator in EVALUATORS.values()))
    for name in special - EVALUATORS[predictions.family].applicable:
        if getattr(settings, name) != getattr(defaults, name):
            nouns = [_NOUNS[family] for family, evaluator in EVALUATORS.items() if name in evaluator.applicable]
            option = "--ignore-label" if name == "ignore_labels" else f"--{name.replace('_', '-')}"
            raise BprError(
                f"{option} applies to {join_names(nouns, limit=len(nouns))}, but {path} holds "
                f"{predictions.noun}; leave it out, or give another --format"
            )


def _open_baseline(path: Path, predictions: PredictionSet, options: ReadSettings, sizes: NoImages) -> PredictionSet:
    """Open a baseline in the format of the predictions."""
    # Label maps with few labels look like masks, so their format is that of the predictions.
    if predictions.family in ("semantic", "binary"):
        return open_as(type(predictions), Source(path), sizes, options)
    return open_without_images(path, replace(options, task=None), sizes)


def _find_images(index: ImageIndex, pairs: Sequence[Pair], sets: Sets) -> dict[str, Path]:
    """The image of every pair that has one; a single image belongs to a single pair, whatever their names."""
    index.leave_out(file for side in (sets.truth, *sets.scored) for file in side.all_files())
    if index.lone and len(pairs) == 1:
        return {pairs[0].name: index.lone}
    found = {}
    for pair in pairs:
        names = [str(item.image) for item in (pair.truth, pair.prediction) if item]
        with suppress(BprError):
            found[pair.name] = index.find([pair.name, *names])
    if not found:
        where = index.lone or index.root
        raise BprError(
            f"{where} holds none of the {len(pairs)} images that are measured, such as {pairs[0].name}; check --images"
        )
    return found
