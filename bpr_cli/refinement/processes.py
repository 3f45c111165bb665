"""The driver of several worker processes on this machine; it alone writes the journal."""

from __future__ import annotations

import multiprocessing
import pickle
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

from bpr_cli.errors import BprError, note
from bpr_cli.formats.base import Item
from bpr_cli.refinement.image import RefinementStats
from bpr_cli.refinement.pipeline import Work
from bpr_cli.refinement.report import NetworkUsed
from bpr_cli.refinement.result import FAULTS, find_faults, inputs_of
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.refinement.worker import Failed, Message, Noted, Opened, Order, Part, PartEnded, Refined, Stopped, serve
from bpr_cli.system.workers import how_it_ended

LARGEST_PART = 32
"""Items of a part: enough that the network seldom waits for the last ones, few enough that all workers end together."""

MOST_DEATHS = 2
"""Deaths of workers that had nothing but one item, after which that item fails."""

STOPPING = 10.0
"""Seconds that a worker has to finish the files it is writing."""


class _Worker:
    """A worker process, and the items that it has not finished; None while it loads the network or waits."""

    def __init__(self, order: Order) -> None:
        context = multiprocessing.get_context("spawn")  # forked processes can use no GPU
        self.order = order
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, order), daemon=True)
        self.process.start()
        other.close()
        self.left: dict[str, Item] | None = None
        self.is_alone = False

    def receive(self) -> Message | None:
        """The next message; None if the process has died."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            return None
        return message

    def end(self) -> int:
        """Stop the process, if it still runs; returns its exit code."""
        self.connection.close()  # which ends a process that has nothing to do
        if self.left is not None:
            self.process.terminate()
        self.process.join(STOPPING)
        self.process.kill()
        self.process.join()
        return self.process.exitcode or 0


class Processes:
    """Refines items in several processes, each with a network of its own; see ``Engine``.

    Several GPUs are shared out among them. If a process dies, the items that it had are tried one by one; an item whose
    process dies again and again fails, and all others are refined.

    Args:
        settings: how to refine.
        count: number of processes.
    """

    def __init__(self, settings: RefineSettings, count: int) -> None:
        self.settings = settings
        self._count = count
        self._workers: list[_Worker] = []
        self._network: NetworkUsed | None = None

    def network(self) -> NetworkUsed:
        """See ``Engine``."""
        if self._network is None:
            self._workers = [_Worker(Order(self.settings, number, self._count)) for number in range(self._count)]
            found = [self._started(worker, worker.receive()) for worker in self._workers]
            devices = list(dict.fromkeys(device for each in found for device in each.devices))
            self._network = replace(found[0], devices=devices)
        return self._network

    def refine(self, items: Sequence[Item], work: Work) -> None:
        """See ``Engine``."""
        self.network()
        _Drive(self._workers, items, work).run()

    def close(self) -> None:
        """See ``Engine``."""
        while self._workers:
            self._workers.pop().end()
        self._network = None

    def _started(self, worker: _Worker, message: Message | None) -> NetworkUsed:
        """The network of a worker.

        Raises:
            BprError: it could not be loaded.
        """
        if isinstance(message, NetworkUsed):
            return message
        raise _end_of(worker, message)


class _Drive:
    """One run over items: hands out parts, and takes down what workers tell."""

    def __init__(self, workers: list[_Worker], items: Sequence[Item], work: Work) -> None:
        self.workers, self.work = workers, work
        self.waiting, self.suspects = deque(items), deque[Item]()
        self.deaths: Counter[str] = Counter()
        self.places = {item.name: place for place, item in enumerate(work.predictions.items)}
        self.orders = pickle.dumps(Opened(work.predictions, work.writer, str(Path.cwd())))

    def run(self) -> None:
        """Refine all items.

        Raises:
            BprError: a worker cannot go on, as when the disk is full.
        """
        for worker in self.workers:
            self.send_set(worker)
        while busy := {worker.connection: worker for worker in self.workers if worker.left is not None}:
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                message = worker.receive()
                if message is None:
                    self.replace(worker)
                else:
                    self.take(worker, message)

    def send_set(self, worker: _Worker) -> None:
        """Send the prediction set, and a first part."""
        with suppress(OSError):  # it has died, which the next message shows
            worker.connection.send_bytes(self.orders)
        self.hand_out(worker)

    def hand_out(self, worker: _Worker) -> None:
        """Send the next part; suspects go alone."""
        worker.is_alone = bool(self.suspects)
        if self.suspects:
            part = [self.suspects.popleft()]
        else:
            size = min(LARGEST_PART, -(-len(self.waiting) // (4 * len(self.workers))))
            part = [self.waiting.popleft() for _ in range(size)]
        worker.left = {item.name: item for item in part} or None
        if part:
            with suppress(OSError):  # as above
                worker.connection.send(Part(tuple(self.places[item.name] for item in part)))

    def take(self, worker: _Worker, message: Message) -> None:
        """Take down what a worker tells."""
        left = worker.left or {}
        if isinstance(message, Refined):
            self.take_refined(left.pop(message.name), message)
        elif isinstance(message, Failed):
            self.fail(left.pop(message.name), message.reason)
        elif isinstance(message, Noted):
            note(message.sentence, *message.values)
        elif isinstance(message, PartEnded):
            for stage, seconds in message.seconds.items():
                self.work.result.seconds[stage] += seconds
            self.hand_out(worker)
        elif isinstance(message, NetworkUsed):
            self.send_set(worker)
        else:
            raise _end_of(worker, message)

    def take_refined(self, item: Item, message: Refined) -> None:
        """Take down an item that is written."""
        work, stats = self.work, dict(message.result)
        inputs = inputs_of(work.predictions, item)
        work.journal.add(item.name, inputs, message.result, message.files, message.records)
        if stats.pop(FAULTS):
            find_faults(work.predictions, item)
        work.result.items[item.name] = RefinementStats(**stats)
        work.on_item(item)

    def fail(self, item: Item, reason: str) -> None:
        """Take down an item that cannot be refined."""
        find_faults(self.work.predictions, item)
        self.work.fail(item, reason)

    def replace(self, worker: _Worker) -> None:
        """Start another worker in place of a dead one, and suspect the items that it had.

        Raises:
            BprError: it died without having any.
        """
        if not worker.left:
            raise _end_of(worker, None)
        how, self.work.result.has_deaths = how_it_ended(worker.end()), True
        for item in worker.left.values():
            self.deaths[item.name] += worker.is_alone
            if self.deaths[item.name] >= MOST_DEATHS:
                self.fail(item, f"{item.image} cannot be refined: the process that tried it alone {how}")
            else:
                self.suspects.append(item)
        started = _Worker(worker.order)
        started.left = {}
        self.workers[self.workers.index(worker)] = started


def _end_of(worker: _Worker, message: Message | None) -> Exception:
    """The error of a worker that cannot go on."""
    if isinstance(message, Stopped):
        return BprError(message.reason) if message.is_expected else RuntimeError(message.reason)
    how = how_it_ended(worker.end())
    return BprError(f"a process of --processes {how} before its first image; try fewer, or start again")
