"""Settings of a training: the recipe, and settings for the data and the machine. Does not import NumPy or PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from bpr_cli.errors import BprError
from bpr_cli.inference.settings import FloatPrecision
from bpr_cli.settings import Count, Fraction, Natural, Settings, option

RECIPE, ENGINE, VALIDATION, FILES = "Recipe", "Network and device", "Validation", "Files"
"""Panels of the help text."""

Positive = Annotated[float, Meta(gt=0, le=1e300)]
Factor = Annotated[float, Meta(ge=0, le=1000)]
Zoom = Annotated[float, Meta(ge=0.1, le=10)]
Pixels = Annotated[int, Meta(ge=0, le=1024)]
StepCount = Annotated[int, Meta(ge=1, le=10**9)]


@dataclass(frozen=True)
class OptimiserSettings(Settings):
    """The optimiser."""

    name: Annotated[Literal["sgd", "adamw"], option("Optimiser: SGD with momentum, or AdamW")]
    learning_rate: Annotated[Positive, option("Peak learning rate", panel=RECIPE, flags=("--learning-rate", "--lr"))]
    encoder_rate: Annotated[
        float, Meta(ge=0, le=100), option("Factor on the learning rate of pretrained weights; 1 treats all alike")
    ]
    momentum: Annotated[float, Meta(ge=0, le=0.9999), option("Momentum of SGD; beta 1 of AdamW")]
    weight_decay: Annotated[float, Meta(ge=0, le=10), option("Weight decay")]
    decay_all: Annotated[bool, option("Decay biases and batch norms too, as the authors do")]
    clip: Annotated[float, Meta(ge=0, le=1e6), option("Largest gradient norm of a step; 0 does not clip")]


@dataclass(frozen=True)
class ScheduleSettings(Settings):
    """The learning-rate schedule; see ``rate_at``."""

    name: Annotated[Literal["poly", "cosine"], option("Shape of the decay")]
    power: Annotated[Positive, option("Exponent of poly; cosine does not use it")]
    min_rate: Annotated[float, Meta(ge=0, le=1e6), option("Learning rate after the last step")]
    warmup: Annotated[float, Meta(ge=0, le=0.9), option("Share of the steps in which the rate rises from zero")]
    begin: Annotated[Fraction, option("Part of the decay at which the first step is, to continue another training")] = 0
    end: Annotated[Fraction, option("Part of the decay at which the last step is; below 1 if a training follows")] = 1


@dataclass(frozen=True)
class LossSettings(Settings):
    """The weights of the loss; see ``patch_loss``."""

    boundary_weight: Annotated[Positive, option("Factor on pixels near the ground-truth boundary")]
    boundary_width: Annotated[int, Meta(ge=0, le=64), option("Width of that band, in pixels of the network's input")]
    context_weight: Annotated[Factor, option("Factor on pixels of the context, which are not pasted back")]
    jaccard: Annotated[Factor, option("Factor on the soft Jaccard loss that is added to the cross-entropy")]


@dataclass(frozen=True)
class ImageSettings(Settings):
    """Chances of photometric changes; see ``vary_image``."""

    distort: Annotated[Fraction, option("Photometric distortion of the authors' configuration")]
    colour: Annotated[Fraction, option("Brightness, contrast, saturation and white balance")]
    gamma: Annotated[Fraction, option("Gamma curve, which closes or opens the shadows")]
    darken: Annotated[Fraction, option("Darkness")]
    blur: Annotated[Fraction, option("Gaussian blur")]
    noise: Annotated[Fraction, option("Gaussian noise")]
    jpeg: Annotated[Fraction, option("JPEG compression")]
    light: Annotated[Fraction, option("Shadows and lights with edges of their own")] = 0
    saturation: Annotated[Fraction, option("Saturation alone")] = 0
    contrast: Annotated[Fraction, option("Contrast and brightness alone")] = 0
    white_balance: Annotated[Fraction, option("White balance alone")] = 0
    swap_channels: Annotated[Fraction, option("Red, green and blue in another order")] = 0
    negative: Annotated[Fraction, option("The negative")] = 0


@dataclass(frozen=True)
class GeometrySettings(Settings):
    """Chances and ranges of geometric changes; see ``vary_crop``."""

    flip: Annotated[Fraction, option("Chance of a horizontal flip")]
    flip_vertical: Annotated[Fraction, option("Chance of a vertical flip")]
    zoom: Annotated[Fraction, option("Chance of a zoom")]
    zoom_range: Annotated[
        tuple[Zoom, Zoom],
        option("Smallest and largest magnification; below 1 only as far as the stored patch reaches"),
    ]
    shift: Annotated[Pixels, option("Largest shift in pixels, only as far as the stored patch reaches")]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.zoom_range[0] > self.zoom_range[1]:
            raise BprError(f"geometry.zoom_range is {list(self.zoom_range)}; expected the smaller number first")


@dataclass(frozen=True)
class CoarseSettings(Settings):
    """Chances of changes to the coarse mask; see ``vary_coarse``."""

    shift: Annotated[Fraction, option("Moved by some pixels")]
    morph: Annotated[Fraction, option("Eroded or dilated")]
    wobble: Annotated[Fraction, option("Bent along its boundary")]
    truth: Annotated[Fraction, option("Replaced by the ground truth, so that correct masks are left alone")]


@dataclass(frozen=True)
class ErrorSettings(Settings):
    """Chances of errors in simulated coarse masks, in order of application; see ``patchset.simulate``."""

    blobs: Annotated[Fraction, option("Parts missing or added at the boundary")] = 0.45
    mask_head: Annotated[Fraction, option("Mask of 28 x 28 pixels in an inexact box")] = 0
    low_resolution: Annotated[Fraction, option("Logits at a stride of several pixels")] = 0.65
    wobble: Annotated[Fraction, option("A boundary that wanders off and back")] = 0.75
    thickness: Annotated[Fraction, option("Too thick or too thin")] = 0
    polygon: Annotated[Fraction, option("An outline of few points")] = 0.15


@dataclass(frozen=True)
class SetSampling(Settings):
    """How patches are sampled from the whole images of one set."""

    chance: Annotated[Factor, option("Weight of the set among all sets")] = 1
    groups: Annotated[
        Literal["image", "video", "category"],
        option("What is sampled with equal chance: images, categories, or videos (names up to the last _)"),
    ] = "image"
    simulated: Annotated[Fraction, option("Chance of a simulated coarse mask")] = 0.45
    exact: Annotated[Fraction, option("Part of the simulated masks that are the ground truth itself")] = 0
    near: Annotated[Fraction, option("Part that is the ground truth, about two pixels off at most")] = 0
    parts: Annotated[Fraction, option("Part that is exact or near, but has missing or additional parts")] = 0
    whole: Annotated[Fraction, option("Chance that a patch shows the whole mask, at any size")] = 0
    turned: Annotated[Fraction, option("Chance that a patch is turned by any angle")] = 0
    composite: Annotated[Fraction, option("Chance that a simulated mask is of a patch composed of two")] = 0
    paste_from: Annotated[
        dict[str, Factor], option("Sets that the second scene comes from, with weights; own is the same group")
    ] = field(default_factory=lambda: {"own": 1.0})
    zooms: Annotated[
        tuple[tuple[Zoom, Fraction], ...], option("Magnifications with their chances, as [zoom, chance]")
    ] = ((1, 0.35), (0.5, 0.15))
    zoom_range: Annotated[
        tuple[Zoom, Zoom], option("Smallest and largest of all other magnifications, on a logarithmic scale")
    ] = (0.45, 2.2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exact + self.near + self.parts > 1 + 1e-9:
            raise BprError("sampling: exact, near and parts sum to more than 1; expected parts of the simulated masks")
        if sum(chance for _, chance in self.zooms) > 1 + 1e-9:
            raise BprError(f"sampling: the chances of zooms {list(self.zooms)} sum to more than 1; expected less")
        if self.composite and not sum(self.paste_from.values()):
            raise BprError("sampling: composites need a set that the second scene comes from; expected paste_from")


@dataclass(frozen=True)
class SamplingSettings(Settings):
    """How patches are sampled from whole images; see ``sampling.ImageStream``."""

    patch_size: Annotated[int, Meta(ge=4, le=1024), option("Side of the patches in pixels, at zoom 1")] = 64
    shift: Annotated[Pixels, option("Largest distance of a patch from the boundary, in pixels of the patch")] = 14
    errors: ErrorSettings = field(default_factory=ErrorSettings)
    sets: Annotated[dict[str, SetSampling], option("Sampling of the patch sets by the name of their folder")] = field(
        default_factory=dict
    )
    others: Annotated[SetSampling, option("Sampling of the patch sets that are not named")] = field(
        default_factory=SetSampling
    )


@dataclass(frozen=True)
class Recipe(Settings):
    """How a network is trained, independent of data and machine."""

    network: Annotated[str, option("Network by name, if neither --network nor --init says another")]
    input_size: Annotated[
        int,
        Meta(ge=0, le=1024, multiple_of=32),
        option("Side that patches are resized to, a multiple of 32; 0: no resizing", panel=RECIPE),
    ]
    padding: Annotated[Pixels, option("Context to feed, in image pixels; sets with less feed all they have")]
    steps: Annotated[StepCount, option("Number of optimiser steps", panel=RECIPE)]
    batch_size: Annotated[
        int, Meta(ge=1, le=10**6), option("Patches per step, over all processes and passes", panel=RECIPE)
    ]
    balance: Annotated[
        Literal["patches", "sets"], option("What is sampled with equal chance: every patch, or every patch set")
    ]
    ema_decay: Annotated[
        float,
        Meta(ge=0, le=0.999999),
        option("Decay of the moving average of the weights, which is validated and saved; 0: no average"),
    ]
    validate_every: Annotated[StepCount, option("Steps between validations", panel=VALIDATION)]
    composite: Annotated[Fraction, option("Chance of a patch that is composed of two")]
    optimiser: OptimiserSettings
    schedule: ScheduleSettings
    loss: LossSettings
    image: ImageSettings
    geometry: GeometrySettings
    coarse: CoarseSettings
    patience: Annotated[
        Natural,
        option("Stop after this many validations in a row without a better score; 0: never", panel=VALIDATION),
    ] = 0
    sampling: Annotated[
        SamplingSettings | None, option("Sampling from sets of the scheme image; without it, patches are as stored")
    ] = None


@dataclass(frozen=True)
class TrainSettings(Settings):
    """How a network is trained on given data and a given machine.

    The same seed gives the same weights, on a CPU bit for bit. If the padding is smaller than that of the patch sets,
    the rest leaves room for shifts and zooming out.
    """

    recipe: Recipe
    network: Annotated[
        str | None,
        option(
            "Network by name, or one of yours as module:Class (default: that of --init, or the recipe's)", panel=ENGINE
        ),
    ] = None
    init: Annotated[
        str | None,
        option("Initial weights and settings of refinement: a shipped name, .safetensors or .pth", panel=ENGINE),
    ] = None
    padding: Annotated[
        Natural | None,
        option("Context to feed in pixels (default: the recipe's, or all there is)", panel=ENGINE),
    ] = None
    mask_patch: Annotated[bool, option("Show the network the coarse mask", panel=ENGINE)] = True
    validation: Annotated[
        tuple[Path, ...],
        option("Patch set to validate on; may be repeated (default: images held out of PATCHES)", panel=VALIDATION),
    ] = ()
    validation_share: Annotated[
        float, Meta(gt=0, lt=1), option("Share of the images to hold out", panel=VALIDATION)
    ] = 0.05
    validation_patches: Annotated[Count, option("Largest number of patches to validate on", panel=VALIDATION)] = 2000
    seed: Annotated[int, Meta(ge=0, lt=2**32), option("Random seed", panel=RECIPE)] = 0
    name: Annotated[str | None, option("Name of the weights (default: that of --out)", panel=FILES)] = None
    licence: Annotated[str, option("Licence of the weights (default: that of --init)", panel=FILES)] = ""
    device: Annotated[str, option("auto, cpu, cuda, or a GPU such as cuda:1", panel=ENGINE)] = "auto"
    precision: Annotated[
        FloatPrecision, option("Floating-point type of the network; weights and optimiser stay float32", panel=ENGINE)
    ] = "float32"
    accumulate: Annotated[
        Count, option("Forward passes that a step is split into when memory is short", panel=ENGINE)
    ] = 1
    workers: Annotated[
        Natural | None,
        option("Processes that prepare batches (default: 1 on a CPU, else the number of cores)", panel=ENGINE),
    ] = None
    save_every: Annotated[Count, option("Steps between checkpoints", panel=FILES)] = 200
    tensorboard: Annotated[bool, option("Also write a log for TensorBoard", panel=FILES)] = False
    overwrite: Annotated[bool, option("Start afresh if --out holds a run", panel=FILES)] = False


@dataclass(frozen=True)
class JudgeSettings(Settings):
    """How the judge of weights is fitted."""

    masks: Annotated[
        Natural,
        option("Masks of each set and kind: predicted, simulated, nearly exact and exact ones; 0 leaves their judge"),
    ] = 300
    maps: Annotated[
        Natural, option("Label maps of each set and kind, painted from the masks of an image; 0 leaves their judge")
    ] = 24
    unseen: Annotated[
        tuple[Path, ...],
        option("Set of whole images that --stand-in was not trained on; may be repeated", metavar="SET"),
    ] = ()
    stand_in: Annotated[
        str | None,
        option(
            "Other weights; what they do to exact masks of --unseen, and nearly exact ones, teaches too",
            metavar="NAME_OR_FILE",
        ),
    ] = None
    seed: Annotated[Natural, option("Random seed")] = 0

    def __post_init__(self) -> None:
        """Check all fields.

        Raises:
            BprError: unseen sets are given without other weights, or these without sets.
        """
        super().__post_init__()
        if bool(self.unseen) != bool(self.stand_in):
            raise BprError(
                "--unseen and --stand-in go together; give sets, and the weights that were not trained on them"
            )
