"""Full batches out of the patches of many images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bpr_cli.formats.base import Item
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.image import CutImage


@dataclass
class Job:
    """An image on its way through the network.

    Attributes:
        item: where it comes from.
        cut_image: its patches.
        parts: uint8 probabilities of the patches decided so far, (p, S, S) each, in the order of the patches.
    """

    item: Item
    cut_image: CutImage
    parts: list[NDArray[np.uint8]] = field(default_factory=list)

    @property
    def done(self) -> bool:
        """Whether every patch is decided."""
        return sum(map(len, self.parts)) == len(self.cut_image)


@dataclass(frozen=True)
class Share:
    """A run of patches of one job."""

    job: Job
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Batch:
    """Patches of one or several jobs that go through the network together."""

    shares: tuple[Share, ...]

    def cut(self) -> Patches:
        """Cut out all patches, share after share."""
        patches = Patches.empty(sum(map(len, self.shares)), self.shares[0].job.cut_image.how.input_size)
        filled = 0
        for share in self.shares:
            share.job.cut_image.crop_into(patches[filled : filled + len(share)], share.start)
            filled += len(share)
        return patches

    def hand_back(self, probabilities: NDArray[np.uint8]) -> list[Job]:
        """Give every job its part of the decisions, uint8 (P, S, S), and tell which jobs are done with it."""
        ends = np.cumsum([len(share) for share in self.shares])
        for share, part in zip(self.shares, np.split(probabilities, ends[:-1]), strict=True):
            share.job.parts.append(part)
        return [share.job for share in self.shares if share.job.done]


def fill_batches(jobs: Iterable[Job], batch_size: int) -> Iterator[Batch | Job]:
    """Fill batches with the patches of successive jobs; only the last batch may be smaller than ``batch_size``.

    A job without patches has nothing to wait for and is handed through at once.
    """
    shares: list[Share] = []
    room = batch_size
    for job in jobs:
        start, total = 0, len(job.cut_image)
        if total == 0:
            yield job
        while start < total:
            share = Share(job, start, min(total, start + room))
            shares.append(share)
            start, room = share.stop, room - len(share)
            if room == 0:
                yield Batch(tuple(shares))
                shares, room = [], batch_size
    if shares:
        yield Batch(tuple(shares))
