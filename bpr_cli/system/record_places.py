"""Where the records of a long job are on disk: 32 bytes a record, because a job may have many millions."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from pathlib import Path


class RecordPlaces:
    """Files and bytes of records by their position in the output.

    >>> places = RecordPlaces()
    >>> places.add(7, Path("records.bin"), 0, 20)
    >>> places.add(3, Path("records.bin"), 20, 10)
    >>> places.add(7, Path("records.bin"), 30, 25)
    >>> [(position, start, length) for position, _, start, length in places.ascending()]
    [(3, 20, 10), (7, 30, 25)]
    """

    def __init__(self) -> None:
        self._files: dict[Path, int] = {}
        self._columns = tuple(array("Q") for _ in range(4))

    def add(self, position: int, file: Path, start: int, length: int) -> None:
        """Note a record; it replaces an earlier one of the same position."""
        number = self._files.setdefault(file, len(self._files))
        for column, value in zip(self._columns, (position, number, start, length), strict=True):
            column.append(value)

    def ascending(self) -> Iterator[tuple[int, Path, int, int]]:
        """Position, file, first byte and length of every record, by ascending position."""
        import numpy as np  # noqa: PLC0415 - help texts need none

        positions, numbers, starts, lengths = (np.array(column, dtype=np.uint64) for column in self._columns)
        order = np.argsort(positions, kind="stable")
        is_last = np.append(np.diff(positions[order]) != 0, True)[: len(order)]
        files = list(self._files)
        for index in order[is_last]:
            yield int(positions[index]), files[int(numbers[index])], int(starts[index]), int(lengths[index])
