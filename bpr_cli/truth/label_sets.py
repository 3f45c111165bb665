"""Label sets: the classes of label maps, their names, and the void labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from cityscapesscripts.helpers.labels import labels as cityscapes_labels
from numpy.typing import NDArray

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.formats.coco_json import read_categories
from bpr_cli.formats.json_files import describe, read_json
from bpr_cli.masks.masks import LabelMap
from bpr_cli.system.paths import read_bytes
from bpr_cli.truth.open import LABEL_IDS, TRAIN_IDS
from bpr_cli.typing import LabelArray

LABEL_IDS_SET, TRAIN_IDS_SET = "labelIds", "trainIds"
VOID = 255
CITYSCAPES_VOID = frozenset(label.id for label in cityscapes_labels if label.ignoreInEval and label.id >= 0)
"""The labelIds of Cityscapes that are not evaluated."""
INSTANCE_TRAIN_IDS = frozenset(label.trainId for label in cityscapes_labels if label.hasInstances) - {VOID, -1}
"""The trainIds of Cityscapes classes with instances. As labelIds, the same numbers are classes without instances."""

_SAMPLE = 8


@dataclass(frozen=True)
class LabelSet:
    """The classes and void labels of label maps.

    Attributes:
        name: ``labelIds``, ``trainIds``, the path of a file of classes or categories, or ``as found``.
        names: names of the classes, by label; empty for an open set.
        ignore: void labels.
        open: whether every label that occurs and is not void is a class, named by its number.
    """

    name: str
    names: dict[int, str]
    ignore: frozenset[int]
    open: bool = False

    def of_labels(self, labels: Iterable[int]) -> LabelSet:
        """The set whose classes are the given labels that are not void, in ascending order; for an open set."""
        return replace(self, names={label: str(label) for label in sorted(set(labels) - self.ignore)})


def choose_label_set(name: str | None, ignore_labels: tuple[int, ...] | None, truth: PredictionSet) -> LabelSet:
    """Choose the label set that the user named, or else the one implied by the file names of the ground truth.

    Args:
        name: ``labelIds`` or ``trainIds`` of Cityscapes, the path of a file with one class name per line or of a JSON
            file with COCO categories, or None.
        ignore_labels: void labels in addition to those of the label set; None for 255.
        truth: the ground truth.

    Raises:
        BprError: ``name`` is neither a known label set nor a readable file of class names, or all classes are void.
    """
    wanted = name or _of_names(truth.items)
    given = frozenset(ignore_labels) if ignore_labels is not None else None
    if wanted == LABEL_IDS_SET:
        return _without(_label_ids(), given)
    if wanted == TRAIN_IDS_SET:
        return _without(_train_ids(), given)
    ignore = frozenset({VOID}) if given is None else given
    if wanted is not None:
        return _without(_of_file(Path(wanted)), ignore)
    return LabelSet("as found", {}, ignore, open=True)


def ending_of(label_set: str | None) -> str | None:
    """Ending of the files in a ``gtFine`` folder that use a label set."""
    return {LABEL_IDS_SET: LABEL_IDS, TRAIN_IDS_SET: TRAIN_IDS}.get(label_set or "")


def _of_names(items: Iterable[Item]) -> str | None:
    stems = {Path(item.name).stem for item in items}
    known = ((TRAIN_IDS, TRAIN_IDS_SET), (LABEL_IDS, LABEL_IDS_SET))
    return next((name for ending, name in known if all(stem.endswith(ending) for stem in stems)), None)


def _label_ids() -> LabelSet:
    classes = {label.id: label.name for label in cityscapes_labels if not label.ignoreInEval}
    return LabelSet(LABEL_IDS_SET, classes, CITYSCAPES_VOID | {VOID})


def _train_ids() -> LabelSet:
    classes = {label.trainId: label.name for label in cityscapes_labels if not label.ignoreInEval}
    return LabelSet(TRAIN_IDS_SET, classes, frozenset({VOID}))


def _of_file(path: Path) -> LabelSet:
    if not path.is_file():
        raise BprError(
            f"{path} is not a label set, expected {LABEL_IDS_SET}, {TRAIN_IDS_SET}, a file with one class name per "
            "line or a JSON file with categories"
        )
    return _of_categories(path) if path.suffix.lower() == ".json" else _of_lines(path)


def _of_categories(path: Path) -> LabelSet:
    """Read a label set from the categories of a COCO-like JSON file; labels are the category ids."""
    document = read_json(path)
    categories = read_categories(document, path)
    if not categories:
        raise BprError(f"{path} holds {describe(document)}, expected an object with a 'categories' list of id and name")
    return LabelSet(str(path), {category.id: category.name for category in categories}, frozenset())


def _of_lines(path: Path) -> LabelSet:
    """Read a label set with one class per line, for labels 0, 1, …; empty lines at the end are ignored."""
    try:
        lines = read_bytes(path).decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError as error:
        raise BprError(f"{path} is not a text file ({error}), expected one class name per line") from error
    names = {label: line.strip() for label, line in enumerate(lines)}
    empty = [label for label, name in names.items() if not name]
    if not names or empty:
        where = f"line {empty[0] + 1} is empty" if empty else "it is empty"
        raise BprError(f"{path} is not a list of classes: {where}, expected one class name per line")
    return LabelSet(str(path), names, frozenset())


def _without(labels: LabelSet, ignore: frozenset[int] | None) -> LabelSet:
    """Make more labels of a label set void; they are no longer classes."""
    every = labels.ignore | (ignore or frozenset())
    kept = {label: name for label, name in labels.names.items() if label not in every}
    if not kept:
        raise BprError(f"all classes of {labels.name} are ignored, expected at least one that is not")
    return replace(labels, names=kept, ignore=every)


def check_labels(labels: LabelSet, scored: PredictionSet, truth: PredictionSet, items: Sequence[ItemPair]) -> None:
    """Refuse predictions and ground truth with different label sets, judged by a sample of images.

    Args:
        labels: the label set.
        scored: predictions or baseline.
        truth: the ground truth.
        items: items of ``scored`` and ``truth``, image by image.

    Raises:
        BprError: a label is neither a class nor void, one side uses labelIds and the other trainIds, or the labels of
            one side are those of the other plus one.
    """
    samples = [_Sample(truth, true, scored, found) for found, true in items[:: max(1, len(items) // _SAMPLE)][:_SAMPLE]]
    if labels.name in (LABEL_IDS_SET, TRAIN_IDS_SET):
        _check_cityscapes(labels, truth, _labels_of((sample.true, sample.truth_item) for sample in samples))
        _check_cityscapes(labels, scored, _labels_of((sample.found, sample.item) for sample in samples))
        return
    if labels.open:
        _check_no_masks(samples, labels, scored, truth)
        _check_translation(samples, scored, truth)
    _check_shift(samples, labels, scored, truth)


ItemPair = tuple[Item, Item]
"""A prediction and its ground truth, as items."""


class _Sample:
    """Predicted and ground-truth label map of one image."""

    def __init__(self, truth: PredictionSet, truth_item: Item, scored: PredictionSet, item: Item) -> None:
        self.truth_item, self.item = truth_item, item
        self.true, self.found = _labels(truth, truth_item), _labels(scored, item)

    def agreement(self, table: NDArray[np.int32] | None = None) -> float:
        """Fraction of ground-truth pixels, without void, predicted correctly; ``table`` first maps the ground truth."""
        true = self.true if table is None else table[np.clip(self.true, 0, VOID)]
        known = (true != VOID) & (true >= 0)
        return float(np.mean(self.found[known] == true[known])) if known.any() else 0.0


def _labels(side: PredictionSet, item: Item) -> NDArray[np.int32]:
    read = side.read(item)
    if not isinstance(read, LabelMap):
        raise BprError(f"{side.file(item)} holds masks, expected a label map")
    return read.labels


def _labels_of(maps: Iterable[tuple[NDArray[np.int32], Item]]) -> dict[int, Item]:
    """The labels that occur, each with the first item that contains it."""
    found: dict[int, Item] = {}
    for labels, item in maps:
        for label in np.unique(labels).tolist():
            found.setdefault(label, item)
    return found


def _check_cityscapes(labels: LabelSet, side: PredictionSet, values: dict[int, Item]) -> None:
    found = looks_like(values)
    unknown = sorted(set(values) - set(labels.names) - labels.ignore)
    if not unknown and found in (None, labels.name):
        return
    # Name a label that is not a class of the expected set; a label of both sets would explain nothing.
    label = (
        unknown[0] if unknown else min((known for known in values if known not in labels.names), default=min(values))
    )
    looks = f" and looks like {found}" if found not in (None, labels.name) else ""
    raise BprError(
        f"{side.file(values[label])} holds the label {label}{looks} (labels {join_names(sorted(values), limit=6)}), "
        f"expected {labels.name}; convert the labels or give another --label-set"
    )


def _check_no_masks(samples: Sequence[_Sample], labels: LabelSet, scored: PredictionSet, truth: PredictionSet) -> None:
    """Refuse binary masks as ground truth for label maps, because their foreground 255 would be void."""
    true = _labels_of((sample.true, sample.truth_item) for sample in samples)
    found = _labels_of((sample.found, sample.item) for sample in samples)
    if VOID in labels.ignore and set(true) == {0, VOID} and not set(found) <= {0, VOID}:
        raise BprError(
            f"{truth.file(true[VOID])} holds the values 0 and {VOID} like a binary mask, expected a label map as "
            f"{scored.file(found[max(found)])} is (labels {join_names(sorted(found), limit=6)}); check --ground-truth, "
            "or give a --label-set"
        )


def _check_translation(samples: Sequence[_Sample], scored: PredictionSet, truth: PredictionSet) -> None:
    """Refuse predictions that agree far better with the ground truth after its labelIds are mapped to trainIds."""
    to_train = np.full(VOID + 1, VOID, dtype=np.int32)
    for label in cityscapes_labels:
        if label.id >= 0:
            to_train[label.id] = label.trainId
    for sample in samples:
        if looks_like(np.unique(sample.true).tolist()) != LABEL_IDS_SET:
            continue
        if sample.agreement(to_train) > max(0.3, 3 * sample.agreement()):
            raise BprError(
                f"{truth.file(sample.truth_item)} looks like {LABEL_IDS_SET} of Cityscapes, but "
                f"{scored.file(sample.item)} looks like {TRAIN_IDS_SET}, expected one label set; convert one of them"
            )


def _check_shift(samples: Sequence[_Sample], labels: LabelSet, scored: PredictionSet, truth: PredictionSet) -> None:
    """Refuse predictions that agree far better with the ground truth once 1 is added to them, or taken from them."""
    for sample in samples:
        known = ~np.isin(sample.true, list(labels.ignore))
        for step in (1, -1):
            agrees = known & (sample.found + step == sample.true)
            # Two classes must agree, because one class alone does so in maps of two labels that are swapped.
            several = len(np.unique(sample.true[agrees])) > 1
            if several and np.mean(agrees[known]) > max(0.3, 3 * np.mean((sample.found == sample.true)[known])):
                raise BprError(_shifted(scored.file(sample.item), truth.file(sample.truth_item), step))


def _shifted(found: Path, true: Path, step: int) -> str:
    side = "less" if step == 1 else "more"
    advice = (
        "mmsegmentation's reduce_zero_label makes such predictions; measure them with bpr evaluate --reduce-zero-label "
        "(0 in the ground truth is void, all other labels are lowered by one), or add 1 to the predictions"
        if step == 1
        else "subtract 1 from the predictions, or add 1 to the ground truth"
    )
    return f"{found} is shifted by one: its labels are one {side} than those of {true}; {advice}"


def reduce_zero_label(labels: LabelArray, ignore: frozenset[int]) -> LabelArray:
    """Number the labels of ground truth as mmsegmentation's ``reduce_zero_label`` does.

    >>> reduce_zero_label(np.array([[0, 1, 150, 255]], np.int32), frozenset({255})).tolist()
    [[255, 0, 149, 255]]

    Args:
        labels: label map, int32, (H, W).
        ignore: void labels, which stay as they are.

    Returns:
        int32, (H, W): ``VOID`` where the label was 0, all other labels one less.
    """
    lowered = np.where(labels == 0, VOID, labels - 1)
    return np.where(np.isin(labels, list(ignore)), labels, lowered).astype(np.int32)


def looks_like(values: Iterable[int]) -> str | None:
    """Guess the Cityscapes label set of some labels; None if it is ambiguous.

    Labels 19 to 33 indicate labelIds. If no label exceeds 18, labels that would be void as labelIds indicate trainIds.
    """
    labels = set(values) - {VOID}
    if not labels or max(labels) > 33:
        return None
    if max(labels) > 18:
        return LABEL_IDS_SET
    return TRAIN_IDS_SET if labels & {0, 1, 2, 5, 6} else None
