"""What ``bpr weights show`` prints, and what its help text says about each value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields
from textwrap import fill
from typing import TYPE_CHECKING

from bpr_cli.cli.console import Console
from bpr_cli.cli.options import options_of
from bpr_cli.weights.card import WeightsCard

if TYPE_CHECKING:
    from bpr_cli.weights.convert import WeightsSummary

WITHOUT_OPTION = {
    "network": "Architecture by name, or module:Class",
    "mean": "Mean of R, G and B on the scale 0 to 255, subtracted from the image",
    "std": "Standard deviation of R, G and B on this scale, by which the difference is divided",
    "metrics": "Scores on held-out data, by name",
    "recipe": "How the weights were trained",
    "judge": "Size of the network that knows which changes of masks are right (bpr weights judge)",
    "final_judge": "Size of the one that knows whether a mask is better with the changes that are left",
    "map_judge": "Size of the one that knows which changes of label maps are right",
    "int8": "Size of what --precision int8 needs (bpr weights quantise)",
    "tensors_of": "File in the same folder that holds the tensors, and its SHA-256, if this file holds the card alone",
    "context": "Network that sees every mask as a whole before its patches (bpr weights join), and its input size",
}
"""Values of the card that ``bpr weights convert`` does not change."""

OF_FILE = {
    "path": "The file",
    "digest": "Its SHA-256",
    "bytes": "Its size",
    "tensors": "Number of its tensors, statistics of batch norms included",
    "parameters": "Number of trainable parameters",
}
WIDTH, INDENT = 78, 19


def explanations() -> Iterator[str]:
    """A paragraph on each value, in the order in which they are printed."""
    known = WITHOUT_OPTION | OF_FILE | {each.name: each.about.description or "" for each in options_of(WeightsCard)}
    for name in [*(field.name for field in fields(WeightsCard)), *OF_FILE]:
        yield fill(known[name], WIDTH, initial_indent=f"  {label(name):<{INDENT - 2}}", subsequent_indent=" " * INDENT)


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
