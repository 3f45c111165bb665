"""How good the decided patches are, on patches that were held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bpr_cli.evaluation.boundary import boundary_f, iou
from bpr_cli.inference.patch_model import DTYPES, PatchModel
from bpr_cli.inference.settings import Precision
from bpr_cli.patches.paste import CERTAIN
from bpr_cli.patchset.record import VOID, PatchSample
from bpr_cli.training.batches import Batch
from bpr_cli.training.held_out import Part
from bpr_cli.training.sizes import Sizes, centre, resized
from bpr_cli.weights.card import WeightsCard

TOLERANCE = 1
"""Of the boundary F-score, in pixels."""

PASS = 64
"""Patches a forward pass."""


@dataclass(frozen=True)
class PatchFigures:
    """Agreement of some patches with the truth, without their context.

    Attributes:
        patches: how many.
        iou: mean IoU, 0..1.
        boundary_f: mean boundary F-score at 1 px, 0..1.
    """

    patches: int
    iou: float
    boundary_f: float


def measure(decided: Sequence[NDArray[np.uint8]], truths: Sequence[NDArray[np.uint8]]) -> PatchFigures:
    """Compare patches with the truth; see ``evaluate.boundary`` for the measures.

    Pixels whose truth is not known count as background of both.

    Args:
        decided: uint8, (S, S) each, 0 and 1.
        truths: uint8, (S, S) each, 0, 1 and ``VOID``.
    """
    ious, scores = [], []
    for mask, truth in zip(decided, truths, strict=True):
        known = truth != VOID
        pair = mask * known, truth * known
        ious.append(iou(*pair))
        scores.append(boundary_f(*pair, TOLERANCE))
    return PatchFigures(len(ious), float(np.mean(ious)), float(np.mean(scores)))


class Validator:
    """Validates networks on the same patches again and again.

    Attributes:
        coarse: how good the coarse masks are, to compare with.
    """

    def __init__(self, parts: Sequence[Part], card: WeightsCard, precision: Precision, device: torch.device) -> None:
        """Read the truths.

        Args:
            parts: the patches; one or more.
            card: sizes and normalisation, the same that refinement will use.
            precision: arithmetic of the network.
            device: where the network runs.
        """
        self._parts, self._card, self._device = parts, card, device
        self._dtype = DTYPES[precision]
        self._sizes = Sizes(card.patch_size, card.padding, card.input_size)
        inner = [centre(sample, card.patch_size) for sample in self._samples()]
        self._truths = [sample.truth.copy() for sample in inner]
        self.coarse = measure([sample.coarse for sample in inner], self._truths)

    @torch.inference_mode()
    def measure(self, network: nn.Module) -> PatchFigures:
        """Decide all patches as refinement would, and compare them with the truth.

        Args:
            network: on the device; in eval mode afterwards.
        """
        model = PatchModel(network, self._card, self._dtype).eval().to(self._device)
        decided: list[NDArray[np.uint8]] = []
        for batch in self._batches():
            probabilities = model(batch.image, batch.coarse).cpu().numpy()
            decided += list((2 * probabilities.astype(np.int16) > CERTAIN).astype(np.uint8))
        return measure(decided, self._truths)

    def _samples(self) -> Iterator[PatchSample]:
        """The stored patches, one after the other."""
        for part in self._parts:
            for index in range(len(part)):
                yield part[index]

    def _batches(self) -> Iterator[Batch]:
        """What the network is shown."""
        waiting: list[PatchSample] = []
        for sample in self._samples():
            waiting.append(resized(centre(sample, self._sizes.side), self._sizes.input_size))
            if len(waiting) == PASS:
                yield Batch.of(waiting).to(self._device)
                waiting.clear()
        if waiting:
            yield Batch.of(waiting).to(self._device)
