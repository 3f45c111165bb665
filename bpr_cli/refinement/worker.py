"""A worker process: refines parts of a prediction set, and tells the driver what it has written.

It writes refined predictions, but neither the journal, nor common files, nor the report.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from types import FrameType
from typing import TYPE_CHECKING, Any

from bpr_cli.errors import LOGGER, BprError
from bpr_cli.formats.base import PredictionSet, Writer
from bpr_cli.refinement.network_used import NetworkUsed
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.system.workers import end_with_main_process

if TYPE_CHECKING:
    from bpr_cli.refinement.result import OnItem


@dataclass(frozen=True)
class Order:
    """What a worker is made for.

    Attributes:
        settings: how to refine.
        number: number of the worker, from 0.
        count: number of workers on this machine.
    """

    settings: RefineSettings
    number: int
    count: int


@dataclass(frozen=True)
class Opened:
    """The set that the following parts belong to, the writer of its refined predictions, and the working directory."""

    predictions: PredictionSet
    writer: Writer
    folder: str


@dataclass(frozen=True)
class Part:
    """Items to refine, by their places in the set."""

    places: tuple[int, ...]


@dataclass(frozen=True)
class Refined:
    """An item that is written; the arguments of ``Journal.add``."""

    name: str
    result: Mapping[str, Any]
    files: Mapping[Path, str] = field(default_factory=dict)
    records: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """An item that could not be refined, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Noted:
    """A note on how an input was read; the arguments of ``note``."""

    sentence: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class PartEnded:
    """A part is finished; busy seconds by stage."""

    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Stopped:
    """The worker cannot go on.

    Attributes:
        reason: a sentence; a traceback if it is a bug.
        is_expected: whether it is no bug.
    """

    reason: str
    is_expected: bool

    @classmethod
    def by(cls, error: Exception) -> Stopped:
        """What tells of an error that is being handled."""
        is_expected = isinstance(error, BprError)
        return cls(str(error) if is_expected else traceback.format_exc(), is_expected)


Message = NetworkUsed | Refined | Failed | Noted | PartEnded | Stopped
"""What a worker tells: first its network, then what becomes of items, and the end of every part."""


class Mailbox(logging.Handler):
    """Tells the driver what happens; stands for the journal of a pipeline, and for the notes of a process.

    Args:
        tell: takes a message; must be thread-safe.
    """

    def __init__(self, tell: Callable[[Message], None]) -> None:
        super().__init__()
        self.tell = tell

    def add(
        self,
        name: str,
        inputs: Iterable[Path],  # noqa: ARG002 - the driver fingerprints them
        result: Mapping[str, Any],
        files: Mapping[Path, str] | None = None,
        records: Mapping[int, bytes] | None = None,
    ) -> None:
        """See ``Journal.add``."""
        self.tell(Refined(name, result, files or {}, records or {}))

    def fail(self, name: str, inputs: Iterable[Path], reason: str) -> None:  # noqa: ARG002 - as above
        """See ``Journal.fail``."""
        self.tell(Failed(name, reason))

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a note."""
        values = record.args if isinstance(record.args, tuple) else ()
        self.tell(Noted(str(record.msg), tuple(map(str, values))))


class PartRefiner:
    """Refines parts of prediction sets with one network; the work of a worker process, whatever started it.

    Args:
        settings: how to refine.
        tell: takes messages to the driver; must be thread-safe.

    Raises:
        BprError: the weights cannot be used, or the device does not exist.
    """

    def __init__(self, settings: RefineSettings, tell: Callable[[Message], None]) -> None:
        # Imported here, because PyTorch takes its number of threads from the environment.
        from bpr_cli.refinement.in_process import make_refiner  # noqa: PLC0415

        self._mailbox = Mailbox(tell)
        LOGGER.addHandler(self._mailbox)
        LOGGER.propagate = False
        self._refiner = make_refiner(settings)
        tell(NetworkUsed.of(self._refiner))

    def open(self, opened: Opened) -> None:
        """Take a prediction set; the following parts are parts of it."""
        self._opened = opened
        os.chdir(opened.folder)  # paths may be relative

    def refine(self, part: Part, on_item: OnItem = lambda _: None) -> None:
        """Refine a part, and tell what becomes of each item, and the end.

        Args:
            part: the items.
            on_item: called after every item.

        Raises:
            BprError: the disk is full, or the memory is too small for the network.
        """
        from bpr_cli.refinement.pipeline import Pipeline, Work  # noqa: PLC0415 - as above
        from bpr_cli.refinement.result import RefineResult  # noqa: PLC0415

        predictions, result = self._opened.predictions, RefineResult()
        items = [predictions.items[place] for place in part.places]
        work = Work(predictions, self._opened.writer, self._mailbox, result, on_item)
        Pipeline(self._refiner, work).run(items)
        self._mailbox.tell(PartEnded(result.seconds))


def serve(connection: Connection, order: Order) -> None:
    """Refine the parts that the driver sends, until it closes the connection; the entry point of a worker process."""
    end_with_main_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes; the driver decides
    signal.signal(signal.SIGTERM, _stop)
    _share_cores(order.count)
    sending = Lock()

    def tell(message: Message) -> None:
        with sending:
            connection.send(message)

    try:
        refiner = PartRefiner(_own_settings(order), tell)
        while True:
            message: Opened | Part = connection.recv()
            refiner.open(message) if isinstance(message, Opened) else refiner.refine(message)
    except (EOFError, ConnectionError):  # the driver has ended
        return
    except Exception as error:
        tell(Stopped.by(error))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _own_settings(order: Order) -> RefineSettings:
    """The settings of this worker: one of several GPUs, and its share of the threads."""
    from bpr_cli.inference.backends import parse_devices  # noqa: PLC0415 - as above

    settings, devices = order.settings, parse_devices(order.settings.device)
    device = str(devices[order.number % len(devices)]) if len(devices) > 1 else settings.device
    return replace(settings, device=device, workers=max(1, settings.workers // order.count))


def _share_cores(count: int) -> None:
    """Let the network use this worker's share of the cores, without spinning, unless the user has said how many."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _stop(_number: int, _frame: FrameType | None) -> None:
    """End after files that are being written are complete or removed."""
    sys.exit(1)
