"""A recipe: every number of a training that does not depend on the data or the machine. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from bpr_cli.errors import BprError

OptimiserName = Literal["sgd", "adamw"]
ScheduleName = Literal["poly", "cosine"]
Balance = Literal["patches", "sets"]


@dataclass(frozen=True)
class OptimiserSettings:
    """How gradients become steps.

    Attributes:
        name: ``sgd`` with momentum, or ``adamw``.
        learning_rate: at its height; see ``ScheduleSettings``.
        momentum: of SGD; the decay of the mean gradient (beta 1) of AdamW.
        encoder_rate: factor for the learning rate of what the network declares as pretrained, 1 treats all alike.
        weight_decay: pulls weights to zero.
        decay_all: whether it also pulls biases and batch norms, as the authors' configuration does.
        clip: greatest norm of the gradient of a step, longer ones are shortened; 0 leaves them as they are.
    """

    name: OptimiserName
    learning_rate: float
    encoder_rate: float
    momentum: float
    weight_decay: float
    decay_all: bool
    clip: float

    def __post_init__(self) -> None:
        _positive("optimiser.learning_rate", self.learning_rate)
        _in_range("optimiser.encoder_rate", self.encoder_rate, 0, 100)
        _in_range("optimiser.momentum", self.momentum, 0, 0.9999)
        _in_range("optimiser.weight_decay", self.weight_decay, 0, 10)
        _in_range("optimiser.clip", self.clip, 0, 1e6)


@dataclass(frozen=True)
class ScheduleSettings:
    """How the learning rate goes over the steps. See ``schedule.rate_at``.

    Attributes:
        name: ``poly`` or ``cosine``.
        power: of ``poly``; ``cosine`` leaves it unused.
        min_rate: learning rate after the last step.
        warmup: share of the steps in which the rate rises from zero.
    """

    name: ScheduleName
    power: float
    min_rate: float
    warmup: float

    def __post_init__(self) -> None:
        _positive("schedule.power", self.power)
        _in_range("schedule.min_rate", self.min_rate, 0, 1e6)
        _in_range("schedule.warmup", self.warmup, 0, 0.9)


@dataclass(frozen=True)
class LossSettings:
    """What a wrong pixel costs, and a wrong region. See ``loss``.

    Attributes:
        boundary_weight: factor for pixels near the true boundary.
        boundary_width: how near, in pixels of the network's input.
        context_weight: factor for pixels of the context ring, which are not written back.
        jaccard: factor of the soft Jaccard term beside the cross-entropy; 0 leaves it out.
    """

    boundary_weight: float
    boundary_width: int
    context_weight: float
    jaccard: float

    def __post_init__(self) -> None:
        _positive("loss.boundary_weight", self.boundary_weight)
        _in_range("loss.boundary_width", self.boundary_width, 0, 64)
        _in_range("loss.context_weight", self.context_weight, 0, 1e3)
        _in_range("loss.jaccard", self.jaccard, 0, 1e3)


@dataclass(frozen=True)
class ImageSettings:
    """Chances, 0 to 1, of changes of the image. See ``photometric``.

    Attributes:
        distort: the photometric distortion of the authors' configuration.
        colour: brightness, contrast, saturation and white balance.
        gamma: another gamma curve, which opens or closes the shadows.
        darken: as taken in the dark.
        blur: Gaussian blur.
        noise: Gaussian noise.
        jpeg: compression as JPEG.
    """

    distort: float
    colour: float
    gamma: float
    darken: float
    blur: float
    noise: float
    jpeg: float

    def __post_init__(self) -> None:
        for entry in fields(self):
            _in_range(f"image.{entry.name}", getattr(self, entry.name), 0, 1)


@dataclass(frozen=True)
class GeometrySettings:
    """Changes of the cut. See ``geometry``.

    Attributes:
        flip: chance of a horizontal flip, 0 to 1.
        flip_vertical: chance of a vertical flip, 0 to 1.
        zoom: chance of a zoom, 0 to 1.
        zoom_range: smallest and greatest enlargement; below 1 only as far as the stored patch reaches.
        shift: greatest shift in pixels, only as far as the stored patch reaches.
    """

    flip: float
    flip_vertical: float
    zoom: float
    zoom_range: tuple[float, float]
    shift: int

    def __post_init__(self) -> None:
        for name in ("flip", "flip_vertical", "zoom"):
            _in_range(f"geometry.{name}", getattr(self, name), 0, 1)
        for value in self.zoom_range:
            _in_range("geometry.zoom_range", value, 0.1, 10)
        if self.zoom_range[0] > self.zoom_range[1]:
            raise BprError(f"geometry.zoom_range is {list(self.zoom_range)}, expected the smaller number first")
        _in_range("geometry.shift", self.shift, 0, 1024)


@dataclass(frozen=True)
class CoarseSettings:
    """Chances, 0 to 1, of changes of the coarse mask. See ``coarse``.

    Attributes:
        shift: moved by some pixels.
        morph: eroded or dilated.
        wobble: bent to and fro along its boundary.
        truth: replaced by the truth, so that the network learns to leave alone what is right.
    """

    shift: float
    morph: float
    wobble: float
    truth: float

    def __post_init__(self) -> None:
        for name in ("shift", "morph", "wobble", "truth"):
            _in_range(f"coarse.{name}", getattr(self, name), 0, 1)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        network: a name in the registry of networks, where the user names none.
        input_size: side T that patches are resized to; 0 takes the patch with its context as it is, rounded up to a
            multiple of 32.
        padding: context that is fed, in image pixels, where the user says nothing; sets with less feed all they have.
        steps: number of optimiser steps.
        batch_size: patches a step, over all processes and accumulated passes.
        balance: what is drawn with equal chance: every patch, or every patch set however large.
        ema_decay: of the moving average of the weights that is validated and saved; 0 takes the weights themselves.
        validate_every: steps from one validation to the next.
        composite: chance, 0 to 1, of a patch that is put together from two. See ``composite``.
        optimiser: see there, as for the rest.
        schedule: learning rate.
        loss: what is minimised.
        image: augmentation of the image.
        geometry: augmentation of the cut.
        coarse: augmentation of the coarse mask.

    Raises:
        BprError: a value is not sane; the sentence names the key.
    """

    network: str
    input_size: int
    padding: int
    steps: int
    batch_size: int
    balance: Balance
    ema_decay: float
    validate_every: int
    composite: float
    optimiser: OptimiserSettings
    schedule: ScheduleSettings
    loss: LossSettings
    image: ImageSettings
    geometry: GeometrySettings
    coarse: CoarseSettings

    def __post_init__(self) -> None:
        if self.input_size % 32 or not 0 <= self.input_size <= 1024:
            raise BprError(f"input_size is {self.input_size}, expected a multiple of 32 up to 1024, or 0")
        _in_range("padding", self.padding, 0, 1024)
        _in_range("steps", self.steps, 1, 10**9)
        _in_range("batch_size", self.batch_size, 1, 10**6)
        _in_range("ema_decay", self.ema_decay, 0, 0.999999)
        _in_range("validate_every", self.validate_every, 1, 10**9)
        _in_range("composite", self.composite, 0, 1)


def _in_range(name: str, value: float, lowest: float, highest: float) -> None:
    """Refuse a number outside of a range (both ends belong to it), and NaN."""
    if not lowest <= value <= highest:
        raise BprError(f"{name} is {value}, expected a number from {lowest:g} to {highest:g}")


def _positive(name: str, value: float) -> None:
    """Refuse what is not a finite number above zero."""
    if not (value > 0 and math.isfinite(value)):
        raise BprError(f"{name} is {value}, expected a number above 0")
