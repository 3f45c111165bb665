"""The patches of one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure
from bpr_cli.formats.images import read_image
from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.cutting import Image, boxes_of, cut_patch, is_useful
from bpr_cli.patchset.layout import SourceCounts
from bpr_cli.patchset.matching import Matched, Segment, Segments, iou, match, unknown
from bpr_cli.patchset.parts import EncodedPatch, ImageResult
from bpr_cli.patchset.record import encode_sample
from bpr_cli.patchset.reservoir import Draw, random_key
from bpr_cli.patchset.settings import PatchSetSettings
from bpr_cli.patchset.simulate import simulate
from bpr_cli.patchset.sources import Source, Work
from bpr_cli.patchset.store import PatchOrigin
from bpr_cli.refinement.image import check_size

_ATTEMPTS = 5


@dataclass(frozen=True)
class Job:
    """One image of one source; ``number`` is that of the source."""

    number: int
    source: Source
    work: Work


def extract_image(job: Job, settings: PatchSetSettings, draw: Draw) -> ImageResult:
    """Read an image and its masks, match them, and cut and encode the patches.

    Args:
        job: the image.
        settings: of the set.
        draw: patches that it will surely not draw are not encoded.

    Returns:
        The result; one with a failure if a file cannot be used.
    """
    try:
        image, coarse_masks, matches = _read(job, settings)
        return _cut(
            job, settings, draw, image, SourceCounts(images=1, segments=coarse_masks, matched=len(matches)), matches
        )
    except BprError as error:
        name = job.work.pair.name
        reason = str(error) if name in str(error) else f"{name}: {error}"
        return ImageResult(job.number, SourceCounts(failed=1), failure=Failure(name, reason))


def _read(job: Job, settings: PatchSetSettings) -> tuple[Image, int, list[Matched]]:
    """The image, the number of its coarse masks, and those with a true counterpart."""
    truth = job.source.read_truth(job.work)
    image = read_image(job.work.image)
    _check_sizes(job.work, image, truth)
    if job.source.given.predictions is None:
        objects = sum(not segment.crowd for segment in truth.segments)
        return image, objects * settings.simulate, list(simulated(truth, job.work.pair.name, settings))
    coarse = job.source.read_coarse(job.work)
    _check_sizes(job.work, image, coarse)
    return image, len(coarse.segments), match(coarse, truth, settings.min_iou)


def _check_sizes(work: Work, image: Image, segments: Segments) -> None:
    sizes = {segment.mask.size for segment in segments.segments}
    try:
        for size in sizes:
            check_size(size, (image.shape[0], image.shape[1]))
    except BprError as error:
        raise BprError(f"the masks of {work.pair.name} do not fit {work.image}: {error}") from error


def simulated(truth: Segments, name: str, settings: PatchSetSettings) -> Iterator[Matched]:
    """Coarse masks made from the true ones, ``settings.simulate`` of each.

    Like predicted masks they must have a higher IoU than ``settings.min_iou``; where several attempts do not reach it,
    there is none.

    Args:
        truth: the true segments of an image.
        name: of the image. Chance depends on it, the seed, and the place of the mask alone.
        settings: seed and numbers.
    """
    for segment in truth.segments:
        for copy in range(0 if segment.crowd else settings.simulate):
            rng = np.random.default_rng(random_key(settings.seed, "simulate", name, segment.index, copy))
            mask = _acceptable(segment.mask, settings.min_iou, rng)
            if mask is not None:
                coarse = Segment(mask, segment.index, segment.category, region=segment.region)
                yield Matched(coarse, segment.mask, unknown(truth, segment.category))


def _acceptable(truth: Mask, min_iou: float, rng: np.random.Generator) -> Mask | None:
    attempts = (simulate(truth, rng) for _ in range(_ATTEMPTS))
    return next((mask for mask in attempts if iou(mask, truth) > min_iou), None)


def _cut(
    job: Job, settings: PatchSetSettings, draw: Draw, image: Image, counts: SourceCounts, matches: list[Matched]
) -> ImageResult:
    sets, pair = job.source.sets, job.work.pair
    if pair.prediction is None:
        raise TypeError(f"{pair.name} has no prediction")
    image_id = sets.predictions.image_id(pair.prediction)
    patches = []
    for place, matched in enumerate(matches):
        for box in boxes_of(matched.coarse.mask, settings):
            sample = cut_patch(image, matched, box, settings)
            useful = is_useful(sample, settings, job.source.maps)
            counts += SourceCounts(patches=1) if useful else SourceCounts(dropped=1)
            key = random_key(settings.seed, job.number, pair.prediction.name, place, box)
            if useful and key <= draw.limit:
                segment = matched.coarse
                origin = PatchOrigin(
                    job.source.given.name, pair.prediction.name, image_id, segment.category, box, segment.index
                )
                patches.append(EncodedPatch(encode_sample(sample, settings.jpeg), origin, key))
    return ImageResult(job.number, counts, tuple(patches))
