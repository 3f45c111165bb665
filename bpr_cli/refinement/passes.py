"""The rounds of a refinement: each refines what the one before it made."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bpr_cli.patches import Scheme
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.weights.card import WeightsCard


@dataclass(frozen=True)
class Pass:
    """How the patches of one round are cut.

    Attributes:
        patch_size: side of the boxes in pixels; those of the scheme ``instance`` have the sizes of their masks.
        min_patch_size: side of the boxes along the smallest masks, see ``side_along``.
        padding: context around each box of that side in pixels; around others it is as large in proportion.
        input_size: side T that patch and context are resized to.
        nms_threshold: overlap of patches, see ``RefineSettings``.
        scheme: where the boxes lie, see ``patches/boxes.py``.
        preliminary: another round follows, and only segments that larger patches are safe for take part in this one:
            see ``stages.takes_part``.
    """

    patch_size: int
    min_patch_size: int
    padding: int
    input_size: int
    nms_threshold: float
    scheme: Scheme = "dense"
    preliminary: bool = False

    def side_along(self, area: int) -> int:
        """Side of the boxes along a mask: half the square root of its area, within the two sizes.

        A box as large as the object would show it small, and its neighbours with it.

        Args:
            area: of the mask, in pixels.
        """
        return min(self.patch_size, max(self.min_patch_size, round(math.sqrt(area) / 2)))


def passes_of(card: WeightsCard, settings: RefineSettings) -> tuple[Pass, ...]:
    """The rounds that settings ask for, or else the weights."""
    scales = settings.scales or card.scales
    smallest = card.min_patch_size or card.patch_size
    return tuple(
        Pass(
            patch_size=max(1, round(card.patch_size * scale)),
            min_patch_size=max(1, round(smallest * scale)),
            padding=round(card.padding * scale),
            input_size=card.input_size,
            nms_threshold=settings.nms_threshold,
            scheme=settings.scheme,
            preliminary=number < len(scales),
        )
        for number, scale in enumerate(scales, start=1)
    )
