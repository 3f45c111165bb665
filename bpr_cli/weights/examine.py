"""What is in weights, and whether they work."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bpr_cli.errors import BprError
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import LoadedWeights

TRIAL_SIZE = 64
"""Side of the patch that weights are tried on, in pixels."""


@dataclass(frozen=True)
class WeightsSummary:
    """Weights in short.

    Attributes:
        path: the file.
        digest: SHA-256 of the file, hexadecimal.
        bytes: size of the file.
        tensors: how many the network has.
        parameters: how many numbers of them training changes.
        card: settings and origin.
    """

    path: str
    digest: str
    bytes: int
    tensors: int
    parameters: int
    card: WeightsCard


def summarise_weights(loaded: LoadedWeights) -> WeightsSummary:
    """Weights in short."""
    return WeightsSummary(
        path=str(loaded.path),
        digest=loaded.digest,
        bytes=loaded.path.stat().st_size,
        tensors=len(loaded.network.state_dict()),
        parameters=sum(parameter.numel() for parameter in loaded.network.parameters()),
        card=loaded.card,
    )


def try_weights(loaded: LoadedWeights) -> None:
    """Decide a patch of noise; layout and values were checked when the weights were loaded.

    Raises:
        BprError: the scores are not finite.
    """
    noise = torch.randn(1, 4, TRIAL_SIZE, TRIAL_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        scores = loaded.network(noise)
    if not torch.isfinite(scores).all():
        raise BprError(f"the weights {loaded.path} cannot be used: their scores of a patch of noise are not finite")
