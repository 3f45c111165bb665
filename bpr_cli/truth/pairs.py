"""Pairs predictions with ground truth, image by image, before any mask is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.errors import BprError, join_names
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.formats.coco_json import plain_id
from bpr_cli.formats.image_names import image_stem, stems_of
from bpr_cli.masks.masks import in_pixels
from bpr_cli.typing import Size

_SHOWN = 3


@dataclass(frozen=True)
class Pair:
    """An image with its ground truth and its predictions.

    Attributes:
        name: name in messages and in the report.
        key: image id if the ground truth has ids, else the name; all keys of one set are of the same kind.
        size: (H, W), or None if it is unknown before decoding.
        truth: ground truth; None for an image without segments.
        prediction: prediction; None for an image without detections.
        baselines: the same for every baseline.
    """

    name: str
    key: int | str
    size: Size | None
    truth: Item | None
    prediction: Item | None
    baselines: tuple[Item | None, ...] = ()


@dataclass(frozen=True)
class Sets:
    """The opened inputs; there may be any number of baselines, also none."""

    predictions: PredictionSet
    truth: PredictionSet
    baselines: tuple[PredictionSet, ...] = ()

    @property
    def scored(self) -> list[PredictionSet]:
        """The predictions and the baselines."""
        return [self.predictions, *self.baselines]


class Missing(Failure):
    """A ground-truth image without a prediction or a baseline; nothing is broken."""


@dataclass(frozen=True)
class Pairing:
    """The pairs, and the items that do not match.

    Attributes:
        pairs: pairs in the order of the ground truth.
        broken: unusable items: broken records, and predictions without ground truth or of another size.
        missing: ground-truth images without a prediction, for formats with a prediction for every image.
    """

    pairs: list[Pair]
    broken: list[Failure]
    missing: list[Missing]


@dataclass(frozen=True)
class _Image:
    """A ground-truth image; ``called`` is a possible name of its files, ``name`` is the name in messages."""

    name: str
    called: Path
    key: int | str
    size: Size | None
    item: Item | None


def pair_sets(sets: Sets, allow_missing: bool) -> tuple[list[Pair], list[Failure]]:
    """Pair predictions and baseline with the ground truth, image by image.

    Returns:
        The pairs in the order of the ground truth, and the failures that were left out.

    Raises:
        BprError: an item does not match and ``allow_missing`` is False, or no item matches.
    """
    pairing = match_sets(sets)
    problems = [*pairing.broken, *pairing.missing]
    if problems and not allow_missing:
        raise BprError(_sentence([problem.reason for problem in problems]))
    if not pairing.pairs:
        raise BprError(
            _sentence([problem.reason for problem in problems]) if problems else "there is nothing to measure"
        )
    return pairing.pairs, problems


def match_sets(sets: Sets) -> Pairing:
    """Pair predictions and baseline with the ground truth, as far as they match.

    Raises:
        BprError: the format of the baseline differs from that of the predictions.
    """
    _check_kinds(sets)
    for scored in sets.scored:
        scored.take_image_records(sets.truth)
    images, broken = _truth_images(sets.truth)
    lost = _names_of(problem.name for problem in broken)
    sides = []
    for scored in sets.scored:
        side = _match(scored, sets.truth, images, lost)
        sides.append(side)
        broken += [*scored.failures, *side.problems]
    pairs, missing = _join(images, sides, sets)
    return Pairing(pairs, broken, missing)


def _sentence(reasons: Sequence[str]) -> str:
    """A message with the first problems and advice."""
    shown = "; ".join(reasons[:_SHOWN])
    more = f"; and {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
    count = f"{len(reasons)} images do not match: " if len(reasons) > 1 else ""
    return f"{count}{shown}{more}; correct this, or leave such images out with --allow-missing"


def _check_kinds(sets: Sets) -> None:
    """Refuse a baseline whose format differs from that of the predictions."""
    expected = sets.predictions.format
    for baseline in sets.baselines:
        if baseline.format != expected:
            raise BprError(
                f"the baseline has the format {baseline.format}, expected {expected} like the predictions; "
                "check --baseline, or use bpr convert"
            )


def _truth_images(truth: PredictionSet) -> tuple[list[_Image], list[Failure]]:
    """The ground-truth images: all in its image list, or else those with items."""
    problems = list(truth.failures)
    by_id = {plain_id(found): item for item in truth.items if (found := truth.image_id(item)) is not None}
    if truth.image_records:
        problems += _other_sizes(truth)
        broken = {plain_id(failure.name) for failure in problems}
        return [
            _Image(image.file_name, Path(image.file_name), image.id, image.size, by_id.get(plain_id(image.id)))
            for image in truth.image_records
            if plain_id(image.id) not in broken
        ], problems
    images = []
    for item in truth.items:
        image_id = truth.image_id(item)
        try:
            size = truth.size(item)
        except BprError as error:
            problems.append(Failure(item.name, str(error)))
            continue
        images.append(_Image(item.name, item.image, item.name if image_id is None else image_id, size, item))
    return images, problems


def _other_sizes(truth: PredictionSet) -> list[Failure]:
    """The images whose masks differ in size from the image list."""
    problems = []
    for item in truth.items:
        size, image_id = truth.size(item), truth.image_id(item)
        record = None if image_id is None else truth.image_record(image_id)
        if size and record and record.size not in (None, size):
            stated = f"{truth.file(item)}: the masks of image {item.name} are {in_pixels(size)}"
            problems.append(Failure(item.name, f"{stated}, expected {in_pixels(record.size)} as in its list of images"))
    return problems


@dataclass(frozen=True)
class _Side:
    """One set, matched with the ground-truth images.

    Attributes:
        items: items by the key of their image.
        broken: keys of the images whose predictions cannot be used; these are neither missing nor empty.
        problems: the reasons.
    """

    items: dict[int | str, Item]
    broken: set[int | str]
    problems: list[Failure]


def _match(scored: PredictionSet, truth: PredictionSet, images: Sequence[_Image], lost: set[str]) -> _Side:
    """Match the items of one set with images; items without an image or with a wrong size become problems.

    ``lost`` holds the names of the images whose ground truth is broken; their items are ignored.
    """
    image_of = _finder(scored, truth, images)
    side = _Side({}, _broken(scored.failures, images), [])
    for item in scored.items:
        image = None
        try:
            image = image_of(item)
            known = side.items.get(image.key)
            if known is not None:
                raise BprError(f"{_name(scored, item)} is for the image {image.name}, like {known.name}")
            _check_size(scored, item, truth, image)
            side.items[image.key] = item
        except BprError as error:
            if image is None and lost & _names_of([str(scored.image_id(item) or item.image)]):
                continue
            side.problems.append(Failure(item.name, str(error)))
            side.broken.update([image.key] if image else [])
    return side


def _names_of(given: Iterable[str]) -> set[str]:
    """Possible names of images from their ids and names, with and without endings."""
    names = {name for each in given for name in (each, Path(each).with_suffix("").as_posix())}
    return {plain_id(name) for name in names} | {image_stem(Path(name)) for name in names}


def _broken(failures: Iterable[Failure], images: Sequence[_Image]) -> set[int | str]:
    """Keys of the images that the failures refer to, found by their ids and names."""
    known = _names_of(failure.name for failure in failures)
    return {image.key for image in images if known & {plain_id(image.key), image_stem(image.called)}}


def _finder(scored: PredictionSet, truth: PredictionSet, images: Sequence[_Image]) -> Callable[[Item], _Image]:
    """Make a function that finds the ground-truth image of an item.

    If there is one prediction and one ground-truth image, they match whatever their names.
    """
    if len(images) == 1 and len(scored.items) == 1 and scored.image_id(scored.items[0]) is None:
        return lambda item: images[0]  # noqa: ARG005
    if _has_ids(truth) and _has_ids(scored):
        by_id = {plain_id(image.key): image for image in images}
        return lambda item: _by_id(scored, item, by_id, truth)
    names = _Names([image.called for image in images])
    return lambda item: images[names.find(item, scored, truth)]


def _has_ids(side: PredictionSet) -> bool:
    """Whether images are known by their ids rather than by their names."""
    return bool(side.image_records) or any(side.image_id(item) is not None for item in side.items[:1])


def _by_id(scored: PredictionSet, item: Item, known: dict[str, _Image], truth: PredictionSet) -> _Image:
    image_id = scored.image_id(item)
    image = known.get(plain_id(image_id)) if image_id is not None else None
    if image is None:
        examples = join_names((repr(image.key) for image in known.values()), limit=3)
        found = f"{_name(scored, item)} has no ground truth in {place_of(truth)}"
        raise BprError(f"{found}, expected one of its image ids ({examples})")
    return image


class _Names:
    """Index of images by their common stem, and by folder if the stem is not unique."""

    def __init__(self, names: Sequence[Path]) -> None:
        self._names = names
        self._whole: dict[str, list[int]] = {}
        self._stems: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            self._whole.setdefault(name.stem, []).append(number)
            self._stems.setdefault(image_stem(name), []).append(number)

    def find(self, item: Item, scored: PredictionSet, truth: PredictionSet) -> int:
        """Find the position of an item's image."""
        path = item.image
        matches = self._stems.get(image_stem(path), [])
        if len(matches) > 1:
            matches = next((self._whole[stem] for stem in stems_of(path.name) if stem in self._whole), matches)
        if len(matches) > 1:
            matches = [n for n in matches if self._names[n].parent == path.parent] or matches
        if len(matches) == 1:
            return matches[0]
        if not matches:
            raise BprError(
                f"{_name(scored, item)} has no ground truth called {stems_of(path.name)[-1]!r} in {place_of(truth)}"
            )
        several = join_names(self._names[n] for n in matches)
        raise BprError(f"{_name(scored, item)} matches several files of {place_of(truth)}: {several}")


