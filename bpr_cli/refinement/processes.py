"""Several worker processes on this machine."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import wait

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item
from bpr_cli.refinement.drive import Crew, Death, Drive, Worker, error_of
from bpr_cli.refinement.network_used import NetworkUsed
from bpr_cli.refinement.pipeline import Work
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.refinement.worker import Message, Opened, Order, Part, Stopped, serve
from bpr_cli.system.workers import how_it_ended, start_shielded

STOPPING = 10.0
"""Seconds that a worker has to finish the files it is writing."""

MOST_FAILED_STARTS = 5
"""Processes in place of dead ones that may die one after the other before any of them has loaded the network."""


class _Process(Worker):
    """A worker process, and the connection to it."""

    def __init__(self, order: Order) -> None:
        super().__init__()
        context = multiprocessing.get_context("spawn")  # forked processes can use no GPU
        self.order = order
        self.connection, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, order), daemon=True)
        start_shielded(self.process)
        other.close()

    def send(self, message: Opened | Part) -> None:
        """See ``Worker``."""
        with suppress(OSError):  # it has died, which the next message shows
            self.connection.send(message)

    def receive(self) -> Message | Death:
        """The next message."""
        try:
            message: Message = self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            self.stop()
            return Death(how_it_ended(self.end()))
        return message

    def stop(self) -> None:
        """Ask the process to end."""
        self.connection.close()  # which ends a process that has nothing to do
        if not self.is_free:
            self.process.terminate()

    def end(self) -> int:
        """Wait until a process that was asked to has ended; returns its exit code."""
        self.process.join(STOPPING)
        self.process.kill()
        self.process.join()
        return self.process.exitcode or 0


class Processes(Crew):
    """Refines items in several processes, each with a network of its own; see ``Engine``.

    Several GPUs are shared out among them.

    Args:
        settings: how to refine.
        count: number of processes.
    """

    def __init__(self, settings: RefineSettings, count: int) -> None:
        self.settings = settings
        self.workers: list[_Process] = []
        self._count = count
        self._network: NetworkUsed | None = None
        self._failed_starts = 0

    def network(self) -> NetworkUsed:
        """See ``Engine``."""
        if self._network is None:
            self.workers = [_Process(Order(self.settings, number, self._count)) for number in range(self._count)]
            found = [_started(worker) for worker in self.workers]
            devices = list(dict.fromkeys(device for each in found for device in each.devices))
            self._network = replace(found[0], devices=devices)
        return self._network

    def refine(self, items: Sequence[Item], work: Work) -> None:
        """See ``Engine``."""
        self.network()
        Drive(self, items, work).run()

    def close(self) -> None:
        """See ``Engine``."""
        for worker in self.workers:  # all at once, because each finishes the files that it is writing
            worker.stop()
        while self.workers:
            self.workers.pop().end()
        self._network = None

    def receive(self) -> list[tuple[Worker, Message | Death]]:
        """See ``Crew``."""
        busy = {worker.connection: worker for worker in self.workers if not worker.is_free}
        received = [(busy[each], busy[each].receive()) for each in wait(list(busy))]  # type: ignore[index]
        if any(isinstance(message, NetworkUsed) for _, message in received):
            self._failed_starts = 0
        return received  # type: ignore[return-value]

    def replace(self, worker: Worker, how: str) -> None:
        """See ``Crew``."""
        self._failed_starts += not worker.left
        if self._failed_starts >= MOST_FAILED_STARTS:
            raise _too_early(how)
        place = self.workers.index(worker)  # type: ignore[arg-type]
        self.workers[place] = _Process(self.workers[place].order)


def _started(worker: _Process) -> NetworkUsed:
    """The network of a worker.

    Raises:
        BprError: it could not be loaded.
    """
    message = worker.receive()
    if isinstance(message, NetworkUsed):
        worker.is_free = True
        return message
    if isinstance(message, Stopped):
        raise error_of(message)
    raise _too_early(message.how if isinstance(message, Death) else "said something else")


def _too_early(how: str) -> BprError:
    return BprError(f"a process of --processes {how}, before its first image; try fewer, or start again")
