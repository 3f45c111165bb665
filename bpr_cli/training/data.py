"""Training data: the split into training and validation patches, their order, and batches prepared by workers.

A batch is a pure function of the seed and the step. It depends neither on the number of workers nor on interruptions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
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
"""Purposes of random numbers; each has a stream of its own."""

PREFETCHED = 3
"""Number of batches that each worker prepares in advance."""


class TrainBatch(NamedTuple):
    """Patches at the size of the network's input.

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
        """Copy the batch to a device."""
        return TrainBatch(*(plane.to(device, non_blocking=True) for plane in self))

    def split(self, count: int) -> list[TrainBatch]:
        """Split the batch into ``count`` batches of equal size."""
        size = len(self.image) // count
        return [TrainBatch(*planes) for planes in zip(*(torch.split(plane, size) for plane in self), strict=True)]


@dataclass(frozen=True)
class BatchSlice:
    """The part of every batch that belongs to one process.

    Attributes:
        first: index of its first patch within the batch of all processes.
        size: number of patches.
        total: number of patches of all processes.
    """

    first: int
    size: int
    total: int


@dataclass(frozen=True)
class PatchSubset:
    """Some patches of a set.

    Attributes:
        patches: the patch set.
        places: positions of the patches in the set, int64, (P,).
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
    """Split sets by image, so that no image serves both training and validation.

    Images with the same name (without folder and suffix) count as one image in all sets, because the sets may hold
    masks of several models on one image.

    Args:
        sets: one or more patch sets.
        share: fraction of the images to hold out, above 0 and below 1; at least one image is held out.
        seed: seed of the choice.

    Returns:
        The training patches and the validation patches, in the order of the sets, without empty subsets.

    Raises:
        BprError: all patches come from one image.
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
    """The names of the held-out images; see ``hold_out``."""
    images = sorted(names)
    if len(images) < 2:
        raise BprError("all patches are of one image, so none can be held out; give patches of others as --validation")
    count = min(max(1, round(share * len(images))), len(images) - 1)
    drawn = np.random.default_rng([seed, HOLDING_OUT]).permutation(len(images))[:count]
    return {images[index] for index in drawn}


def some_of(subsets: Sequence[PatchSubset], count: int, seed: int) -> list[PatchSubset]:
    """Sample at most ``count`` patches uniformly from all subsets, keeping their order."""
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
    """An endless sequence of patches: each epoch contains every patch once, in a new order.

    The patch at a position depends only on the sizes and the seed, so a training can resume anywhere.
    """

    def __init__(self, sizes: Sequence[int], balance: Literal["patches", "sets"], seed: int) -> None:
        """Make the order.

        Args:
            sizes: number of patches in each subset.
            balance: ``patches`` shuffles all subsets together; ``sets`` alternates between separately shuffled subsets.
            seed: seed of the order.
        """
        self._ends = np.cumsum(sizes)
        self._streams = [int(self._ends[-1])] if balance == "patches" else list(sizes)
        self._balance = balance
        self._seed = seed
        self._shuffled: dict[int, tuple[int, IntArray]] = {}

    def at(self, position: int) -> tuple[int, int]:
        """Subset of the patch at a position (from 0), and its index in the subset."""
        turn, stream = divmod(position, len(self._streams))
        return self._place(stream, self._number_of(stream, turn))

    def random_place(self, random: np.random.Generator) -> tuple[int, int]:
        """Subset of a random patch, and its index; it has the same balance but does not depend on the sequence."""
        stream = int(random.integers(len(self._streams)))
        return self._place(stream, int(random.integers(self._streams[stream])))

    def _place(self, stream: int, number: int) -> tuple[int, int]:
        """Subset and index of a patch by its number in a stream."""
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
        """A patch of the size of the network's input; a position always gives the same patch."""


class PatchStream:
    """A ``SampleStream`` of augmented stored patches."""

    def __init__(
        self, subsets: Sequence[PatchSubset], balance: Literal["patches", "sets"], augmentation: Augmentation, seed: int
    ) -> None:
        """Make the stream.

        Args:
            subsets: training patches.
            balance: balance of the subsets; see ``PatchOrder``.
            augmentation: augmentation of every patch.
            seed: seed of order and augmentation.
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
    """This process's slice of the batch of every step, counted from 0."""

    def __init__(self, stream: SampleStream, slice_: BatchSlice) -> None:
        self._stream, self._slice = stream, slice_

    def __getitem__(self, step: int) -> TrainBatch:
        first = step * self._slice.total + self._slice.first
        return TrainBatch.of([self._stream[position] for position in range(first, first + self._slice.size)])


class _BatchesOrErrors(Dataset[TrainBatch | BprError]):
    """Batches or errors; an error that is raised in a worker would reach the user with a traceback by PyTorch."""

    def __init__(self, batches: StepBatches) -> None:
        self._batches = batches

    def __getitem__(self, step: int) -> TrainBatch | BprError:
        try:
            return self._batches[step]
        except BprError as error:
            return error


def load_batches(
    batches: StepBatches, steps: range, workers: int, pinned: bool, started: list[BaseProcess] | None = None
) -> Iterator[TrainBatch]:
    """Iterate over the batches of some steps in order.

    Args:
        batches: batches of all steps.
        steps: range of the steps.
        workers: number of worker processes; 0 prepares batches on demand in this process.
        pinned: whether to use pinned memory, from which a GPU can copy asynchronously.
        started: receives the worker processes, before the death of one can raise an error.

    Raises:
        BprError: a patch cannot be read; raised during the iteration.
    """
    # PyTorch warns about many workers, but their number is the choice of the user.
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
            iterator = iter(loader)
            if started is not None:
                started += getattr(iterator, "_workers", ())  # those that have died are in no public list
        return map(_checked, iterator)


def _checked(answer: TrainBatch | BprError) -> TrainBatch:
    if isinstance(answer, BprError):
        raise answer
    return answer
