"""What ``bpr weights show`` prints, and what its help text says about each value."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from bpr_cli.cli.console import Console
from bpr_cli.settings import hints_of
from bpr_cli.weights.card import WeightsCard

if TYPE_CHECKING:
    from bpr_cli.weights.convert import WeightsSummary

OF_FILE = {
    "path": "The file",
    "digest": "Its SHA-256",
    "bytes": "Its size",
    "tensors": "Number of its tensors, statistics of batch norms included",
    "parameters": "Number of trainable parameters",
}


def explanations() -> dict[str, str]:
    """What each value means, by its name as it is printed, in that order."""
    of_card = {name: hint.__metadata__[-1].description for name, hint in hints_of(WeightsCard).items()}
    return {label(name): text for name, text in (of_card | OF_FILE).items()}


def label(name: str) -> str:
    """The name of a value as it is printed."""
    return name.replace("_", " ")


def report(summary: WeightsSummary, json: bool) -> None:
    """Print one line per value."""
    console = Console(results=not json)
    content = asdict(summary)
    card = content.pop("card")
    for name in ("judge", "final_judge", "map_judge", "int8"):
        card[name] = f"{len(card[name])} numbers" if card[name] else None
    card["context"] = card["context"] and f"{card['context']['network']}, {card['context']['input_size']} px"
    for name, value in (card | content).items():
        console.result(f"{label(name):<15}{shown(value)}")
    if json:
        console.json(asdict(summary))


def shown(value: object) -> str:
    """Format a value for display."""
    if isinstance(value, dict):
        value = tuple(f"{name}: {each}" for name, each in value.items())
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    return "-" if value is None or value == "" else str(value)
