"""A worker process: refines parts of a prediction set, and tells the driver what it has written.

It writes refined predictions, but neither the journal, nor common files, nor the report.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from types import FrameType
from typing import Any, NoReturn

from bpr_cli.errors import LOGGER, BprError
from bpr_cli.formats.base import PredictionSet, Writer
from bpr_cli.refinement.report import NetworkUsed
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.system.workers import end_with_main_process


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


Message = NetworkUsed | Refined | Failed | Noted | PartEnded | Stopped
"""What a worker tells: first its network, then what becomes of items, and the end of every part."""


class Mailbox(logging.Handler):
    """Sends messages to the driver; stands for the journal of a pipeline, and for the notes of a process."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        self._sending = Lock()

    def send(self, message: Message) -> None:
        """Send a message; thread-safe."""
        with self._sending:
            self._connection.send(message)

    def add(
        self,
        name: str,
        inputs: Iterable[Path],  # noqa: ARG002 - the driver fingerprints them
        result: Mapping[str, Any],
        files: Mapping[Path, str] | None = None,
        records: Mapping[int, bytes] | None = None,
    ) -> None:
        """See ``Journal.add``."""
        self.send(Refined(name, result, files or {}, records or {}))

    def fail(self, name: str, inputs: Iterable[Path], reason: str) -> None:  # noqa: ARG002 - as above
        """See ``Journal.fail``."""
        self.send(Failed(name, reason))

    def emit(self, record: logging.LogRecord) -> None:
        """Forward a note."""
        values = record.args if isinstance(record.args, tuple) else ()
        self.send(Noted(str(record.msg), tuple(map(str, values))))


def serve(connection: Connection, order: Order) -> None:
    """Refine the parts that the driver sends, until it closes the connection; the entry point of a worker process."""
    end_with_main_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all processes; the driver decides
    signal.signal(signal.SIGTERM, _stop)
    _share_cores(order.count)
    mailbox = Mailbox(connection)
    LOGGER.addHandler(mailbox)
    LOGGER.propagate = False
    try:
        _work(connection, order, mailbox)
    except (EOFError, ConnectionError):  # the driver has ended
        return
    except BprError as error:
        mailbox.send(Stopped(str(error), is_expected=True))
    except Exception:
        mailbox.send(Stopped(traceback.format_exc(), is_expected=False))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _work(connection: Connection, order: Order, mailbox: Mailbox) -> NoReturn:
    # Imported here, because PyTorch takes its number of threads from the environment.
    from bpr_cli.refinement.pipeline import Pipeline, Work  # noqa: PLC0415
    from bpr_cli.refinement.refiner import Refiner  # noqa: PLC0415
    from bpr_cli.refinement.result import RefineResult  # noqa: PLC0415

    refiner = Refiner(_own_settings(order))
    mailbox.send(NetworkUsed.of(refiner))
    opened: Opened
    while True:
        message: Opened | Part = connection.recv()
        if isinstance(message, Opened):
            opened = message
            os.chdir(opened.folder)  # paths may be relative
            continue
        result = RefineResult()
        items = [opened.predictions.items[place] for place in message.places]
        Pipeline(refiner, Work(opened.predictions, opened.writer, mailbox, result)).run(items)
        mailbox.send(PartEnded(result.seconds))


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
