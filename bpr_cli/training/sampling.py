"""Training patches sampled from whole images: at any zoom, with simulated coarse masks and composites of two scenes.

As for stored patches, the patch at a position of the training depends only on the seed and the position.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TypeVar

import cv2
import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.patches.boxes import boundary_pixels
from bpr_cli.patchset import simulate
from bpr_cli.patchset.image import boxes_of, crop_patch
from bpr_cli.patchset.matching import AnnotatedMask, MatchedMask
from bpr_cli.patchset.record import VOID, PatchSample
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.whole import StoredMask, WholeImage, decode_header, decode_whole
from bpr_cli.training.augmentation import (
    PatchSizes,
    Random,
    View,
    centre,
    composed,
    draw_zoom,
    flipped,
    resized,
    vary_coarse,
    warped,
)
from bpr_cli.training.data import AUGMENTING, CHOOSING, PatchSubset
from bpr_cli.training.photometric import vary_image
from bpr_cli.training.settings import ErrorSettings, Recipe, SamplingSettings, SetSampling
from bpr_cli.typing import BoolArray, ByteArray, FloatArray

Each = TypeVar("Each")

CACHE_BYTES = 2**30
"""Number of decoded images that a worker keeps. Sampling is uniform, so it keeps the first ones."""

ATTEMPTS = 100
"""Largest number of attempts to sample a useful patch: both classes in the coarse mask, and little void."""

ERROR_MARGIN = 32
"""Margin in pixels around a patch for the simulation of coarse masks, so that errors can enter from outside."""

PASTED_ZOOMS, PASTED_SHIFT = (0.5, 1.6), 70
"""Zoom range of the second scene in a composite, and its largest shift in pixels."""

WHOLE_SURROUNDINGS, WHOLE_SHIFT, LARGEST_WHOLE_ZOOM = (1.15, 2.2), 0.06, 3.0
"""A patch of a whole mask: its side and the standard deviation of its shift, in longer sides of the mask, and its
largest zoom."""

INTERIOR_MARGIN, MOST_VOID = 8, 0.6
"""Margin in pixels, and largest share of void. Inside the margin, a useful patch has both classes of the coarse mask
and no larger share of void."""


@dataclass(frozen=True)
class Scene:
    """A mask in its image, with the boundary pixels that patches lie on."""

    pixels: ByteArray
    pair: StoredMask

    def random_place(self, random: Random) -> tuple[float, float] | None:
        """X and y of a random boundary pixel: of the coarse mask, else of the true mask; None without a boundary."""
        found = boundary_pixels(self.pair.coarse or self.pair.truth)
        if not len(found):
            return None
        number = random.integers(len(found))
        return float(found.x[number]), float(found.y[number])

    def whole_view(self, side: int, random: Random) -> View | None:
        """The view of a patch that shows the whole mask with some of its surroundings; None if the mask is empty."""
        x0, y0, x1, y1 = (self.pair.coarse or self.pair.truth).box
        longer = max(x1 - x0, y1 - y0)
        if not longer:
            return None
        x, y = (np.array([x0 + x1, y0 + y1]) / 2 + random.normal(0, WHOLE_SHIFT, 2) * longer).tolist()
        return View((x, y), min(LARGEST_WHOLE_ZOOM, side / longer / random.uniform(*WHOLE_SURROUNDINGS)))

    def window(self, view: View, side: int) -> tuple[ByteArray, ByteArray]:
        """Image and ground truth in ``side`` pixels."""
        return (
            warped(self.pixels, view, side, cv2.INTER_LINEAR),
            warped(self.pair.truth_plane, view, side, cv2.INTER_NEAREST),
        )


class MaskPool:
    """The masks of a set of whole images, in groups that are sampled with equal chance.

    Attributes:
        settings: sampling settings of the set.
    """

    def __init__(self, subset: PatchSubset, settings: SetSampling) -> None:
        """Read the list of masks.

        Args:
            subset: records of whole images.
            settings: groups and chances of the set.

        Raises:
            BprError: a record is broken.
        """
        self.settings = settings
        self._subset = subset
        self._cache: dict[int, WholeImage] = {}
        self._cached = 0
        groups: tuple[dict[object, list[tuple[int, int]]], ...] = ({}, {})
        stems = [PurePath(item.name).stem for item in subset.patches.items]
        item_numbers = subset.patches.item_numbers
        for record in subset.places.tolist():
            stem = stems[item_numbers[record]]
            for number, (category, _, _, coarse) in enumerate(subset.patches.read(record, decode_header).pairs):
                group = {"image": stem, "video": stem.rpartition("_")[0] or stem, "category": category}[settings.groups]
                groups[coarse is None].setdefault(group, []).append((record, number))
        self.predicted, self.true = (list(each.values()) for each in groups)

    def scene(self, place: tuple[int, int]) -> Scene:
        """The scene of a mask, given by the numbers of its image and mask."""
        record, number = place
        image = self.image(record)
        return Scene(image.pixels, image.header.pair(number))

    def image(self, record: int) -> WholeImage:
        """An image, by its number in the set."""
        image = self._cache.get(record)
        if image is None:
            image = self._subset.patches.read(record, decode_whole)
            if self._cached < CACHE_BYTES:
                self._cache[record] = image
                self._cached += image.pixels.nbytes
        return image


class ImageStream:
    """A ``SampleStream`` of patches sampled from whole images."""

    def __init__(self, subsets: Sequence[PatchSubset], recipe: Recipe, sizes: PatchSizes, seed: int) -> None:
        """Read the list of masks.

        Args:
            subsets: records of whole images, one subset per set.
            recipe: recipe with the settings of sampling and augmentation.
            sizes: sizes of the patches.
            seed: random seed.

        Raises:
            BprError: the recipe names a set that does not exist, or a record is broken.
        """
        if recipe.sampling is None:
            raise TypeError("the recipe does not sample from images")
        self._sampling, self._recipe, self._sizes, self._seed = recipe.sampling, recipe, sizes, seed
        names = [set_name(subset.patches.path) for subset in subsets]
        check_names(names, recipe.sampling)
        self._pools = {
            name: MaskPool(subset, recipe.sampling.sets.get(name, recipe.sampling.others))
            for name, subset in zip(names, subsets, strict=True)
        }
        self._chances = {name: pool.settings.chance for name, pool in self._pools.items()}

    def __getitem__(self, position: int) -> PatchSample:
        random = np.random.default_rng([self._seed, AUGMENTING, position])
        name = choice(self._chances, random)
        pool = self._pools[name]
        for _ in range(ATTEMPTS):
            simulated = bool(pool.true) and (random.random() < pool.settings.simulated or not pool.predicted)
            sample = self._sample(pool, simulated, random)
            if sample is not None and self._is_useful(sample):
                return self._varied(sample, simulated, random)
        raise BprError(
            f"none of {ATTEMPTS} patches sampled from the set {name} shows a boundary; check its coarse masks, or "
            "extract it again"
        )

    def _sample(self, pool: MaskPool, simulated: bool, random: Random) -> PatchSample | None:
        """Sample a patch of a random mask, before augmentation; None if the mask has no boundary."""
        if not (groups := pool.true if simulated else pool.predicted):
            return None
        group = any_of(groups, random)
        scene = pool.scene(any_of(group, random))
        side = self._sizes.side
        if (view := self._view(scene, pool.settings, random)) is None:
            return None
        if pool.settings.turned and random.random() < pool.settings.turned:
            view = replace(view, angle=random.uniform(0, 2 * np.pi))
        if scene.pair.coarse is not None:
            image, truth = scene.window(view, side)
            plane = scene.pair.coarse.to_array().view(np.uint8)
            return PatchSample(image, warped(plane, view, side, cv2.INTER_NEAREST), truth)
        image, truth = scene.window(view, side + 2 * ERROR_MARGIN)
        if random.random() < pool.settings.composite:
            image, truth = self._composed((image, truth), pool, group, random)
        coarse = self._simulated(truth == 1, pool.settings, random)
        return centre(PatchSample(image, coarse, truth), side)

    def _simulated(self, truth: BoolArray, settings: SetSampling, random: Random) -> ByteArray:
        """Simulate a coarse mask: that of a coarse model, or one that is right or nearly right."""
        right = settings.exact + settings.near + settings.parts
        kind = random.random() if right else 1
        if kind >= right:
            return simulated_mask(truth, self._sampling.errors, random)
        soft = truth.astype(np.float32)
        if kind >= settings.exact and (kind < settings.exact + settings.near or random.random() < 0.5):
            soft = simulate.near(soft, random)
        if kind >= settings.exact + settings.near:
            soft = simulate.blobs(soft, random)
        return (soft > 0.5).astype(np.uint8)

    def _view(self, scene: Scene, settings: SetSampling, random: Random) -> View | None:
        """The view of a patch, upright: near the boundary, or of the whole mask; None without a boundary."""
        if settings.whole and random.random() < settings.whole:
            return scene.whole_view(self._sizes.side, random)
        zoom = draw_zoom(settings, random)
        if (found := scene.random_place(random)) is None:
            return None
        reach = self._sampling.shift
        x, y = (random.integers(-reach, reach + 1, 2) / max(zoom, 0.5)).tolist()
        return View((found[0] + x, found[1] + y), zoom)

    def _composed(
        self, own: tuple[ByteArray, ByteArray], pool: MaskPool, group: Sequence[tuple[int, int]], random: Random
    ) -> tuple[ByteArray, ByteArray]:
        """Compose image and ground truth with another scene, unless it hides the object completely."""
        source = choice(pool.settings.paste_from, random)
        if source == "own":
            other = pool.scene(any_of(group, random))
        elif not self._pools[source].true:
            return own
        else:
            other = self._pools[source].scene(any_of(any_of(self._pools[source].true, random), random))
        if (found := other.random_place(random)) is None:
            return own
        zoom = math.exp(random.uniform(*np.log(PASTED_ZOOMS)))
        x, y = (random.integers(-PASTED_SHIFT, PASTED_SHIFT + 1, 2) / zoom).tolist()
        image, truth = other.window(View((found[0] + x, found[1] + y), zoom), len(own[1]))
        if random.random() < 0.5:
            image, truth = image[:, ::-1], truth[:, ::-1]
        made = composed(own, (image, truth), random)
        return made if (made[1] == 1).any() else own

    def _is_useful(self, sample: PatchSample) -> bool:
        inner = centre(sample, max(2, self._sizes.patch_size - 2 * INTERIOR_MARGIN))
        both = bool(inner.coarse.any()) and not inner.coarse.all()
        return both and float((inner.truth == VOID).mean()) <= MOST_VOID

    def _varied(self, sample: PatchSample, simulated: bool, random: Random) -> PatchSample:
        """Make the network's input: flip a patch, vary its coarse mask and image, and resize it."""
        changes = self._recipe.coarse
        if simulated:  # a simulated mask already has errors
            changes = replace(changes, shift=0, morph=0, wobble=0)
        sample = flipped(sample, self._recipe.geometry, random)
        coarse = vary_coarse(sample.coarse, sample.truth, changes, random)
        image = vary_image(sample.image, self._recipe.image, random)
        return resized(PatchSample(image, coarse, sample.truth), self._sizes.input_size)


