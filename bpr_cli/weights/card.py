"""The card of a weights file: how the network wants its patches, and where the weights come from. Free of PyTorch.

A card travels as JSON inside the weights file. The file may come from anyone, so every value is checked.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Annotated

from msgspec import Meta

from bpr_cli.errors import BprError, shorten
from bpr_cli.settings import Fraction, Settings, build

CARD_VERSION = 1
"""Raised when a reader of the version before would misunderstand a card."""

REQUIRED = {"name", "network", "patch_size", "padding", "input_size", "mean", "std"}
"""Keys that the JSON of every card has; the others came later and have defaults."""

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

INPUT_STEP = 32
"""The input size is a multiple of this: networks halve their input up to five times, to whole pixels."""

Mean = Annotated[float, Meta(ge=-1e4, le=1e4)]
Deviation = Annotated[float, Meta(ge=1e-3, le=1e4)]
Scales = Annotated[tuple[Annotated[float, Meta(ge=0.25, le=8)], ...], Meta(min_length=1, max_length=8)]
Metric = Annotated[int, Meta(ge=-(10**12), le=10**12)] | Annotated[float, Meta(ge=-1e12, le=1e12)] | str


@dataclass(frozen=True)
class WeightsCard(Settings):
    """Settings and origin of trained weights. A card that exists is valid.

    Attributes:
        name: what messages and reports call the weights, 1 to 200 printable characters.
        network: a name in the registry of networks.
        patch_size: side of the box that is written back, in image pixels.
        min_patch_size: along a small mask, patches shrink down to this side, and their context in proportion; None:
            they keep their size. Patches of label maps never shrink.
        padding: context around that box, in image pixels. The network sees it; it is not written back.
        input_size: side T that patch and context are resized to, in pixels.
        mean: of R, G, B on the scale 0..255, subtracted before ``std`` divides. By default ImageNet's (paper).
        std: see ``mean``.
        mask_patch: whether the network sees the coarse mask; without, it gets zeros instead (paper, Table 2).
        scales: one number for each pass of refinement: how many times as large its patches and their context are. The
            last pass should see every pixel.
        flip: average the predictions for each patch and its mirror image.
        core: masks keep the pixels that are farther from their boundary than this fraction of the square root of their
            area; 1: no such pixels.
        training_data: what the weights were trained on.
        metrics: scores on held-out data, by name.
        licence: under which the weights may be used.
        description: what the weights are for.
        recipe: how they were trained.

    Raises:
        BprError: a value has the wrong type or is out of bounds; the message names the setting, not the file.
    """

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    network: str
    patch_size: Annotated[int, Meta(ge=4, le=2048)] = 64
    min_patch_size: Annotated[int, Meta(ge=4, le=2048)] | None = None
    padding: Annotated[int, Meta(ge=0, le=1024)] = 0
    input_size: Annotated[int, Meta(ge=INPUT_STEP, le=1024, multiple_of=INPUT_STEP)] = 128
    mean: tuple[Mean, Mean, Mean] = IMAGENET_MEAN
    std: tuple[Deviation, Deviation, Deviation] = IMAGENET_STD
    mask_patch: bool = True
    scales: Scales = (1.0,)
    flip: bool = False
    core: Fraction = 1.0
    training_data: str = ""
    metrics: dict[str, Metric] = field(default_factory=dict, hash=False)
    licence: str = ""
    description: str = ""
    recipe: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.isprintable():
            raise BprError(f"name is {shorten(self.name)}; expected printable characters")
        if self.min_patch_size is not None and self.min_patch_size > self.patch_size:
            raise BprError(
                f"min_patch_size is {self.min_patch_size}; expected at most the patch_size, {self.patch_size}"
            )

    def to_json(self) -> str:
        """The card as JSON text."""
        return json.dumps({"version": CARD_VERSION, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> WeightsCard:
        """Read a card.

        Raises:
            BprError: the text is not a card, or one that needs a newer version of this program.
        """
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BprError(f"it is not JSON ({str(error)[:80]})") from None
        if not isinstance(content, dict):
            raise BprError(f"it is JSON of type {type(content).__name__}; expected an object")
        version = content.pop("version", None)
        if version != CARD_VERSION:
            raise BprError(f"version is {shorten(version)}; this bpr reads {CARD_VERSION}, a newer one may read it")
        if missing := sorted(REQUIRED - content.keys()):
            raise BprError(f"{', '.join(missing)} missing")
        return build(cls, content)
