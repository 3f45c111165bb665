"""The judgement on a refined mask: which of its changes stay, and how good the mask is likely to be."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from bpr_cli.masks.masks import Mask
from bpr_cli.patches.boxes import grow, union
from bpr_cli.patches.paste import CERTAIN, average_of_rows, strips_along
from bpr_cli.refinement.evidence import MARGIN, ChangedMask, MaskChanges
from bpr_cli.refinement.outline import Outline
from bpr_cli.typing import BoolArray, Box, ByteArray
from bpr_cli.weights.judge import Judge

JUDGED_LENGTH = 450
"""A mask of twice this length in pixels and more is judged in a picture smaller by a whole number, in which it is at
least as long as this. The judge compares neighbouring pixels and measures distances of few pixels."""


LEAST_GAIN = 0.003
"""Likely gain of IoU below which a mask comes back as it was: that little, a right mask seems to gain by chance."""


@dataclass(frozen=True)
class MaskJudges:
    """The judges of masks.

    Attributes:
        changes: says how likely each change is right.
        final: says how likely a mask is better with its likely changes than without any; None if nobody does.
    """

    changes: Judge
    final: Judge | None = None


@dataclass(frozen=True)
class Judgement:
    """A judged mask.

    Attributes:
        mask: the refined mask with the changes that are likely to be right.
        before: likely IoU of the coarse mask with the truth, 0..1, as far as the network saw it.
        after: that of ``mask``.
    """

    mask: Mask
    before: float = 1.0
    after: float = 1.0


def judge_changes(image: ByteArray, coarse: Mask, refined: Mask, outline: Outline, judges: MaskJudges) -> Judgement:
    """Keep the changes of a mask that are likely to be right, and take back the others, or all of them.

    Args:
        image: uint8, (H, W, 3), RGB.
        coarse: the mask before refinement.
        refined: the refined mask, with foreground.
        outline: the patches of the pass that refined it.
        judges: judges of the weights.
    """
    changed, box = changed_mask(image, coarse, refined, outline)
    if not len(changed.areas):
        return Judgement(refined)
    changes = MaskChanges.of(changed)
    chances = judges.changes.chances(changes.evidence)
    kept = chances > 0.5
    before, after = changes.likely_ious(chances, kept)
    better = after - before >= LEAST_GAIN
    if better and judges.final:
        better = judges.final.chances(changes.on_all(chances, kept, before, after)[None]).item() > 0.5
    if not better:
        return Judgement(coarse, before, before)
    if kept.all():
        return Judgement(refined, before, after)
    taken_back = enlarged(np.concatenate([[False], ~kept])[changed.changes], changed.factor)
    pixels, others = refined.window(box), coarse.window(box)
    height, width = pixels.shape
    mask = Mask.from_array(np.where(taken_back[:height, :width], others, pixels), box[:2], coarse.size)
    return Judgement(mask if mask.area else coarse, before, after)


def changed_mask(image: ByteArray, coarse: Mask, refined: Mask, outline: Outline) -> tuple[ChangedMask, Box]:
    """A mask before and after refinement, smaller if it is long, and its window; see ``judge_changes``."""
    box = grow(union(coarse.box, refined.box), MARGIN, coarse.size)
    x0, y0, x1, y1 = box
    after = refined.window(box)
    pixels = np.ascontiguousarray(image[y0:y1, x0:x1])
    changed = ChangedMask(pixels, coarse.window(box), after, probability_in(box, after, outline), outline.scale)
    factor = max(coarse.crop.shape) // JUDGED_LENGTH
    if factor < 2:
        return changed, box
    small = changed.reduced(factor)
    return (small if small.coarse.any() and small.refined.any() else changed), box  # thin masks would vanish


def enlarged(found: BoolArray, factor: int) -> BoolArray:
    """Pixels of a picture smaller by ``factor`` in the full one, bool, with those beside them that it shows in part."""
    if factor == 1:
        return found
    reached = cv2.dilate(found.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return reached.repeat(factor, axis=0).repeat(factor, axis=1)


def probability_in(box: Box, refined: BoolArray, outline: Outline) -> ByteArray:
    """Probability of every pixel of a window in units of 1/255; where no patch lies, the refined mask is certain."""
    x0, y0, x1, y1 = box
    probability = np.where(refined, CERTAIN, 0).astype(np.uint8)
    if len(outline.boxes):
        predicted = outline.probabilities()
        for rows in strips_along(outline.boxes, outline.mask.size):
            field = average_of_rows(outline.boxes, predicted, rows, outline.mask.size, outline.rim)
            left, top, right, bottom = field.box
            found = np.where(field.weight > 0, field.total // np.maximum(field.weight, 1), 0)
            inner = np.s_[max(top, y0) - top : min(bottom, y1) - top, max(left, x0) - left : min(right, x1) - left]
            target = probability[max(top - y0, 0) : max(bottom - y0, 0), max(left - x0, 0) : max(right - x0, 0)]
            np.copyto(target, found[inner], where=field.weight[inner] > 0, casting="unsafe")
    return probability
