"""Settings of a training: a recipe, and what depends on the data and the machine. Free of torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from bpr_cli.errors import BprError
from bpr_cli.refinement.settings import Precision
from bpr_cli.training.recipe import Recipe

MOST_WORKERS = 16
LARGEST_SEED = 2**32


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained.

    Attributes:
        recipe: optimiser, schedule, loss and augmentation.
        network: a name in the registry; None takes that of ``init``, or else the recipe's.
        init: weights to begin with, see ``load_weights``; None begins at random.
        padding: context that is fed, in image pixels; None takes the recipe's, or what all patch sets have where that
            is less. With less than they have, zooming out and shifting have room.
        mask_patch: whether the network is shown the coarse mask (False: the paper's ablation, Table 2).
        validation: patch sets to validate on; where there are none, a share of the patches is held out by image.
        validation_share: that share of the images.
        validation_patches: at most so many patches are validated on.
        seed: of everything random: the same seed gives the same weights, on a CPU bit for bit.
        name: of the weights; None takes the run directory's.
        licence: of the weights.
        device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or a GPU such as ``cuda:1``.
        precision: arithmetic of the network; weights and optimiser stay float32.
        accumulate: passes that a step is split into, where memory does not suffice for all its patches at once.
        workers: processes that prepare batches beside the network; None chooses by device and cores.
        save_every: steps from one saved state to the next.
        tensorboard: write a log for TensorBoard as well.
        overwrite: start afresh where the directory holds a run.

    Raises:
        BprError: a value is out of range.
    """

    recipe: Recipe
    network: str | None = None
    init: str | None = None
    padding: int | None = None
    mask_patch: bool = True
    validation: tuple[Path, ...] = ()
    validation_share: float = 0.05
    validation_patches: int = 2000
    seed: int = 0
    name: str | None = None
    licence: str = ""
    device: str = "auto"
    precision: Precision = "float32"
    accumulate: int = 1
    workers: int | None = None
    save_every: int = 200
    tensorboard: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            raise BprError(f"precision is {self.precision!r}; expected one of {', '.join(get_args(Precision))}")
        if not 0 < self.validation_share < 1:
            raise BprError(f"validation_share is {self.validation_share}; expected a number above 0 and below 1")
        for name in ("validation_patches", "accumulate", "save_every"):
            _at_least(name, getattr(self, name), 1)
        for name in ("padding", "workers"):
            _at_least(name, getattr(self, name), 0)
        if not 0 <= self.seed < LARGEST_SEED:
            raise BprError(f"seed is {self.seed}; expected a whole number from 0 up to, not including, {LARGEST_SEED}")


def _at_least(name: str, value: int | None, lowest: int) -> None:
    if value is not None and value < lowest:
        raise BprError(f"{name} is {value}; expected {lowest} or more")


def default_workers(on_gpu: bool, processes: int) -> int:
    """Enough workers to keep the device busy: on a CPU, which the network needs itself, a single one.

    Args:
        on_gpu: whether the network runs on a GPU.
        processes: that train on this machine and share its cores.
    """
    return max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // processes)) if on_gpu else 1
