"""The refiner: one object that holds the network and refines arrays."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.inference.predictor import Predictor
from bpr_cli.masks.masks import LabelMap, Mask, Prediction
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.bounds import Bounds
from bpr_cli.refinement.image import CutImage, PastedImage, cut, paste
from bpr_cli.refinement.passes import passes_of
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.weights.files import load_weights

Pixel = TypeVar("Pixel", bound=np.generic)


class Refiner:
    """Sharpens masks along their boundaries (Boundary Patch Refinement).

        refiner = Refiner()
        refined = refiner.refine(image, mask)

    Args:
        settings: weights, device and the rest; the defaults suit most uses.

    Attributes:
        settings: what was given.
        weights: the loaded network with its card and digest.
        rounds: how the patches of each round are cut.
        core: how deep inside a mask the pixels lie that it keeps, see ``keep_core``.

    Raises:
        BprError: the weights cannot be used, or the device is not there.
    """

    def __init__(self, settings: RefineSettings = RefineSettings()) -> None:  # noqa: B008 - frozen
        self.settings = settings
        self.weights = load_weights(settings.weights)
        self.rounds = passes_of(self.weights.card, settings)
        self.core = self.weights.card.core if settings.core is None else settings.core
        self._bounds = Bounds(settings.max_area_change, settings.min_iou_with_coarse)
        self._predictor = Predictor(self.weights, settings, settings.flip)

    @property
    def devices(self) -> list[str]:
        """Names of the devices in use."""
        return [str(device) for device in self._predictor.devices]

    @property
    def backend(self) -> str:
        """Name of the program that runs the network."""
        return self._predictor.backend.name

    @property
    def packages(self) -> tuple[str, ...]:
        """Names of the packages that this program consists of."""
        return self._predictor.backend.packages

    @property
    def batch_size(self) -> int:
        """Patches that are best predicted together. See ``Predictor``."""
        return self._predictor.batch_size

    @property
    def pass_size(self) -> int:
        """Patches of one forward pass. See ``Predictor``."""
        return self._predictor.pass_size

    def refine(self, image: NDArray[np.uint8], mask: NDArray[Pixel]) -> NDArray[Pixel]:
        """Refine one binary mask.

        Args:
            image: uint8, (H, W, 3), RGB.
            mask: (H, W), bool or numbers; non-zero pixels are foreground.

        Returns:
            The refined mask with the dtype of ``mask``. Pixels that stay foreground keep their value, and those that
            join it get the largest value of the foreground.

        Raises:
            BprError: an array has the wrong shape or type, or sizes differ.
        """
        return self.refine_masks(image, [mask])[0]

    def refine_masks(self, image: NDArray[np.uint8], masks: Sequence[NDArray[Pixel]]) -> list[NDArray[Pixel]]:
        """Refine several masks of one image, each for itself; they may overlap. See ``refine``."""
        check_image(image)
        for mask in masks:
            check_plane(mask, "mask")
        refined = self._refine(image, tuple(Mask.from_array(mask) for mask in masks))
        if isinstance(refined, LabelMap):
            raise TypeError("masks were refined to a label map")
        return [like(mask.to_array(), original) for mask, original in zip(refined, masks, strict=True)]

    def refine_labels(
        self, image: NDArray[np.uint8], labels: NDArray[Pixel], ignore: Collection[int] = (255,)
    ) -> NDArray[Pixel]:
        """Refine a label map: every label is refined as a mask, then each pixel takes the most confident label.

        Args:
            image: uint8, (H, W, 3), RGB.
            labels: (H, W), integers: classes of a semantic map or segment ids of a panoptic one.
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
        if not isinstance(refined, LabelMap):
            raise TypeError("a label map was refined to masks")
        return refined.labels.astype(labels.dtype)

    def cut(self, image: NDArray[np.uint8], prediction: Prediction) -> CutImage:
        """First stage: patches along all boundaries. See ``stages.cut``."""
        return cut(image, prediction, self.rounds[0])

    def decide(self, patches: Patches) -> NDArray[np.uint8]:
        """Second stage: the network. See ``Predictor.predict``."""
        return self._predictor.predict(patches)

    def paste(self, cut_image: CutImage, probabilities: NDArray[np.uint8]) -> PastedImage:
        """Third stage: the refined prediction. See ``stages.paste``."""
        return paste(cut_image, probabilities, self._bounds, self.core)

    def cut_again(self, cut_image: CutImage, refined: Prediction, number: int) -> CutImage:
        """First stage of round ``number`` (0 is the first): patches of what the round before made of an image."""
        return cut(cut_image.image, refined, self.rounds[number], cut_image.origin)

    def _refine(self, image: NDArray[np.uint8], prediction: Prediction) -> Prediction:
        cut_image = self.cut(image, prediction)
        for number in range(1, len(self.rounds)):
            refined = self.paste(cut_image, self.decide(cut_image.patches)).prediction
            cut_image = self.cut_again(cut_image, refined, number)
        return self.paste(cut_image, self.decide(cut_image.patches)).prediction


def check_image(image: NDArray[np.uint8]) -> None:
    """Refuse what is not an RGB image of 8 bits."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise BprError(f"the image has shape {image.shape} and dtype {image.dtype}; expected (H, W, 3) and uint8, RGB")


def check_plane(array: NDArray[np.generic], name: str) -> None:
    """Refuse what has not one number a pixel."""
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "biuf":
        raise BprError(f"the {name} has shape {array.shape} and dtype {array.dtype}; expected (H, W) and numbers")


def check_labels(labels: NDArray[np.generic]) -> None:
    """Refuse labels that are no integers or too large for 32 bits."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise BprError(f"the label map has dtype {labels.dtype}; expected integers")
    limits = np.iinfo(np.int32)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < limits.min or highest > limits.max:
        raise BprError(f"the label map holds labels from {lowest} to {highest}; expected 32-bit integers")


def like(mask: NDArray[np.bool_], original: NDArray[Pixel]) -> NDArray[Pixel]:
    """The mask with the dtype and the foreground values of the original."""
    out = np.zeros_like(original)
    np.copyto(out, original, where=mask)
    joined = mask & (original == 0)
    if joined.any():
        out[joined] = original[original != 0].max()
    return out
