"""Training data: which patches train and which validate, their order, and batches that other processes prepare.

A batch is a pure function of the seed and the step: it depends neither on the number of workers nor on where a
training was interrupted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bpr_cli.errors import BprError
from bpr_cli.patchset.record import PatchSample
from bpr_cli.patchset.store import PatchSet
from bpr_cli.training.augmentation import Augmentation
from bpr_cli.training.workers import begin_worker, starting_workers
from bpr_cli.typing import IntArray

HOLDING_OUT, CHOOSING, ORDERING, AUGMENTING = 0, 1, 2, 3
"""What random numbers are drawn for: each purpose has a stream of its own."""

PREFETCHED = 3
"""Batches that every worker prepares in advance."""


class TrainBatch(NamedTuple):
    """Patches as the network sees them.

    Attributes:
        image: uint8, (P, T, T, 3), RGB.
        coarse: uint8, (P, T, T), 0 and 1.
        truth: uint8, (P, T, T), 0, 1 and ``VOID``.
    """

    image: Tensor
    coarse: Tensor
    truth: Tensor

    @classmethod
    def of(cls, samples: Sequence[PatchSample]) -> TrainBatch:
        """Stack patches of one size."""
        planes = ([getattr(sample, name) for sample in samples] for name in cls._fields)
        return cls(*(torch.from_numpy(np.stack(plane)) for plane in planes))

    def to(self, device: torch.device) -> TrainBatch:
        """The batch on a device."""
        return TrainBatch(*(plane.to(device, non_blocking=True) for plane in self))

    def split(self, count: int) -> list[TrainBatch]:
        """``count`` batches of equal size."""
        size = len(self.image) // count
        return [TrainBatch(*planes) for planes in zip(*(torch.split(plane, size) for plane in self), strict=True)]


@dataclass(frozen=True)
class BatchSlice:
    """The part of every batch that one of several processes trains on.

    Attributes:
        first: its first patch within the batch of all processes.
        size: number of patches.
        total: size of the batch of all processes.
    """

    first: int
    size: int
    total: int


@dataclass(frozen=True)
class PatchSubset:
    """Some patches of a set.

    Attributes:
        patches: the set.
        places: int64, (P,), their positions in it.
    """

    patches: PatchSet
    places: IntArray

    @classmethod
    def full(cls, patches: PatchSet) -> PatchSubset:
        """All patches of a set."""
        return cls(patches, np.arange(len(patches)))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> PatchSample:
        return self.patches[int(self.places[index])]


def hold_out(sets: Sequence[PatchSet], share: float, seed: int) -> tuple[list[PatchSubset], list[PatchSubset]]:
    """Split sets by image, so that no image both trains and validates.

    Images of one name (without folder and suffix) count as the same image in all sets, because the masks of several
    models on one image may be spread over them.

    Args:
        sets: one or more.
        share: of the images that are held out, above 0 and below 1; at least one image.
        seed: which ones.

    Returns:
        The patches that train and those that validate, in the order of the sets; without empty subsets.

    Raises:
        BprError: all patches are of one image.
    """
    names = [[PurePath(item.name).stem for item in patches.items] for patches in sets]
    held = held_out_names({name for each in names for name in each}, share, seed)
    training, validation = [], []
    for patches, each in zip(sets, names, strict=True):
        is_held = np.array([name in held for name in each], dtype=bool)[patches.item_numbers]
        training.append(PatchSubset(patches, np.flatnonzero(~is_held)))
        validation.append(PatchSubset(patches, np.flatnonzero(is_held)))
    return [part for part in training if len(part)], [part for part in validation if len(part)]


def held_out_names(names: set[str], share: float, seed: int) -> set[str]:
    """The images that validate; see ``hold_out``."""
    images = sorted(names)
    if len(images) < 2:
        raise BprError("all patches are of one image, so none can be held out; give patches of others as --validation")
    count = min(max(1, round(share * len(images))), len(images) - 1)
    drawn = np.random.default_rng([seed, HOLDING_OUT]).permutation(len(images))[:count]
    return {images[index] for index in drawn}


def some_of(subsets: Sequence[PatchSubset], count: int, seed: int) -> list[PatchSubset]:
    """At most ``count`` patches, sampled uniformly from all subsets, in their order."""
    total = sum(map(len, subsets))
    if total <= count:
        return list(subsets)
    drawn = np.sort(np.random.default_rng([seed, CHOOSING]).permutation(total)[:count])
    ends = np.cumsum([0, *map(len, subsets)])
    chosen = [
        PatchSubset(subset.patches, subset.places[drawn[(drawn >= start) & (drawn < end)] - start])
        for subset, start, end in zip(subsets, ends, ends[1:], strict=False)
    ]
    return [subset for subset in chosen if len(subset)]


class PatchOrder:
    """An endless sequence of patches: each epoch has every patch once, in an order of its own.

    The patch at a position depends on sizes and seed alone, so a training can resume anywhere.
    """

    def __init__(self, sizes: Sequence[int], balance: Literal["patches", "sets"], seed: int) -> None:
        """Make the order.

        Args:
            sizes: number of patches of each subset.
            balance: ``patches`` shuffles all subsets together; with ``sets`` they take turns, each shuffled alone.
            seed: of the shuffling.
        """
        self._ends = np.cumsum(sizes)
        self._streams = [int(self._ends[-1])] if balance == "patches" else list(sizes)
        self._balance = balance
        self._seed = seed
        self._shuffled: dict[int, tuple[int, IntArray]] = {}

    def at(self, position: int) -> tuple[int, int]:
        """The subset and the index in it of the patch at a position, counted from 0."""
        turn, stream = divmod(position, len(self._streams))
        return self._place(stream, self._number_of(stream, turn))

    def random_place(self, random: np.random.Generator) -> tuple[int, int]:
        """The subset and the index in it of a random patch, with the same balance but independent of the sequence."""
        stream = int(random.integers(len(self._streams)))
        return self._place(stream, int(random.integers(self._streams[stream])))

    def _place(self, stream: int, number: int) -> tuple[int, int]:
        """The subset and the index in it of a patch by its number in a stream."""
        if self._balance == "sets":
            return stream, number
        subset = int(np.searchsorted(self._ends, number, side="right"))
        return subset, number - (int(self._ends[subset - 1]) if subset else 0)

    def _number_of(self, stream: int, turn: int) -> int:
        epoch, index = divmod(turn, self._streams[stream])
        kept = self._shuffled.get(stream)
        if kept is None or kept[0] != epoch:
            random = np.random.default_rng([self._seed, ORDERING, stream, epoch])
            kept = self._shuffled[stream] = (epoch, random.permutation(self._streams[stream]))
        return int(kept[1][index])


class SampleStream(Protocol):
    """Training patches by their position in the training, counted from 0."""

    def __getitem__(self, position: int) -> PatchSample:
        """A patch of the size of the network's input; the same whenever it is asked for."""


