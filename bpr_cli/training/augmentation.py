"""Augmentation of training patches: crops at any magnification, coarse masks and composites.

``photometric`` changes the colours of images.

Every function depends only on its arguments, and draws its random numbers in a fixed order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bpr_cli.masks.masks import Mask
from bpr_cli.patches.crop import resize
from bpr_cli.patchset.record import VOID, PatchSample
from bpr_cli.patchset.simulate import simulate
from bpr_cli.training.photometric import vary_image
from bpr_cli.training.settings import CoarseSettings, GeometrySettings, Recipe, SetSampling
from bpr_cli.typing import BoolArray, ByteArray, FloatArray

SHRINKING = 0.4
"""Below this zoom, patches are averaged as they shrink, because bilinear interpolation would leave pixels out."""


def draw_zoom(settings: SetSampling, random: Random) -> float:
    """Sample a magnification."""
    left = random.random()
    for zoom, chance in settings.zooms:
        if left < chance:
            return zoom
        left -= chance
    return math.exp(random.uniform(*np.log(settings.zoom_range)))


@dataclass(frozen=True)
class View:
    """What a patch shows of an image.

    Attributes:
        place: x and y of its centre, in pixels of the image with half-pixel centres.
        zoom: magnification.
        angle: direction in the image of the patch's x axis, in radians from x to y.
    """

    place: tuple[float, float]
    zoom: float = 1.0
    angle: float = 0.0


def warped(plane: ByteArray, view: View, side: int, interpolation: int) -> ByteArray:
    """The view of a plane in ``side`` pixels; the image is continued by reflection."""
    if view.zoom < SHRINKING:
        size = max(side, round(side / view.zoom))
        averaging = cv2.INTER_AREA if interpolation == cv2.INTER_LINEAR else cv2.INTER_NEAREST_EXACT
        return resize(warped(plane, replace(view, zoom=1), size, interpolation), side, averaging)
    place = np.array(view.place)
    if view.zoom == 1:
        place = np.round(place - side / 2) + side / 2
    sine, cosine = math.sin(view.angle) / view.zoom, math.cos(view.angle) / view.zoom
    turn = np.array([[cosine, -sine], [sine, cosine]])
    first = place - 0.5 - turn.sum(axis=1) * (side - 1) / 2
    flags = interpolation | cv2.WARP_INVERSE_MAP
    matrix = np.column_stack([turn, first])
    found = cv2.warpAffine(plane, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return found.astype(np.uint8, copy=False)


Random = np.random.Generator
SamplePatch = Callable[[Random], PatchSample]
"""Returns a random patch of the training data."""

LARGEST_SHIFT = 3
LARGEST_ELEMENT = 5
WOBBLE_GRID = (8, 60)
WOBBLE_REACH = (0.5, 5)
"""Distance between control points in pixels, and range of the standard deviation of their displacements in pixels,
which is sampled on a logarithmic scale."""

FEATHER_RANGE = (0.5, 1.1)
"""Standard deviation in pixels of the Gaussian that blends the seam of a composite, similar to the blur of a lens."""

COLOUR_TRANSFER_RANGE = (0.2, 0.7)
"""Fraction by which the mean colour of a pasted foreground moves towards the mean colour of its new background."""


@dataclass(frozen=True)
class PatchSizes:
    """Sizes of training patches in pixels.

    Attributes:
        patch_size: side S of the box that is pasted back.
        padding: context around the box.
        input_size: side T of the network's input.
    """

    patch_size: int
    padding: int
    input_size: int

    @property
    def side(self) -> int:
        """Side of a patch with its context, in image pixels."""
        return self.patch_size + 2 * self.padding

    @property
    def ring(self) -> int:
        """Width of the context, in pixels of the network's input."""
        return round(self.padding * self.input_size / self.side)


@dataclass(frozen=True)
class Augmentation:
    """The random changes of a recipe that turn stored patches into network input."""

    recipe: Recipe
    sizes: PatchSizes

    def __call__(self, sample: PatchSample, sample_patch: SamplePatch, random: Random) -> PatchSample:
        """Vary a stored patch.

        Args:
            sample: the stored patch.
            sample_patch: function that returns another stored patch for a composite.
            random: random generator.

        Returns:
            A patch with a side of ``sizes.input_size`` pixels.
        """
        if random.random() < self.recipe.composite:
            sample = composite(sample, sample_patch(random), self.sizes, self.recipe.geometry, random)
        crop = vary_crop(sample, self.sizes.side, self.recipe.geometry, random)
        coarse = vary_coarse(crop.coarse, crop.truth, self.recipe.coarse, random)
        image = vary_image(crop.image, self.recipe.image, random)
        # Resizing comes last, as in refinement, so that enlarged masks show the same pixel steps.
        return resized(PatchSample(image, coarse, crop.truth), self.sizes.input_size)


