"""Settings of a refinement, shared by the command line, the Python API and the reports."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Annotated

from bpr_cli.inference.settings import PANEL as ENGINE
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.patches import Scheme
from bpr_cli.settings import Count, Fraction, NonNegative, option
from bpr_cli.system.threads import default_workers
from bpr_cli.weights.card import Overlap, Scales, WeightsCard

LIMITS = "Limits"


@dataclass(frozen=True)
class RefineSettings(InferenceSettings):
    """How masks are refined. Settings of None come from the weights; limits of None do not apply.

    The schemes are those of the paper's Table 4; only ``dense`` uses ``nms_threshold``.
    ``refinement/limits.py`` defines the limits and the interior that masks keep.
    """

    nms_threshold: Annotated[
        Overlap | None,
        option(
            "NMS IoU threshold; higher keeps more overlapping patches (slower; 0.55 is the paper's best; default: the "
            "weights' own)"
        ),
    ] = None
    scheme: Annotated[
        Scheme,
        option(
            "Patch placement: dense along the boundary; for comparison grid, or instance, one patch around each mask"
        ),
    ] = "dense"
    scales: Annotated[
        Scales | None,
        option("Patch scale of each pass, coarse to fine, e.g. 2,1 (default: the weights' own)", panel=ENGINE),
    ] = None
    flip: Annotated[
        bool | None,
        option(
            "Average predictions for each patch and its mirror image, at twice the time (default: the weights' own)",
            panel=ENGINE,
        ),
    ] = None
    max_area_change: Annotated[
        NonNegative | None,
        option("Masks whose area changes by more than this fraction of it, e.g. 0.5, stay unrefined", panel=LIMITS),
    ] = None
    min_iou_with_coarse: Annotated[
        Fraction | None,
        option("Masks whose IoU with the unrefined mask is below this, e.g. 0.5, stay unrefined", panel=LIMITS),
    ] = None
    core: Annotated[
        Fraction | None,
        option(
            "Keep interior pixels: those farther than CORE x sqrt(area) from the boundary never become background; 1 "
            "turns this off (default: the weights' own)",
            panel=LIMITS,
            metavar="CORE",
        ),
    ] = None
    min_movement: Annotated[
        NonNegative | None,
        option(
            "Segments whose boundary moves less than this on average, in pixels of a patch, come back as they were; "
            "0 turns this off (default: the weights' own)",
            panel=LIMITS,
            metavar="PIXELS",
        ),
    ] = None
    judge: Annotated[
        bool,
        option(
            "Take back changes that the judge of the weights finds unlikely; without it more is changed, also where "
            "masks were right",
            panel=LIMITS,
        ),
    ] = True
    context: Annotated[
        bool,
        option("See every mask as a whole before its patches, if the weights have a network for it", panel=ENGINE),
    ] = True
    workers: Annotated[
        Count, option("Worker threads for I/O and pre-/post-processing (default: the cores, at most 4)", panel=ENGINE)
    ] = field(default_factory=default_workers)

    @property
    def has_limits(self) -> bool:
        """Whether masks that change too much stay unrefined."""
        return self.max_area_change is not None or self.min_iou_with_coarse is not None


@dataclass(frozen=True)
class PassSettings:
    """How one pass over an image places and crops its patches.

    Attributes:
        patch_size: side of the boxes in pixels; boxes of the scheme ``instance`` have the size of their mask.
        min_patch_size: side of the boxes along the smallest masks in pixels; see ``side_along``.
        padding: context around a box of ``patch_size`` in pixels; it scales with the box.
        rim: the part of this context that is pasted back as well, in pixels; it scales with the box.
        follow: whether more boxes follow a change of a mask that reaches the sides of all boxes.
        input_size: side T in pixels that a patch with its context is resized to.
        nms_threshold: see ``dense_boxes``.
        scheme: see ``RefineSettings``.
        preliminary: whether another pass follows; then this pass skips segments that its larger patches could harm.
        view: length in pixels that masks have in their patches; only much longer masks take part. None: patches do not
            grow with the mask.
        whole: whether the network for whole masks predicts one box around each mask, with some of its surroundings.
    """

    patch_size: int
    min_patch_size: int
    padding: int
    input_size: int
    nms_threshold: float
    scheme: Scheme = "dense"
    preliminary: bool = False
    rim: int = 0
    follow: bool = False
    view: int | None = None
    whole: bool = False

    def side_along(self, area: int, length: int) -> int:
        """Side of the boxes along a mask in pixels: half the square root of its area, clipped to the two sizes.

        A box as large as the object would show it at low resolution, together with its neighbours. With ``view``, the
        side is to ``patch_size`` as the length of the mask to ``view``.

        Args:
            area: area of the mask in pixels.
            length: longer side of its bounding box in pixels.
        """
        if self.view:
            return round(self.patch_size * length / self.view)
        return min(self.patch_size, max(self.min_patch_size, round(math.sqrt(area) / 2)))


def passes_of(card: WeightsCard, settings: RefineSettings) -> tuple[PassSettings, ...]:
    """The passes from the settings; the weights state what the settings leave open.

    Scales that the settings give replace all passes of the weights, those of large and of whole masks too.
    """
    scales = settings.scales or card.scales
    smallest = card.min_patch_size or card.patch_size
    passes = [
        PassSettings(
            patch_size=max(1, round(card.patch_size * scale)),
            min_patch_size=max(1, round(smallest * scale)),
            padding=round(card.padding * scale),
            input_size=card.input_size,
            nms_threshold=card.nms_threshold if settings.nms_threshold is None else settings.nms_threshold,
            scheme=settings.scheme,
            preliminary=number < len(scales),
            rim=round(card.rim * scale),
            follow=card.follow and settings.scheme == "dense",
        )
        for number, scale in enumerate(scales, start=1)
    ]
    if card.view and settings.scales is None and settings.scheme == "dense":
        passes.insert(0, replace(passes[-1], preliminary=True, view=card.view))
    if (context := card.context) and settings.context and settings.scales is None and settings.scheme == "dense":
        sides = (context.patch_size, context.patch_size, context.padding, context.input_size)
        passes.insert(0, PassSettings(*sides, passes[-1].nms_threshold, whole=True))
    return tuple(passes)
