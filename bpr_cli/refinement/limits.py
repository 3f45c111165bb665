"""How much refinement may change a segment.

Masks keep their interior, get no specks, and beside others do not change up to the sides of their patches. Segments
that hardly move come back as they were, and so do those beyond the limits of the user.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from bpr_cli.masks.masks import EMPTY_BOX, LabelMap, Mask
from bpr_cli.masks.runs import Runs, strips_of, values_of, weigh
from bpr_cli.patches.boxes import Boxes, cover, grow, union
from bpr_cli.refinement.evidence import EVIDENCE, EVIDENCE_ON_ALL
from bpr_cli.refinement.judgement import MaskJudges
from bpr_cli.refinement.labels import EVIDENCE_OF_LABELS
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.typing import BoolArray, ByteArray, FloatArray, IntArray
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.judge import Judge

NO_INTERIOR = 1.0
"""No pixel lies deeper than this. The deepest possible one, the centre of a disc, lies at 0.56 x sqrt(area)."""

SHOWN_SIDE = 12
"""Length in pixels from which on people see that a boundary is the side of a patch; it grows with large patches."""


@dataclass(frozen=True)
class Changes:
    """How the pixels of M segments changed from the coarse to the refined prediction; all int64, (M,).

    Attributes:
        area: areas of the coarse segments in pixels.
        lost: pixels that only the coarse segment has.
        gained: pixels that only the refined segment has.
    """

    area: IntArray
    lost: IntArray
    gained: IntArray

    @property
    def moved(self) -> IntArray:
        """Pixels that changed side: int64, (M,)."""
        moved: IntArray = self.lost + self.gained
        return moved

    @property
    def resized(self) -> IntArray:
        """Absolute changes of the areas in pixels: int64, (M,)."""
        resized: IntArray = np.abs(self.gained - self.lost)
        return resized


@dataclass(frozen=True)
class Limits:
    """How far a refined segment may differ from the coarse one.

    Attributes:
        max_area_change: largest change of the area as a fraction of the coarse area; None for no limit.
        min_iou: smallest IoU with the coarse mask, 0..1; None for no limit.
        core: depth of the interior that masks keep, as a fraction of the square root of their area, 0..1.
        min_part: area from which on new parts and holes of masks stay, in pixels of a patch.
        min_movement: mean distance that the boundary of a segment must move, in pixels of a patch; below it, the
            segment stays as it was.
        whole_changes: take back the changes of masks that end in a straight line where patches end, if none may follow.
        judges: take back the changes of masks that are likely to be wrong; None keeps all.
        map_judge: the same for label maps.
    """

    max_area_change: float | None = None
    min_iou: float | None = None
    core: float = NO_INTERIOR
    min_part: int = 0
    min_movement: float = 0.0
    whole_changes: bool = False
    judges: MaskJudges | None = None
    map_judge: Judge | None = None

    @classmethod
    def of(cls, settings: RefineSettings, card: WeightsCard) -> Limits:
        """The limits from the settings; the weights state what the settings leave open."""
        core = card.core if settings.core is None else settings.core
        least = card.min_movement if settings.min_movement is None else settings.min_movement
        changes, final, map_judge = (
            Judge.of(numbers, inputs) if numbers and settings.judge else None
            for numbers, inputs in (
                (card.judge, EVIDENCE),
                (card.final_judge, EVIDENCE_ON_ALL),
                (card.map_judge, EVIDENCE_OF_LABELS),
            )
        )
        return cls(
            max_area_change=settings.max_area_change,
            min_iou=settings.min_iou_with_coarse,
            core=core,
            min_part=card.min_part,
            min_movement=least,
            whole_changes=card.follow and settings.scheme == "dense",
            judges=MaskJudges(changes, final) if changes else None,
            map_judge=map_judge,
        )

    @property
    def unjudged(self) -> Limits:
        """The same limits without judges."""
        return replace(self, judges=None, map_judge=None)

    @property
    def may_restore(self) -> bool:
        """Whether a limit is set that may restore coarse segments."""
        return self.max_area_change is not None or self.min_iou is not None

    def exceeded(self, changes: Changes) -> BoolArray:
        """Which segments exceed a limit or have lost all their pixels: bool, (M,)."""
        area = changes.area
        exceeded: BoolArray = (area > 0) & (changes.lost == area) & (changes.gained == 0)
        if self.max_area_change is not None:
            exceeded |= changes.resized > self.max_area_change * area
        if self.min_iou is not None:
            exceeded |= area - changes.lost < self.min_iou * (area + changes.gained)
        return exceeded


def mask_changes(coarse: tuple[Mask, ...], refined: tuple[Mask, ...]) -> Changes:
    """The changes of masks, in their order."""
    area, after, shared = (np.zeros(len(coarse), dtype=np.int64) for _ in range(3))
    for number, (before, now) in enumerate(zip(coarse, refined, strict=True)):
        area[number], after[number], shared[number] = before.area, now.area, before.shared_area(now)
    return Changes(area, area - shared, after - shared)


def label_changes(coarse: LabelMap, refined: LabelMap) -> Changes:
    """The changes of the labels that are not void, in ascending order.

    Args:
        coarse: the label map before refinement.
        refined: the refined label map, with the same size and void pixels and without new labels.
    """
    labels = np.setdiff1d(values_of(coarse.labels), list(coarse.void))
    area, lost, gained = (np.zeros(len(labels), dtype=np.int64) for _ in range(3))
    for top, bottom in strips_of(coarse.size):
        runs = Runs.of(coarse.labels[top:bottom], refined.labels[top:bottom])
        known = ~np.isin(runs.values[0], list(coarse.void))
        before, after = (np.searchsorted(labels, values[known]) for values in runs.values)
        lengths = runs.lengths[known]
        moved = np.where(before != after, lengths, 0)
        area += weigh(before, lengths, len(labels))
        lost += weigh(before, moved, len(labels))
        gained += weigh(after, moved, len(labels))
    return Changes(area, lost, gained)


def limit_masks(coarse: tuple[Mask, ...], refined: tuple[Mask, ...], limits: Limits) -> tuple[tuple[Mask, ...], int]:
    """Replace the masks that exceed a limit by their coarse masks; also returns their number."""
    if not limits.may_restore:
        return refined, 0
    exceeded = limits.exceeded(mask_changes(coarse, refined))
    masks = (before if back else after for before, after, back in zip(coarse, refined, exceeded, strict=True))
    return tuple(masks), int(exceeded.sum())


def limit_labels(coarse: LabelMap, refined: LabelMap, limits: Limits) -> tuple[LabelMap, int]:
    """Restore the coarse pixels of the labels that exceed a limit; also returns their number.

    Such a label takes back the pixels it lost, and the pixels it gained return to their coarse labels. This changes
    other labels: those that now exceed a limit, or have no pixel left, are restored too. In the end, every label is
    either within the limits or unchanged.
    """
    if not limits.may_restore:
        return refined, 0
    labels = values_of(coarse.labels)
    area = label_changes(LabelMap(coarse.labels, frozenset()), coarse).area
    # Only pixels where the maps differ matter. There, a label is its index among the labels.
    places = np.flatnonzero(coarse.labels != refined.labels)
    before, after = (np.searchsorted(labels, each.labels.ravel()[places]) for each in (coarse, refined))
    kept = np.zeros(len(labels), dtype=bool)
    while True:
        back = kept[before] | kept[after]
        now = np.where(back, before, after)
        lost, gained = (np.bincount(side[now != before], minlength=len(labels)) for side in (before, now))
        exceeded = limits.exceeded(Changes(area, lost, gained)) & ~kept
        if not exceeded.any():
            break
        kept |= exceeded
    limited = refined.labels.copy()
    limited.ravel()[places] = labels[now]
    return LabelMap(limited, refined.void), int(kept.sum())


def keep_interior(coarse: Mask, refined: Mask, core: float) -> Mask:
    """Restore the interior of the coarse mask in the refined mask.

    A patch inside a small object may show edges that are not its outline, such as the letters of a sign. The network
    may take such pixels for background, but they lie too deep inside the mask to be errors of its boundary.

    Args:
        coarse: the mask before refinement.
        refined: the refined mask of the same image.
        core: depth of the interior, 0..1. A pixel of the coarse mask is interior if its distance to the nearest
            background pixel exceeds this fraction of the square root of the area. The outside of the image counts as
            background.
    """
    if core >= NO_INTERIOR:
        return refined
    lost = coarse.crop & ~refined.window(coarse.box)
    if not lost.any():
        return refined
    lost &= distance_inside(coarse.crop) > core * math.sqrt(coarse.area)
    if not lost.any():
        return refined
    box = union(coarse.box, refined.box)
    return Mask.from_array(refined.window(box) | Mask(coarse.size, coarse.box, lost).window(box), box[:2], coarse.size)


def without_specks(coarse: Mask, refined: Mask, least: float) -> Mask:
    """Take back parts and holes that are smaller than ``least`` pixels and that the coarse mask does not have.

    Pixels of a part touch at sides or corners, those of a hole at sides. The coarse mask has one if it agrees with at
    least half of its pixels. A mask that would lose all its parts stays as it is.
    """
    if least <= 1 or refined.box == EMPTY_BOX:
        return refined
    box = grow(union(coarse.box, refined.box), 1, coarse.size)
    before, after = coarse.window(box), refined.window(box)
    cleaned = after.copy()
    for is_foreground, neighbours in ((True, 8), (False, 4)):
        count, parts, sizes, _ = cv2.connectedComponentsWithStats(
            (cleaned == is_foreground).view(np.uint8), connectivity=neighbours
        )
        shared = np.bincount(parts.ravel(), weights=(before == is_foreground).ravel(), minlength=count)
        specks = (sizes[:, cv2.CC_STAT_AREA] < least) & (2 * shared < sizes[:, cv2.CC_STAT_AREA])
        specks[0] = False
        cleaned[specks[parts]] = not is_foreground
    if not cleaned.any() or (cleaned == after).all():
        return refined
    return Mask.from_array(cleaned, box[:2], coarse.size)


def without_cut_changes(coarse: Mask, refined: Mask, boxes: Boxes, scale: float) -> Mask:
    """Take back the changes that patches cut off in a straight line long enough to be seen.

    The network has not seen where such a change ends. This is for masks that get no more patches there, because other
    objects are near, into which they could grow.

    Args:
        coarse: the mask before refinement.
        refined: the refined mask of the same image.
        boxes: the patches that refined it, int64, (P, 4).
        scale: side of the patches over the patch size of the weights.
    """
    box = grow(union(coarse.box, refined.box), 1, coarse.size)
    before, after = coarse.window(box), refined.window(box)
    changed = before != after
    if not changed.any():
        return refined
    cuts = straight_cuts(before, changed, cover(boxes, box), round(SHOWN_SIDE * max(scale, 1.0)))
    if not cuts.any():
        return refined
    count, changes = cv2.connectedComponents(changed.view(np.uint8), connectivity=4)
    is_cut = np.bincount(changes[cuts], minlength=count) > 0
    whole = np.where(is_cut[changes], before, after)
    return Mask.from_array(whole, box[:2], coarse.size) if whole.any() else coarse


def straight_cuts(before: BoolArray, changed: BoolArray, covered: ByteArray, least: int) -> BoolArray:
    """The changed pixels where a change ends at the outer sides of all patches along ``least`` pixels and more.

    Args:
        before: the mask before refinement, bool, (h, w).
        changed: where it changed, bool, (h, w).
        covered: 1 where patches lie, else 0, uint8, (h, w).
        least: shortest straight line in pixels.
    """
    cuts = np.zeros_like(changed)
    one_below, one_beside = (np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])
    for (first, second), (width, height) in ((one_below, (least, 1)), (one_beside, (1, least))):
        ends = (changed[first] != changed[second]) & (covered[first] != covered[second])
        shown = (ends & (before[first] == before[second])).view(np.uint8)
        if not shown.any():
            continue
        line = np.ones((height, width), np.uint8)
        middles = cv2.erode(shown, line, borderValue=0)
        # The middle of an even line lies left of its centre, and here right of it, so that nothing moves.
        anchor = (width - 1 - width // 2, height - 1 - height // 2)
        long = cv2.dilate(middles, line, anchor=anchor, borderValue=0).view(bool)
        cuts[first] |= long
        cuts[second] |= long
    return cuts & changed


def hardly_moved(coarse: Mask, refined: Mask, least: float, length: float) -> bool:
    """Whether a boundary of ``length`` pixels moved by less than ``least`` pixels on average."""
    if not least:
        return False
    return bool(mask_changes((coarse,), (refined,)).moved[0] < least * length)


def distance_inside(crop: BoolArray) -> FloatArray:
    """Distance in pixels of every foreground pixel to the nearest background pixel; everything outside is background.

    Args:
        crop: mask, bool, (h, w).

    Returns:
        float32, (h, w), 0 on background.
    """
    framed = np.pad(crop, 1).astype(np.uint8)
    return cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1].astype(np.float32, copy=False)
