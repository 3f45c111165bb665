"""The log of a run: a CSV, and events for TensorBoard on request."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@dataclass(frozen=True)
class LogRow:
    """A line of the log.

    Attributes:
        step: number of steps made.
        loss: mean of the steps since the line before; None where only a validation is told of.
        learning_rate: of the last of these steps.
        validation_iou: of the validation after this step, 0..1.
        validation_boundary_f: of the validation after this step, 0..1.
    """

    step: int
    loss: float | None = None
    learning_rate: float | None = None
    validation_iou: float | None = None
    validation_boundary_f: float | None = None


COLUMNS = [entry.name for entry in fields(LogRow)]


class CsvLog:
    """Lines of a run; figures are written so that they read back exactly."""

    def __init__(self, path: Path, step: int) -> None:
        """Open or begin a log.

        Args:
            path: of the file.
            step: what was logged after it is dropped, as it will be done again.
        """
        kept = [row for row in _rows(path) if int(row[0]) <= step]
        content = io.StringIO()
        csv.writer(content, lineterminator="\n").writerows([COLUMNS, *kept])
        write_atomically(path, content.getvalue().encode())
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def add(self, row: LogRow) -> None:
        """Write a line; it is in the file at once."""
        self._writer.writerow(asdict(row).values())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _rows(path: Path) -> list[list[str]]:
    """The whole lines of a log; a kill may have cut the last one short."""
    if not path.is_file():
        return []
    # Whatever is no line of ours is dropped, so it may be read as what it is not.
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    return [row for row in list(lines)[1:] if len(row) == len(COLUMNS) and row[0].isascii() and row[0].isdigit()]


class TensorBoardLog:
    """The same lines for TensorBoard."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open or begin a log; TensorBoard drops what was logged after ``step``.

        Raises:
            BprError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
        except ImportError:
            raise BprError(
                "--tensorboard needs the package tensorboard; install it with pip install 'bpr-cli[tensorboard]'"
            ) from None
        self._writer: SummaryWriter = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, row: LogRow) -> None:
        """Write the figures of a line."""
        for name, value in asdict(row).items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name.replace("validation_", "validation/"), value, row.step)

    def close(self) -> None:
        """Write what waits and close the file."""
        self._writer.close()


class Logs:
    """All logs of a run as one."""

    def __init__(self, logs: Sequence[CsvLog | TensorBoardLog]) -> None:
        self._logs = logs

    def add(self, row: LogRow) -> None:
        """Write a line to each."""
        for log in self._logs:
            log.add(row)

    def close(self) -> None:
        """Close each."""
        for log in self._logs:
            log.close()
