"""Settings of a patch set; every set stores them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from bpr_cli.patches import Scheme
from bpr_cli.settings import Settings, option

SetScheme = Literal[Scheme, "image"]

INPUT, PATCHES, SIMULATION = "Input", "Patches", "Simulated masks"
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class PatchSetSettings(Settings):
    """How the patches of a set are chosen and stored.

    By default, patches have more context than the recipe ``modern`` feeds to the network. The rest leaves room for
    shifts and zooms in training.
    """

    patch_size: Annotated[
        int,
        Meta(ge=4, le=2048),
        option("Side of the patches in pixels; instance boxes are resized to it", panel=PATCHES),
    ] = 32
    padding: Annotated[
        int,
        Meta(ge=0, le=1024),
        option("Context on each side of a patch in pixels, with room for augmentation", panel=PATCHES),
    ] = 32
    scheme: Annotated[
        SetScheme,
        option(
            "Patch placement: dense along the boundary; for comparison grid, or instance, one patch around each mask; "
            "or image: store whole images, from which training crops its own patches",
            panel=PATCHES,
        ),
    ] = "dense"
    nms_threshold: Annotated[
        float,
        Meta(ge=0, lt=1),
        option("NMS IoU threshold of the scheme dense; higher keeps more overlapping patches", panel=PATCHES),
    ] = 0.25
    min_iou: Annotated[
        float,
        Meta(ge=0, lt=1),
        option("IoU with a ground-truth mask that an instance mask must exceed to be used", panel=INPUT),
    ] = 0.5
    keep_inferior: Annotated[
        bool,
        option("Keep patches of label maps that hold a single class away from their border", panel=PATCHES),
    ] = False
    max_patches: Annotated[
        Annotated[int, Meta(ge=1, le=_LARGEST)] | None,
        option(
            "Keep this many patches, sampled uniformly without replacement (default: all)",
            panel=PATCHES,
            flags=("--max-patches", "--sample"),
        ),
    ] = None
    seed: Annotated[
        int, Meta(ge=0, le=_LARGEST), option("Random seed of the sample and of simulated masks", panel=PATCHES)
    ] = 0
    simulate: Annotated[
        int,
        Meta(ge=0, le=1000),
        option(
            "Simulated masks per ground-truth mask (default with --simulate: 1)",
            panel=SIMULATION,
            flags=("--simulations",),
        ),
    ] = 0
    jpeg: Annotated[
        Annotated[int, Meta(ge=1, le=100)] | None,
        option("Store images as JPEG of this quality, for a smaller set (default: PNG, lossless)", panel=PATCHES),
    ] = None
    label_set: Annotated[
        str | None,
        option(
            "Classes of label maps: labelIds, trainIds, a file with one name per line, or a JSON file with categories "
            "(default: auto-detect)",
            panel=INPUT,
        ),
    ] = None
    ignore_labels: Annotated[
        tuple[int, ...] | None,
        option(
            "Label of label maps to treat as void; may be repeated (default: 255 and those of the label set)",
            panel=INPUT,
            flags=("--ignore-label",),
            metavar="LABEL",
            repeated=True,
        ),
    ] = None

    @property
    def side(self) -> int:
        """Side of a patch with its context, in pixels."""
        return self.patch_size + 2 * self.padding
