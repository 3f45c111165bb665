"""Images in memory with what was given for them, refined together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bpr_cli.errors import LOGGER, BprError
from bpr_cli.masks.masks import LabelMap, Prediction, in_pixels
from bpr_cli.refinement.arrays import ImageLike, rgb_of
from bpr_cli.refinement.given import Given, GivenLabels, GivenMask, GivenMasks, parts_of
from bpr_cli.refinement.image import ImagePass, Step, fill_batches, steps_after_first
from bpr_cli.refinement.mask_kinds import MaskSettings
from bpr_cli.settings import checked
from bpr_cli.typing import ByteArray

if TYPE_CHECKING:
    from bpr_cli.inference.predictor import Predictor
    from bpr_cli.refinement.networks import RefinementNetworks

Each = Literal["mask", "masks", "labels"]
"""What is given for each image of a batch."""

Numbered = tuple[int, ImagePass]


@dataclass(frozen=True)
class Case:
    """An image, uint8, (H, W, 3), RGB, and what was given for it."""

    image: ByteArray
    given: Given[Any]

    @classmethod
    def read(cls, image: ImageLike, given: Given[Any], name: str = "image") -> Case:
        """Read the image, called ``name`` in messages.

        Raises:
            BprError: it cannot be read, or differs in size from what was given for it.
        """
        planes = given.planes
        rgb = rgb_of(image, planes[0].size if planes else None, name)
        given.check((rgb.shape[0], rgb.shape[1]))
        return cls(rgb, given)


def read_batch(images: object, masks: object, each: Each, how: MaskSettings, ignore: object) -> list[Case]:
    """Read the cases of ``Refiner.refine_batch``, which tells what may be given.

    Raises:
        BprError: something cannot be read, there are not as many masks as images, or label maps are given with what
            only masks have.
    """
    pictures, several = parts_of(images, "images", "several images"), parts_of(masks, "masks", "several masks")
    if len(pictures) != len(several):
        raise BprError(f"images holds {len(pictures)} and masks {len(several)}; expected as many masks as images")
    if checked("each", each, Each) == "labels" and how != MaskSettings():
        raise BprError('kind, threshold, soft and return_details are for masks; leave them out with each="labels"')

    def read(part: object, name: str) -> Given[Any]:
        if each == "labels":
            return GivenLabels.read(part, name, ignore)
        return (GivenMask if each == "mask" else GivenMasks).read(part, name, how)

    given = [read(part, f"masks[{index}]") for index, part in enumerate(several)]
    pairs = zip(pictures, given, strict=True)
    return [Case.read(picture, one, f"images[{index}]") for index, (picture, one) in enumerate(pairs)]


def refine_cases(networks: RefinementNetworks, cases: Iterable[Case]) -> Iterator[tuple[int, Any]]:
    """Refine images; their patches go through the network together.

    Yields:
        The number of an image, from 0, and what was given for it, refined; images without patches come first.
    """
    cases = list(cases)
    for number, image in passed(networks, [(case.image, case.given.prediction) for case in cases]):
        refined = image.refine(networks.limits)
        if LOGGER.isEnabledFor(logging.DEBUG):
            stats = image.stats(refined)
            size = in_pixels((image.image.shape[0], image.image.shape[1]))
            told = size, stats.segments, stats.patches, stats.changed, stats.kept_coarse
            LOGGER.debug("refined %s: %d segments, %d patches, %d pixels changed, %d segments kept coarse", *told)
        yield number, cases[number].given.back(refined.prediction)


def passed(networks: RefinementNetworks, pairs: Sequence[tuple[ByteArray, Prediction]]) -> Iterator[Numbered]:
    """Predict the patches of all passes over images, uint8, (H, W, 3), RGB, with their masks or label maps.

    Yields:
        The number of an image, from 0, and its last pass, ready to be pasted; images without patches come first.
    """
    passes = networks.passes_over(labels=all(isinstance(prediction, LabelMap) for _, prediction in pairs))
    begun = (ImagePass.begin(image, prediction, passes[0]) for image, prediction in pairs)
    images: Iterator[Numbered] = enumerate(begun)
    predictor = networks.predictor_of(passes[0])
    for step in steps_after_first(passes, networks.limits):
        images = _taken(step, _predicted(images, predictor))
        predictor = networks.predictor
    return _predicted(images, predictor)


def _predicted(images: Iterator[Numbered], predictor: Predictor) -> Iterator[Numbered]:
    """Send the patches of images through a network."""
    for batch in fill_batches(images, predictor.batch_size):
        if len(batch):
            batch.hand_out(predictor.predict(batch.crop(predictor.input_size)))
        yield from batch.completed


def _taken(step: Step, images: Iterator[Numbered]) -> Iterator[Numbered]:
    """Images after a step."""
    for number, image in images:
        yield number, step(image)
