"""The directory of a run: its lock, its settings and its logs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpr_cli.errors import BprError, lacking
from bpr_cli.system.atomic import locked, remove_leftovers, write_atomically, writing
from bpr_cli.system.paths import read_bytes

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

RUN_VERSION = 1
STEPS, PATIENCE = "recipe.steps", "recipe.patience"
"""Settings that may change when a run goes on: more steps, and any patience."""

Json = Any
"""Any value that ``json`` reads."""


class RunFolder:
    """Names and files of a run.

    ======================  ============================================================================
    ``run.json``            settings, digests and versions of the run
    ``best.safetensors``    weights of the best validation, ready for ``bpr refine --weights``
    ``last.safetensors``    weights of the last saved step
    ``state.safetensors``   what resuming needs: weights, average, optimiser, step
    ``log.csv``             loss, learning rate and validation by step
    ``curves.png``          the same as a picture, drawn at every validation
    ``patches.jpg``         patches of the first step, with coarse mask and ground truth
    ``tensorboard``         the same log for TensorBoard, on request
    ``lock``                held by the running training
    ======================  ============================================================================
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = path / "run.json"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.state = path / "state.safetensors"
        self.log = path / "log.csv"
        self.curves = path / "curves.png"
        self.patches = path / "patches.jpg"
        self.tensorboard = path / "tensorboard"
        self._lock = path / "lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory against other trainings; a lock left by a killed process does not count.

        Raises:
            BprError: the directory is in use, or cannot be created.
        """
        in_use = (
            f"the run directory {self.path} is in use by another training; wait for it, stop it, or give another --out"
        )
        with writing(f"the run directory {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self._lock, in_use):
                yield

    def begin(self, settings: Mapping[str, Json], circumstances: Mapping[str, Json], overwrite: bool) -> int | None:
        """Write the settings of a new run, or compare them with those of the existing run.

        An existing run may go on with more steps or another patience; its settings are replaced then.

        Args:
            settings: everything that determines the result, as plain values by dotted key.
            circumstances: other facts, such as versions.
            overwrite: start afresh, whatever the directory holds.

        Returns:
            The number of steps that an existing run was to have before, if it has more now.

        Raises:
            BprError: the directory holds weights without settings, or a run with other settings.
        """
        remove_leftovers(self.path)
        if overwrite:
            self._clear()
        if self.document.exists():
            return self._go_on(settings)
        if self.state.exists() or self.best.exists() or self.last.exists():
            raise BprError(f"{self.path} holds weights but no {self.document.name}; give another --out or --overwrite")
        self._write({"version": RUN_VERSION, "settings": settings, "circumstances": circumstances})
        return None

    def _write(self, content: Mapping[str, Json]) -> None:
        write_atomically(self.document, (json.dumps(content, indent=2) + "\n").encode())

    def _go_on(self, settings: Mapping[str, Json]) -> int | None:
        """Check that the run to resume has the same settings, but for those that may change; see ``begin``."""
        try:
            content = json.loads(read_bytes(self.document))
            started = dict(content["settings"]) if content["version"] == RUN_VERSION else {}
        except (ValueError, KeyError, TypeError, RecursionError):
            started = {}
        if not started:
            raise BprError(f"{self.document} was not written by this version of bpr; give another --out or --overwrite")
        differing = [key for key in {**started, **settings} if started.get(key) != settings.get(key)]
        before, steps = (found.get(STEPS, 0) for found in (started, settings))
        if differing and not {*differing} - {STEPS, PATIENCE} and steps >= before:
            self._write({**content, "settings": settings})
            return before if steps > before else None
        if differing:
            key = differing[0]
            more = f" (and {len(differing) - 1} more differ)" if len(differing) > 1 else ""
            found, given = _shown(started.get(key)), _shown(settings.get(key))
            raise BprError(
                f"{self.path} was started with {key}={found}, but this run has {key}={given}{more}; "
                "use the same settings to resume, give another --out, or --overwrite to start afresh"
            )
        return None

    def _clear(self) -> None:
        """Remove the files of a run, ``run.json`` last, so that an interrupted removal does not leave a valid run."""
        for path in (self.state, self.best, self.last, self.log, self.curves, self.patches, self.document):
            path.unlink(missing_ok=True)
        for path in self.tensorboard.glob("events.*"):
            path.unlink()


def _shown(value: Json) -> str:
    """A value as JSON, shortened to fit in a line."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@dataclass(frozen=True)
class LogRow:
    """A line of the log.

    Attributes:
        step: number of completed steps.
        loss: mean loss of the steps since the previous line; None in lines of validations.
        learning_rate: learning rate of the last of these steps.
        validation_iou: mean IoU of the validation after this step, in percent.
        validation_boundary_f: mean boundary F-score of the validation after this step, in percent.
    """

    step: int
    loss: float | None = None
    learning_rate: float | None = None
    validation_iou: float | None = None
    validation_boundary_f: float | None = None


COLUMNS = [entry.name for entry in fields(LogRow)]


class CsvLog:
    """The log as CSV; numbers are written with full precision."""

    def __init__(self, path: Path, step: int) -> None:
        """Open or begin a log.

        Args:
            path: path of the file.
            step: number of completed steps. Lines of later steps are dropped, because these steps are repeated.
        """
        kept = [row for row in _rows(path) if int(row[0]) <= step]
        content = io.StringIO()
        csv.writer(content, lineterminator="\n").writerows([COLUMNS, *kept])
        write_atomically(path, content.getvalue().encode())
        self._file = path.open("a", newline="", encoding="utf-8")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def add(self, row: LogRow) -> None:
        """Write a line and flush it to the file."""
        self._writer.writerow(asdict(row).values())
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _rows(path: Path) -> list[list[str]]:
    """The complete lines of a log; a kill may have truncated the last line."""
    if not path.is_file():
        return []
    # Invalid lines are dropped, so their encoding does not matter.
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = csv.reader(text[: text.rfind("\n") + 1].splitlines())
    return [row for row in list(lines)[1:] if len(row) == len(COLUMNS) and row[0].isascii() and row[0].isdigit()]


class TensorBoardLog:
    """The same log for TensorBoard."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open or begin a log; TensorBoard drops events after ``step``.

        Raises:
            BprError: TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - optional
        except ImportError:
            raise lacking("--tensorboard", ["tensorboard"]) from None
        self._writer: SummaryWriter = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, row: LogRow) -> None:
        """Write the values of a line."""
        for name, value in asdict(row).items():
            if name != "step" and value is not None:
                self._writer.add_scalar(name.replace("validation_", "validation/"), value, row.step)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


class Logs:
    """All logs of a run as one."""

    def __init__(self, logs: Sequence[CsvLog | TensorBoardLog]) -> None:
        self._logs = logs

    def add(self, row: LogRow) -> None:
        """Write a line to each log."""
        for log in self._logs:
            log.add(row)

    def close(self) -> None:
        """Close all logs."""
        for log in self._logs:
            log.close()
