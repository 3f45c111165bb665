"""Everything before measuring: inputs opened, recognised, paired and checked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError, join_names
from bpr_cli.evaluation.kinds.base import Kind
from bpr_cli.evaluation.kinds.binary import BinaryKind
from bpr_cli.evaluation.kinds.cityscapes import CityscapesKind
from bpr_cli.evaluation.kinds.coco import CocoKind
from bpr_cli.evaluation.kinds.panoptic import PanopticKind
from bpr_cli.evaluation.kinds.semantic import SemanticKind
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import CategoryRecord, Failure, PredictionSet
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.settings import Format, ReadSettings, Task
from bpr_cli.truth.label_sets import INSTANCE_TRAIN_IDS, check_labels, choose_label_set, ending_of
from bpr_cli.truth.open import open_truth, open_without_images
from bpr_cli.truth.pairs import Pair, Sets, pair_sets

_FORMS = {
    "labels": "label maps",
    "masks": "binary masks",
    "coco": "COCO results",
    "cityscapes": "Cityscapes results",
    "panoptic": "panoptic results",
}
"""What messages call the formats of predictions."""

_COUNTS_FOR = {
    "label_set": ("--label-set", ("labels",)),
    "ignore_labels": ("--ignore-label", ("labels",)),
    "max_detections": ("--max-detections", ("coco",)),
    "tolerance": ("--tolerance", ("labels", "masks", "coco", "cityscapes")),
    "dilation_ratio": ("--dilation-ratio", ("labels", "masks", "coco", "panoptic")),
}
"""The option and the formats of a setting that does not count for all."""

COCO_DETECTIONS, LVIS_DETECTIONS = 100, 300
"""Most predictions that count: of a category in an image for COCO, of an image for LVIS."""


@dataclass(frozen=True)
class Inputs:
    """What the user gave.

    Attributes:
        predictions: a file or a directory.
        truth: the ground truth, a file or a directory.
        baseline: other predictions to compare with, or None.
        images: a directory of images, for pictures only, or None.
        format: of the predictions, or None to recognise it.
        task: the kind of segmentation, or None to recognise it.
    """

    predictions: Path
    truth: Path
    baseline: Path | None = None
    images: Path | None = None
    format: Format | None = None
    task: Task | None = None

    @property
    def paths(self) -> list[Path]:
        """All that is read."""
        return [path for path in (self.predictions, self.truth, self.baseline, self.images) if path is not None]


@dataclass(frozen=True)
class Opened:
    """Inputs that fit together, ready to be measured.

    Attributes:
        inputs: what the user gave.
        settings: how to measure.
        sets: the opened inputs.
        kind: measures them.
        pairs: image by image.
        problems: what does not match and was left out.
        images: the image of every pair that has one, by the name of the pair; empty without images.
        label_set: name of the label set of label maps, else None.
    """

    inputs: Inputs
    settings: EvaluateSettings
    sets: Sets
    kind: Kind[Any, Any, Any]
    pairs: list[Pair]
    problems: list[Failure]
    images: dict[str, Path]
    label_set: str | None


def open_evaluation(inputs: Inputs, settings: EvaluateSettings) -> Opened:
    """Open and check everything that can be checked before measuring.

    Raises:
        BprError: something is missing, of the wrong kind, or does not match.
    """
    options = ReadSettings(inputs.format, inputs.task, ignore_labels=frozenset(settings.ignore_labels or ()))
    predictions = open_without_images(inputs.predictions, options)
    _check_settings(settings, predictions.format, inputs.predictions)
    baseline = _open_baseline(inputs, predictions, options)
    truth = open_truth(inputs.truth, predictions, options, ending_of(settings.label_set))
    sets = Sets(predictions, truth, baseline)
    pairs, problems = pair_sets(sets, settings.allow_missing)
    settings = _with_limit(settings, truth)
    kind, label_set = _kind(sets, pairs, settings)
    images = _find_images(inputs.images, pairs) if inputs.images else {}
    return Opened(inputs, settings, sets, kind, pairs, problems, images, label_set)


def _check_settings(settings: EvaluateSettings, form: str, predictions: Path) -> None:
    """Refuse settings that would change nothing for predictions of this format."""
    defaults = EvaluateSettings()
    for name, (option, known) in _COUNTS_FOR.items():
        if form not in known and getattr(settings, name) != getattr(defaults, name):
            counts = join_names((_FORMS[each] for each in known), limit=len(known))
            raise BprError(
                f"{option} counts for {counts}, but {predictions} holds {_FORMS[form]}; leave it out, or give another "
                "--format"
            )


def _find_images(folder: Path, pairs: Sequence[Pair]) -> dict[str, Path]:
    """The image of every pair that has one; a single image belongs to a single pair, whatever the two are called."""
    index = ImageIndex.scan(folder)
    if index.lone and len(pairs) == 1:
        return {pairs[0].name: index.lone}
    found = {}
    for pair in pairs:
        names = [str(item.image) for item in (pair.truth, pair.prediction) if item]
        with suppress(BprError):
            found[pair.name] = index.find([pair.name, *names])
    if not found:
        raise BprError(
            f"{folder} holds none of the {len(pairs)} images that are measured, such as {pairs[0].name}; check --images"
        )
    return found


def _with_limit(settings: EvaluateSettings, truth: PredictionSet) -> EvaluateSettings:
    """The settings with the limit on detections of the benchmark at hand, where none was asked for."""
    if settings.max_detections is not None:
        return settings
    federated = truth.is_federated
    return replace(settings, max_detections=LVIS_DETECTIONS if federated else COCO_DETECTIONS)


def _open_baseline(inputs: Inputs, predictions: PredictionSet, options: ReadSettings) -> PredictionSet | None:
    """The baseline, in the format of the predictions: it is their coarse form."""
    if inputs.baseline is None:
        return None
    forced = ReadSettings(options.format or _only_pngs(predictions), None, ignore_labels=options.ignore_labels)
    return open_without_images(inputs.baseline, forced)


def _only_pngs(predictions: PredictionSet) -> Format | None:
    """Label maps and masks look alike when a file holds few labels; other formats are told by their files."""
    known: dict[str, Format] = {"semantic": "labels", "binary": "masks"}
    return known.get(predictions.family)


def _kind(sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> tuple[Kind[Any, Any, Any], str | None]:
    """What measures the sets, and the name of the label set of label maps."""
    form = sets.predictions.format
    if form == "masks":
        return BinaryKind(settings), None
    if form == "labels":
        return _semantic(sets, pairs, settings)
    if form == "cityscapes":
        for scored in sets.scored:
            _check_instance_labels(scored)
        return CityscapesKind(settings), None
    categories = sets.truth.categories or _categories_without_names(sets)
    for scored in sets.scored:
        _check_categories(scored, sets.truth, categories, settings.allow_missing)
    if form == "panoptic":
        _check_things(categories, sets.truth)
    return (PanopticKind if form == "panoptic" else CocoKind)(settings, categories), None


def _semantic(sets: Sets, pairs: Sequence[Pair], settings: EvaluateSettings) -> tuple[SemanticKind, str]:
    labels = choose_label_set(settings.label_set, settings.ignore_labels, sets.truth)
    found = [(pair.prediction, pair.truth) for pair in pairs if pair.prediction and pair.truth]
    before = [(pair.baseline, pair.truth) for pair in pairs if pair.baseline and pair.truth]
    check_labels(labels, sets.predictions, sets.truth, found)
    if sets.baseline:
        check_labels(labels, sets.baseline, sets.truth, before)
    return SemanticKind(settings, labels), labels.name


def _categories_without_names(sets: Sets) -> tuple[CategoryRecord, ...]:
    """Categories where the ground truth lists none: those of its records, or the predictions' list."""
    if sets.predictions.categories:
        return sets.predictions.categories
    if sets.truth.format == "panoptic":
        raise BprError(
            f"{sets.truth.shared_files()[0]} has no categories, expected a list of id, name and isthing, which tells "
            "things from stuff"
        )
    used = {record.category for item in sets.truth.items for record in sets.truth.records(item)}
    return tuple(CategoryRecord(category, str(category)) for category in sorted(used))


