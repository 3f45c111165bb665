"""Sources of patches: predictions, opened and paired with their ground truth and images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.formats.image_lookup import ImageIndex
from bpr_cli.formats.reading import ReadSettings, Task
from bpr_cli.formats.records import SegmentRecord
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.patchset.matching import AnnotatedMask, ImageMasks
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.truth.label_sets import CITYSCAPES_VOID, check_labels, choose_label_set, ending_of
from bpr_cli.truth.open import open_truth, open_truth_alone, open_without_images
from bpr_cli.truth.pairs import Pair, Sets, match_sets
from bpr_cli.typing import Size

_SAMPLE = 8


@dataclass(frozen=True)
class SourcePaths:
    """One source as given by the user.

    Attributes:
        predictions: a file or a directory; None simulates coarse masks from the ground truth.
        images: a directory, or one image.
        truth: the ground truth, a file or a directory.
    """

    predictions: Path | None
    images: Path
    truth: Path

    @property
    def name(self) -> str:
        """Name of the source in the patch set."""
        return str(self.predictions) if self.predictions else f"simulated from {self.truth}"

    @property
    def paths(self) -> list[Path]:
        """All given paths."""
        return [path for path in (self.predictions, self.images, self.truth) if path is not None]


@dataclass(frozen=True)
class SourceImage:
    """One image of a source with its files, not yet read.

    Attributes:
        name: name of the image in messages.
        path: path of the image.
        prediction: item of its coarse masks; for a simulated source, of its ground truth.
        truth: item of its ground truth; None if only a list of images names it.
        size: (H, W) if known.
    """

    name: str
    path: Path
    prediction: Item
    truth: Item | None
    size: Size | None


@dataclass(frozen=True)
class OpenSource:
    """An opened source.

    Attributes:
        number: position among the sources.
        paths: paths as given by the user.
        sets: predictions and ground truth; both are the ground truth if coarse masks are simulated.
        images: complete images in the order of the ground truth.
        failures: images that cannot be used.
        void: void labels of maps in addition to those of the format.
        stuff: categories that are one region per image; None for all.
    """

    number: int
    paths: SourcePaths
    sets: Sets
    images: list[SourceImage]
    failures: list[Failure]
    void: frozenset[int]
    stuff: frozenset[int] | None

    @property
    def has_maps(self) -> bool:
        """Whether the coarse masks come from semantic or panoptic maps, which fill the image."""
        return self.sets.predictions.task is not Task.INSTANCE

    @property
    def sentences(self) -> list[str]:
        """What the predictions, if there are any, and the ground truth were taken for."""
        named = [(self.paths.predictions, self.sets.predictions), (self.paths.truth, self.sets.truth)]
        return [opened.reading.sentence(path) for path, opened in named if path]

    def files(self) -> Iterator[Path]:
        """All files to read, in a reproducible order."""
        sides = (self.sets.predictions, self.sets.truth)
        for side in sides:
            yield from side.shared_files()
        for image in self.images:
            yield image.path
            for side, item in zip(sides, (image.prediction, image.truth), strict=True):
                yield from side.files(item) if item else ()

    def faults(self) -> list[Failure]:
        """The records of both sides that could not be read so far; the others of their images are used."""
        sides = dict.fromkeys((self.sets.predictions, self.sets.truth))
        return [fault for side in sides for fault in side.faults()]

    def has_faults(self, image: SourceImage) -> bool:
        """Whether records of an image that was read cannot be read."""
        sides = ((self.sets.predictions, image.prediction), (self.sets.truth, image.truth))
        return any(item and side.faults(item) for side, item in sides)

    def read_coarse(self, image: SourceImage) -> ImageMasks:
        """The predicted masks of an image.

        Raises:
            BprError: the file is broken.
        """
        return self._read(self.sets.predictions, image.prediction)

    def read_truth(self, image: SourceImage) -> ImageMasks:
        """The ground truth of an image.

        Raises:
            BprError: the file is broken.
        """
        if image.truth is None:
            return ImageMasks((), Mask.empty(image.size or (0, 0)))
        return self._read(self.sets.truth, image.truth)

    def _read(self, side: PredictionSet, item: Item) -> ImageMasks:
        if side.family == "coco":
            return _image_masks(side.segments(item, "truth"))
        read = side.read(item)
        if isinstance(read, LabelMap):
            return self._masks_of_map(side, item, read)
        if side.family == "binary":
            masks = tuple(AnnotatedMask(mask, number) for number, mask in enumerate(read))
            return ImageMasks(masks, Mask.empty(read[0].size))
        return _image_masks(list(zip(read, side.records(item), strict=True)))

    def _masks_of_map(self, side: PredictionSet, item: Item, read: LabelMap) -> ImageMasks:
        void = read.void | self.void
        masks = []
        for number, record in side.map_records(item, read.labels).items():
            if number not in void:
                region = self.stuff is None or record.category in self.stuff
                mask = Mask.from_array(read.labels == number)
                masks.append(AnnotatedMask(mask, number, record.category, record.crowd, region))
        return ImageMasks(tuple(masks), Mask.from_array(np.isin(read.labels, list(void))))


def _image_masks(segments: Sequence[tuple[Mask, SegmentRecord]]) -> ImageMasks:
    """The masks of an image with their metadata; nothing is void."""
    masks = tuple(
        AnnotatedMask(mask, number, record.category, record.crowd) for number, (mask, record) in enumerate(segments)
    )
    return ImageMasks(masks, Mask.empty(masks[0].mask.size if masks else (0, 0)))


def pair_paths(
    predictions: Sequence[Path], images: Sequence[Path], truths: Sequence[Path], settings: PatchSetSettings
) -> list[SourcePaths]:
    """Combine predictions, images and ground truth to sources; without predictions, each ground truth is a source.

    Args:
        predictions: paths of the predictions; may be empty if coarse masks are simulated.
        images: one path for all predictions, or one for each.
        truths: paths of the ground truth, likewise.
        settings: settings of the set; ``simulate`` is used.

    Raises:
        BprError: the numbers of paths differ, or there are neither predictions nor simulated masks.
    """
    if not predictions and not settings.simulate:
        raise BprError(
            "there are no predictions; give some, or make coarse masks from the ground truth with --simulate"
        )
    named: Sequence[Path | None] = predictions or [None] * len(truths)
    columns = (named, _for_each(images, len(named), "images"), _for_each(truths, len(named), "ground truth"))
    return [SourcePaths(*paths) for paths in zip(*columns, strict=True)]


def _for_each(paths: Sequence[Path], count: int, what: str) -> Sequence[Path]:
    if len(paths) not in (1, count):
        raise BprError(f"{what}: {len(paths)} paths for {count} predictions; give one for all, or one for each")
    return list(paths) * count if len(paths) == 1 else paths


def with_simulated(given: Sequence[SourcePaths]) -> list[SourcePaths]:
    """The sources, and a source of simulated masks for each ground truth."""
    simulated = [SourcePaths(None, one.images, one.truth) for one in given]
    return list(dict.fromkeys([*given, *simulated]))


def open_sources(given: Sequence[SourcePaths], settings: PatchSetSettings, options: ReadSettings) -> list[OpenSource]:
    """Open the sources, and check everything that can be checked before reading images.

    Args:
        given: the sources.
        settings: settings of the set; the label set and void labels are used.
        options: how the predictions are read, except for their void labels.

    Raises:
        BprError: a file is missing or of the wrong kind, or a source has no usable image.
    """
    if settings.ignore_labels is not None:
        options = replace(options, ignore_labels=frozenset(settings.ignore_labels))
    elif settings.label_set is not None:
        options = replace(options, ignore_labels=options.void)
    return [_open(number, paths, settings, options) for number, paths in enumerate(given)]


def _open(number: int, paths: SourcePaths, settings: PatchSetSettings, options: ReadSettings) -> OpenSource:
    index = ImageIndex.scan(paths.images, options.image_pattern)
    ending = ending_of(settings.label_set)
    if paths.predictions is None:
        truth = open_truth_alone(paths.truth, options, ending)
        sets = Sets(truth, truth)
    else:
        predictions = open_without_images(paths.predictions, options)
        sets = Sets(predictions, open_truth(paths.truth, predictions, options, ending))
    pairing = match_sets(sets)
    index.leave_out(file for side in (sets.predictions, sets.truth) for file in side.all_files())
    images, failures = _find_images(pairing.pairs, index)
    failures = [*pairing.broken, *failures]
    if not images:
        nothing = f"{paths.name} holds no masks, expected those of images in {paths.truth}; check the path"
        raise BprError(failures[0].reason if failures else nothing)
    return OpenSource(number, paths, sets, images, failures, _void_labels(sets, images, settings), _stuff(sets))


def _find_images(pairs: Sequence[Pair], index: ImageIndex) -> tuple[list[SourceImage], list[Failure]]:
    """The images of all pairs with a prediction."""
    images, failures = [], []
    predicted = [(pair, pair.prediction) for pair in pairs if pair.prediction is not None]
    lone = index.lone if len(predicted) == 1 else None
    for pair, prediction in predicted:
        names = [pair.name, *(str(item.image) for item in (pair.truth, prediction) if item)]
        try:
            images.append(SourceImage(pair.name, lone or index.find(names), prediction, pair.truth, pair.size))
        except BprError as error:
            failures.append(Failure(pair.name, str(error)))
    return images, failures


def _void_labels(sets: Sets, images: Sequence[SourceImage], settings: PatchSetSettings) -> frozenset[int]:
    """The void labels of maps in addition to those of the format."""
    if sets.truth.family == "cityscapes":
        return CITYSCAPES_VOID
    if sets.truth.family != "semantic":
        return frozenset()
    labels = choose_label_set(settings.label_set, settings.ignore_labels, sets.truth)
    check_labels(labels, sets.predictions, sets.truth, _readable(sets, images))
    return labels.ignore


def _readable(sets: Sets, images: Sequence[SourceImage]) -> list[tuple[Item, Item]]:
    """Some images with readable files; broken files are skipped, because they do not affect other images."""
    found = []
    for image in images[:: max(1, len(images) // _SAMPLE)][:_SAMPLE]:
        if image.truth is None:
            continue
        try:
            sets.predictions.read(image.prediction)
            sets.truth.read(image.truth)
        except BprError:
            continue
        found.append((image.prediction, image.truth))
    return found


def _stuff(sets: Sets) -> frozenset[int] | None:
    """The categories that are regions: all categories of label maps, and stuff of panoptic maps.

    Without a list of categories, all categories of a panoptic map are things.
    """
    if sets.truth.family == "semantic":
        return None
    categories = sets.truth.categories or sets.predictions.categories
    return frozenset(category.id for category in categories if category.thing is False)
