"""The refiner: one object that holds the network and refines arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bpr_cli.inference.predictor import Predictor
from bpr_cli.masks.masks import LabelMap, Mask, check_size
from bpr_cli.masks.values import HALF
from bpr_cli.refinement.arrays import ImageLike, rgb_of
from bpr_cli.refinement.image import ImagePass, fill_batches
from bpr_cli.refinement.limits import Limits
from bpr_cli.refinement.mask_kinds import GivenMask, GivenMasks, Kind, MaskSettings, ignored_labels, labels_of
from bpr_cli.refinement.segments import Refined
from bpr_cli.refinement.settings import RefineSettings, passes_of
from bpr_cli.settings import check_settings
from bpr_cli.typing import ByteArray
from bpr_cli.weights.files import load_weights

Given = TypeVar("Given")
Stack = TypeVar("Stack", NDArray[Any], Tensor)


class Refiner:
    """Sharpens masks along their boundaries (Boundary Patch Refinement).

        refiner = Refiner()
        refined = refiner.refine(image, mask)

    Several threads may share a refiner. It can be copied and pickled, also into other processes; a copy loads its
    network onto the devices anew.

    Args:
        settings: how to refine; the defaults suit most uses.

    Attributes:
        settings: the given settings.
        weights: the loaded network with its card and digest.
        passes: how each pass places and crops its patches.
        limits: how much a segment may change.
        predictor: the network on its devices.

    Raises:
        BprError: the settings are no ``RefineSettings``, the weights cannot be used, or the device does not exist.
    """

    def __init__(self, settings: RefineSettings = RefineSettings()) -> None:  # noqa: B008 - frozen
        check_settings(settings, RefineSettings)
        self.settings = settings
        self.weights = load_weights(settings.weights)
        self.passes = passes_of(self.weights.card, settings)
        self.limits = Limits.of(settings, self.weights.card)
        self.predictor = Predictor(self.weights, settings, settings.flip)

    @overload
    def refine(
        self,
        image: ImageLike,
        mask: str | PathLike[str],
        *,
        kind: Kind | None = None,
        threshold: float = HALF,
        soft: bool = False,
    ) -> NDArray[Any]: ...

    @overload
    def refine(
        self, image: ImageLike, mask: Given, *, kind: Kind | None = None, threshold: float = HALF, soft: bool = False
    ) -> Given: ...

    def refine(
        self, image: ImageLike, mask: Any, *, kind: Kind | None = None, threshold: float = HALF, soft: bool = False
    ) -> Any:
        """Refine one mask.

            >>> image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
            >>> mask = np.zeros((60, 80), bool)
            >>> mask[20:40, 30:60] = True
            >>> refiner = bpr_cli.Refiner()
            >>> refined = refiner.refine(image, mask)
            >>> refined.dtype, refined.shape
            (dtype('bool'), (60, 80))

        The result has the kind that was given, here a tensor of logits with channels first, and a Pillow image:

            >>> logits = torch.where(torch.from_numpy(mask), 4.0, -4.0)[None]
            >>> tensor = refiner.refine(torch.from_numpy(image).permute(2, 0, 1), logits, kind="logits")
            >>> tensor.shape, tensor.dtype, tensor.unique().tolist()
            (torch.Size([1, 60, 80]), torch.float32, [0.0, 1.0])
            >>> refiner.refine(Image.fromarray(image), Image.fromarray(mask)).mode
            '1'

        Args:
            image: RGB or gray, of the size of the mask:

                - an array, a tensor on any device or a list: (H, W, 3), (3, H, W), (H, W), (H, W, 1), (1, H, W), or
                  with alpha, which is dropped, (H, W, 4) or (4, H, W). Integers are scaled from the smallest of 8, 10,
                  12, 14, 16 or 32 bits that holds the brightest pixel; floats from 0..1 if none is above 1, from
                  0..255 if the brightest is 2 or more.
                - a Pillow image of any mode, as it was opened: call ``ImageOps.exif_transpose`` before, where a camera
                  was turned.
                - a path, which is read as ``bpr refine`` reads it.
            mask: one value per pixel: an array, tensor or list, (H, W), (H, W, 1) or (1, H, W); a Pillow image; the
                path of a PNG file; or (H, W, 3) with equal channels, as OpenCV reads gray files.
            kind: what the values are:

                - ``"mask"``: every value but 0 is foreground.
                - ``"probabilities"``: from 0 to 1, or uint8 or uint16 of their full range.
                - ``"logits"``: of the foreground.
                - None: bool, or 0 and one other value, is a mask. Whole numbers that change gradually between 0 and 255
                  or 65535 are probabilities, with a warning. All else is refused.
            threshold: probability above which pixels are foreground, above 0 and below 1; for probabilities and logits.
            soft: whether to return probabilities: from 0 to 1 in floats, and of the full range of uint8 and uint16; no
                other types can hold them. Near the boundary they are those of the network, scaled so that its one half
                is the threshold; elsewhere those that were given.

        Returns:
            The refined mask in the kind, shape and dtype of ``mask``, tensors on its device; an array for a path. In a
            mask, pixels that stay foreground keep their value, and new foreground gets the largest value of the mask.
            Without ``soft``, probabilities and logits become 0 and 1, or 0 and 255 or 65535 if their range is that.

        Raises:
            BprError: an argument is none of the above, or sizes differ; the message names the argument.
        """
        given = GivenMask.read(mask, "mask", MaskSettings(kind, threshold, soft))
        return given.back(self._refine_masks(image, [given])[0])

    @overload
    def refine_masks(  # type: ignore[overload-overlap]  # a stack can be iterated too
        self, image: ImageLike, masks: Stack, *, kind: Kind | None = None, threshold: float = HALF, soft: bool = False
    ) -> Stack: ...

    @overload
    def refine_masks(
        self,
        image: ImageLike,
        masks: Iterable[Given],
        *,
        kind: Kind | None = None,
        threshold: float = HALF,
        soft: bool = False,
    ) -> list[Given]: ...

    def refine_masks(
        self, image: ImageLike, masks: Any, *, kind: Kind | None = None, threshold: float = HALF, soft: bool = False
    ) -> Any:
        """Refine several masks of one image independently; they may overlap.

        Args:
            image: as in ``refine``.
            masks: a list, tuple or generator of masks as in ``refine``, or an array or tensor of them, (N, H, W) or
                (N, 1, H, W). Each is read by itself.
            kind: as in ``refine``, for all masks.
            threshold: as in ``refine``, for all masks.
            soft: as in ``refine``, for all masks.

        Returns:
            A stack for a stack, else a list; the kind of each mask is as in ``refine``.

        Raises:
            BprError: as in ``refine``; the message names the mask by its place, such as ``masks[2]``.
        """
        given = GivenMasks.read(masks, MaskSettings(kind, threshold, soft))
        return given.back(self._refine_masks(image, given.masks))

    def refine_labels(self, image: ImageLike, labels: Given, ignore: int | Iterable[int] = (255,)) -> Given:
        """Refine a label map: every label is refined as a mask, then each pixel takes the most confident label.

        Args:
            image: as in ``refine``.
            labels: integers in any of the forms of a mask of ``refine``: classes of a semantic map, or segment ids of a
                panoptic map.
            ignore: one or several labels that stay exactly as they are.

        Returns:
            The refined labels in the kind, shape and dtype of ``labels``; an array for a path.

        Raises:
            BprError: as in ``refine``.
        """
        plane, void = labels_of(labels), ignored_labels(ignore)
        rgb = rgb_of(image, plane.size)
        check_size(plane.size, (rgb.shape[0], rgb.shape[1]), "labels")
        refined = self._refine(rgb, LabelMap(plane.values.astype(np.int32), void))
        back: Given = plane.back(refined.labels.astype(plane.values.dtype))
        return back

    def _refine_masks(self, image: ImageLike, given: Sequence[GivenMask]) -> tuple[Mask, ...]:
        rgb = rgb_of(image, given[0].mask.size if given else None)
        for each in given:
            check_size(each.mask.size, (rgb.shape[0], rgb.shape[1]), each.plane.name)
        return self._refine(rgb, tuple(each.mask for each in given))

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
