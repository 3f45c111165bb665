"""Weights from one format to the other, and with another card."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bpr_cli.weights.files import LoadedWeights, check_new, load_weights, save_weights

CardValue = str | int | float | bool | tuple[float, ...]
"""What an attribute of a card may be that a conversion changes."""


def convert_weights(source: str | Path, out: Path, *, overwrite: bool = False, **changes: CardValue) -> LoadedWeights:
    """Write weights anew, in the format that the new name tells.

    There and back again gives the same file: a checkpoint takes the card along, where MMSegmentation does not look.

    Args:
        source: a shipped name or a file, as in ``load_weights``.
        out: the new file, as in ``save_weights``.
        overwrite: replace ``out`` where it is there.
        changes: new values of the card, by the names of its attributes.

    Returns:
        The new weights, loaded from their file.

    Raises:
        BprError: the source cannot be used, a value is not sane, or ``out`` is there or cannot be written.
    """
    check_new(out, overwrite)
    loaded = load_weights(source)
    card = replace(loaded.card, **changes)  # type: ignore[arg-type]
    save_weights(out, loaded.network, card)
    return load_weights(out)
