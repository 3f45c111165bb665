"""Scores of the network on held-out patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from bpr_cli.evaluation.boundary import boundary_f, iou
from bpr_cli.inference.patch_model import DTYPES, PatchModel
from bpr_cli.inference.settings import FloatPrecision
from bpr_cli.patches.paste import CERTAIN
from bpr_cli.patchset.record import VOID, PatchSample
from bpr_cli.training.augmentation import PatchSizes, centre, resized
from bpr_cli.training.data import PatchSubset, TrainBatch
from bpr_cli.typing import ByteArray
from bpr_cli.weights.card import WeightsCard

TOLERANCE = 1
"""Tolerance of the boundary F-score in pixels."""

PATCHES_PER_PASS = 64


@dataclass(frozen=True)
class PatchScores:
    """Agreement of some patches with the ground truth, without their context.

    Attributes:
        patches: number of patches.
        iou: mean IoU in percent.
        boundary_f: mean boundary F-score at 1 px in percent.
    """

    patches: int
    iou: float
    boundary_f: float


def patch_scores(predicted: Sequence[ByteArray], truths: Sequence[ByteArray]) -> PatchScores:
    """Compare patches with the ground truth; see ``evaluation.boundary`` for the metrics.

    Void pixels count as background in both.

    Args:
        predicted: predicted masks, uint8, (S, S) each, 0 and 1.
        truths: ground truth, uint8, (S, S) each, 0, 1 and ``VOID``.
    """
    ious, scores = [], []
    for mask, truth in zip(predicted, truths, strict=True):
        known = truth != VOID
        pair = mask * known, truth * known
        ious.append(iou(*pair))
        scores.append(boundary_f(*pair, TOLERANCE))
    return PatchScores(len(ious), 100 * float(np.mean(ious)), 100 * float(np.mean(scores)))


class Validator:
    """Scores networks on a fixed list of patches.

    Attributes:
        coarse: scores of the coarse masks, for comparison.
    """

    def __init__(
        self,
        subsets: Sequence[PatchSubset | Sequence[PatchSample]],
        card: WeightsCard,
        precision: FloatPrecision,
        device: torch.device,
    ) -> None:
        """Read the ground truth.

        Args:
            subsets: validation patches; they are read again for every validation.
            card: card with the sizes and normalisation that refinement will use.
            precision: floating-point type of the network.
            device: device of the network.
        """
        # Without a rim, which is pasted back with low weight, and of which the truth is not measured.
        self._subsets, self._card, self._device = subsets, replace(card, rim=0), device
        self._dtype = DTYPES[precision]
        self._sizes = PatchSizes(card.patch_size, card.padding, card.input_size)
        inner = [centre(sample, card.patch_size) for sample in self._samples()]
        self._truths = [sample.truth.copy() for sample in inner]
        self.coarse = patch_scores([sample.coarse for sample in inner], self._truths)

    @torch.inference_mode()
    def measure(self, network: nn.Module) -> PatchScores:
        """Predict all patches as refinement does, and compare them with the ground truth.

        Args:
            network: network on the device; it is put into eval mode.
        """
        model = PatchModel(network, self._card, self._dtype).eval().to(self._device)
        predicted: list[ByteArray] = []
        for batch in self._batches():
            probabilities = model(batch.image, batch.coarse).cpu().numpy()
            predicted += list((2 * probabilities.astype(np.int16) > CERTAIN).astype(np.uint8))
        return patch_scores(predicted, self._truths)

    def _samples(self) -> Iterator[PatchSample]:
        for subset in self._subsets:
            for index in range(len(subset)):
                yield subset[index]

    def _batches(self) -> Iterator[TrainBatch]:
        """Batches of the network's input."""
        waiting: list[PatchSample] = []
        for sample in self._samples():
            waiting.append(resized(centre(sample, self._sizes.side), self._sizes.input_size))
            if len(waiting) == PATCHES_PER_PASS:
                yield TrainBatch.of(waiting).to(self._device)
                waiting.clear()
        if waiting:
            yield TrainBatch.of(waiting).to(self._device)