def _check_things(categories: Sequence[CategoryRecord], truth: PredictionSet) -> None:
    """Things and stuff are told apart."""
    unknown = [category.id for category in categories if category.thing is None]
    if unknown:
        raise BprError(
            f"{truth.shared_files()[0]}: category {unknown[0]} has no isthing, expected 1 for things and 0 for stuff"
        )


def _check_instance_labels(scored: PredictionSet) -> None:
    """Refuse Cityscapes results with trainIds: taken for labelIds, none of their classes would be measured."""
    # In reverse, so that the first file with a label is named.
    used = {record.category: item for item in reversed(scored.items) for record in scored.records(item)}
    if used and used.keys() <= INSTANCE_TRAIN_IDS:
        raise BprError(
            f"{scored.file(used[min(used)])} holds the label {min(used)} and looks like trainIds (labels "
            f"{join_names(sorted(used), limit=6)}), expected labelIds such as 26 for car; convert the labels"
        )


def _check_categories(
    scored: PredictionSet, truth: PredictionSet, categories: Sequence[CategoryRecord], allow_missing: bool
) -> None:
    """Refuse predictions of categories that the ground truth does not know: their ids are those of another list."""
    known = {category.id for category in categories}
    for item in scored.items:
        unknown = sorted({record.category for record in scored.records(item)} - known)
        if unknown and not allow_missing:
            raise BprError(
                f"{scored.file(item)}: image {item.name} has the category {unknown[0]}, expected one of the "
                f"{len(known)} category ids of {truth.shared_files()[0]} ({join_names(sorted(known), limit=5)}); map "
                "the ids, or leave such predictions out with --allow-missing"
            )
