"""The outcome of a refinement: what earlier processes have done, and what this one adds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet, Writer
from bpr_cli.masks.masks import Prediction
from bpr_cli.refinement.image import RefinementStats
from bpr_cli.system.journal import Journal

FAULTS = "faults"
"""Name of the records that could not be read, in the journal of an item."""

STAGES = ("read", "crop", "network", "paste", "write")

OnItem = Callable[[Item], None]


@dataclass
class RefineResult:
    """The outcome of a refinement.

    Attributes:
        items: statistics of every written image by name, in the order of the input.
        resumed: names of the written images that an earlier process wrote.
        failures: items that could not be refined, in the order of the input; then records of the others that could
            not be read and were left as they were.
        notes: how the predictions were read, where that decides the result.
        pictures: before/after pictures, if any were asked for.
        seconds: busy seconds by stage, summed over threads.
        has_deaths: whether a process died, which may have left temporary files.
        elapsed: seconds from start to end, without loading the network.
    """

    items: dict[str, RefinementStats] = field(default_factory=dict)
    resumed: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    has_deaths: bool = False
    elapsed: float = 0.0

    @property
    def written(self) -> int:
        """Number of images written."""
        return len(self.items)

    @property
    def stats(self) -> RefinementStats:
        """Statistics over all written images."""
        return sum(self.items.values(), RefinementStats())

    def take_up(
        self, predictions: PredictionSet, items: Sequence[Item], journal: Journal, on_resumed: OnItem
    ) -> list[Item]:
        """Add what earlier processes have done.

        Args:
            predictions: the opened set.
            items: the items in question.
            journal: their entered journal.
            on_resumed: called after every item that is done.

        Returns:
            The items that are left to do.

        Raises:
            BprError: an input file is gone since the set was opened.
        """
        left = []
        for item in items:
            stats = journal.done(item.name, inputs_of(predictions, item))
            if stats is None:
                left.append(item)
                continue
            if stats.pop(FAULTS):
                find_faults(predictions, item)
            self.items[item.name] = RefinementStats.of(stats)
            self.resumed.add(item.name)
            on_resumed(item)
        return left

    def settle(self, predictions: PredictionSet, items: Sequence[Item]) -> None:
        """Put everything into the order of the input, and add records that could not be read, and notes.

        Args:
            predictions: the opened set.
            items: all of its items, or those of a shard, which names only its own failures.
        """
        place = {item.name: index for index, item in enumerate(items)}
        self.failures.sort(key=lambda failure: place[failure.name])
        self.items = dict(sorted(self.items.items(), key=lambda pair: place[pair[0]]))
        is_whole = len(items) == len(predictions.items)
        faults = predictions.faults() if is_whole else [each for item in items for each in predictions.faults(item)]
        broken = predictions.failures if is_whole else []
        self.failures = with_faults([*broken, *self.failures], faults)
        self.notes = predictions.notes("refined")

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the seconds that the body of a ``with`` statement takes to ``elapsed``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.elapsed += time.perf_counter() - began

    def close(self, writer: Writer, journal: Journal) -> None:
        """Write the common file of all items, if the format has one, unless every item failed.

        Raises:
            BprError: the file cannot be written.
        """
        if self.written or not self.failures:
            writer.close(journal.records())


def inputs_of(predictions: PredictionSet, item: Item) -> list[Path]:
    """The files that are read for an item alone."""
    return [*predictions.files(item), item.image]


def find_faults(predictions: PredictionSet, item: Item) -> None:
    """Let a set find the records of an item that cannot be read, as it did for the process that refined the item."""
    with suppress(BprError):
        predictions.read(item)


def read_usable(predictions: PredictionSet, item: Item) -> Prediction:
    """Read the predictions of an item.

    Raises:
        BprError: the file is broken, or none of its masks can be read.
    """
    prediction = predictions.read(item)
    faults = predictions.faults(item)
    if faults and prediction == ():
        raise BprError(faults[0].reason)
    return prediction


def with_faults(failures: list[Failure], faults: list[Failure]) -> list[Failure]:
    """The failures, and the records that cannot be read; an item that failed for its records is listed once."""
    known = {failure.reason for failure in failures}
    return [*failures, *(fault for fault in faults if fault.reason not in known)]
