"""Workers on a Ray cluster: as many as there is room for, replaced when they die."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError, counted
from bpr_cli.system.cluster import ClusterSettings, connected
from bpr_cli.system.signals import noting_signals
from bpr_cli.version import __version__

ANSWER_WITHIN = 300.0
"""Seconds within which a worker must answer; nodes that an autoscaler starts take minutes."""

LOOK_EVERY = 5.0
"""Seconds between two looks at how many workers the cluster has room for."""

MOST_FAILED_STARTS = 5
"""Workers that may die one after the other before any of them answers."""

STOPPING = 10.0
"""Seconds that workers have to finish the files they are writing."""


@dataclass(frozen=True)
class Died:
    """A worker has died.

    Attributes:
        how: as a predicate, such as "was lost with its node".
    """

    how: str


@dataclass(frozen=True)
class _Refused:
    """A worker cannot work for this program."""

    reason: str


@dataclass(frozen=True)
class _Shared:
    """Stands for a value that is in Ray's store."""

    reference: Any


@dataclass(eq=False)
class Actor:
    """A worker on the cluster.

    Attributes:
        handle: Ray's handle.
        running: what it is doing, a generator of Ray's; None if nothing.
        node: id and address of its node; empty until it answers.
    """

    handle: Any
    running: Any | None
    node: tuple[str, str] = ("", "")

    @property
    def is_free(self) -> bool:
        """Whether it can be called."""
        return self.running is None and bool(self.node[0])


class Pool:
    """Workers on a cluster, each of which serves an object of its own.

    The object is made in the worker. Its ``start`` and other methods are generators, whose values come back one by one;
    its ``stop`` ends what it does early, and returns when it has ended.

    Args:
        settings: the cluster.
        most: number of workers; None for as many as there is room for, also when nodes join later.
        can_use_gpus: whether workers take GPUs by default.

    Attributes:
        actors: the workers, also those that have not answered yet.
        gpus: GPUs of a worker.

    Raises:
        BprError: Ray is not installed, or there is no cluster.
    """

    def __init__(self, settings: ClusterSettings, most: int | None, can_use_gpus: bool = False) -> None:
        self.actors: list[Actor] = []
        self._settings, self._most = settings, most
        self._closing = ExitStack()
        self._ray = self._closing.enter_context(connected(str(settings.cluster)))
        own = 1.0 if can_use_gpus and self._total("GPU") else 0.0
        self.gpus = own if settings.gpus_per_worker is None else settings.gpus_per_worker
        self._order: tuple[object, ...] = ()
        self._answered = time.monotonic()
        self._next_look = 0.0
        self._failed_starts = 0

    def serve(self, make: Callable[..., Any], *arguments: object) -> None:
        """Say what the workers, which ``receive`` starts, serve.

        Args:
            make: makes the object; a function or class of a module, since workers import it.
            arguments: those of ``make``.
        """
        self._order = (__version__, str(Path.cwd()), pickle.dumps((make, arguments)))

    def share(self, value: object) -> object:
        """What stands for a value in the arguments of ``call``; it is sent to each worker once."""
        return _Shared(self._ray.put(value))

    def call(self, actor: Actor, method: str, *arguments: object) -> None:
        """Begin to call a method of the object of a worker that does nothing."""
        actor.running = self._begin(actor.handle.call, method, *arguments)

    def receive(self) -> list[tuple[Actor, Any]]:
        """Wait for values, at most a second; those of ``start`` come first, and ``Died`` is the last of a worker.

        Raises:
            BprError: no worker answers, or a worker is not like this program.
        """
        with noting_signals() as request:  # Ray would end the program with code 1, whatever a handler raises
            values = self._received()
        if request.signal:
            signal.raise_signal(request.signal)
        return values

    def close(self) -> None:
        """Stop all workers, and leave the cluster."""
        busy = [actor.handle.stop.remote() for actor in self.actors if actor.running is not None and actor.node[0]]
        if busy:
            self._ray.wait(busy, num_returns=len(busy), timeout=STOPPING)
        while self.actors:
            self._kill(self.actors.pop())
        self._closing.close()

    def _received(self) -> list[tuple[Actor, Any]]:
        """See ``receive``."""
        self._add_actors()
        running = {actor.running: actor for actor in self.actors if actor.running is not None}
        ready = self._ray.wait(list(running), num_returns=len(running), timeout=0)[0] if running else []
        if running and not ready:
            ready = self._ray.wait(list(running), timeout=1.0)[0]
        values = [(running[each], value) for each in ready for value in self._next(running[each])]
        if any(actor.node[0] for actor in self.actors):
            self._answered = time.monotonic()
        elif time.monotonic() - self._answered > ANSWER_WITHIN:
            raise BprError(self._silence())
        return values

    def _add_actors(self) -> None:
        """Start workers, as far as there is room."""
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + LOOK_EVERY
        while len(self.actors) < (self._most or max(1, self._room())):
            server = self._ray.remote(_Server).options(
                num_cpus=self._settings.cpus_per_worker,
                num_gpus=self.gpus,
                max_restarts=0,
                max_concurrency=2,  # one thread works, the other takes stop
            )
            handle = server.remote()
            self.actors.append(Actor(handle, self._begin(handle.start, *self._order)))

    def _begin(self, method: Any, *arguments: object) -> Any:  # noqa: ANN401 - Ray's
        return method.options(num_returns="streaming").remote(*arguments)

    def _room(self) -> int:
        """Number of workers that all nodes together have room for, if nothing else runs."""
        return sum(self._room_of(each) for each in self._resources())

    def _room_of(self, resources: dict[str, float]) -> int:
        by_cpus = resources.get("CPU", 0.0) // self._settings.cpus_per_worker
        return int(min(by_cpus, resources.get("GPU", 0.0) / self.gpus) if self.gpus else by_cpus)

    def _resources(self) -> list[dict[str, float]]:
        """What each node has."""
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _total(self, kind: str) -> float:
        return sum(each.get(kind, 0.0) for each in self._resources())

    def _next(self, actor: Actor) -> Iterator[Any]:
        """The next value of a worker that has one, if it was not the last."""
        try:
            value = self._ray.get(next(actor.running))  # type: ignore[arg-type]
        except StopIteration:
            actor.running = None
        except self._ray.exceptions.RayError as error:
            yield self._lose(actor, error)
        else:
            if actor.node[0]:
                yield value
            else:
                self._take_answer(actor, value)

    def _take_answer(self, actor: Actor, value: object) -> None:
        """Take the first answer of a worker, which says where it is.

        Raises:
            BprError: it is not like this program.
        """
        if isinstance(value, _Refused):
            raise BprError(value.reason)
        actor.node = value  # type: ignore[assignment]
        self._failed_starts = 0

    def _lose(self, actor: Actor, error: Exception) -> Died:
        """Let another worker take the place of one that has died.

        Raises:
            BprError: several have died one after the other, and none has answered.
        """
        self.actors.remove(actor)
        self._kill(actor)  # it may only be out of reach
        self._next_look = 0.0
        self._failed_starts += not actor.node[0]
        if "its creation task" in str(error) or self._failed_starts >= MOST_FAILED_STARTS:
            reason = str(error).strip().splitlines()[-1].strip()
            raise BprError(
                f"no worker can start on the cluster ({reason}); install bpr-cli {__version__} on every node, and see "
                "Ray's logs"
            )
        return Died(self._how_it_died(actor, error))

    def _how_it_died(self, actor: Actor, error: Exception) -> str:
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        where = f"its node {actor.node[1]}"
        if actor.node[0] not in alive or "its node has died" in str(error):
            return f"was lost with {where}"
        return f"died on {where}, as processes do when memory runs out"

    def _kill(self, actor: Actor) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor.handle)

    def _silence(self) -> str:
        """A sentence on workers that do not answer."""
        needed = f"{self._settings.cpus_per_worker:g} CPUs" + (f" and {self.gpus:g} GPUs" if self.gpus else "")
        advice = "wait until others leave room" if self._room() else "add nodes, or change --cpus-per-worker"
        return (
            f"no worker of the cluster {self._settings.cluster} has answered for {ANSWER_WITHIN:g} seconds; it has "
            f"{self._total('CPU'):g} CPUs and {self._total('GPU'):g} GPUs on "
            f"{counted(len(self._resources()), 'node')}, and a worker needs {needed}; {advice}"
        )


