"""Maps functions over the parts of a job, by processes of this machine or workers on a cluster."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from bpr_cli.errors import BprError
from bpr_cli.settings import Count, check_settings, checked
from bpr_cli.system.cluster import ClusterSettings
from bpr_cli.system.processes import Answer, Caller, in_processes

if TYPE_CHECKING:
    from bpr_cli.system.pool import Actor, Pool

MOST_DEATHS = 3
"""Deaths of workers that had one and the same part, after which the job ends."""

_AHEAD = 4
"""Parts for each worker that may be done before it is their turn."""

_SHARERS = 4
"""Workers of a cluster that are supposed to share the memory of a node."""

Shared = TypeVar("Shared")
Given = TypeVar("Given")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Distribution:
    """How the parts of a job are distributed.

    Attributes:
        processes: number of processes; None for one, and on a cluster for as many as it has room for.
        cluster: the cluster, if it names one.

    Raises:
        BprError: the settings are none.
    """

    processes: int | None = None
    cluster: ClusterSettings = ClusterSettings()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        checked("processes", self.processes, Count | None)
        check_settings(self.cluster, ClusterSettings, "cluster")

    @property
    def is_this_process(self) -> bool:
        """Whether this process does all itself."""
        return not self.cluster.cluster and self.processes in (None, 1)

    @property
    def sharers(self) -> int:
        """Number of workers that share the memory of a machine."""
        return _SHARERS if self.cluster.cluster else self.processes or 1

    def threads(self, wanted: int) -> int:
        """Threads of a worker, if one process alone would have ``wanted``."""
        if self.cluster.cluster:
            return max(1, min(wanted, round(self.cluster.cpus_per_worker)))
        return max(1, wanted // (self.processes or 1))

    def map(
        self,
        function: Callable[[Shared, Given], Done],
        shared: Shared,
        parts: Sequence[Given],
        name: Callable[[Given], str],
    ) -> Iterator[Done]:
        """Map a function over parts; notes of the workers appear in this process.

        Args:
            function: a function of a module, since workers import it.
            shared: first argument of every call; sent to each worker once.
            parts: second arguments, which should be small.
            name: the name of a part in messages.

        Returns:
            The results in the order of the parts.

        Raises:
            BprError: the function raised it, or workers died.
        """
        if not self.cluster.cluster:
            return in_processes(function, shared, parts, self.processes or 1)
        return self._on_cluster(function, shared, parts, name)

    def _on_cluster(
        self,
        function: Callable[[Shared, Given], Done],
        shared: Shared,
        parts: Sequence[Given],
        name: Callable[[Given], str],
    ) -> Iterator[Done]:
        from bpr_cli.system.pool import Pool  # noqa: PLC0415 - few need it

        with closing(Pool(self.cluster, self.processes)) as pool:
            pool.serve(_Serving, function)
            yield from _Mapping[Given, Done](pool, pool.share(shared), parts, name).results()


class _Mapping(Generic[Given, Done]):
    """Hands out parts to the workers of a pool, and those of dead workers to others."""

    def __init__(self, pool: Pool, shared: object, parts: Sequence[Given], name: Callable[[Given], str]) -> None:
        self._pool, self._shared, self._parts, self._name = pool, shared, parts, name
        self._waiting = deque(range(len(parts)))
        self._given: dict[Actor, int] = {}
        self._answers: dict[int, Answer[Done]] = {}
        self._deaths: Counter[int] = Counter()

    def results(self) -> Iterator[Done]:
        """The results in the order of the parts."""
        for number in range(len(self._parts)):
            while number not in self._answers:
                self._hand_out(until=number + _AHEAD * max(1, len(self._pool.actors)))
                self._receive()
            yield self._answers.pop(number).taken()

    def _hand_out(self, until: int) -> None:
        for actor in self._pool.actors:
            if actor.is_free and self._waiting and self._waiting[0] < until:
                self._given[actor] = self._waiting.popleft()
                self._pool.call(actor, "call", self._shared, self._parts[self._given[actor]])

    def _receive(self) -> None:
        """Take what workers have done.

        Raises:
            BprError: workers that had one and the same part have died again and again.
        """
        for actor, value in self._pool.receive():
            number = self._given.pop(actor, None)
            if number is None:
                continue
            if isinstance(value, Answer):
                self._answers[number] = value
                continue
            self._deaths[number] += 1
            if self._deaths[number] >= MOST_DEATHS:
                part = self._name(self._parts[number])
                raise BprError(f"{MOST_DEATHS} workers have died with {part}; the last one {value.how}")
            self._waiting.appendleft(number)


def named_range(names: Sequence[str]) -> str:
    """A range of images in a message.

    >>> named_range(["a", "b", "c"])
    'the images from a to c'
    """
    return f"the image {names[0]}" if len(names) == 1 else f"the images from {names[0]} to {names[-1]}"


class _Serving(Generic[Shared, Given, Done]):
    """What a worker on a cluster serves: calls of one function."""

    def __init__(self, function: Callable[[Shared, Given], Done]) -> None:
        self._call = Caller(function)

    def start(self) -> Iterator[object]:
        """Nothing is to be loaded."""
        return iter(())

    def call(self, shared: Shared, given: Given) -> Iterator[Answer[Done]]:
        """Call the function."""
        yield self._call(shared, given)

    def stop(self) -> None:
        """Nothing is being written."""
