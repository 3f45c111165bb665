"""Fits the judge of weights: refines masks with known truth, and learns which changes were right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from bpr_cli.errors import BprError
from bpr_cli.patchset.store import PatchSet
from bpr_cli.refinement.cases import passed
from bpr_cli.refinement.evidence import MaskChanges
from bpr_cli.refinement.judgement import changed_mask
from bpr_cli.refinement.labels import ChangedMap
from bpr_cli.refinement.networks import RefinementNetworks
from bpr_cli.system.terminal import Advance, show_progress
from bpr_cli.training.augmentation import Random
from bpr_cli.training.lessons import KINDS, RIGHT, draw_lessons, draw_map_lessons, pool_of, strange
from bpr_cli.training.sampling import MaskPool, set_name
from bpr_cli.training.settings import JudgeSettings
from bpr_cli.typing import DoubleArray
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import check_new, check_share, load_weights, save_changed
from bpr_cli.weights.judge import LARGEST, Judge

MEMBERS, HIDDEN = 8, 16
"""Networks whose mean is a judge, which one alone varies by as much as by what it learns, and units of each."""

STEPS, FINAL_STEPS, LEARNING_RATE, WEIGHT_DECAY = 1500, 300, 0.005, 0.01
"""Final judges learn from fewer examples, one a mask, and would know them by heart after as many steps."""

HARM = 2.0
"""How much more a mask that would get worse counts for a final judge than one that would get better."""

LARGEST_MOVE = 1.0
"""A mask counts for a final judge as much as its right changes outweigh the wrong ones, in pixels for each pixel of the
square root of its area, up to this."""

DRAWN = 60_000
"""Changes that are drawn, by their weights, from all that were found; fewer if only a tenth were found."""


@dataclass(frozen=True)
class Verdicts:
    """The changes of some masks: the evidence, (N, D), the share of their pixels that is right, and their weights."""

    evidence: DoubleArray
    right: DoubleArray
    weight: DoubleArray

    @classmethod
    def of(cls, parts: Sequence[Verdicts]) -> Verdicts:
        """Join the changes of several masks."""
        if not parts:
            return cls(np.zeros((0, 0)), np.zeros(0), np.zeros(0))
        names = ("evidence", "right", "weight")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True)
class MaskVerdicts:
    """The changes of one mask, the share of the pixels of each that is right, and their weights."""

    changes: MaskChanges
    right: DoubleArray
    weight: DoubleArray

    def apart(self) -> Verdicts:
        """Each change alone, as a judge of changes sees it."""
        return Verdicts(self.changes.evidence, self.right, self.weight)

    def together(self, judge: Judge) -> Verdicts | None:
        """The changes that a judge lets stay, as one: right if the mask is better with them; None if none stays."""
        chances = judge.chances(self.changes.evidence)
        kept = chances > 0.5
        if not kept.any():
            return None
        gain = float((self.weight * (2 * self.right - 1))[kept].sum())
        weight = min(abs(gain), LARGEST_MOVE) * (1 if gain > 0 else HARM)
        evidence = self.changes.on_all(chances, kept, *self.changes.likely_ious(chances, kept))
        return Verdicts(evidence[None], np.array([float(gain > 0)]), np.array([weight]))


OneVerdict = TypeVar("OneVerdict", Verdicts, MaskVerdicts)


@dataclass(frozen=True)
class Lecture:
    """Masks and maps of a set, of some of the ``KINDS``, and the networks without a judge whose changes teach one.

    ``advance`` is called for every mask and map that is refined, and for those that the set lacks.
    """

    networks: RefinementNetworks
    pool: MaskPool
    kinds: Sequence[str]
    advance: Advance

    def leave_out(self, count: int) -> None:
        """Count masks or maps that the set lacks."""
        for _ in range(count):
            self.advance(resumed=True)


@dataclass(frozen=True)
class Learned:
    """How many masks and label maps of a set taught judges, because refinement changed them."""

    masks: int
    maps: int


def fit_judge(
    weights: str | Path,
    sets: Sequence[PatchSet],
    out: Path,
    settings: JudgeSettings,
    *,
    overwrite: bool = False,
    share: bool = False,
    progress: bool = False,
) -> dict[str, Learned]:
    """Write weights with judges that have learned from sets of whole images which of their changes are right.

    One judge learns from masks and one from label maps, which are the masks of an image painted over each other. A
    final one learns which masks are better with the changes that the first one lets stay.

    A network hardly harms exact masks of the images that it was trained on, so that these teach little about harm.
    Other weights can stand in for it on sets that they have not seen.

    Args:
        weights: shipped name or file.
        sets: sets of the scheme ``image``.
        out: new weights file.
        settings: numbers of masks and maps, sets for other weights, and seed.
        overwrite: whether to replace ``out`` if it exists.
        share: whether ``out`` holds only the card, and shares the tensors of ``weights`` in the same folder.
        progress: show on standard error how many masks and maps are refined.

    Returns:
        What the judges learned from, by set.

    Raises:
        BprError: weights or a set cannot be used, no mask or no map changed, or ``out`` cannot be written.
    """
    check_new(out, overwrite)
    loaded = load_weights(weights)
    if share:  # before the work of many minutes
        check_share(out, loaded)
    unseen = [PatchSet(path) for path in settings.unseen]
    kinds = len(sets) * len(KINDS)
    total = (kinds + len(unseen) * len(RIGHT)) * settings.masks + kinds * settings.maps
    with show_progress(progress, "refining to learn from", total, "mask") as advance:
        own = lectures(weights, sets, KINDS, advance)
        others = lectures(settings.stand_in, unseen, RIGHT, advance) if settings.stand_in else []
        masks = [
            verdicts_of(mask_verdicts, each, settings.masks, settings.seed, at)
            for at, each in enumerate([*own, *others])
        ]
        maps = [verdicts_of(map_verdicts, each, settings.maps, settings.seed, at) for at, each in enumerate(own)]
    card = replace(loaded.card, min_movement=0.0)
    if settings.masks:
        card = with_judges_of_masks(card, [kind for kinds in masks for kind in kinds], settings.seed)
    if settings.maps:
        known = fit(balanced([kind for kinds in maps for kind in kinds]), settings.seed, STEPS)
        card = replace(card, map_judge=known.numbers())
    save_changed(out, card, loaded, share=share)
    names = [*(set_name(each.path) for each in sets), *(f"{set_name(each.path)} (unseen)" for each in unseen)]
    counts = ([sum(map(len, kinds)) for kinds in each] for each in (masks, maps + [[]] * len(others)))
    return {name: Learned(*known) for name, *known in zip(names, *counts, strict=True)}


def with_judges_of_masks(card: WeightsCard, kinds: Sequence[Sequence[MaskVerdicts]], seed: int) -> WeightsCard:
    """The card with a judge of changes, and with a final one that has learned from what the first one lets stay."""
    judge = fit(balanced([[each.apart() for each in kind] for kind in kinds]), seed, STEPS)
    together = [[one for each in kind if (one := each.together(judge))] for kind in kinds]
    final = fit(balanced(together), seed, FINAL_STEPS).numbers() if any(together) else ()
    return replace(card, judge=judge.numbers(), final_judge=final)


def lectures(weights: str | Path, sets: Sequence[PatchSet], kinds: Sequence[str], advance: Advance) -> list[Lecture]:
    """What weights, without their judges, do to masks of sets."""
    networks = RefinementNetworks(weights=str(weights), judge=False, min_movement=0)
    return [Lecture(networks, pool_of(patches), kinds, advance) for patches in sets]


def verdicts_of(
    judged: Callable[..., Iterator[OneVerdict]], lecture: Lecture, count: int, seed: int, number: int
) -> list[list[OneVerdict]]:
    """The changes of ``count`` masks or maps of each kind of a lecture, by kind."""
    random = np.random.default_rng([seed, number])
    kinds = lecture.kinds if count else ()
    return [list(judged(lecture, kind, count, random)) for kind in kinds]


def balanced(kinds: Sequence[Sequence[Verdicts]]) -> Verdicts:
    """The changes of all masks or maps, with equal weight for each kind."""
    return Verdicts.of([replace(each, weight=each.weight / len(kind)) for kind in kinds for each in kind])


def mask_verdicts(lecture: Lecture, kind: str, count: int, random: Random) -> Iterator[MaskVerdicts]:
    """Refine masks of a kind, and compare every change with the truth; masks without a change give none.

    Every other image is a strange one.
    """
    drawn = enumerate(draw_lessons(lecture.pool, kind, count, random))
    lessons = [strange(each, random) if number % 2 else each for number, each in drawn]
    lecture.leave_out(count - len(lessons))
    for number, image in passed(lecture.networks, [(each.image, (each.coarse,)) for each in lessons]):
        lecture.advance()
        (coarse,), (refined,) = image.coarse.prediction, image.segments.paste(image.outlines)
        changed, box = changed_mask(image.image, coarse, refined, image.outlines[0])
        if refined is coarse or not len(changed.areas):
            continue
        x0, y0, x1, y1 = box
        truth = lessons[number].truth[y0 : y1 : changed.factor, x0 : x1 : changed.factor]
        known = changed.sums((truth <= 1).view(np.uint8))
        true = changed.sums((truth == 1).view(np.uint8))
        right = np.where(changed.joins, true, known - true) / np.maximum(known, 1)
        changes = MaskChanges.of(changed)
        yield MaskVerdicts(changes, right, known / np.sqrt(changes.area))


def map_verdicts(lecture: Lecture, kind: str, count: int, random: Random) -> Iterator[Verdicts]:
    """Refine label maps of a kind, and compare what every label lost with the truth.

    Only pixels count whose true label is the one before or the one after. Maps without a change give none.
    """
    lessons = list(draw_map_lessons(lecture.pool, kind, count, random))
    lecture.leave_out(count - len(lessons))
    for number, image in passed(lecture.networks, [(each.image, each.coarse) for each in lessons]):
        lecture.advance()
        before, after = image.coarse.prediction.labels, image.segments.paste(image.outlines)
        scale = max((each.scale for each in image.outlines), default=1.0)
        changed = ChangedMap(image.image, before, after.labels, after.probability, scale)
        truth, found = lessons[number].truth, list[Verdicts]()
        for (x0, y0, x1, y1), numbers, evidence in changed.losses():
            window = np.s_[y0:y1, x0:x1]
            right, wrong = (
                np.bincount(numbers[labels[window] == truth[window]], minlength=len(evidence) + 1)[1:]
                for labels in (after.labels, before)
            )
            known = right + wrong
            area = np.count_nonzero(before == before[window][numbers > 0][0])
            found.append(Verdicts(evidence, right / np.maximum(known, 1), known / np.sqrt(area)))
        if found:
            yield Verdicts.of(found)


def fit(verdicts: Verdicts, seed: int, steps: int) -> Judge:
    """Fit a judge: the mean, before the sigmoid, of ``MEMBERS`` networks that each see changes drawn by their weights.

    Raises:
        BprError: there is no change.
    """
    if not verdicts.weight.sum():
        raise BprError("nothing of these sets changed, so there is nothing to learn; give sets with coarse masks")
    chances, count = verdicts.weight / verdicts.weight.sum(), min(DRAWN, 10 * len(verdicts.weight))
    draws = [np.random.default_rng([seed, at]).choice(len(chances), count, p=chances) for at in range(MEMBERS)]
    seen = verdicts.evidence[np.concatenate(draws)]
    centre, spread = seen.mean(axis=0), seen.std(axis=0) + 1e-3
    scaled = np.clip((verdicts.evidence - centre) / spread, -LARGEST, LARGEST)
    members = [fit_member(scaled[drawn], verdicts.right[drawn], seed + at, steps) for at, drawn in enumerate(draws)]
    first, first_offset, second, second_offset = zip(*members, strict=True)
    means = np.concatenate(second) / MEMBERS, np.mean(second_offset, axis=0)
    return Judge(centre, spread, np.concatenate(first, axis=1), np.concatenate(first_offset), *means)


def fit_member(evidence: DoubleArray, right: DoubleArray, seed: int, steps: int) -> list[DoubleArray]:
    """Fit a network to scaled evidence by cross-entropy with AdamW, all changes at a time; its weights and offsets."""
    inputs, targets = (torch.from_numpy(each.astype(np.float32)) for each in (evidence, right))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = nn.Linear(evidence.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    parameters = [*first.parameters(), *second.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(steps):
        loss = F.binary_cross_entropy_with_logits(second(torch.tanh(first(inputs)))[:, 0], targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    layers = (first.weight.T, first.bias, second.weight[0], second.bias)
    return [each.detach().double().numpy() for each in layers]
