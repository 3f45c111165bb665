"""The card of a weights file: how the network wants its patches, and where the weights come from. Free of torch.

A card travels as JSON inside the weights file, so it is checked as what it is: a stranger's text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bpr_cli.errors import BprError, shorten

CARD_VERSION = 1
"""Raised when a reader of the version before would misunderstand a card."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

INPUT_STEP = 32
"""Networks halve their input up to five times, and a half pixel would shift the features or not fit."""

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class WeightsCard:
    """Settings and origin of trained weights; a card that exists is a valid one.

    Attributes:
        name: what messages and reports call the weights.
        network: a name in the registry of networks.
        patch_size: side of the box that is written back, in image pixels, 4 to 2048.
        min_patch_size: along a small mask, patches shrink with it down to this side, and their context with them; None
            if they do not. Those of labels never do.
        padding: context around that box, fed to the network and not written back, in image pixels, 0 to 1024.
        input_size: side T that patch and context are resized to, a multiple of 32 from 32 to 1024.
        mean: of R, G, B on the 0..255 scale, subtracted before ``std`` divides. By default ImageNet's (paper).
        std: see ``mean``; above zero.
        mask_patch: whether the network is shown the coarse mask; without, it gets zeros in its place (paper, Table 2).
        scales: rounds of refinement, one after the other, each with patches and context this many times as large; the
            first ones may look at the image from further away, the last one should see its every pixel.
        flip: average the decisions on every patch and on its mirror image.
        core: masks keep the pixels that lie deeper inside them than this fraction of the square root of their area,
            0..1; there are none at 1.
        training_data: what the weights were trained on.
        metrics: figures on held-out data, by name.
        licence: under which the weights may be used.
        description: what the weights are for.
        recipe: how they were trained.

    Raises:
        BprError: a value is of the wrong type or not sane; the sentence names the setting, not the file.
    """

    name: str
    network: str
    patch_size: int = 64
    min_patch_size: int | None = None
    padding: int = 0
    input_size: int = 128
    mean: Triple = IMAGENET_MEAN
    std: Triple = IMAGENET_STD
    mask_patch: bool = True
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False
    core: float = 1.0
    training_data: str = ""
    metrics: dict[str, float | str] = field(default_factory=dict, hash=False)
    licence: str = ""
    description: str = ""
    recipe: str = ""

    def __post_init__(self) -> None:
        _check_texts(self)
        _check_whole("patch_size", self.patch_size, 4, 2048)
        if self.min_patch_size is not None:
            _check_whole("min_patch_size", self.min_patch_size, 4, self.patch_size)
        _check_whole("padding", self.padding, 0, 1024)
        _check_whole("input_size", self.input_size, INPUT_STEP, 1024, step=INPUT_STEP)
        _check_triple("mean", self.mean, lowest=-1e4)
        _check_triple("std", self.std, lowest=1e-3)
        check_scales(self.scales)
        check_core(self.core)
        for name in ("mask_patch", "flip"):
            if not isinstance(value := getattr(self, name), bool):
                raise BprError(f"{name} is {_shown(value)}, expected true or false")
        _check_metrics(self.metrics)

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps({"version": CARD_VERSION, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> WeightsCard:
        """Read a card.

        Raises:
            BprError: the text is no card, or not one this version of the program understands.
        """
        content = _parse_object(text)
        version = content.pop("version", None)
        if version != CARD_VERSION:
            raise BprError(f"version is {_shown(version)}, this bpr reads {CARD_VERSION}; a newer bpr may read it")
        required = {"name", "network", "patch_size", "padding", "input_size", "mean", "std"}
        _check_names(content.keys(), required, {entry.name for entry in fields(cls)})
        # JSON has lists only; what is not a list of numbers is left as it is for the check to name.
        for key in ("mean", "std", "scales"):
            if isinstance(content.get(key), list):
                content[key] = tuple(content[key])
        return cls(**content)


def _parse_object(text: str) -> dict[str, Any]:
    """The JSON object in ``text``."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BprError(f"they are not JSON ({str(error)[:80]})") from None
    if not isinstance(content, dict):
        raise BprError(f"they are JSON of type {type(content).__name__}, expected an object")
    return content


def _check_names(found: Iterable[str], required: set[str], known: set[str]) -> None:
    """Every required setting and nothing that this version would silently ignore."""
    missing = sorted(required - set(found))
    unknown = sorted(set(found) - known)
    if missing:
        raise BprError(f"{', '.join(missing)} missing")
    if unknown:
        raise BprError(f"{', '.join(_shown(name) for name in unknown[:3])} unknown to this bpr")


def _check_texts(card: WeightsCard) -> None:
    for name in ("name", "network", "training_data", "licence", "description", "recipe"):
        value = getattr(card, name)
        if not isinstance(value, str):
            raise BprError(f"{name} is {_shown(value)}, expected text")
    if not card.name or len(card.name) > 200 or not card.name.isprintable():
        raise BprError(f"name is {_shown(card.name)}, expected 1 to 200 printable characters")


def _check_whole(name: str, value: object, lowest: int, highest: int, step: int = 1) -> None:
    """A whole number in a range; True and 64.0 are not whole numbers here."""
    valid = isinstance(value, int) and not isinstance(value, bool)
    if not (valid and lowest <= value <= highest and value % step == 0):  # type: ignore[operator]
        kind = "a whole number" if step == 1 else f"a multiple of {step}"
        raise BprError(f"{name} is {_shown(value)}, expected {kind} from {lowest} to {highest}")


def _check_triple(name: str, value: object, lowest: float) -> None:
    """Three finite numbers, one for each of R, G, B."""
    if not (isinstance(value, tuple) and len(value) == 3 and all(_is_number(each, lowest, 1e4) for each in value)):
        raise BprError(f"{name} is {_shown(value)}, expected three numbers from {lowest:g} to 10000 (R, G, B)")


def check_scales(scales: object) -> None:
    """Refuse rounds that no refinement can make; see ``WeightsCard.scales``.

    Raises:
        BprError: they are not 1 to 8 numbers from 0.25 to 8.
    """
    if not (isinstance(scales, tuple) and 1 <= len(scales) <= 8 and all(_is_number(each, 0.25, 8) for each in scales)):
        raise BprError(f"scales is {_shown(scales)}, expected 1 to 8 numbers from 0.25 to 8, one for each round")


def check_core(core: object) -> None:
    """Refuse a depth that is none; see ``WeightsCard.core``.

    Raises:
        BprError: it is no number from 0 to 1.
    """
    if not _is_number(core, 0, 1):
        raise BprError(f"core is {_shown(core)}, expected a number from 0 to 1")


def _check_metrics(metrics: object) -> None:
    """A flat dictionary of finite numbers and texts."""
    if not isinstance(metrics, dict):
        raise BprError(f"metrics is {_shown(metrics)}, expected names with numbers")
    for name, value in metrics.items():
        if not isinstance(name, str) or not (isinstance(value, str) or _is_number(value, -1e12, 1e12)):
            raise BprError(f"metrics holds {_shown(name)}: {_shown(value)}, expected a name with a number or a text")


def _is_number(value: object, lowest: float, highest: float) -> bool:
    """Whether it is an int or a float, finite and in the range (both ends included)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    # The range comes first: a huge int cannot be asked whether it is finite.
    return lowest <= value <= highest and math.isfinite(value)


def _shown(value: object) -> str:
    """A value for an error message."""
    return shorten(value, longest=60)
