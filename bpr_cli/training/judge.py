"""Fits the judge of weights: refines masks with known truth, and learns which changes were right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import Mask
from bpr_cli.patchset import simulate
from bpr_cli.patchset.store import PatchSet
from bpr_cli.refinement.cases import passed
from bpr_cli.refinement.evidence import EVIDENCE
from bpr_cli.refinement.judgement import changed_mask
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.training.augmentation import Random
from bpr_cli.training.data import PatchSubset
from bpr_cli.training.sampling import MaskPool, any_of, set_name
from bpr_cli.training.settings import JudgeSettings, SetSampling
from bpr_cli.typing import ByteArray, DoubleArray
from bpr_cli.weights.files import check_new, check_share, load_weights, save_changed
from bpr_cli.weights.judge import LARGEST, Judge

HIDDEN = 16
"""Units of the judge's first layer."""

STEPS, LEARNING_RATE, WEIGHT_DECAY = 1500, 0.005, 0.01

DRAWN = 60_000
"""Changes that are drawn, by their weights, from all that were found; fewer if only a tenth were found."""

KINDS = ("predicted", "simulated", "nearly exact", "exact")
"""The coarse masks that a judge learns from, each as often: of models, simulated, nearly exact and exact ones."""


@dataclass(frozen=True)
class Lesson:
    """A coarse mask of a known object.

    Attributes:
        image: uint8, (H, W, 3), RGB.
        coarse: the coarse mask.
        truth: true mask, uint8, (H, W), 0, 1 and ``VOID``.
    """

    image: ByteArray
    coarse: Mask
    truth: ByteArray


@dataclass(frozen=True)
class Verdicts:
    """The changes of some masks: the evidence, (N, D), the share of their pixels that is right, and their weights."""

    evidence: DoubleArray
    right: DoubleArray
    weight: DoubleArray

    @classmethod
    def of(cls, parts: Sequence[Verdicts]) -> Verdicts:
        """Join the changes of several masks."""
        names = ("evidence", "right", "weight")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def fit_judge(
    weights: str | Path,
    sets: Sequence[PatchSet],
    out: Path,
    settings: JudgeSettings,
    *,
    overwrite: bool = False,
    share: bool = False,
) -> dict[str, int]:
    """Write weights with a judge that has learned from sets of whole images which of their changes are right.

    Args:
        weights: shipped name or file.
        sets: sets of the scheme ``image``.
        out: new weights file.
        settings: number of masks and seed.
        overwrite: whether to replace ``out`` if it exists.
        share: whether ``out`` holds only the card, and shares the tensors of ``weights`` in the same folder.

    Returns:
        The number of masks that the judge learned from, by set.

    Raises:
        BprError: the weights or a set cannot be used, no mask changed, or ``out`` cannot be written.
    """
    check_new(out, overwrite)
    loaded = load_weights(weights)
    if share:  # before the work of many minutes
        check_share(out, loaded)
    refiner = Refiner(RefineSettings(weights=str(weights), judge=False, min_movement=0))
    counts, parts = dict[str, int](), list[Verdicts]()
    for number, patches in enumerate(sets):
        random = np.random.default_rng([settings.seed, number])
        pool = MaskPool(PatchSubset.full(patches), SetSampling(groups="category"))
        name = set_name(patches.path)
        counts[name] = 0
        for kind in KINDS:
            lessons = list(draw_lessons(pool, kind, settings.masks, random))
            found = list(verdicts_on(refiner, lessons))
            counts[name] += len(found)
            parts += [replace(each, weight=each.weight / len(found)) for each in found]
    if not sum(part.weight.sum() for part in parts):
        raise BprError("no mask of these sets changed, so there is nothing to learn; give sets with coarse masks")
    judge = fit(Verdicts.of(parts), settings.seed)
    card = replace(loaded.card, judge=judge.numbers(), min_movement=0.0)
    save_changed(out, card, loaded, share=share)
    return counts


def draw_lessons(pool: MaskPool, kind: str, count: int, random: Random) -> Iterator[Lesson]:
    """Draw coarse masks of a kind, with equal chance for each group of the pool; none if the pool has no such kind."""
    groups = pool.predicted if kind == "predicted" else pool.true
    for _ in range(count if groups else 0):
        scene = pool.scene(any_of(any_of(groups, random), random))
        coarse = scene.pair.coarse or simulated(scene.pair.truth, kind, random)
        if coarse.area:
            yield Lesson(scene.pixels, coarse, scene.pair.truth_plane)


def simulated(truth: Mask, kind: str, random: Random) -> Mask:
    """A coarse mask of a kind, from the true one."""
    if kind == "exact" or not truth.area:
        return truth
    if kind == "simulated":
        return simulate.simulate(truth, random)
    soft = simulate.near(truth.to_array().astype(np.float32), random)
    if random.random() < 0.5:
        soft = simulate.blobs(soft, random)
    return Mask.from_array(soft > 0.5)


def verdicts_on(refiner: Refiner, lessons: Sequence[Lesson]) -> Iterator[Verdicts]:
    """Refine masks, and compare every change with the truth; masks without a change give none."""
    for number, image in passed(refiner, [(each.image, (each.coarse,)) for each in lessons]):
        (coarse,), (refined,) = image.coarse.prediction, image.segments.paste(image.outlines)
        changed, box = changed_mask(image.image, coarse, refined, image.outlines[0])
        if refined is coarse or not len(changed.areas):
            continue
        x0, y0, x1, y1 = box
        truth = lessons[number].truth[y0:y1, x0:x1]
        known = changed.sums((truth <= 1).view(np.uint8))
        true = changed.sums((truth == 1).view(np.uint8))
        right = np.where(changed.joins, true, known - true) / np.maximum(known, 1)
        yield Verdicts(changed.evidence(), right, known / np.sqrt(coarse.area))


def fit(verdicts: Verdicts, seed: int) -> Judge:
    """Fit a judge by cross-entropy with AdamW to changes that are drawn by their weights, all of them at a time."""
    chances = verdicts.weight / verdicts.weight.sum()
    drawn = np.random.default_rng(seed).choice(len(chances), min(DRAWN, 10 * len(chances)), p=chances)
    evidence, right = verdicts.evidence[drawn], verdicts.right[drawn]
    centre, spread = evidence.mean(axis=0), evidence.std(axis=0) + 1e-3
    scaled = np.clip((evidence - centre) / spread, -LARGEST, LARGEST)
    inputs, targets = (torch.from_numpy(each.astype(np.float32)) for each in (scaled, right))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = nn.Linear(EVIDENCE, HIDDEN), nn.Linear(HIDDEN, 1)
    parameters = [*first.parameters(), *second.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(STEPS):
        loss = F.binary_cross_entropy_with_logits(second(torch.tanh(first(inputs)))[:, 0], targets)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    layers = (first.weight.T, first.bias, second.weight[0], second.bias)
    return Judge(centre, spread, *(each.detach().double().numpy() for each in layers))
