"""Workers on a Ray cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from queue import Empty, SimpleQueue
from threading import Event, Thread

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Item
from bpr_cli.refinement.drive import Crew, Death, Drive, Worker, error_of
from bpr_cli.refinement.network_used import NetworkUsed
from bpr_cli.refinement.pipeline import Work
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.refinement.worker import Message, Opened, Part, PartEnded, PartRefiner, Stopped
from bpr_cli.system.cluster import ClusterSettings
from bpr_cli.system.pool import Actor, Died, Pool

BUNDLE = 0.25
"""Seconds for which a worker gathers messages; each time it tells something, the driver spends over a millisecond."""


class _Remote(Worker):
    """A worker on the cluster."""

    def __init__(self, pool: Pool, actor: Actor) -> None:
        super().__init__()
        self._pool, self._actor = pool, actor
        self._opened: object = None

    def send(self, message: Opened | Part) -> None:
        """See ``Worker``."""
        if isinstance(message, Opened):
            self._opened = self._pool.share(message)
        else:
            self._pool.call(self._actor, "refine", self._opened, message)


class OnCluster(Crew):
    """Refines items on a Ray cluster, by as many workers as there is room for; see ``Engine``.

    Workers on nodes that join later take part, and the items of lost nodes are done again by others.

    Args:
        settings: how to refine.
        cluster: the cluster.
        most: number of workers; None for as many as there is room for.
    """

    def __init__(self, settings: RefineSettings, cluster: ClusterSettings, most: int | None) -> None:
        self.settings = settings
        self._cluster, self._most = cluster, most
        self.workers: Sequence[Worker] = []
        self._known: dict[Actor, _Remote] = {}
        self._network: NetworkUsed | None = None

    @cached_property
    def _pool(self) -> Pool:
        pool = Pool(self._cluster, self._most, can_use_gpus=self.settings.device != "cpu")
        pool.serve(ClusterRefiner, on_cluster(self.settings, self._cluster, pool.gpus))
        return pool

    def network(self) -> NetworkUsed:
        """See ``Engine``; that of the first worker that answers."""
        while self._network is None:
            for _, message in self.receive():
                if isinstance(message, Stopped):
                    raise error_of(message)
        return self._network

    def refine(self, items: Sequence[Item], work: Work) -> None:
        """See ``Engine``."""
        self.network()
        Drive(self, items, work).run()

    def close(self) -> None:
        """See ``Engine``."""
        if "_pool" in vars(self):
            self._pool.close()
            del self._pool
        self._known.clear()
        self._network = None

    def receive(self) -> list[tuple[Worker, Message | Death]]:
        """See ``Crew``."""
        received: list[tuple[Worker, Message | Death]] = [
            (self._worker(actor), self._understood(actor, value))
            for actor, told in self._pool.receive()
            for value in (told if isinstance(told, list) else [told])
        ]
        self.workers = [self._worker(actor) for actor in self._pool.actors]
        return received

    def replace(self, worker: Worker, how: str) -> None:
        """See ``Crew``; the pool has done so, and says when none can start."""

    def _worker(self, actor: Actor) -> _Remote:
        return self._known.setdefault(actor, _Remote(self._pool, actor))

    def _understood(self, actor: Actor, value: Message | Died) -> Message | Death:
        """A message; the network of a worker is compared with that of the others."""
        if isinstance(value, Died):
            return Death(value.how)
        if isinstance(value, NetworkUsed):
            self._network = self._network or value
            check_alike(self._network, value, actor.node[1])
            self._worker(actor).is_free = True
        return value


class ClusterRefiner:
    """What a worker on the cluster serves.

    Args:
        settings: how to refine.
    """

    def __init__(self, settings: RefineSettings) -> None:
        self._settings = settings
        self._told: SimpleQueue[Message] = SimpleQueue()
        self._stopping, self._resting = Event(), Event()
        self._opened: Opened | None = None

    def start(self) -> Iterator[list[Message]]:
        """Load the network."""
        try:
            self._refiner = PartRefiner(self._settings, self._told.put)
        except Exception as error:
            self._told.put(Stopped.by(error))
        yield from self._said(NetworkUsed)
        self._resting.set()

    def refine(self, opened: Opened, part: Part) -> Iterator[list[Message]]:
        """Refine a part of a prediction set."""
        self._resting.clear()
        thread = Thread(target=self._refine, args=(opened, part))
        thread.start()
        yield from self._said(PartEnded)
        thread.join()

    def stop(self) -> None:
        """End after the files that are being written."""
        self._stopping.set()
        self._resting.wait()

    def _refine(self, opened: Opened, part: Part) -> None:
        try:
            if opened is not self._opened:
                self._refiner.open(opened)
                self._opened = opened
            self._refiner.refine(part, self._go_on)
        except Exception as error:
            self._told.put(Stopped.by(error))
        finally:
            self._resting.set()

    def _go_on(self, _: Item) -> None:
        """Called after every item.

        Raises:
            BprError: the driver wants this worker to stop.
        """
        if self._stopping.is_set():
            raise BprError("the worker was stopped")

    def _said(self, last: type[NetworkUsed] | type[PartEnded]) -> Iterator[list[Message]]:
        """All that is told, up to the last message of a call, in bundles."""
        bundle: list[Message] = []
        while not bundle or not isinstance(bundle[-1], (last, Stopped)):
            bundle = [self._told.get()]
            until = time.monotonic() + BUNDLE
            with suppress(Empty):
                while not isinstance(bundle[-1], (last, Stopped)):
                    bundle.append(self._told.get(timeout=max(0.0, until - time.monotonic())))
            yield bundle


def on_cluster(settings: RefineSettings, cluster: ClusterSettings, gpus: float) -> RefineSettings:
    """The settings of a worker, which sees no GPUs but its own.

    Raises:
        BprError: the device is a GPU, but workers have none.
    """
    if settings.device.startswith("cuda") and not gpus:
        raise BprError(f"--device is {settings.device}, but workers have no GPU; give --gpus-per-worker 1, or less")
    device = settings.device if gpus else "cpu"
    return replace(settings, device=device, workers=max(1, min(settings.workers, round(cluster.cpus_per_worker))))


def check_alike(expected: NetworkUsed, found: NetworkUsed, node: str) -> None:
    """Check that two workers give the same results.

    Raises:
        BprError: they have different versions, weights, kinds of devices or backends.
    """
    facts = {name: (_facts(expected)[name], value) for name, value in _facts(found).items()}
    for name, (others, own) in facts.items():
        if own != others:
            raise BprError(
                f"the worker on node {node} has {name} {own}, but others have {others}; results would differ: make all "
                "nodes alike, then repeat the command to go on"
            )


def _facts(network: NetworkUsed) -> dict[str, str]:
    """What decides the result, by name."""
    kinds = sorted({device.partition(":")[0] for device in network.devices})
    return {
        "bpr": network.versions["bpr"],
        "weights": f"{network.weights.name} (SHA-256 {network.weights.digest[:12]}…)",
        "the device": ", ".join(kinds),
        "the backend": network.backend,
    }
