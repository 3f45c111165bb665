"""The card of a weights file: settings of its patches and origin of the weights; and the list of shipped weights.

This module imports neither NumPy nor PyTorch, so that help texts can name the shipped weights.

A card is stored as JSON inside the weights file. The file may come from anyone, so every value is checked.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from bpr_cli.errors import BprError, shorten
from bpr_cli.settings import Fraction, Settings, build, option

DEFAULT_WEIGHTS = "fast"
PACKAGE = Path(__file__).resolve().parents[1]

CARD_VERSION = 1
"""Version of the format; increased when older readers would misunderstand a card."""

REQUIRED = {"name", "network", "patch_size", "padding", "input_size", "mean", "std"}
"""Keys that every card must have; the other keys are newer and have defaults."""

PANEL = "Card"

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

INPUT_STEP = 32
"""The input size must be a multiple of this, because networks halve their input up to five times."""

Mean = Annotated[float, Meta(ge=-1e4, le=1e4)]
Deviation = Annotated[float, Meta(ge=1e-3, le=1e4)]
Overlap = Annotated[float, Meta(ge=0, lt=1)]
Scales = Annotated[tuple[Annotated[float, Meta(ge=0.25, le=8)], ...], Meta(min_length=1, max_length=8)]
FileName = Annotated[str, Meta(pattern=r"^[^/\\:]{1,200}$")]
Metric = Annotated[int, Meta(ge=-(10**12), le=10**12)] | Annotated[float, Meta(ge=-1e12, le=1e12)] | str

Numbers = tuple[Annotated[float, Meta(ge=-1e6, le=1e6)], ...]


@dataclass(frozen=True)
class WeightsCard(Settings):
    """Settings and origin of trained weights; validated on creation. The fields say what they hold.

    Raises:
        BprError: a value has the wrong type or is out of bounds; the message names the setting, not the file.
    """

    name: Annotated[str, Meta(min_length=1, max_length=200), option("Name in messages and reports", panel=PANEL)]
    network: Annotated[str, Meta(description="Architecture by name, or module:Class")]
    patch_size: Annotated[
        int, Meta(ge=4, le=2048), option("Side of the box that is pasted back, in image pixels", panel=PANEL)
    ] = 64
    min_patch_size: Annotated[
        Annotated[int, Meta(ge=4, le=2048)] | None,
        option(
            "Smallest side to which patches shrink along small masks, with their context; patches of label maps never "
            "shrink",
            panel=PANEL,
        ),
    ] = None
    padding: Annotated[
        int,
        Meta(ge=0, le=1024),
        option("Context around that box, in image pixels: seen by the network, not pasted back", panel=PANEL),
    ] = 0
    input_size: Annotated[
        int,
        Meta(ge=INPUT_STEP, le=1024, multiple_of=INPUT_STEP),
        option(f"Side that patch and context are resized to, a multiple of {INPUT_STEP}", panel=PANEL),
    ] = 128
    mean: Annotated[
        tuple[Mean, Mean, Mean],
        Meta(description="Mean of R, G and B on the scale 0 to 255, subtracted from the image"),
    ] = IMAGENET_MEAN
    std: Annotated[
        tuple[Deviation, Deviation, Deviation],
        Meta(description="Standard deviation of R, G and B on this scale, by which the difference is divided"),
    ] = IMAGENET_STD
    mask_patch: Annotated[
        bool, option("Show the network the coarse mask; otherwise it gets zeros (paper, Table 2)", panel=PANEL)
    ] = True
    scales: Annotated[
        Scales,
        option("Patch scale of each pass, coarse to fine, e.g. 2,1; the last pass should see every pixel", panel=PANEL),
    ] = (1.0,)
    view: Annotated[
        Annotated[int, Meta(ge=64, le=4096)] | None,
        option(
            "Length in pixels at which large masks are shown in a first pass, whose patches grow with the mask",
            panel=PANEL,
        ),
    ] = None
    rim: Annotated[
        int,
        Meta(ge=0, le=1024),
        option("Part of the context that is pasted back as well, with falling weight, in image pixels", panel=PANEL),
    ] = 0
    nms_threshold: Annotated[
        Overlap, option("NMS IoU threshold in refinement; higher keeps more overlapping patches", panel=PANEL)
    ] = 0.25
    follow: Annotated[
        bool,
        option(
            "Place more patches where a change of masks or labels reaches the sides of all patches; take back changes "
            "of masks beside others that end there in a straight line",
            panel=PANEL,
        ),
    ] = False
    min_part: Annotated[
        int,
        Meta(ge=0, le=10**6),
        option("New parts and new holes of masks stay only from this area on, in pixels of a patch", panel=PANEL),
    ] = 0
    min_movement: Annotated[
        float,
        Meta(ge=0, le=64),
        option(
            "Segments whose boundary moves less than this on average, in pixels of a patch, come back as they were",
            panel=PANEL,
            metavar="PIXELS",
        ),
    ] = 0.0
    flip: Annotated[bool, option("Average predictions for each patch and its mirror image", panel=PANEL)] = False
    core: Annotated[
        Fraction,
        option(
            "Keep interior pixels: those farther than CORE x sqrt(area) from the boundary never become background; 1 "
            "turns this off",
            panel=PANEL,
            metavar="CORE",
        ),
    ] = 1.0
    training_data: Annotated[str, option("Data that the network learned from, and their terms", panel=PANEL)] = ""
    metrics: Annotated[dict[str, Metric], Meta(description="Scores on held-out data, by name")] = field(
        default_factory=dict, hash=False
    )
    licence: Annotated[str, option("Terms under which the weights may be used", panel=PANEL)] = ""
    description: Annotated[str, option("Purpose of the weights", panel=PANEL)] = ""
    recipe: Annotated[str, Meta(description="How the weights were trained")] = ""
    judge: Annotated[
        Numbers,
        Meta(description="Network that knows which changes of masks are right (bpr weights judge)"),
    ] = ()
    final_judge: Annotated[
        Numbers, Meta(description="Network that knows whether a mask is better with the changes that are left")
    ] = ()
    map_judge: Annotated[Numbers, Meta(description="Network that knows which changes of label maps are right")] = ()
    int8: Annotated[Numbers, Meta(description="What --precision int8 needs (bpr weights quantise)")] = ()
    tensors_of: Annotated[
        tuple[FileName, Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]] | None,
        Meta(
            description="File in the same folder that holds the tensors, and its SHA-256, if this file holds the card "
            "alone"
        ),
    ] = None
    context: Annotated[
        WeightsCard | None,
        Meta(
            description="Network that sees every mask as a whole before its patches (bpr weights join), and its input "
            "size"
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.name.isprintable():
            raise BprError(f"name is {shorten(self.name)}; expected printable characters")
        if self.rim > self.padding:
            raise BprError(f"rim is {self.rim}; expected at most the padding, {self.padding}")
        if self.min_patch_size is not None and self.min_patch_size > self.patch_size:
            raise BprError(
                f"min_patch_size is {self.min_patch_size}; expected at most the patch_size, {self.patch_size}"
            )

    @property
    def output_size(self) -> int:
        """Side in pixels of what is pasted back of each patch: the patch with its rim."""
        return self.patch_size + 2 * self.rim

    def to_json(self, tensors_of: tuple[str, str] | None = None) -> str:
        """The card as JSON text, for a file that holds its own tensors, or those of another file."""
        content = {"version": CARD_VERSION, **asdict(self), "tensors_of": tensors_of}
        return json.dumps(content, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> WeightsCard:
        """Read a card.

        Raises:
            BprError: the text is not a card, or the card needs a newer version of this program.
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


def shipped_weights(package: Path = PACKAGE) -> dict[str, Path]:
    """The shipped weights by name (the file name without suffix), sorted.

    Args:
        package: the folder of ``bpr_cli``. The weights lie inside it in an installed wheel, and next to it in a source
            checkout.
    """
    inside = sorted((package / "weights").glob("*.safetensors"))
    beside = sorted((package.parent / "weights").glob("*.safetensors"))
    in_checkout = (package.parent / "pyproject.toml").is_file()
    return {path.stem: path for path in (beside if in_checkout and not inside else inside)}
