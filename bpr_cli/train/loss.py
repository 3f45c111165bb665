"""What is minimised: cross-entropy of every pixel, weighted by how much the pixel matters."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bpr_cli.train.patch_record import VOID
from bpr_cli.train.recipe import LossSettings


def patch_loss(logits: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Mean weighted cross-entropy over all pixels; void ones count as zero, not as missing (as in MMSegmentation).

    So the loss of a batch is the mean of the losses of its parts, however it is split over passes and processes.

    Args:
        logits: float, (P, 2, T, T): background and foreground.
        truth: uint8, (P, T, T): 0, 1 or ``VOID``.
        weights: float, (P, T, T); see ``pixel_weights``.
    """
    losses = F.cross_entropy(logits.float(), (truth == 1).long(), reduction="none")
    return (losses * weights).mean()


def pixel_weights(truth: Tensor, ring: int, settings: LossSettings) -> Tensor:
    """How much each pixel counts: 0 where void, else the product of the factors that apply to it.

    Args:
        truth: uint8, (P, T, T): 0, 1 or ``VOID``.
        ring: width of the context in pixels of the network's input.
        settings: the factors. A pixel is near the true boundary when foreground and background both lie within
            ``boundary_width`` of it (chessboard distance; it is itself one of them).

    Returns:
        float, (P, T, T).
    """
    weights = (truth != VOID).float()
    if settings.boundary_weight != 1:
        near = _near(truth == 1, settings.boundary_width) & _near(truth == 0, settings.boundary_width)
        weights = weights * (1 + (settings.boundary_weight - 1) * near)
    if ring:
        factor = weights.new_full(weights.shape[1:], settings.context_weight)
        factor[ring:-ring, ring:-ring] = 1
        weights = weights * factor
    return weights


def _near(pixels: Tensor, width: int) -> Tensor:
    """Dilation of bool (P, T, T) by a square of 2 ``width`` + 1 pixels."""
    return F.max_pool2d(pixels.float().unsqueeze(1), 2 * width + 1, stride=1, padding=width).squeeze(1) > 0
