"""The refiner: one object that holds the networks and refines arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, overload

from numpy.typing import NDArray
from torch import Tensor

from bpr_cli.masks.values import HALF
from bpr_cli.refinement.arrays import ImageLike
from bpr_cli.refinement.cases import Case, Each, read_batch, refine_cases
from bpr_cli.refinement.details import MaskDetails
from bpr_cli.refinement.given import Given, GivenLabels, GivenMask, GivenMasks, joined
from bpr_cli.refinement.mask_kinds import Kind, MaskSettings
from bpr_cli.refinement.networks import RefinementNetworks

if TYPE_CHECKING:
    from typing_extensions import Unpack

One = TypeVar("One")
Stack = TypeVar("Stack", NDArray[Any], Tensor)
Progress = Callable[[int, int], object]
"""Called with the number of images that are done, and of all images."""


class Reading(TypedDict, total=False):
    """For type checkers: the keywords by which ``Refiner.refine`` and its kin read masks."""

    kind: Kind | None
    threshold: float
    soft: bool


class Refiner(RefinementNetworks):
    """Sharpens masks along their boundaries (Boundary Patch Refinement).

        refiner = Refiner()
        refined = refiner.refine(image, mask)

    Several threads may share a refiner. It can be copied and pickled, also into other processes; a copy loads its
    network onto the devices anew. It may stay open until the program ends; as a context manager, or by ``close``, it
    frees its memory before:

        with Refiner(weights="best", device="cuda:0") as refiner:
            refined = refiner.refine(image, mask)

    The logger ``bpr_cli`` tells at level INFO what is loaded, at level DEBUG what became of every image.

    Args:
        settings: how to refine; the defaults suit most uses.
        changes: settings by name, in place of those of ``settings``.

    Attributes:
        settings: the settings, with these changes.
        weights: the loaded network with its card and digest.
        passes: how each pass places and crops its patches.
        limits: how much a segment may change.

    Raises:
        BprError: the settings are no ``RefineSettings``, the weights cannot be used, or the device does not exist.
    """

    @overload
    def refine(
        self, image: ImageLike, mask: str | PathLike[str], *, return_details: Literal[True], **reading: Unpack[Reading]
    ) -> tuple[NDArray[Any], MaskDetails]: ...
    @overload
    def refine(
        self, image: ImageLike, mask: One, *, return_details: Literal[True], **reading: Unpack[Reading]
    ) -> tuple[One, MaskDetails]: ...
    @overload
    def refine(self, image: ImageLike, mask: str | PathLike[str], **reading: Unpack[Reading]) -> NDArray[Any]: ...
    @overload
    def refine(self, image: ImageLike, mask: One, **reading: Unpack[Reading]) -> One: ...

    def refine(
        self,
        image: ImageLike,
        mask: Any,
        *,
        kind: Kind | None = None,
        threshold: float = HALF,
        soft: bool = False,
        return_details: bool = False,
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
            return_details: whether to return ``MaskDetails`` too: the probability of every pixel, where the mask
                changed, and how sure the network is of it.

        Returns:
            The refined mask in the kind, shape and dtype of ``mask``, tensors on its device; an array for a path. In a
            mask, pixels that stay foreground keep their value, and new foreground gets the largest value of the mask.
            Without ``soft``, probabilities and logits become 0 and 1, or 0 and 255 or 65535 if their range is that.
            With ``return_details``, a tuple of the mask and its details.

        Raises:
            BprError: an argument is none of the above, or sizes differ; the message names the argument.
        """
        return self._refine(image, GivenMask.read(mask, "mask", MaskSettings(kind, threshold, soft, return_details)))

    @overload
    def refine_masks(  # type: ignore[overload-overlap]  # a stack can be iterated too
        self, image: ImageLike, masks: Stack, *, return_details: Literal[True], **reading: Unpack[Reading]
    ) -> tuple[Stack, list[MaskDetails]]: ...
    @overload
    def refine_masks(
        self, image: ImageLike, masks: Iterable[One], *, return_details: Literal[True], **reading: Unpack[Reading]
    ) -> tuple[list[One], list[MaskDetails]]: ...
    @overload
    def refine_masks(  # type: ignore[overload-overlap]  # a stack can be iterated too
        self, image: ImageLike, masks: Stack, **reading: Unpack[Reading]
    ) -> Stack: ...
    @overload
    def refine_masks(self, image: ImageLike, masks: Iterable[One], **reading: Unpack[Reading]) -> list[One]: ...

    def refine_masks(
        self,
        image: ImageLike,
        masks: Any,
        *,
        kind: Kind | None = None,
        threshold: float = HALF,
        soft: bool = False,
        return_details: bool = False,
    ) -> Any:
        """Refine several masks of one image independently; they may overlap.

        Args:
            image: as in ``refine``.
            masks: a list, tuple or generator of masks as in ``refine``, or an array or tensor of them, (N, H, W) or
                (N, 1, H, W). Each is read by itself.
            kind: as in ``refine``, for all masks.
            threshold: as in ``refine``, for all masks.
            soft: as in ``refine``, for all masks.
            return_details: whether to return a list of the details of each mask too.

        Returns:
            A stack for a stack, else a list; the kind of each mask is as in ``refine``. With ``return_details`` a tuple
            of these and the details.

        Raises:
            BprError: as in ``refine``; the message names the mask by its place, such as ``masks[2]``.
        """
        return self._refine(image, GivenMasks.read(masks, "masks", MaskSettings(kind, threshold, soft, return_details)))

    def refine_labels(self, image: ImageLike, labels: One, ignore: int | Iterable[int] = (255,)) -> One:
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
        refined: One = self._refine(image, GivenLabels.read(labels, "labels", ignore))
        return refined

    def refine_batch(
        self,
        images: Iterable[ImageLike],
        masks: Any,  # noqa: ANN401 - what ``each`` says
        *,
        each: Each = "mask",
        kind: Kind | None = None,
        threshold: float = HALF,
        soft: bool = False,
        return_details: bool = False,
        ignore: int | Iterable[int] = (255,),
        progress: Progress = lambda _done, _total: None,
    ) -> Any:  # noqa: ANN401 - see there
        """Refine a batch of images; the results are those of one image after the other, only sooner.

        Patches of several images go through the network together. All arguments are read before anything is refined,
        so give as many images as fit into memory; ``bpr_cli.refine`` refines directories of any size.

            >>> images = np.random.default_rng(0).integers(0, 256, (2, 60, 80, 3), np.uint8)
            >>> masks = np.zeros((2, 60, 80), bool)
            >>> masks[:, 20:40, 30:60] = True
            >>> refiner = bpr_cli.Refiner()
            >>> refiner.refine_batch(images, masks, progress=lambda done, total: print(f"{done} of {total}")).shape
            1 of 2
            2 of 2
            (2, 60, 80)

        Args:
            images: a list, a generator, or a stack (N, ...) of images as in ``refine``; they may differ in size.
            masks: as many of what ``each`` says, in a list, a generator or a stack.
            each: what is given for each image: ``"mask"``, one mask as in ``refine``; ``"masks"``, several as in
                ``refine_masks``; ``"labels"``, a label map as in ``refine_labels``.
            kind: as in ``refine``, for all masks, as the next three.
            threshold: as in ``refine``.
            soft: as in ``refine``.
            return_details: as in ``refine`` and ``refine_masks``; label maps have no details.
            ignore: as in ``refine_labels``, for label maps.
            progress: called in this thread after every image with the number of images done and of all.

        Returns:
            A stack for a stack, else a list of what the other methods return for each image.

        Raises:
            BprError: as in these methods; the message names the place, such as ``masks[2]``. Also if the numbers of
                images and masks differ, or label maps are given with what only masks have.
        """
        cases = read_batch(images, masks, each, MaskSettings(kind, threshold, soft, return_details), ignore)
        results: list[Any] = [None] * len(cases)
        for done, (number, refined) in enumerate(refine_cases(self, cases), start=1):
            results[number] = refined
            progress(done, len(cases))
        if not return_details:
            return joined(results, masks)
        return joined([mask for mask, _ in results], masks), [details for _, details in results]

    def _refine(self, image: ImageLike, given: Given[Any]) -> Any:  # noqa: ANN401 - the kind that was given
        [(_, refined)] = refine_cases(self, [Case.read(image, given)])
        return refined
