"""Extraction of one image: match masks, place boxes along them, and crop and encode patches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappush, heapreplace

import cv2
import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure
from bpr_cli.formats.images import read_image
from bpr_cli.masks.masks import Mask, check_size
from bpr_cli.patches.boxes import boundary_pixels, boxes_along
from bpr_cli.patches.crop import crop_mask, padding_around, reflected_range, resize
from bpr_cli.patchset.layout import SourceCounts
from bpr_cli.patchset.matching import AnnotatedMask, ImageMasks, MatchedMask, match_masks, void_for
from bpr_cli.patchset.record import VOID, PatchSample, encode_sample
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.simulate import simulate
from bpr_cli.patchset.sources import OpenSource, SourceImage
from bpr_cli.patchset.store import PatchOrigin
from bpr_cli.patchset.whole import encode_whole
from bpr_cli.typing import Box, ByteArray

KEY_LIMIT = 2**64
_ATTEMPTS = 5


class ReservoirSample:
    """The ``count`` smallest of all offered keys, or all of them if ``count`` is None.

    With random keys, this is a uniform sample without replacement that does not depend on their order.
    """

    def __init__(self, count: int | None) -> None:
        self._count = count
        self._smallest: list[int] = []

    @property
    def limit(self) -> int:
        """The largest key that can still be in the sample; it never rises."""
        full = self._count is not None and len(self._smallest) == self._count
        return -self._smallest[0] if full else KEY_LIMIT

    def offer(self, key: int) -> bool:
        """Add a key; returns whether it can be in the sample."""
        if self._count is None:
            return True
        if len(self._smallest) < self._count:
            heappush(self._smallest, -key)
            return True
        if key >= self.limit:
            return False
        heapreplace(self._smallest, -key)
        return True


def random_key(*parts: object) -> int:
    """A pseudo-random number below ``KEY_LIMIT`` that depends only on the parts, such as names."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class EncodedPatch:
    """A patch in the form in which the set stores it.

    Attributes:
        record: bytes from ``encode_sample`` or ``encode_whole``.
        origin: origin of the patch.
        key: random number for ``ReservoirSample``.
    """

    record: bytes
    origin: PatchOrigin
    key: int


@dataclass(frozen=True)
class ImageResult:
    """The result of one image.

    Attributes:
        source: number of its source.
        counts: counts of its masks and patches.
        patches: its patches.
        failure: the reason why it could not be used; then there are no patches.
    """

    source: int
    counts: SourceCounts
    patches: tuple[EncodedPatch, ...] = ()
    failure: Failure | None = None


def extract_image(
    source: OpenSource, image: SourceImage, settings: PatchSetSettings, sample: ReservoirSample
) -> ImageResult:
    """Read an image and its masks, match them, and crop and encode the patches.

    Args:
        source: source of the image.
        image: files of the image.
        settings: settings of the set.
        sample: sample of the set; patches that cannot be in it are not encoded.

    Returns:
        The result; it states a failure if a file cannot be used.
    """
    try:
        pixels = read_image(image.path, source.sets.truth.max_pixels, masks=image.size)
        truth, counts, matches = _read_matches(source, image, pixels, settings)
    except BprError as error:
        reason = str(error) if image.name in str(error) else f"{image.name}: {error}"
        return ImageResult(source.number, SourceCounts(failed=1), failure=Failure(image.name, reason))
    if settings.scheme == "image":
        record = encode_whole(pixels, truth, matches, settings.jpeg)
        origin = _origin(source, image, None, (0, 0, pixels.shape[1], pixels.shape[0]))
        key = random_key(settings.seed, source.number, image.prediction.name)
        return ImageResult(source.number, counts + SourceCounts(patches=1), (EncodedPatch(record, origin, key),))
    patches = []
    for place, matched in enumerate(matches):
        for box in boxes_of(matched.coarse.mask, settings):
            patch = crop_patch(pixels, matched, box, settings)
            useful = is_useful(patch, settings, source.has_maps)
            counts += SourceCounts(patches=1) if useful else SourceCounts(dropped=1)
            key = random_key(settings.seed, source.number, image.prediction.name, place, box)
            if useful and key <= sample.limit:
                origin = _origin(source, image, matched.coarse, box)
                patches.append(EncodedPatch(encode_sample(patch, settings.jpeg), origin, key))
    return ImageResult(source.number, counts, tuple(patches))


def _origin(source: OpenSource, image: SourceImage, coarse: AnnotatedMask | None, box: Box) -> PatchOrigin:
    image_id = source.sets.predictions.image_id(image.prediction)
    category, segment = (coarse.category, coarse.index) if coarse else (None, 0)
    return PatchOrigin(source.paths.name, image.prediction.name, image_id, category, box, segment)


