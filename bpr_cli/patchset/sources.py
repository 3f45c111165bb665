"""What patches are extracted from: predictions with their ground truth and images, opened and paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet, SegmentRecord
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.settings import Format, ReadSettings, Task
from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask, Size
from bpr_cli.patchset.matching import Segment, Segments
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.truth.label_sets import CITYSCAPES_VOID, check_labels, choose_label_set, ending_of
from bpr_cli.truth.open import open_truth, open_truth_alone, open_without_images
from bpr_cli.truth.pairs import Pair, Sets, match_sets

_SAMPLE = 8


@dataclass(frozen=True)
class SourceInput:
    """One source as the user gave it.

    Attributes:
        predictions: a file or a directory; None to simulate coarse masks from the ground truth.
        images: a directory, or one image.
        truth: the ground truth, a file or a directory.
    """

    predictions: Path | None
    images: Path
    truth: Path

    @property
    def name(self) -> str:
        """How the patch set calls it."""
        return str(self.predictions) if self.predictions else f"simulated from {self.truth}"

    @property
    def paths(self) -> list[Path]:
        """All that is read."""
        return [path for path in (self.predictions, self.images, self.truth) if path is not None]


@dataclass(frozen=True)
class Work:
    """One image of a source: what is known of it before it is read."""

    pair: Pair
    image: Path


@dataclass(frozen=True)
class Source:
    """An opened source.

    Attributes:
        given: what the user gave.
        sets: predictions and ground truth; the ground truth is both where coarse masks are simulated.
        works: the images that have all that is needed, in the order of the ground truth.
        failures: what cannot be used.
        void: labels of maps that are void beside those that their readers know.
        stuff: categories that are one region an image; None for all.
    """

    given: SourceInput
    sets: Sets
    works: list[Work]
    failures: list[Failure]
    void: frozenset[int]
    stuff: frozenset[int] | None

    @property
    def maps(self) -> bool:
        """Whether the coarse masks are those of semantic or panoptic maps, which fill the image."""
        return self.sets.predictions.task is not Task.INSTANCE

    def read_coarse(self, work: Work) -> Segments:
        """The predicted segments of an image.

        Raises:
            BprError: the file is broken.
        """
        if work.pair.prediction is None:
            raise TypeError(f"{work.pair.name} has no predictions to read")
        return self._read(self.sets.predictions, work.pair.prediction)

    def read_truth(self, work: Work) -> Segments:
        """The true segments of an image; none where a list of images names it and nothing else does.

        Raises:
            BprError: the file is broken.
        """
        if work.pair.truth is None:
            return Segments((), _nothing(work.pair.size or (0, 0)))
        return self._read(self.sets.truth, work.pair.truth)

    def _read(self, side: PredictionSet, item: Item) -> Segments:
        read = side.read(item)
        if isinstance(read, LabelMap):
            return self._of_map(side, item, read)
        records = [None] if side.family == "binary" else side.records(item)
        segments = [_of_mask(*numbered) for numbered in zip(read, range(len(read)), records, strict=True)]
        return Segments(tuple(segments), _nothing(read[0].size if read else (0, 0)))

    def _of_map(self, side: PredictionSet, item: Item, read: LabelMap) -> Segments:
        void = read.void | self.void
        segments = [
            Segment(Mask.from_array(read.labels == number), number, record.category, record.crowd, self._region(record))
            for number, record in side.map_records(item, read.labels).items()
            if number not in void
        ]
        return Segments(tuple(segments), Mask.from_array(np.isin(read.labels, list(void))))

    def _region(self, record: SegmentRecord) -> bool:
        return self.stuff is None or record.category in self.stuff


def _of_mask(mask: Mask, number: int, record: SegmentRecord | None) -> Segment:
    return Segment(mask, number, record.category, record.crowd) if record else Segment(mask, number)


def _nothing(size: Size) -> Mask:
    return Mask(size, EMPTY_BOX, np.zeros((0, 0), dtype=bool))


def with_simulated(given: Sequence[SourceInput]) -> list[SourceInput]:
    """The sources, and for all their ground truth a source of simulated masks."""
    simulated = [SourceInput(None, one.images, one.truth) for one in given]
    return list(dict.fromkeys([*given, *simulated]))


def open_sources(
    given: Sequence[SourceInput], settings: PatchSetSettings, form: Format | None = None, task: Task | None = None
) -> list[Source]:
    """Open the sources and check all that can be checked before anything is extracted.

    Args:
        given: the sources.
        settings: which labels are void.
        form: format of the predictions, or None to recognise it.
        task: the task they must have, or None.

    Raises:
        BprError: something is missing, of the wrong kind, or nothing of a source can be used.
    """
    options = ReadSettings(form, task)
    if settings.ignore_labels is not None:
        options = replace(options, ignore_labels=frozenset(settings.ignore_labels))
    return [_open(one, settings, options) for one in given]


def _open(given: SourceInput, settings: PatchSetSettings, options: ReadSettings) -> Source:
    index = ImageIndex.scan(given.images)
    ending = ending_of(settings.label_set)
    if given.predictions is None:
        truth = open_truth_alone(given.truth, options, ending)
        sets = Sets(truth, truth)
    else:
        predictions = open_without_images(given.predictions, options)
        sets = Sets(predictions, open_truth(given.truth, predictions, options, ending))
    pairing = match_sets(sets)
    works, failures = _find_images(pairing.pairs, index)
    failures = [*pairing.broken, *failures]
    if not works:
        raise BprError(failures[0].reason if failures else f"{given.name} and {given.truth} have no image in common")
    void = _void(sets, works, settings)
    return Source(given, sets, works, failures, void, _stuff(sets))


def _find_images(pairs: Sequence[Pair], index: ImageIndex) -> tuple[list[Work], list[Failure]]:
    """The images of all pairs that have a prediction."""
    works, failures = [], []
    predicted = [pair for pair in pairs if pair.prediction is not None]
    for pair in predicted:
        names = [pair.name, *(str(item.image) for item in (pair.truth, pair.prediction) if item)]
        try:
            lone = index.lone if len(predicted) == 1 else None
            works.append(Work(pair, lone or index.find(names)))
        except BprError as error:
            failures.append(Failure(pair.name, str(error)))
    return works, failures


def _void(sets: Sets, works: Sequence[Work], settings: PatchSetSettings) -> frozenset[int]:
    """The labels of the maps that are void beside those that their readers know."""
    if sets.truth.family == "cityscapes":
        return CITYSCAPES_VOID
    if sets.truth.family != "semantic":
        return frozenset()
    labels = choose_label_set(settings.label_set, settings.ignore_labels, sets.truth)
    check_labels(labels, sets.predictions, sets.truth, _readable(sets, works))
    return labels.ignore


def _readable(sets: Sets, works: Sequence[Work]) -> list[tuple[Item, Item]]:
    """Some images whose files can be read: broken ones are no reason to refuse the others."""
    found = []
    for work in works[:: max(1, len(works) // _SAMPLE)][:_SAMPLE]:
        prediction, truth = work.pair.prediction, work.pair.truth
        if prediction is None or truth is None:
            continue
        try:
            sets.predictions.read(prediction)
            sets.truth.read(truth)
        except BprError:
            continue
        found.append((prediction, truth))
    return found


def _stuff(sets: Sets) -> frozenset[int] | None:
    """The categories that are regions: all of label maps, and stuff of panoptic ones.

    Without a list of categories all are things.
    """
    if sets.truth.family == "semantic":
        return None
    categories = sets.truth.categories or sets.predictions.categories
    return frozenset(category.id for category in categories if category.thing is False)