class PatchStream:
    """The stored patches, augmented; a ``SampleStream``."""

    def __init__(
        self, subsets: Sequence[PatchSubset], balance: Literal["patches", "sets"], augmentation: Augmentation, seed: int
    ) -> None:
        """Make the stream.

        Args:
            subsets: the patches that train.
            balance: see ``PatchOrder``.
            augmentation: applied to every patch.
            seed: of order and augmentation.
        """
        self._subsets, self._augmentation, self._seed = subsets, augmentation, seed
        self._order = PatchOrder([len(subset) for subset in subsets], balance, seed)

    def __getitem__(self, position: int) -> PatchSample:
        random = np.random.default_rng([self._seed, AUGMENTING, position])
        return self._augmentation(self._stored(self._order.at(position)), self._random_patch, random)

    def _stored(self, place: tuple[int, int]) -> PatchSample:
        return self._subsets[place[0]][place[1]]

    def _random_patch(self, random: np.random.Generator) -> PatchSample:
        return self._stored(self._order.random_place(random))


class StepBatches(Dataset[TrainBatch]):
    """The batch of every step, counted from 0: this process's slice of it."""

    def __init__(self, stream: SampleStream, slice_: BatchSlice) -> None:
        self._stream, self._slice = stream, slice_

    def __getitem__(self, step: int) -> TrainBatch:
        first = step * self._slice.total + self._slice.first
        return TrainBatch.of([self._stream[position] for position in range(first, first + self._slice.size)])


class _BatchesOrErrors(Dataset[TrainBatch | BprError]):
    """Batches, or why there is none: PyTorch would put a traceback into an error that comes from another process."""

    def __init__(self, batches: StepBatches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> TrainBatch | BprError:
        try:
            return self._batches[step]
        except BprError as error:
            return error


def load_batches(batches: StepBatches, steps: range, workers: int, pinned: bool) -> Iterator[TrainBatch]:
    """The batches of some steps, in order.

    Args:
        batches: of all steps.
        steps: which ones.
        workers: processes that prepare them; with 0 they are prepared on demand.
        pinned: in memory that a GPU can copy from asynchronously.

    Raises:
        BprError: by the iterator, if a patch cannot be read.
    """
    # The user decides how many workers are too many, not a warning.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        loader = DataLoader(
            _BatchesOrErrors(batches),
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=pinned,
            prefetch_factor=PREFETCHED if workers else None,
            worker_init_fn=begin_worker if workers else None,
        )
        with starting_workers():
            return map(_checked, iter(loader))


def _checked(answer: TrainBatch | BprError) -> TrainBatch:
    if isinstance(answer, BprError):
        raise answer
    return answer