def centre(sample: PatchSample, side: int) -> PatchSample:
    """Crop the central ``side`` pixels of a patch, which must not be smaller."""
    start = (sample.coarse.shape[0] - side) // 2
    inner = slice(start, start + side)
    return PatchSample(sample.image[inner, inner], sample.coarse[inner, inner], sample.truth[inner, inner])


def resized(sample: PatchSample, input_size: int) -> PatchSample:
    """Resize a patch to the network's input, with the same function as ``bpr refine``."""
    return PatchSample(
        resize(sample.image, input_size, cv2.INTER_LINEAR),
        resize(sample.coarse, input_size, cv2.INTER_NEAREST_EXACT),
        resize(sample.truth, input_size, cv2.INTER_NEAREST_EXACT),
    )


def vary_crop(sample: PatchSample, side: int, settings: GeometrySettings, random: Random) -> PatchSample:
    """Crop ``side`` pixels of a stored patch with random shift, zoom and flips.

    Zoom and shift stay within the stored pixels, so no pixels have to be invented.

    Args:
        sample: the stored patch, with a side of ``side`` pixels or more.
        side: side of the result in pixels.
        settings: chances and ranges.
        random: random generator.
    """
    stored = sample.coarse.shape[0]
    extent = float(side)
    if random.random() < settings.zoom:
        lowest, highest = np.log(settings.zoom_range)
        extent = min(side / math.exp(random.uniform(lowest, highest)), stored)
    reach = min((stored - extent) / 2, settings.shift)
    shift = random.uniform(-reach, reach, 2)
    if extent == side:
        x, y = shift.round().astype(int).tolist()
        middle = (stored - side) // 2
        crop = _window(sample, slice(middle + y, middle + y + side), slice(middle + x, middle + x + side))
    else:
        crop = _zoomed(_contiguous(sample), side, extent, (shift[0], shift[1]))
    return flipped(crop, settings, random)


def flipped(sample: PatchSample, settings: GeometrySettings, random: Random) -> PatchSample:
    """The patch, mirrored at random."""
    columns = slice(None, None, -1 if random.random() < settings.flip else 1)
    rows = slice(None, None, -1 if random.random() < settings.flip_vertical else 1)
    return _contiguous(_window(sample, rows, columns))


def _window(sample: PatchSample, rows: slice, columns: slice) -> PatchSample:
    return PatchSample(sample.image[rows, columns], sample.coarse[rows, columns], sample.truth[rows, columns])


def _contiguous(sample: PatchSample) -> PatchSample:
    """Copy a patch to contiguous memory, for functions that cannot read views."""
    return PatchSample(*(np.ascontiguousarray(plane) for plane in (sample.image, sample.coarse, sample.truth)))


