"""Why a refinement moved almost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpr_cli.refinement.image import RefinementStats


STILL = 0.02
"""Mean boundary displacement in pixels below which a refinement has moved almost nothing."""

TINY = 64
"""Mean area of segments in pixels below which the network has little to see."""

SHALLOW = 0.05
"""Depth of the interior below which masks can hardly lose a pixel; see ``Limits.core``."""


def reason_for_stillness(stats: RefinementStats, core: float) -> str | None:
    """A sentence on a refinement that moved almost nothing, and why; None if boundaries moved.

    Args:
        stats: statistics over all images.
        core: depth of the interior that masks kept; see ``Limits``.
    """
    if not stats.segments:
        return "nothing was refined: the predictions hold no segments, or all pixels are void"
    if not stats.area:
        empty = "the mask is" if stats.segments == 1 else f"all {stats.segments} masks are"
        return f"nothing was refined: {empty} empty"
    if not stats.patches:
        return (
            "nothing was refined: no segment has a boundary inside its image; a mask or label that covers the entire "
            "image has none"
        )
    if stats.displacement >= STILL:
        return None
    moved = f"boundaries moved by {stats.displacement:.3f} px on average, which is almost nothing"
    return f"{moved}: {_cause(stats, core)}"


def _cause(stats: RefinementStats, core: float) -> str:
    """The likely cause, and what to do."""
    if 2 * stats.kept_coarse >= stats.segments:
        return (
            f"{stats.kept_coarse} of {stats.segments} segments exceeded a limit and were kept coarse; change or leave "
            "out --max-area-change and --min-iou-with-coarse"
        )
    if core < SHALLOW:
        return f"--core {core:g} keeps nearly all pixels of a mask; raise it or leave it out"
    if stats.area < TINY * stats.segments:
        size = f"{stats.area / stats.segments:.0f} pixels on average"
        return f"the segments are tiny, {size}; refine images of a higher resolution"
    return (
        "the boundaries already agree with the images, or the weights do not suit them; check that every image belongs "
        "to its prediction"
    )
