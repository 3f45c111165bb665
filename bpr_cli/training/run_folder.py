"""The directory of a run: who is in it, what it was started with, and what lies in it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import remove_leftovers, write_atomically, writing
from bpr_cli.system.lock import locked
from bpr_cli.system.paths import read_bytes

RUN_VERSION = 1
Json = Any
"""What ``json`` reads."""


class RunFolder:
    """Names and files of a run.

    ======================  ============================================================================
    ``run.json``            settings, digests and versions that the run was started with
    ``best.safetensors``    weights of the best validation, ready for ``bpr refine --weights``
    ``last.safetensors``    weights of the last saved step
    ``state.safetensors``   what a training needs to go on: weights, average, optimiser, step
    ``log.csv``             loss, learning rate and validation by step
    ``tensorboard``         the same for TensorBoard, if asked for
    ``lock``                held by the training that runs
    ======================  ============================================================================
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document = path / "run.json"
        self.best = path / "best.safetensors"
        self.last = path / "last.safetensors"
        self.state = path / "state.safetensors"
        self.log = path / "log.csv"
        self.tensorboard = path / "tensorboard"
        self._lock = path / "lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings out; a process that is killed keeps nobody out.

        Raises:
            BprError: the directory is in use, or cannot be made.
        """
        in_use = (
            f"the run directory {self.path} is in use by another training; wait for it, stop it, or give another --out"
        )
        with writing(f"the run directory {self.path}"):
            self.path.mkdir(parents=True, exist_ok=True)
            with locked(self._lock, in_use):
                yield

    def begin(self, settings: Mapping[str, Json], circumstances: Mapping[str, Json], overwrite: bool) -> None:
        """Write down what the run is started with, or check that it is what it was started with before.

        Args:
            settings: plain values by dotted key: all that the result depends on.
            circumstances: what is worth knowing beside that, such as versions.
            overwrite: start afresh, whatever there is.

        Raises:
            BprError: the directory holds something else, or a run with other settings.
        """
        remove_leftovers(self.path)
        if overwrite:
            self._clear()
        if self.document.exists():
            self._compare(settings)
            return
        if self.state.exists() or self.best.exists() or self.last.exists():
            raise BprError(f"{self.path} holds weights but no {self.document.name}; give another --out or --overwrite")
        content = {"version": RUN_VERSION, "settings": settings, "circumstances": circumstances}
        write_atomically(self.document, (json.dumps(content, indent=2) + "\n").encode())

    def _compare(self, settings: Mapping[str, Json]) -> None:
        """Refuse to go on with settings that are not those of the start."""
        try:
            content = json.loads(read_bytes(self.document))
            started = dict(content["settings"]) if content["version"] == RUN_VERSION else {}
        except (ValueError, KeyError, TypeError, RecursionError):
            started = {}
        if not started:
            raise BprError(f"{self.document} is not that of a run of this version; give another --out or --overwrite")
        differing = [key for key in {**started, **settings} if started.get(key) != settings.get(key)]
        if differing:
            key = differing[0]
            more = f" (and {len(differing) - 1} more differ)" if len(differing) > 1 else ""
            found, given = _shown(started.get(key)), _shown(settings.get(key))
            raise BprError(
                f"{self.path} holds a run with {key} {found}, not {given}{more}; "
                "give the settings of that run to go on with it, another --out, or --overwrite to start afresh"
            )

    def _clear(self) -> None:
        """Remove the files of a run; the document last, so that a kill leaves no run that seems whole."""
        for path in (self.state, self.best, self.last, self.log, self.document):
            path.unlink(missing_ok=True)
        for path in self.tensorboard.glob("events.*"):
            path.unlink()


def _shown(value: Json) -> str:
    """A value of JSON, cut to what a line can hold."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
