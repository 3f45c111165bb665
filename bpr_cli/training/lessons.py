"""What the judges of weights learn from: coarse masks and coarse label maps of every quality, with their truth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.patchset import simulate
from bpr_cli.patchset.store import PatchSet
from bpr_cli.patchset.whole import ImageHeader
from bpr_cli.training.augmentation import Random, displacements
from bpr_cli.training.data import PatchSubset
from bpr_cli.training.photometric import add_noise, compress, curve, exchanged, recolour
from bpr_cli.training.sampling import MaskPool, any_of
from bpr_cli.training.settings import SetSampling
from bpr_cli.typing import ByteArray, FloatArray, LabelArray

KINDS = ("predicted", "simulated", "nearly exact", "exact")
"""The coarse masks and maps that judges learn from, each as often: of models, simulated, nearly exact and exact."""

RIGHT = KINDS[2:]
"""Those that are right or nearly so."""


@dataclass(frozen=True)
class Lesson:
    """A coarse mask of a known object.

    Attributes:
        image: uint8, (H, W, 3), RGB.
        coarse: the coarse mask.
        truth: true mask, uint8, (H, W), 0, 1 and ``VOID``.
    """

    image: ByteArray
    coarse: Mask
    truth: ByteArray


@dataclass(frozen=True)
class MapLesson:
    """A coarse label map of a known scene.

    Attributes:
        image: uint8, (H, W, 3), RGB.
        coarse: the coarse map.
        truth: true labels, int32, (H, W), ``UNKNOWN`` where nobody knows them.
    """

    image: ByteArray
    coarse: LabelMap
    truth: LabelArray


UNKNOWN = -1
"""Label of pixels whose true label is unknown."""

STRANGENESS = 0.45
"""Chance of each change that makes an image strange: its size, direction, shape, colours and sharpness."""

LOG_ZOOM_RANGE, LOG_GAMMA_RANGE, BLURS, QUALITIES = (-0.7, 0.7), (-0.7, 0.7), (0.6, 2), (20, 60)
"""Ranges of these changes: logarithms of magnification and gamma, deviation of the blur in pixels, quality of JPEG."""

LARGEST_STRANGE = 4096
"""Longest side in pixels of a strange image; larger ones are shrunk, because OpenCV bends none of 32,767 pixels."""

BEND, BEND_DISTANCE = 6, 40
"""Deviation and distance in pixels of the points that move at random where an image is bent."""

LARGEST_MAP = 640
"""Longest side in pixels of a map to learn from; of larger ones a part is taken."""


def pool_of(patches: PatchSet) -> MaskPool:
    """The masks that lessons of a set are drawn from, with equal chance for every category.

    Raises:
        BprError: the set holds patches, or a record of it is broken.
    """
    if patches.settings.scheme != "image":
        raise BprError(
            f"the patch set {patches.path} holds patches, expected whole images to refine; extract it with --scheme "
            "image"
        )
    return MaskPool(PatchSubset.full(patches), SetSampling(groups="category"))


def draw_lessons(pool: MaskPool, kind: str, count: int, random: Random) -> Iterator[Lesson]:
    """Draw coarse masks of a kind, with equal chance for each group of the pool; none if the pool has no such kind."""
    groups = pool.predicted if kind == "predicted" else pool.true
    for _ in range(count if groups else 0):
        scene = pool.scene(any_of(any_of(groups, random), random))
        coarse = scene.pair.coarse or simulated(scene.pair.truth, kind, random)
        if coarse.area:
            yield Lesson(scene.pixels, coarse, scene.pair.truth_plane)


def strange(lesson: Lesson, random: Random) -> Lesson:
    """Change the image of a lesson, and the masks with it, until it looks like none that a network was trained on.

    A network hardly harms right masks of images that it knows. On strange ones it does, as on those of its users.
    """
    zooms, turns, bends, recolours, spoils = (random.random(5) < STRANGENESS).tolist()
    factor = math.exp(random.uniform(*LOG_ZOOM_RANGE)) if zooms else 1.0
    factor = min(factor, LARGEST_STRANGE / max(lesson.truth.shape))
    height, width = (max(round(side * factor), 1) for side in lesson.truth.shape)
    averaging = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    places = bent((height, width), random.uniform(0, 2 * np.pi) if turns else 0, BEND if bends else 0, random)
    image = taken(lesson.image, places, (averaging, cv2.INTER_LINEAR))
    if recolours:
        image = in_other_colours(image, random)
    if spoils:
        image = spoiled(image, random)
    nearest = (cv2.INTER_NEAREST_EXACT, cv2.INTER_NEAREST)
    coarse, truth = (taken(each, places, nearest) for each in (lesson.coarse.to_array().view(np.uint8), lesson.truth))
    return Lesson(image, Mask.from_array(coarse > 0), truth)


def bent(size: tuple[int, int], angle: float, deviation: float, random: Random) -> FloatArray:
    """Places, float32, (H, W, 2), x and y in pixels, that show an image turned about its centre and bent."""
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x - (width - 1) / 2, y - (height - 1) / 2
    turned = np.stack([x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)], axis=2)
    points = height // BEND_DISTANCE + 3, width // BEND_DISTANCE + 3
    centre = np.array([width - 1, height - 1], dtype=np.float32) / np.float32(2)
    places: FloatArray = turned + displacements(size, points, deviation, random) + centre
    return places


def taken(plane: ByteArray, places: FloatArray, interpolations: tuple[int, int]) -> ByteArray:
    """The pixels of a plane at places, (H, W, 2), after it was resized to (H, W); it is continued by reflection."""
    resized = cv2.resize(plane, places.shape[1::-1], interpolation=interpolations[0])
    found = cv2.remap(resized, places, None, interpolations[1], borderMode=cv2.BORDER_REFLECT_101)  # type: ignore[call-overload]
    return np.asarray(found, dtype=np.uint8)


def in_other_colours(image: ByteArray, random: Random) -> ByteArray:
    """Reorder red, green and blue, take the negative with a chance of one half, and change tone and saturation."""
    image = exchanged(image, 1, 0.5, random)
    return curve(recolour(image, random), math.exp(random.uniform(*LOG_GAMMA_RANGE)))


def spoiled(image: ByteArray, random: Random) -> ByteArray:
    """Blur an image, add noise, and compress it."""
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), random.uniform(*BLURS)), dtype=np.uint8)
    return compress(add_noise(blurred, random), int(random.integers(*QUALITIES)))


def simulated(truth: Mask, kind: str, random: Random) -> Mask:
    """A coarse mask of a kind, from the true one."""
    if kind == "exact" or not truth.area:
        return truth
    if kind == "simulated":
        return simulate.simulate(truth, random)
    soft = simulate.near(truth.to_array().astype(np.float32), random)
    if random.random() < 0.5:
        soft = simulate.blobs(soft, random)
    return Mask.from_array(soft > 0.5)


def draw_map_lessons(pool: MaskPool, kind: str, count: int, random: Random) -> Iterator[MapLesson]:
    """Draw coarse label maps of a kind, with equal chance for each image; none if the pool has no such kind."""
    groups = pool.predicted if kind == "predicted" else pool.true
    records = sorted({record for group in groups for record, _ in group})
    for _ in range(count if records else 0):
        image = pool.image(any_of(records, random))
        height, width = image.header.size
        top, left = (int(random.integers(max(side - LARGEST_MAP, 0) + 1)) for side in (height, width))
        window = np.s_[top : top + LARGEST_MAP, left : left + LARGEST_MAP]
        predicted, truth = (np.ascontiguousarray(plane[window]) for plane in painted(image.header))
        labels = predicted if kind == "predicted" else simulated_map(truth, kind, random)
        yield MapLesson(np.ascontiguousarray(image.pixels[window]), LabelMap(labels, frozenset({UNKNOWN})), truth)


def painted(header: ImageHeader) -> tuple[LabelArray, LabelArray]:
    """The predicted and the true masks of an image as label maps, int32, (H, W): 1, 2, ... for the masks, else 0.

    True labels are ``UNKNOWN`` where no mask lies and that of a class or of a crowd may.
    """
    predicted, truth = np.zeros((2, *header.size), dtype=np.int32)
    numbers = dict[int, int]()
    for place, (_, of_truth, _, _) in enumerate(header.pairs):
        label, pair = numbers.setdefault(of_truth, len(numbers) + 1), header.pair(place)
        truth[(truth <= 0) & pair.void.to_array()] = UNKNOWN
        truth[pair.truth.to_array()] = label
        if pair.coarse is not None:
            predicted[pair.coarse.to_array()] = label
    return predicted, truth


def simulated_map(truth: LabelArray, kind: str, random: Random) -> LabelArray:
    """A coarse map of a kind, from the true one; unknown pixels stay unknown, and no others are."""
    if kind == "exact":
        return truth
    made = simulate.simulate_labels(truth, random) if kind == "simulated" else simulate.near_labels(truth, random)
    unknown = truth == UNKNOWN
    return np.where(unknown | (made == UNKNOWN), truth, made)