def _read_matches(
    source: OpenSource, image: SourceImage, pixels: ByteArray, settings: PatchSetSettings
) -> tuple[ImageMasks, SourceCounts, list[MatchedMask]]:
    """The ground truth, the counts of coarse masks, and the coarse masks that match."""
    truth = source.read_truth(image)
    _check_sizes(image, pixels, truth)
    if source.paths.predictions is None:
        matches = list(simulate_matches(truth, image.name, settings))
        count = settings.simulate * sum(not mask.crowd for mask in truth.masks)
        return truth, SourceCounts(images=1, segments=count, matched=len(matches)), matches
    coarse = source.read_coarse(image)
    _check_sizes(image, pixels, coarse)
    matches = match_masks(coarse, truth, settings.min_iou)
    known = {mask.category for mask in truth.masks if not mask.crowd}
    no_truth = sum(not mask.region and mask.category not in known for mask in coarse.masks)
    counts = SourceCounts(images=1, segments=len(coarse.masks), matched=len(matches), no_truth=no_truth)
    return truth, counts, matches


def _check_sizes(image: SourceImage, pixels: ByteArray, masks: ImageMasks) -> None:
    try:
        for size in {each.mask.size for each in masks.masks}:
            check_size(size, (pixels.shape[0], pixels.shape[1]))
    except BprError as error:
        raise BprError(f"the masks of {image.name} do not fit {image.path}: {error}") from error


def simulate_matches(truth: ImageMasks, name: str, settings: PatchSetSettings) -> Iterator[MatchedMask]:
    """Coarse masks simulated from the ground truth, ``settings.simulate`` of each mask.

    Like predicted masks, they must exceed the IoU ``settings.min_iou``; after several failed attempts, a mask is
    skipped.

    Args:
        truth: ground truth of an image.
        name: name of the image. Random numbers depend only on it, the seed, and the position of the mask.
        settings: settings of the set.
    """
    for true in truth.masks:
        for copy in range(0 if true.crowd else settings.simulate):
            rng = np.random.default_rng(random_key(settings.seed, "simulate", name, true.index, copy))
            attempts = (simulate(true.mask, rng) for _ in range(_ATTEMPTS))
            mask = next((mask for mask in attempts if mask.iou(true.mask) > settings.min_iou), None)
            if mask is not None:
                coarse = AnnotatedMask(mask, true.index, true.category, region=true.region)
                yield MatchedMask(coarse, true.mask, void_for(truth, true.category))


def boxes_of(mask: Mask, settings: PatchSetSettings) -> list[Box]:
    """The boxes along a coarse mask, for all schemes except ``image``."""
    assert settings.scheme != "image"
    pixels = boundary_pixels(mask)
    boxes = boxes_along(mask, pixels, settings.scheme, settings.patch_size, settings.nms_threshold)
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes.tolist()]


def crop_patch(image: ByteArray, matched: MatchedMask, box: Box, settings: PatchSetSettings) -> PatchSample:
    """Crop one box with its context from the image, the coarse mask and the ground truth.

    Pixels outside of the image are filled by reflection. Boxes of the scheme ``instance`` are resized to
    ``patch_size`` with their context in proportion: images bilinearly, masks by nearest neighbor, both with half-pixel
    centers.

    Args:
        image: uint8, (H, W, 3), RGB.
        matched: coarse and true mask of the same image.
        box: square box without context.
        settings: settings of the set.
    """
    x0, y0, x1, y1 = box
    padding = padding_around(x1 - x0, settings.patch_size, settings.padding)
    rows = reflected_range(y0 - padding, y1 + padding, image.shape[0])
    columns = reflected_range(x0 - padding, x1 + padding, image.shape[1])
    coarse, true, void = (
        # INTER_NEAREST would sample at corners instead of centers.
        resize(crop_mask(mask, rows, columns), settings.side, cv2.INTER_NEAREST_EXACT)
        for mask in (matched.coarse.mask, matched.truth, matched.void)
    )
    truth = np.where(true == 1, 1, np.where(void == 1, VOID, 0)).astype(np.uint8)
    return PatchSample(resize(image[rows][:, columns], settings.side, cv2.INTER_LINEAR), coarse, truth)


def is_useful(patch: PatchSample, settings: PatchSetSettings, of_map: bool) -> bool:
    """Whether a network can learn anything from a patch.

    Args:
        patch: the patch.
        settings: settings of the set; ``keep_inferior`` is used.
        of_map: whether the patch comes from a semantic or panoptic map; patches of instances are never inferior.
    """
    inferior = of_map and not settings.keep_inferior and is_inferior(patch, settings.padding)
    return not inferior and bool((patch.truth != VOID).any())


def is_inferior(patch: PatchSample, padding: int) -> bool:
    """Whether the coarse mask has a single class inside the box, without its context and outermost pixels.

    The boundary then lies at the edge of the patch, because the box could not be centered at the border of the image.
    Such a patch teaches nothing about boundaries (paper, Sect. 3.3, Table 14).
    """
    inside = slice(padding + 1, -padding - 1)
    interior = patch.coarse[inside, inside]
    return bool(interior.all() or not interior.any())
