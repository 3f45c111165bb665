"""The loop: step, report, validate, save, and stop when asked to."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing import active_children

import torch
from torch import Tensor

from bpr_cli.errors import BprError
from bpr_cli.system.signals import StopRequest, noting_signals
from bpr_cli.training.batches import StepBatches, load
from bpr_cli.training.checkpoint import TrainState
from bpr_cli.training.distributed import Processes
from bpr_cli.training.recorder import CheckpointWriter
from bpr_cli.training.settings import Recipe
from bpr_cli.training.trainer import Trainer
from bpr_cli.training.workers import telling_of_deaths

REPORT_EVERY = 10
"""Steps from one line of the log to the next. Only then a GPU is waited for, and processes tell each other to stop."""

Advance = Callable[[float | None], None]
"""Told of every step that is done, with the mean loss of the last line of the log once there is one."""


@dataclass(frozen=True)
class Pace:
    """What does not change the result.

    Attributes:
        workers: processes that prepare batches.
        save_every: steps from one saved state to the next.
    """

    workers: int
    save_every: int


@dataclass(frozen=True)
class Ending:
    """How a loop ended.

    Attributes:
        standing: where the training stands.
        signal: that stopped it early, 0 for none.
        loss: of the last line of the log, None where there was none.
        seconds: that it took.
    """

    standing: TrainState
    signal: int
    loss: float | None
    seconds: float


class Loop:
    """Trains a learner from where it stands to the last step."""

    def __init__(
        self,
        learner: Trainer,
        recipe: Recipe,
        batches: StepBatches,
        pace: Pace,
        processes: Processes,
        recorder: CheckpointWriter | None,
        standing: TrainState,
    ) -> None:
        """Make ready.

        Args:
            learner: learns.
            recipe: says how long.
            batches: what from.
            pace: how batches are made and how often the state is saved.
            processes: who learns together.
            recorder: writes everything down; None in all processes but the first.
            standing: where the learner stands.
        """
        self._learner, self._recipe, self._batches, self._pace = learner, recipe, batches, pace
        self._processes, self._recorder, self._standing = processes, recorder, standing
        self._losses: list[Tensor] = []
        self._loss: float | None = None

    def run(self, advance: Advance) -> Ending:
        """Train.

        Raises:
            BprError: the loss is no finite number, a patch cannot be read, or a worker has died; the last saved
                weights are kept.
        """
        began = time.monotonic()
        steps = range(self._standing.step, self._recipe.steps)
        pinned = self._processes.device.type == "cuda"
        with noting_signals() as request:
            # The clock of the loader's workers starts here, after the signals' handlers are set.
            batches = load(self._batches, steps, self._pace.workers, pinned)
            with telling_of_deaths(active_children()):
                for step, batch in zip(steps, batches, strict=True):
                    self._losses.append(self._learner.step(step, batch))
                    stopped = self._after(step + 1, request)
                    advance(self._loss)
                    if stopped:
                        break
        return Ending(self._standing, request.signal, self._loss, time.monotonic() - began)

    def _after(self, done: int, request: StopRequest) -> bool:
        """Do what is due after ``done`` steps; returns whether to stop."""
        last = done == self._recipe.steps
        report = done % REPORT_EVERY == 0 or last
        validate = done % self._recipe.validate_every == 0 or last
        stop = self._is_to_stop(request, report)
        save = validate or stop or done % self._pace.save_every == 0
        if report or save:
            self._read_losses(done)
        if report:
            self._report(done)
        if validate and self._recorder:
            found = self._recorder.validate(self._learner, done, self._standing.best)
            best = self._standing.best
            better = found if best is None or found.score > best.score else best
            self._standing = replace(self._standing, best=better, last=found)
        if save and self._recorder:
            scaler = self._learner.scaler.state_dict()
            self._recorder.save(self._learner, replace(self._standing, scaler=scaler))
        return stop

    def _is_to_stop(self, request: StopRequest, report: bool) -> bool:
        """Whether any process was asked to stop. Several ask each other only where they meet anyway."""
        if self._processes.count > 1:
            request.signal = self._processes.greatest(request.signal) if report else request.signal
            return report and request.signal > 0
        return request.signal > 0

    def _read_losses(self, done: int) -> None:
        """Wait for the losses of the steps up to ``done``; mean over processes."""
        if self._losses:
            found = self._processes.mean(torch.stack(self._losses)).tolist()
            wrong = next((index for index, loss in enumerate(found) if not math.isfinite(loss)), None)
            if wrong is not None:
                raise self._not_finite(found[wrong], done - len(found) + wrong + 1)
            self._standing = replace(self._standing, losses=(*self._standing.losses, *found))
            self._losses.clear()
        self._standing = replace(self._standing, step=done)

    def _report(self, done: int) -> None:
        """Write a line on the steps since the last one."""
        self._loss = math.fsum(self._standing.losses) / len(self._standing.losses)
        self._standing = replace(self._standing, losses=())
        if self._recorder:
            self._recorder.report(done, self._loss, self._learner.rate(done - 1))

    def _not_finite(self, loss: float, step: int) -> BprError:
        """What is said when numbers have run away."""
        kept = "nothing was saved before"
        if self._recorder and self._recorder.folder.last.exists():
            kept = f"{self._recorder.folder.last} holds the last good weights"
        return BprError(
            f"the loss of step {step} is {loss}, so the training was stopped; {kept}; train again with another --out, "
            "a lower learning rate, gradient clipping (--set optimiser.clip=1) or --precision float32"
        )
