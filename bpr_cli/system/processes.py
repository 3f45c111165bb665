"""Maps functions over inputs in processes; results keep the order of the inputs."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from bpr_cli.errors import LOGGER, BprError, note
from bpr_cli.system.workers import end_with_main_process, how_it_ended, start_shielded

_AHEAD = 2
"""Calls in flight per process."""

Shared = TypeVar("Shared")
Given = TypeVar("Given")
Done = TypeVar("Done")


def in_processes(
    function: Callable[[Shared, Given], Done], shared: Shared, given: Iterable[Given], count: int
) -> Iterator[Done]:
    """Map a function over inputs in several processes; notes of the processes appear in this one.

    Args:
        function: a function of a module, since processes import it.
        shared: first argument of every call; sent to each process once.
        given: second arguments, which should be small.
        count: number of processes.

    Raises:
        BprError: the function raised it, or a process died.
    """
    with ExitStack() as ending:
        crew = [ending.enter_context(_Process(function, shared)) for _ in range(count)]
        pending: deque[_Process[Shared, Given, Done]] = deque()
        for number, one in enumerate(given):
            process = crew[number % count]
            process.send(one)
            pending.append(process)
            if len(pending) >= count * _AHEAD:
                yield pending.popleft().receive()
        while pending:
            yield pending.popleft().receive()


class _Process(Generic[Shared, Given, Done]):
    """One process, which is killed at the end of a ``with`` statement."""

    def __init__(self, function: Callable[[Shared, Given], Done], shared: Shared) -> None:
        context = multiprocessing.get_context("spawn")  # this process may have threads, which forks do not survive
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, function, shared), daemon=True)
        start_shielded(self._process)
        other.close()

    def __enter__(self) -> _Process[Shared, Given, Done]:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.kill()
        self._process.join()

    def send(self, given: Given) -> None:
        """Have the function called."""
        try:
            self._connection.send(given)
        except OSError:
            self._tell_death()

    def receive(self) -> Done:
        """The result of the first call that is not received yet."""
        try:
            answer: Answer[Done] = self._connection.recv()
        except (EOFError, OSError):
            self._tell_death()
        return answer.taken()

    def _tell_death(self) -> Any:  # noqa: ANN401 - never returns
        self._process.join()
        raise BprError(f"one of several processes {how_it_ended(self._process.exitcode or 0)}; try fewer --processes")


class _Notes(logging.Handler):
    """Keeps notes until they are sent."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[tuple[str, tuple[str, ...]]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a note."""
        self.kept.append((str(record.msg), tuple(map(str, record.args or ()))))


@dataclass(frozen=True)
class Answer(Generic[Done]):
    """What a call in a worker process came to: a result or an error, and notes."""

    done: Done | None
    error: Exception | None
    notes: list[tuple[str, tuple[str, ...]]]

    def taken(self) -> Done:
        """The result.

        Raises:
            BprError: the function raised it.
            RuntimeError: the function raised another error.
        """
        for sentence, values in self.notes:
            note(sentence, *values)
        if self.error is not None:
            raise self.error
        return self.done  # type: ignore[return-value]  # None if that was the result


class Caller(Generic[Shared, Given, Done]):
    """Calls a function in a worker process."""

    def __init__(self, function: Callable[[Shared, Given], Done]) -> None:
        self._function = function
        self._notes = _Notes()
        LOGGER.addHandler(self._notes)
        LOGGER.propagate = False

    def __call__(self, shared: Shared, given: Given) -> Answer[Done]:
        """Call the function."""
        done: Done | None = None
        error: Exception | None = None
        try:
            done = self._function(shared, given)
        except BprError as expected:
            error = BprError(str(expected))
        except Exception:
            error = RuntimeError(traceback.format_exc())
        kept, self._notes.kept = self._notes.kept, []
        return Answer(done, error, kept)


def _serve(connection: Connection, function: Callable[[Any, Any], Any], shared: Any) -> None:  # noqa: ANN401
    """Call the function until the connection is closed; the entry point of a process."""
    end_with_main_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes; the main one decides
    call = Caller(function)
    while True:
        try:
            given = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(call(shared, given))
