"""The driver of workers: hands out parts of a prediction set, and alone writes the journal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.errors import BprError, note
from bpr_cli.formats.base import Item
from bpr_cli.refinement.image import RefinementStats
from bpr_cli.refinement.network_used import NetworkUsed
from bpr_cli.refinement.pipeline import Work
from bpr_cli.refinement.result import FAULTS, find_faults, inputs_of
from bpr_cli.refinement.worker import Failed, Message, Noted, Opened, Part, PartEnded, Refined, Stopped

LARGEST_PART = 32
"""Items of a part: enough that the network seldom waits for the last ones, few enough that all workers end together."""

MOST_DEATHS = 2
"""Deaths of workers that had nothing but one item, after which that item fails."""


@dataclass(frozen=True)
class Death:
    """A worker has died.

    Attributes:
        how: as a predicate, such as "was killed by SIGKILL".
    """

    how: str


class Worker(ABC):
    """A worker, as the driver sees it.

    Attributes:
        left: the items that it was given and has not finished, by name.
        is_alone: whether it was given a single item, since others died with it.
        is_free: whether it has loaded the network and waits for a part.
    """

    def __init__(self) -> None:
        self.left: dict[str, Item] = {}
        self.is_alone = False
        self.is_free = False

    @abstractmethod
    def send(self, message: Opened | Part) -> None:
        """Send a prediction set, or a part of it. That the worker has died is told by ``Crew.receive``."""


class Crew(ABC):
    """The workers of an engine.

    Attributes:
        workers: all of them, also those that still load the network.
    """

    workers: Sequence[Worker]

    @abstractmethod
    def receive(self) -> list[tuple[Worker, Message | Death]]:
        """Wait for messages, at most about a second.

        Raises:
            BprError: there are no workers to wait for.
        """

    @abstractmethod
    def replace(self, worker: Worker, how: str) -> None:
        """Start another worker in place of a dead one.

        Args:
            worker: the dead one.
            how: see ``Death``.

        Raises:
            BprError: another one would die too.
        """


class Drive:
    """One run over items.

    If a worker dies, the items that it had are tried one by one; an item whose worker dies again and again fails, and
    all others are refined.

    Args:
        crew: the workers.
        items: what to refine.
        work: what the items are read from and written to.
    """

    def __init__(self, crew: Crew, items: Sequence[Item], work: Work) -> None:
        self._crew, self._work = crew, work
        self._waiting, self._suspects = deque(items), deque[Item]()
        self._deaths: Counter[str] = Counter()
        self._places = {item.name: place for place, item in enumerate(work.predictions.items)}
        self._opened = Opened(work.predictions, work.writer, str(Path.cwd()))
        self._informed: set[Worker] = set()

    def run(self) -> None:
        """Refine all items.

        Raises:
            BprError: a worker cannot go on, as when the disk is full.
        """
        while self._waiting or self._suspects or any(worker.left for worker in self._crew.workers):
            for worker in self._crew.workers:
                if worker.is_free and (self._waiting or self._suspects):
                    self._hand_out(worker)
            for worker, message in self._crew.receive():
                self._take(worker, message)

    def _hand_out(self, worker: Worker) -> None:
        """Send the next part; suspects go alone."""
        if worker not in self._informed:
            self._informed.add(worker)
            worker.send(self._opened)
        worker.is_alone = bool(self._suspects)
        if self._suspects:
            part = [self._suspects.popleft()]
        else:
            size = min(LARGEST_PART, -(-len(self._waiting) // (4 * len(self._crew.workers))))
            part = [self._waiting.popleft() for _ in range(size)]
        worker.left, worker.is_free = {item.name: item for item in part}, False
        worker.send(Part(tuple(self._places[item.name] for item in part)))

    def _take(self, worker: Worker, message: Message | Death) -> None:
        """Take down what a worker tells."""
        if isinstance(message, Refined):
            self._take_refined(worker.left.pop(message.name), message)
        elif isinstance(message, Failed):
            self._fail(worker.left.pop(message.name), message.reason)
        elif isinstance(message, Noted):
            note(message.sentence, *message.values)
        elif isinstance(message, PartEnded):
            worker.is_free = True
            for stage, seconds in message.seconds.items():
                self._work.result.seconds[stage] += seconds
        elif isinstance(message, NetworkUsed):
            worker.is_free = True
        elif isinstance(message, Death):
            self._lose(worker, message.how)
        else:
            raise error_of(message)

    def _take_refined(self, item: Item, message: Refined) -> None:
        """Take down an item that is written."""
        work, stats = self._work, dict(message.result)
        inputs = inputs_of(work.predictions, item)
        work.journal.add(item.name, inputs, message.result, message.files, message.records)
        if stats.pop(FAULTS):
            find_faults(work.predictions, item)
        work.result.items[item.name] = RefinementStats.of(stats)
        work.on_item(item)

    def _fail(self, item: Item, reason: str) -> None:
        """Take down an item that cannot be refined."""
        find_faults(self._work.predictions, item)
        self._work.fail(item, reason)

    def _lose(self, worker: Worker, how: str) -> None:
        """Replace a dead worker, and suspect the items that it had.

        Raises:
            BprError: another one would die too.
        """
        self._crew.replace(worker, how)
        self._work.result.has_deaths = True
        for item in worker.left.values():
            self._deaths[item.name] += worker.is_alone
            if self._deaths[item.name] >= MOST_DEATHS:
                self._fail(item, f"{item.image} cannot be refined: the process that tried it alone {how}")
            else:
                self._suspects.append(item)


def error_of(message: Stopped) -> Exception:
    """The error of a worker that cannot go on."""
    return BprError(message.reason) if message.is_expected else RuntimeError(message.reason)
