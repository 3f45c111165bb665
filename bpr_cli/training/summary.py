"""What a training reports of itself, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bpr_cli.training.checkpoint import Validation
from bpr_cli.training.validate import PatchFigures


@dataclass(frozen=True)
class TrainSummary:
    """A training that ended; every field is plain data, ready for JSON.

    Attributes:
        version: of bpr.
        output: the run directory.
        network: its name.
        parameters: number of its weights.
        device: where process 0 trained.
        processes: how many trained together.
        patches: number of patches that train.
        steps: of the whole training.
        started_at: steps that were made before, by the run that this one went on with.
        stopped_at: steps that are made now; fewer than ``steps`` when it was asked to stop.
        stopped_by: number of the signal that asked for it, 0 for none.
        loss: mean of the last steps; None where none was made.
        coarse: figures of the coarse masks of the validation patches.
        best: the best validation; None before the first one.
        last: the latest one.
        seconds: from the first step to the end.
        patches_per_second: over all processes, validation included.
        weights: files of the weights, by name.
        settings: all that the result depends on.
    """

    version: str
    output: str
    network: str
    parameters: int
    device: str
    processes: int
    patches: int
    steps: int
    started_at: int
    stopped_at: int
    stopped_by: int
    loss: float | None
    coarse: PatchFigures
    best: Validation | None
    last: Validation | None
    seconds: float
    patches_per_second: float
    weights: dict[str, str]
    settings: dict[str, Any]