def _zoomed(sample: PatchSample, side: int, extent: float, shift: tuple[float, float]) -> PatchSample:
    """Resample ``extent`` pixels of a stored patch to ``side`` pixels: image bilinearly, masks by nearest neighbour."""
    scale = extent / side
    # Centre of the first pixel, with half-pixel centres.
    x, y = ((sample.coarse.shape[0] - extent) / 2 + each + scale / 2 - 0.5 for each in shift)
    matrix = np.array([[scale, 0, x], [0, scale, y]])

    def warp(plane: ByteArray, interpolation: int) -> ByteArray:
        flags = interpolation | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(plane, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return warped.astype(np.uint8, copy=False)

    return PatchSample(
        warp(sample.image, cv2.INTER_LINEAR),
        warp(sample.coarse, cv2.INTER_NEAREST),
        warp(sample.truth, cv2.INTER_NEAREST),
    )


def vary_coarse(coarse: ByteArray, truth: ByteArray, settings: CoarseSettings, random: Random) -> ByteArray:
    """Change a coarse mask at random, as if another model had predicted it.

    Args:
        coarse: coarse mask, (E, E), 0 and 1.
        truth: ground truth, (E, E), 0, 1 and ``VOID``.
        settings: chances of the changes. A mask that is replaced by the ground truth gets no other changes.
        random: random generator.

    Returns:
        uint8, (E, E), 0 and 1.
    """
    if random.random() < settings.truth:
        return np.where(truth == VOID, coarse, truth)
    if random.random() < settings.shift:
        coarse = shifted(coarse, *random.integers(-LARGEST_SHIFT, LARGEST_SHIFT + 1, 2).tolist())
    if random.random() < settings.morph:
        coarse = morphed(coarse, random)
    if random.random() < settings.wobble:
        coarse = wobbled(coarse, random)
    return coarse


def shifted(coarse: ByteArray, x: int, y: int) -> ByteArray:
    """Move a mask right by ``x`` and down by ``y`` pixels, repeating its border."""
    height, width = coarse.shape
    rows = np.clip(np.arange(height) - y, 0, height - 1)
    columns = np.clip(np.arange(width) - x, 0, width - 1)
    return coarse[rows][:, columns]


def morphed(coarse: ByteArray, random: Random) -> ByteArray:
    """Erode or dilate a mask by one to two pixels; an element of even side also moves it by half a pixel."""
    side = int(random.integers(2, LARGEST_ELEMENT + 1))
    element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    change = cv2.erode if random.random() < 0.5 else cv2.dilate
    return np.asarray(change(coarse, element), dtype=np.uint8)


def wobbled(coarse: ByteArray, random: Random) -> ByteArray:
    """Distort a mask by a smooth random field of displacements."""
    height, width = coarse.shape
    points = 1 + max(1, round(max(height, width) / random.uniform(*WOBBLE_GRID)))
    reach = math.exp(random.uniform(*np.log(WOBBLE_REACH)))
    field = displacements((height, width), (points, points), reach, random)
    x = np.arange(width, dtype=np.float32) + field[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + field[..., 1]
    return np.asarray(cv2.remap(coarse, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)


def displacements(size: tuple[int, int], points: tuple[int, int], deviation: float, random: Random) -> FloatArray:
    """A smooth random field, float32, (H, W, 2), between a grid of points that move by ``deviation`` pixels."""
    moves = random.standard_normal((*points, 2), dtype=np.float32) * np.float32(deviation)
    return np.asarray(cv2.resize(moves, size[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def composite(
    sample: PatchSample, other: PatchSample, sizes: PatchSizes, geometry: GeometrySettings, random: Random
) -> PatchSample:
    """Compose two patches: an object in front of another background, or behind another object, with equal chance.

    In a composite, only the outline shows where an object ends, so the network cannot memorise surroundings. No model
    has predicted such scenes, so their coarse masks are simulated.

    Args:
        sample: the patch to refine. Its foreground stays the ground truth, except for occluded pixels.
        other: the other patch, with more or less context. It is first flipped, shifted and zoomed within its pixels.
        sizes: sizes of the patches, which determine the refined part.
        geometry: chances and ranges for changes of the other patch.
        random: random generator.

    Returns:
        A patch of the smaller of both sizes; ``sample`` if the composite has no boundary to refine.
    """
    side = min(len(sample.coarse), len(other.coarse))
    own, other = centre(sample, side), vary_crop(other, side, geometry, random)
    image, truth = composed((own.image, own.truth), (other.image, other.truth), random)
    coarse = simulate(Mask.from_array(truth == 1), random).to_array().astype(np.uint8)
    made = PatchSample(image, coarse, truth)
    box = centre(made, sizes.patch_size)
    refinable = (box.truth == 1).any() and box.coarse.any() and not box.coarse.all()
    return made if refinable else sample


def composed(
    own: tuple[ByteArray, ByteArray], other: tuple[ByteArray, ByteArray], random: Random
) -> tuple[ByteArray, ByteArray]:
    """Compose two scenes: the first one in front of the second one or behind it, with equal chance.

    Args:
        own: image, (E, E, 3), and ground truth, (E, E), of the object to refine.
        other: image and ground truth of another scene.
        random: random generator.
    """
    (image, truth), (other_image, other_truth) = own, other
    if random.random() < 0.5:
        # Pixels of the other scene are background in any case, even where its own truth is void.
        return pasted(image, truth == 1, other_image, random), (truth == 1).astype(np.uint8)
    visible = np.where(other_truth == 1, 0, truth).astype(np.uint8)
    return pasted(other_image, other_truth == 1, image, random), visible


def pasted(front: ByteArray, shape: BoolArray, behind: ByteArray, random: Random) -> ByteArray:
    """Paste pixels of one image over another one.

    Args:
        front: image to paste from, uint8, (E, E, 3).
        shape: pixels to paste, bool, (E, E).
        behind: image to paste onto, uint8, (E, E, 3). With a chance of one half, the pasted colours move towards its
            colours.
        random: random generator.
    """
    share = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), random.uniform(*FEATHER_RANGE))[..., None]
    pixels = front.astype(np.float32)
    transfer = random.uniform(*COLOUR_TRANSFER_RANGE)
    if random.random() < 0.5 and shape.any():
        pixels = np.clip(pixels + transfer * (behind.mean((0, 1)) - front[shape].mean(0)), 0, 255)
    return (pixels * share + behind * (1 - share)).astype(np.uint8)
