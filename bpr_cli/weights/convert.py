"""Summarises, tests, converts, joins and averages weights, for ``bpr weights``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bpr_cli.errors import BprError
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import LoadedWeights, check_new, load_weights, save_changed, save_weights

TRIAL_SIZE = 64
"""Side of the test patch in pixels."""

CardValue = str | int | float | bool | tuple[float, ...]
"""Types of card values that a conversion may change."""


@dataclass(frozen=True)
class WeightsSummary:
    """A summary of weights.

    Attributes:
        path: the file.
        digest: SHA-256 of the file, hexadecimal.
        bytes: size of the file in bytes.
        tensors: number of tensors, buffers included.
        parameters: number of trainable parameters.
        card: settings and origin.
    """

    path: str
    digest: str
    bytes: int
    tensors: int
    parameters: int
    card: WeightsCard


def summarise_weights(loaded: LoadedWeights) -> WeightsSummary:
    """Summarise loaded weights, both networks where there are two."""
    networks = [each.network for each in (loaded, loaded.context) if each]
    return WeightsSummary(
        path=str(loaded.path),
        digest=loaded.digest,
        bytes=loaded.path.stat().st_size,
        tensors=sum(len(network.state_dict()) for network in networks),
        parameters=sum(parameter.numel() for network in networks for parameter in network.parameters()),
        card=loaded.card,
    )


def try_weights(loaded: LoadedWeights) -> None:
    """Run the network on a patch of noise; names, shapes and values were already checked on loading.

    Raises:
        BprError: the output is not finite.
    """
    noise = torch.randn(1, 4, TRIAL_SIZE, TRIAL_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = loaded.network(noise)
    if not torch.isfinite(logits).all():
        raise BprError(
            f"the weights {loaded.path} cannot be used: the network's output for a patch of noise is not finite"
        )


def convert_weights(
    source: str | Path, out: Path, *, overwrite: bool = False, share: bool = False, **changes: CardValue
) -> LoadedWeights:
    """Convert weights to the format of the new file's suffix.

    A checkpoint stores the card in an entry that MMSegmentation ignores, so converting back gives an equal file. It
    cannot hold a network for whole masks, which is left out.

    Args:
        source: shipped name or file, as in ``load_weights``.
        out: new file, as in ``save_weights``.
        overwrite: whether to replace ``out`` if it exists.
        share: whether ``out`` holds only the card, and shares the tensors of ``source`` in the same folder.
        changes: new values of the card, by attribute name.

    Returns:
        The new weights, loaded from their file.

    Raises:
        BprError: the source cannot be used, a value of the card is invalid, or ``out`` exists or cannot be written.
    """
    check_new(out, overwrite)
    loaded = load_weights(source)
    card = replace(loaded.card, **changes)  # type: ignore[arg-type]
    save_changed(out, card, loaded, share=share)
    return load_weights(out)


def join_weights(patches: str | Path, whole: str | Path, out: Path, *, overwrite: bool = False) -> LoadedWeights:
    """Write weights that see every mask as a whole before they see its patches.

    Args:
        patches: shipped name or file, as in ``load_weights``: the network for patches.
        whole: the same: a network trained on whole masks, with its card.
        out: new ``.safetensors`` file.
        overwrite: whether to replace ``out`` if it exists.

    Returns:
        The new weights, loaded from their file.

    Raises:
        BprError: a source cannot be used, ``whole`` never saw a whole mask, or ``out`` exists, cannot be written, or
            is a checkpoint.
    """
    check_new(out, overwrite)
    first, second = load_weights(patches), load_weights(whole)
    if _saw_no_whole_masks(second.card.recipe):
        raise BprError(
            f"the weights {second.path} were trained on patches alone, by the recipe in their card; expected weights "
            "for whole masks, of bpr train --recipe whole"
        )
    seen_whole = replace(second.card, context=None, rim=0)  # of a box around a whole mask, no context is pasted back
    card = replace(_with_origin_of(second.card, first.card), context=seen_whole)
    save_weights(out, first.network, card, second.network)
    return load_weights(out)


def _saw_no_whole_masks(recipe: str) -> bool:
    """Whether a recipe, as ``bpr train`` writes it, shows no whole masks; any other text does not tell."""
    keys = {value.partition(" = ")[0] for value in recipe.split("; ")}
    return "steps" in keys and not any(key.endswith(".whole") for key in keys)


def _with_origin_of(other: WeightsCard, card: WeightsCard) -> WeightsCard:
    """A card that names the terms and the training data of other weights too."""
    licence, data = (
        "; ".join(dict.fromkeys(text for text in texts if text))
        for texts in ((card.licence, other.licence), (card.training_data, other.training_data))
    )
    return replace(card, licence=licence, training_data=data)


def average_weights(
    one: str | Path, other: str | Path, out: Path, share: float = 0.5, *, overwrite: bool = False
) -> LoadedWeights:
    """Average two trainings of the same network tensor by tensor; the card is that of the first.

    Weights trained on from common ones can be averaged (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR
    2022): the result keeps most of what each of them does well. Their numbers for int8 are left out.

    Args:
        one: shipped name or file, as in ``load_weights``.
        other: the same, trained on from ``one`` or from common weights.
        out: new file, as in ``save_weights``.
        share: weight of ``other``, 0..1.
        overwrite: whether to replace ``out`` if it exists.

    Returns:
        The new weights, loaded from their file.

    Raises:
        BprError: a source cannot be used, the networks differ, the share is outside 0..1, or ``out`` exists or cannot
            be written.
    """
    check_new(out, overwrite)
    if not 0 <= share <= 1:
        raise BprError(f"the share of {other} is {share}, expected 0 to 1")
    first, second = load_weights(one), load_weights(other)
    if first.card.network != second.card.network:
        raise BprError(
            f"{one} holds a {first.card.network} and {other} a {second.card.network}; only weights of the same network "
            "can be averaged"
        )
    target, source = first.network.state_dict(), second.network.state_dict()
    for name, tensor in target.items():
        if tensor.is_floating_point():  # not the counts of batches, which have no effect
            tensor.lerp_(source[name], share)
    # Other tensors need other numbers for 8 bits.
    save_changed(out, replace(_with_origin_of(second.card, first.card), int8=()), first)
    return load_weights(out)