def set_name(path: Path) -> str:
    """The name of a set in recipes, which is the name of its folder."""
    return path.resolve().name


def check_names(names: Sequence[str], sampling: SamplingSettings) -> None:
    """Check the names of the training sets against the recipe.

    Raises:
        BprError: two sets have the same name, or the recipe names a set that does not exist.
    """
    if len(set(names)) < len(names):
        raise BprError("two patch sets have the same folder name, by which recipes tell them apart; rename one")
    wanted = {*sampling.sets, *(each for one in sampling.sets.values() for each in one.paste_from if each != "own")}
    if missing := sorted(wanted - set(names)):
        raise BprError(
            f"the recipe samples from a set {missing[0]}, but the patch sets are {', '.join(names)}; give a folder of "
            "that name, or change the recipe"
        )


def choice(chances: Mapping[str, float], random: Random) -> str:
    """Choose a name at random, by the given weights."""
    weights = np.array(list(chances.values()))
    return str(random.choice(list(chances), p=weights / weights.sum()))


def any_of(items: Sequence[Each], random: Random) -> Each:
    """Choose an item at random, with equal chance."""
    return items[int(random.integers(len(items)))]


ERRORS: dict[str, Callable[[FloatArray, Random], FloatArray]] = {
    "blobs": simulate.blobs,
    "mask_head": simulate.mask_head,
    "low_resolution": simulate.low_resolution,
    "wobble": simulate.wobble,
    "thickness": simulate.thickness,
    "polygon": simulate.polygon,
}
"""The errors of ``ErrorSettings``, in the order of their application."""


