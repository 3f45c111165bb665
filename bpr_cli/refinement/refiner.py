"""The refiner: one object that holds the network and refines arrays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.inference.predictor import Predictor
from bpr_cli.masks.masks import LabelMap, Mask
from bpr_cli.refinement.batches import fill_batches
from bpr_cli.refinement.image import ImagePass, Refined
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.settings import RefineSettings, passes_of
from bpr_cli.typing import BoolArray, ByteArray
from bpr_cli.weights.files import load_weights

Pixel = TypeVar("Pixel", bound=np.generic)


class Refiner:
    """Sharpens masks along their boundaries (Boundary Patch Refinement).

        refiner = Refiner()
        refined = refiner.refine(image, mask)

    Args:
        settings: how to refine; the defaults suit most uses.

    Attributes:
        settings: the given settings.
        weights: the loaded network with its card and digest.
        passes: how each pass places and crops its patches.
        limits: how much a segment may change.
        predictor: the network on its devices.

    Raises:
        BprError: the weights cannot be used, or the device does not exist.
    """

    def __init__(self, settings: RefineSettings = RefineSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.weights = load_weights(settings.weights)
        self.passes = passes_of(self.weights.card, settings)
        self.limits = Limits.of(settings, self.weights.card)
        self.predictor = Predictor(self.weights, settings, settings.flip)

    def refine(self, image: ByteArray, mask: NDArray[Pixel]) -> NDArray[Pixel]:
        """Refine one binary mask.

        Args:
            image: uint8, (H, W, 3), RGB.
            mask: (H, W), bool or numbers; non-zero pixels are foreground.

        Returns:
            The refined mask with the dtype of ``mask``. Pixels that stay foreground keep their value; new foreground
            pixels get the largest value of the mask.

        Raises:
            BprError: an array has the wrong shape or dtype, or sizes differ.
        """
        return self.refine_masks(image, [mask])[0]

    def refine_masks(self, image: ByteArray, masks: Sequence[NDArray[Pixel]]) -> list[NDArray[Pixel]]:
        """Refine several masks of one image independently; they may overlap. See ``refine``."""
        check_image(image)
        for mask in masks:
            check_plane(mask, "mask")
        refined = self._refine(image, tuple(Mask.from_array(mask) for mask in masks))
        return [like(mask.to_array(), original) for mask, original in zip(refined, masks, strict=True)]

    def refine_labels(
        self, image: ByteArray, labels: NDArray[Pixel], ignore: Collection[int] = (255,)
    ) -> NDArray[Pixel]:
        """Refine a label map: every label is refined as a mask, then each pixel takes the most confident label.

        Args:
            image: uint8, (H, W, 3), RGB.
            labels: (H, W), integers: classes of a semantic map, or segment ids of a panoptic map.
            ignore: labels that stay exactly as they are.

        Returns:
            The refined labels with the dtype of ``labels``.

        Raises:
            BprError: an array has the wrong shape or type, or sizes differ.
        """
        check_image(image)
        check_plane(labels, "label map")
        check_labels(labels)
        refined = self._refine(image, LabelMap(labels.astype(np.int32), frozenset(ignore)))
        return refined.labels.astype(labels.dtype)

    def _refine(self, image: ByteArray, prediction: Refined) -> Refined:
        """All passes over one image, one after the other."""
        refined: Refined = prediction
        current = ImagePass.begin(image, prediction, self.passes[0])
        for number, how in enumerate(self.passes):
            if number:
                current = current.next(refined, how)
            for batch in fill_batches([(None, current)], self.predictor.batch_size):
                batch.hand_out(self.predictor.predict(batch.crop(how.input_size)))
            refined = current.refine(self.limits).prediction
        return refined


def check_image(image: ByteArray) -> None:
    """Check that an array is an 8-bit RGB image."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise BprError(f"the image has shape {image.shape} and dtype {image.dtype}; expected (H, W, 3) and uint8, RGB")


def check_plane(array: NDArray[np.generic], name: str) -> None:
    """Check that an array holds one number per pixel."""
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biuf":
        raise BprError(f"the {name} has shape {array.shape} and dtype {array.dtype}; expected (H, W) and numbers")


def check_labels(labels: NDArray[np.generic]) -> None:
    """Check that labels are integers of at most 32 bits."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise BprError(f"the label map has dtype {labels.dtype}; expected integers")
    limits = np.iinfo(np.int32)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < limits.min or highest > limits.max:
        raise BprError(f"the label map holds labels from {lowest} to {highest}; expected 32-bit integers")


def like(mask: BoolArray, original: NDArray[Pixel]) -> NDArray[Pixel]:
    """The mask with the dtype and the foreground values of ``original``."""
    out = np.zeros_like(original)
    np.copyto(out, original, where=mask)
    joined = mask & (original == 0)
    if joined.any():
        out[joined] = original[original != 0].max()
    return out
