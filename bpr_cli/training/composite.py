"""Patches put together from two: an object before another background, or behind another object.

Where an object ends is then told by nothing but its outline, however often its surroundings were seen, and no
surroundings can be learnt by heart. Nothing predicts such scenes, so their coarse masks are simulated.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from bpr_cli.masks.masks import Mask
from bpr_cli.patchset.record import PatchSample
from bpr_cli.patchset.simulate import simulate
from bpr_cli.training.geometry import vary_cut
from bpr_cli.training.settings import GeometrySettings
from bpr_cli.training.sizes import Sizes, centre

Random = np.random.Generator
Image = NDArray[np.uint8]
"""(E, E, 3), RGB."""

FEATHER_RANGE = (0.5, 1.1)
"""Standard deviation of the Gaussian that mixes both at the seam, in pixels: about what lenses do."""

NEARER_RANGE = (0.2, 0.7)
"""How far the mean colour of what is in front goes towards that of what is behind."""


def composite(
    sample: PatchSample, other: PatchSample, sizes: Sizes, geometry: GeometrySettings, random: Random
) -> PatchSample:
    """Paste the true foreground of one patch before the other, or the other way round, with equal chance.

    Args:
        sample: decides on what is true: the foreground remains its own, less what the other one hides.
        other: another patch, which may have more or less context; it is flipped, shifted and enlarged first, as far
            as it reaches.
        sizes: which part of the patch is to be decided.
        geometry: how the other patch is varied.
        random: drawn from in an order that depends on nothing else.

    Returns:
        The new patch, as large as the smaller one, with a simulated coarse mask; ``sample`` where there would be no
        boundary to decide.
    """
    side = min(len(sample.coarse), len(other.coarse))
    own, other = centre(sample, side), vary_cut(other, side, geometry, random)
    if random.random() < 0.5:
        seen = pasted(own.image, own.truth == 1, other.image, random)
        # What is known of the other one's pixels is that they are background.
        truth = (own.truth == 1).astype(np.uint8)
    else:
        seen = pasted(other.image, other.truth == 1, own.image, random)
        truth = np.where(other.truth == 1, 0, own.truth).astype(np.uint8)
    coarse = simulate(Mask.from_array(truth == 1), random).to_array().astype(np.uint8)
    made = PatchSample(seen, coarse, truth)
    return made if _is_to_decide(made, sizes) else sample


def pasted(front: Image, shape: NDArray[np.bool_], behind: Image, random: Random) -> Image:
    """The pixels of one image before those of another one.

    Args:
        front: their image, uint8, (E, E, 3).
        shape: bool, (E, E), which of its pixels.
        behind: the other image; every second time the colours in front are brought nearer to its own.
        random: of seam and colours.
    """
    share = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), random.uniform(*FEATHER_RANGE))[..., None]
    pixels = front.astype(np.float32)
    nearer = random.uniform(*NEARER_RANGE)
    if random.random() < 0.5 and shape.any():
        pixels = np.clip(pixels + nearer * (behind.mean((0, 1)) - front[shape].mean(0)), 0, 255)
    return (pixels * share + behind * (1 - share)).astype(np.uint8)


def _is_to_decide(sample: PatchSample, sizes: Sizes) -> bool:
    """Whether the box in the middle has true foreground, and a coarse mask with both classes."""
    box = centre(sample, sizes.patch_size)
    return bool((box.truth == 1).any() and box.coarse.any() and not box.coarse.all())