def simulated_mask(truth: BoolArray, chances: ErrorSettings, random: Random) -> ByteArray:
    """Simulate a coarse mask, uint8, (E, E), 0 and 1, from a true mask, bool."""
    soft = truth.astype(np.float32)
    for name, error in ERRORS.items():
        if random.random() < getattr(chances, name) and soft.any():
            soft = error(soft, random)
    return (soft > 0.5).astype(np.uint8)


def validation_patches(subset: PatchSubset, sizes: PatchSizes, count: int, seed: int) -> list[PatchSample]:
    """Crop patches along the coarse masks of whole images, as ``bpr extract`` does.

    Args:
        subset: records of whole images.
        sizes: sizes of the patches.
        count: largest number of patches; if there are more, a uniform sample is taken.
        seed: seed of the sample.
    """
    settings = PatchSetSettings(patch_size=sizes.patch_size, padding=sizes.padding)
    places = []
    for record in subset.places.tolist():
        header = subset.patches.read(record, decode_header)
        for number in range(len(header.pairs)):
            if coarse := header.pair(number).coarse:
                places += [(record, number, box) for box in boxes_of(coarse, settings)]
    chosen = np.random.default_rng([seed, CHOOSING]).permutation(len(places))[:count]
    images: dict[int, WholeImage] = {}
    found = []
    for record, number, box in (places[each] for each in sorted(chosen.tolist())):
        if record not in images:  # places are in the order of records
            images = {record: subset.patches.read(record, decode_whole)}
        pair = images[record].header.pair(number)
        if pair.coarse is not None:
            matched = MatchedMask(AnnotatedMask(pair.coarse, number, pair.category), pair.truth, pair.void)
            found.append(crop_patch(images[record].pixels, matched, box, settings))
    return found
