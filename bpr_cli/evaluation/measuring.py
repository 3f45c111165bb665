"""One pass over the files: every image is read, measured for all that is asked, and forgotten."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError
from bpr_cli.evaluation.kinds.base import Kind, Segments
from bpr_cli.evaluation.opening import Opened
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.system.paths import read_bytes
from bpr_cli.system.threads import in_order
from bpr_cli.truth.pairs import Pair


@dataclass(frozen=True)
class Measured:
    """What is known of one image once it is measured.

    Attributes:
        pair: the image.
        sums: of the predictions, then the baseline if there is one, then each oracle.
        segments: true segments of the predictions, then the baseline.
        digests: of the files of truth, predictions and baseline.
        failure: why it could not be measured; the rest is empty then.
    """

    pair: Pair
    sums: tuple[Any, ...] = ()
    segments: tuple[Segments, ...] = ()
    digests: tuple[str, ...] = ()
    failure: Failure | None = None


def measure_all(opened: Opened) -> Iterator[Measured]:
    """Every image, in the order of the pairs.

    Raises:
        BprError: an image is broken, and that is not allowed.
    """
    return in_order(lambda pair: _measure(opened, pair), opened.pairs, opened.settings.worker_count)


def _measure(opened: Opened, pair: Pair) -> Measured:
    try:
        return _measure_image(opened, pair)
    except BprError as error:
        if not opened.settings.allow_missing:
            raise
        return Measured(pair, failure=Failure(pair.name, str(error)))


def _measure_image(opened: Opened, pair: Pair) -> Measured:
    kind, sets = opened.kind, opened.sets
    with _Naming(sets.truth, pair.truth):
        truth = kind.read_truth(sets.truth, pair)
    compared, contents = [], []
    for scored, item in zip(sets.scored, (pair.prediction, pair.baseline), strict=False):
        with _Naming(scored, item):
            contents.append(kind.read(scored, item, pair))
            compared.append(kind.measure(pair, contents[-1], truth))
    segments = tuple(each.segments for each in compared)
    for distance in opened.settings.oracle:
        compared.append(kind.measure(pair, kind.oracle(contents[0], truth, distance), truth))
    sides = zip((sets.truth, *sets.scored), (pair.truth, pair.prediction, pair.baseline), strict=False)
    sums = tuple(each.sums for each in compared)
    return Measured(pair, sums, segments, tuple(_digest(side, item) for side, item in sides))


class _Naming:
    """Puts the name of the file before an error that does not have it."""

    def __init__(self, side: PredictionSet, item: Item | None) -> None:
        self._file = str(side.file(item)) if item else None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, BprError) and self._file and self._file not in str(error):
            raise BprError(f"{self._file}: {error}") from error


def _digest(side: PredictionSet, item: Item | None) -> str:
    return digest_files(side.files(item)) if item else ""


def digest_files(files: Iterable[Path]) -> str:
    """SHA-256 of names and contents as hex digits; empty for no files."""
    digest = hashlib.sha256()
    count = 0
    for count, file in enumerate(files, 1):  # noqa: B007
        digest.update(file.name.encode("utf-8", "surrogateescape") + b"\0")
        digest.update(hashlib.sha256(read_bytes(file)).digest())
    return digest.hexdigest() if count else ""


class Totals:
    """The sums of all images, one for each variant."""

    def __init__(self, kind: Kind[Any, Any, Any]) -> None:
        self._kind = kind
        self.sums: list[Any] = []

    def add(self, sums: tuple[Any, ...]) -> None:
        """Add those of one image."""
        if not self.sums:
            self.sums = list(sums)
        else:
            self.sums = [self._kind.add(total, new) for total, new in zip(self.sums, sums, strict=True)]
