"""Batches for the network, made beside it by other processes.

A batch is a pure function of the seed and the step: it does not depend on how many workers there are, nor where a
training was interrupted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bpr_cli.errors import BprError
from bpr_cli.patchset.record import PatchSample
from bpr_cli.training.augment import Augmentation
from bpr_cli.training.held_out import Part
from bpr_cli.training.order import Order
from bpr_cli.training.workers import begin_worker, starting_workers

AUGMENTING = 3
"""What random numbers are drawn for, beside the purposes in ``held_out`` and ``order``: each has its own stream."""

WAITING = 3
"""Batches that every worker makes ahead."""


class Batch(NamedTuple):
    """Patches as the network is shown them.

    Attributes:
        image: uint8, (P, T, T, 3), RGB.
        coarse: uint8, (P, T, T), 0 and 1.
        truth: uint8, (P, T, T), 0, 1 and ``VOID``.
    """

    image: Tensor
    coarse: Tensor
    truth: Tensor

    @classmethod
    def of(cls, samples: Sequence[PatchSample]) -> Batch:
        """Patches of one size, one after the other."""
        planes = ([getattr(sample, name) for sample in samples] for name in cls._fields)
        return cls(*(torch.from_numpy(np.stack(plane)) for plane in planes))

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(*(plane.to(device, non_blocking=True) for plane in self))

    def split(self, count: int) -> list[Batch]:
        """``count`` batches of equal size."""
        size = len(self.image) // count
        return [Batch(*planes) for planes in zip(*(torch.split(plane, size) for plane in self), strict=True)]


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several processes trains on.

    Attributes:
        first: its first patch within the batch of all processes.
        size: number of patches.
        whole: size of the batch of all processes.
    """

    first: int
    size: int
    whole: int


class StepBatches(Dataset[Batch]):
    """The batch of every step, counted from 0."""

    def __init__(
        self, parts: Sequence[Part], order: Order, augmentation: Augmentation, seed: int, share: Share
    ) -> None:
        """Make the batches.

        Args:
            parts: the patches that train.
            order: of these parts.
            augmentation: applied to every patch.
            seed: of the augmentation.
            share: which patches of each batch.
        """
        self._parts, self._order, self._augmentation = parts, order, augmentation
        self._seed, self._share = seed, share

    def __getitem__(self, step: int) -> Batch:
        first = step * self._share.whole + self._share.first
        return Batch.of([self._sample(position) for position in range(first, first + self._share.size)])

    def _sample(self, position: int) -> PatchSample:
        part, index = self._order.at(position)
        random = np.random.default_rng([self._seed, AUGMENTING, position])
        return self._augmentation(self._parts[part][index], self._another, random)

    def _another(self, random: np.random.Generator) -> PatchSample:
        part, index = self._order.any(random)
        return self._parts[part][index]


class _Answers(Dataset[Batch | BprError]):
    """Batches, or why there is none: PyTorch would put a traceback into an error that comes from another process."""

    def __init__(self, batches: StepBatches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> Batch | BprError:
        try:
            return self._batches[step]
        except BprError as error:
            return error


def load(batches: StepBatches, steps: range, workers: int, pinned: bool) -> Iterator[Batch]:
    """The batches of some steps, in order.

    Args:
        batches: of all steps.
        steps: which ones.
        workers: processes that make them; with 0 they are made when asked for.
        pinned: in memory that a GPU copies from without waiting.

    Raises:
        BprError: by the iterator, where a patch cannot be read.
    """
    # How many workers are too many is for the user to say, not for a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        loader = DataLoader(
            _Answers(batches),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=pinned,
            prefetch_factor=WAITING if workers else None,
            worker_init_fn=begin_worker if workers else None,
        )
        with starting_workers():
            return map(_batch, iter(loader))


def _batch(answer: Batch | BprError) -> Batch:
    if isinstance(answer, BprError):
        raise answer
    return answer
