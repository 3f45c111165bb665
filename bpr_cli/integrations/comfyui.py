"""A node for ComfyUI: IMAGE and MASK in, MASK out.

ComfyUI loads it from a file in its folder ``custom_nodes`` with this line:

    from bpr_cli.integrations.comfyui import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
"""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from torch import Tensor

from bpr_cli.refinement.refiner import Refiner
from bpr_cli.weights.card import DEFAULT_WEIGHTS, shipped_weights


@cache
def _refiner(weights: str) -> Refiner:
    return Refiner(weights=weights)


class RefineMask:
    """Sharpens masks along their boundaries."""

    CATEGORY = "mask"
    FUNCTION = "refine"
    RETURN_TYPES = ("MASK",)
    DESCRIPTION: ClassVar[str] = "Sharpens masks along the boundaries that the image shows (Boundary Patch Refinement)."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, dict[str, tuple[object, ...]]]:  # noqa: N802 - as ComfyUI calls it
        """The inputs, with the choices and bounds of widgets."""
        weights = list(shipped_weights()), {"default": DEFAULT_WEIGHTS}
        threshold = "FLOAT", {"default": 0.5, "min": 0.01, "max": 0.99, "step": 0.01}
        return {"required": {"image": ("IMAGE",), "mask": ("MASK",), "weights": weights, "threshold": threshold}}

    def refine(self, image: Tensor, mask: Tensor, weights: str, threshold: float) -> tuple[Tensor]:
        """Refine a mask for every image.

        Args:
            image: float, (N, H, W, 3), 0..1.
            mask: float, (N, H, W) or one for all images, (1, H, W) or (H, W), 0..1.
            weights: name of shipped weights.
            threshold: values above it are foreground.

        Returns:
            Probabilities near the boundary, elsewhere the given values: float, (N, H, W).

        Raises:
            BprError: an image and its mask differ in size or number.
        """
        masks = mask[None] if mask.ndim == 2 else mask
        if len(masks) == 1:
            masks = masks.expand(len(image), -1, -1)
        refiner = _refiner(weights)
        return (refiner.refine_batch(image, masks, kind="probabilities", threshold=threshold, soft=True),)


NODE_CLASS_MAPPINGS = {"BprRefineMask": RefineMask}
NODE_DISPLAY_NAME_MAPPINGS = {"BprRefineMask": "Refine mask boundaries (bpr)"}