def _check_size(scored: PredictionSet, item: Item, truth: PredictionSet, image: _Image) -> None:
    size = scored.size(item)
    if size is not None and image.size is not None and size != image.size:
        where = truth.file(image.item) if image.item else place_of(truth)
        found, expected = in_pixels(size), in_pixels(image.size)
        raise BprError(f"{_name(scored, item)} is {found}, expected {expected} like the ground truth {where}")


def _name(scored: PredictionSet, item: Item) -> str:
    """Name of an item in messages: its file, and its image if the file holds several."""
    return f"{scored.file(item)}" if scored.files(item) else f"{scored.file(item)}: image {scored.image_id(item)!r}"


def place_of(truth: PredictionSet) -> str:
    """The file or folder of a ground truth, for messages."""
    shared = truth.shared_files()
    return str(shared[0] if shared else truth.file(truth.items[0]).parent)


def _join(images: Sequence[_Image], sides: Sequence[_Side], sets: Sets) -> tuple[list[Pair], list[Missing]]:
    """Make one pair per image; images that the format may leave out have no detections."""
    pairs: list[Pair] = []
    missing: list[Missing] = []
    text = len({type(image.key) for image in images}) > 1
    for image in images:
        if any(image.key in side.broken for side in sides):
            continue
        items = [side.items.get(image.key) for side in sides]
        absent = [scored for scored, item in zip(sets.scored, items, strict=True) if item is None]
        if absent and not all(scored.omits_empty_images for scored in absent):
            missing.append(Missing(image.name, _absence(image, absent[0], sets)))
            continue
        key = str(image.key) if text else image.key
        pairs.append(Pair(_label(image, items), key, image.size, image.item, items[0], tuple(items[1:])))
    return pairs, missing


def _label(image: _Image, items: Iterable[Item | None]) -> str:
    """Name of a pair: that of the image, or the file of the prediction if items are files."""
    return next((item.name for item in items if item and Path(item.name).suffix), image.name)


def _absence(image: _Image, absent: PredictionSet, sets: Sets) -> str:
    role = "prediction" if absent is sets.predictions else "baseline"
    own = image.item is not None and sets.truth.files(image.item)
    where = own[0] if own else f"{place_of(sets.truth)}: image {image.name}"
    return f"{where} has no {role} in {_folder(absent)}"


def _folder(scored: PredictionSet) -> Path:
    shared = scored.shared_files()
    return shared[0] if shared else scored.file(scored.items[0]).parent


def task_name(predictions: PredictionSet) -> str:
    """The name of the task, or ``binary`` for binary masks."""
    return "binary" if predictions.family == "binary" else predictions.task.value
