"""What ``bpr weights`` does with weights: sum them up, try them, and write them anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bpr_cli.errors import BprError
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import LoadedWeights, check_new, load_weights, save_weights

TRIAL_SIZE = 64
"""Side of the patch that weights are tried on, in pixels."""

CardValue = str | int | float | bool | tuple[float, ...]
"""Values of a card that a conversion may change."""


@dataclass(frozen=True)
class WeightsSummary:
    """Weights in short.

    Attributes:
        path: the file.
        digest: SHA-256 of the file, hexadecimal.
        bytes: size of the file.
        tensors: number of tensors, buffers included.
        parameters: number of trainable values.
        card: settings and origin.
    """

    path: str
    digest: str
    bytes: int
    tensors: int
    parameters: int
    card: WeightsCard


def summarise_weights(loaded: LoadedWeights) -> WeightsSummary:
    """Sum up loaded weights."""
    return WeightsSummary(
        path=str(loaded.path),
        digest=loaded.digest,
        bytes=loaded.path.stat().st_size,
        tensors=len(loaded.network.state_dict()),
        parameters=sum(parameter.numel() for parameter in loaded.network.parameters()),
        card=loaded.card,
    )


def try_weights(loaded: LoadedWeights) -> None:
    """Run the network on a patch of noise; loading has already checked names, shapes and values.

    Raises:
        BprError: its output is not finite.
    """
    noise = torch.randn(1, 4, TRIAL_SIZE, TRIAL_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = loaded.network(noise)
    if not torch.isfinite(logits).all():
        raise BprError(
            f"the weights {loaded.path} cannot be used: the network's output for a patch of noise is not finite"
        )


def convert_weights(source: str | Path, out: Path, *, overwrite: bool = False, **changes: CardValue) -> LoadedWeights:
    """Write weights anew, in the format that the suffix of the new name stands for.

    A checkpoint carries the card where MMSegmentation does not look, so converting back gives an equal file.

    Args:
        source: a shipped name or a file, as in ``load_weights``.
        out: the new file, as in ``save_weights``.
        overwrite: replace ``out`` where it exists.
        changes: new values of the card, by the names of its attributes.

    Returns:
        The new weights, loaded from their file.

    Raises:
        BprError: the source cannot be used, a value of the card is invalid, or ``out`` exists or cannot be written.
    """
    check_new(out, overwrite)
    loaded = load_weights(source)
    card = replace(loaded.card, **changes)  # type: ignore[arg-type]
    save_weights(out, loaded.network, card)
    return load_weights(out)
