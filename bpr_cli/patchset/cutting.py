"""From one image with its coarse and true masks to patches: pure functions."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import Box, Mask
from bpr_cli.patches.boundary import boundary_pixels
from bpr_cli.patches.boxes import boxes_along
from bpr_cli.patches.crop import cut, cut_mask, padding_around, reflected_range, resize
from bpr_cli.patchset.matching import Matched
from bpr_cli.patchset.record import VOID, PatchSample
from bpr_cli.patchset.settings import PatchSetSettings

Image = NDArray[np.uint8]


def boxes_of(mask: Mask, settings: PatchSetSettings) -> list[Box]:
    """The boxes along a coarse mask."""
    pixels = boundary_pixels(mask)
    boxes = boxes_along(mask, pixels, settings.scheme, settings.patch_size, settings.nms_threshold)
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes.tolist()]


def cut_patch(image: Image, matched: Matched, box: Box, settings: PatchSetSettings) -> PatchSample:
    """Cut one box with its context out of the image, the coarse mask and the truth.

    What lies outside the image is filled by reflection. A box of another size than ``patch_size``, as the scheme
    ``instance`` has them, is resized to it, and its context is as large in proportion; images bilinearly, masks by
    nearest neighbour, both with half-pixel centres.

    Args:
        image: uint8, (H, W, 3), RGB.
        matched: masks of the same image.
        box: a square.
        settings: sizes.
    """
    x0, y0, x1, y1 = box
    padding = padding_around(x1 - x0, settings.patch_size, settings.padding)
    rows = reflected_range(y0 - padding, y1 + padding, image.shape[0])
    columns = reflected_range(x0 - padding, x1 + padding, image.shape[1])
    coarse, true, void = (
        # INTER_NEAREST would take corners for centres.
        resize(cut_mask(mask, rows, columns), settings.side, cv2.INTER_NEAREST_EXACT)
        for mask in (matched.coarse.mask, matched.truth, matched.void)
    )
    truth = np.where(true == 1, 1, np.where(void == 1, VOID, 0)).astype(np.uint8)
    return PatchSample(resize(cut(image, rows, columns), settings.side, cv2.INTER_LINEAR), coarse, truth)


def is_useful(sample: PatchSample, settings: PatchSetSettings, maps: bool) -> bool:
    """Whether anything can be learned from a patch.

    Args:
        sample: the patch.
        settings: whether inferior patches are kept.
        maps: it is of a semantic or panoptic map; patches of instances are never inferior.
    """
    inferior = maps and not settings.keep_inferior and is_inferior(sample, settings.padding)
    return not inferior and bool((sample.truth != VOID).any())


def is_inferior(sample: PatchSample, padding: int) -> bool:
    """Whether the coarse mask has only one class in the interior of its box: without context and outermost pixels.

    Such a patch has its boundary at its very edge, where the box could not be centred because the image ends, and
    teaches nothing about boundaries (paper, Sect. 3.3, Table 14).
    """
    inside = slice(padding + 1, -padding - 1)
    interior = sample.coarse[inside, inside]
    return bool(interior.all() or not interior.any())
