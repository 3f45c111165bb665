"""A fuzzer: mutated samples for a reader, which may answer with nothing but a ``BprError``.

Samples that reach a new line of the program are kept and mutated further. Time and memory are bounded, and nothing may
appear outside of the folder for output.
"""

from __future__ import annotations

import random
import resource
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType

import bpr_cli
from bpr_cli.errors import BprError
from tests.fuzz.mutations import mutate
from tests.fuzz.samples import SECRET, Sample, clear, load_sample, save_sample

SECONDS = 20
"""Processor time that reading a sample of some kilobytes may take."""

WAITED = 100
"""Seconds after which it is taken to wait for something that never comes, on however busy a machine."""

MEMORY = 2 << 30
"""Bytes of address space that may be taken beyond those in use before."""

LONGEST_SENTENCE = 8000
_KEPT = 200
_PROGRAM = str(Path(bpr_cli.__file__).parent)


@dataclass(frozen=True)
class Reader:
    """A way into the program for files of strangers.

    Attributes:
        name: what it reads.
        make: writes a valid sample into a folder.
        read: reads everything in the folder ``in``, and writes what it makes of it into ``out`` beside it.
        mend: brings checksums up to date, so that mutations are not all found out by them.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], object]
    mend: Callable[[Sample], Sample] = lambda sample: sample


@dataclass(frozen=True)
class Finding:
    """What a reader did wrong.

    Attributes:
        what: in a line; the same for the same fault.
        details: the traceback.
    """

    what: str
    details: str


class TooSlow(BaseException):
    """Reading took too long; no ``except Exception`` holds it up."""


class Fuzzer:
    """Feeds one reader."""

    def __init__(self, reader: Reader, seed: int, folder: Path) -> None:
        """Make the valid sample.

        Args:
            reader: to be fed.
            seed: of all mutations.
            folder: an empty one, to work in.
        """
        self.reader = reader
        self.executions = 0
        self.lines: set[tuple[CodeType, int]] = set()
        self._rng = random.Random(seed)
        self._folder = folder
        self.input, self._output = folder / "in", folder / "out"
        self.input.mkdir()
        reader.make(self.input)
        self.kept = [load_sample(self.input)]
        self._secret = (folder / SECRET).write_bytes(b"secret") and (folder / SECRET).read_bytes()

    def check_valid(self) -> None:
        """The sample as it is must be read without any complaint."""
        self._prepare(self.kept[0])
        self.reader.read(self.input)

    def step(self) -> Finding | None:
        """Read one mutated sample."""
        known = self.kept[0] if self._rng.random() < 0.4 else self._rng.choice(self.kept)
        sample = self.reader.mend(mutate(known, self._rng))
        self._prepare(sample)
        self.executions += 1
        before = len(self.lines)
        finding = self._read()
        if len(self.lines) > before and len(self.kept) < _KEPT:
            self.kept.append(sample)
        return finding

    def _prepare(self, sample: Sample) -> None:
        clear(self._folder)
        (self._folder / SECRET).write_bytes(self._secret)
        self._output.mkdir()
        save_sample(sample, self.input)

    def _read(self) -> Finding | None:
        try:
            with _limited(), _traced(self.lines):
                self.reader.read(self.input)
        except BprError as error:
            if not str(error).strip() or len(str(error)) > LONGEST_SENTENCE:
                return Finding(f"a sentence of {len(str(error))} characters: {str(error)[:60]}", traceback.format_exc())
        except (Exception, TooSlow) as error:
            return Finding(f"{type(error).__name__} {_place(error)}", traceback.format_exc())
        return self._look_outside()

    def _look_outside(self) -> Finding | None:
        names = {path.name for path in self._folder.iterdir()}
        if names != {"in", "out", SECRET} or (self._folder / SECRET).read_bytes() != self._secret:
            return Finding(f"files outside of the output: {sorted(names)}", "")
        return None


def _place(error: BaseException) -> str:
    """The line of the program that is nearest to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_PROGRAM)]
    frame = (own or frames)[-1]
    return f"in {Path(frame.filename).name}:{frame.lineno} ({frame.name})"


@contextmanager
def _limited() -> Iterator[None]:
    """Bound time and memory."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooSlow

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    timers = ((signal.SIGALRM, signal.ITIMER_REAL, WAITED), (signal.SIGPROF, signal.ITIMER_PROF, SECONDS))
    before = {number: signal.signal(number, stop) for number, _, _ in timers}
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY, hard))
    try:
        yield
    finally:
        for number, timer, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int:
    """Bytes of address space in use."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


@contextmanager
def _traced(lines: set[tuple[CodeType, int]]) -> Iterator[None]:
    """Note the lines of the program that are reached, unless another tool traces already."""
    if sys.gettrace() is not None:
        yield
        return

    def of_call(frame: FrameType, event: str, argument: object) -> Callable[..., object] | None:
        if not frame.f_code.co_filename.startswith(_PROGRAM):
            return None
        code = frame.f_code

        def of_line(frame: FrameType, event: str, argument: object) -> Callable[..., object]:
            lines.add((code, frame.f_lineno))
            return of_line

        return of_line

    sys.settrace(of_call)
    try:
        yield
    finally:
        sys.settrace(None)
