"""The loss: weighted cross-entropy over pixels plus a soft Jaccard loss over patches."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bpr_cli.patchset.record import VOID
from bpr_cli.training.settings import LossSettings

SMOOTHING = 1.0
"""Pixels added to intersection and union, so that a few foreground pixels weigh less than a large object."""


def patch_loss(logits: Tensor, truth: Tensor, ring: int, settings: LossSettings) -> Tensor:
    """Mean loss of some patches; as a mean over patches, it can be computed in several passes and processes.

    Args:
        logits: float, (P, 2, T, T): background and foreground.
        truth: uint8, (P, T, T): 0, 1 or ``VOID``.
        ring: width of the context in pixels of the network's input.
        settings: factors of pixels and of the Jaccard loss.
    """
    loss = cross_entropy(logits, truth, pixel_weights(truth, ring, settings))
    return loss + settings.jaccard * jaccard_loss(logits, truth, ring) if settings.jaccard else loss


def cross_entropy(logits: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Mean weighted cross-entropy over all pixels; void pixels add zero but count, as in MMSegmentation.

    Args:
        logits: float, (P, 2, T, T): background and foreground.
        truth: uint8, (P, T, T): 0, 1 or ``VOID``.
        weights: float, (P, T, T); see ``pixel_weights``.
    """
    losses = F.cross_entropy(logits.float(), (truth == 1).long(), reduction="none")
    return (losses * weights).mean()


def jaccard_loss(logits: Tensor, truth: Tensor, ring: int) -> Tensor:
    """Mean of 1 - soft IoU over all patches (Rahman and Wang, ISVC 2016), which optimises the metric of refinement.

    Cross-entropy alone loses thin structures, whose few pixels weigh little in the sum. Void pixels and the context are
    ignored. Patches without foreground in the ground truth have a loss of zero.

    Args:
        logits: float, (P, 2, T, T): background and foreground.
        truth: uint8, (P, T, T): 0, 1 or ``VOID``.
        ring: width of the context in pixels of the network's input.
    """
    inside = (..., slice(ring, truth.shape[-2] - ring), slice(ring, truth.shape[-1] - ring))
    known = (truth[inside] != VOID).float()
    true = (truth[inside] == 1).float()
    found = logits[inside].float().softmax(1)[:, 1] * known
    shared = (found * true).sum((1, 2))
    either = found.sum((1, 2)) + true.sum((1, 2)) - shared
    lacking = 1 - (shared + SMOOTHING) / (either + SMOOTHING)
    return (lacking * true.any(2).any(1)).mean()


def pixel_weights(truth: Tensor, ring: int, settings: LossSettings) -> Tensor:
    """Weight of each pixel: 0 for void, else the product of the factors that apply.

    Args:
        truth: uint8, (P, T, T): 0, 1 or ``VOID``.
        ring: width of the context in pixels of the network's input.
        settings: the factors. A pixel is near the boundary if it has both foreground and background of the ground truth
            within ``boundary_width`` pixels (chessboard distance), itself included.

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
    """Dilate bool (P, T, T) by a square with a side of 2 x ``width`` + 1 pixels."""
    return F.max_pool2d(pixels.float().unsqueeze(1), 2 * width + 1, stride=1, padding=width).squeeze(1) > 0