class _Server:
    """What runs in a worker process: makes an object, and calls its methods."""

    def __init__(self) -> None:
        self._shared: dict[_Shared, object] = {}

    def start(self, version: str, folder: str, order: bytes) -> Iterator[object]:
        """Make the object, if this worker is like the program that asks for it."""
        import ray  # noqa: PLC0415 - only workers have it for sure

        node = ray.util.get_node_ip_address()
        if version != __version__:
            yield _Refused(
                f"the worker on node {node} has bpr {__version__}, but this is bpr {version}; install the same version "
                "on every node"
            )
            return
        try:
            os.chdir(folder)
        except OSError as error:
            yield _Refused(
                f"{folder} cannot be entered on node {node}: {error.strerror}; all nodes must see the same files under "
                "the same paths"
            )
            return
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait would take the cores of others
        yield ray.get_runtime_context().get_node_id(), node
        make, arguments = pickle.loads(order)
        self._served = make(*arguments)
        yield from self._served.start()

    def call(self, method: str, *arguments: object) -> Iterator[object]:
        """Call a method of the object."""
        yield from getattr(self._served, method)(*map(self._received, arguments))

    def stop(self) -> None:
        """End the call that runs."""
        self._served.stop()

    def _received(self, argument: object) -> object:
        """The value of an argument; one that is shared is taken from the store once."""
        if not isinstance(argument, _Shared):
            return argument
        if argument not in self._shared:
            import ray  # noqa: PLC0415 - as above

            self._shared = {argument: ray.get(argument.reference)}  # the one before is not needed any more
        return self._shared[argument]
