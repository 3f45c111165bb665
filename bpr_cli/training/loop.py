"""The training loop: step, report, validate, save, and stop on a signal."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess

import torch
from torch import Tensor

from bpr_cli.errors import BprError
from bpr_cli.system.signals import StopRequest, noting_signals
from bpr_cli.training.checkpoint import CheckpointWriter, TrainState
from bpr_cli.training.data import StepBatches, load_batches
from bpr_cli.training.distributed import Processes
from bpr_cli.training.run_folder import LogRow
from bpr_cli.training.settings import Recipe
from bpr_cli.training.sheet import draw_sheet
from bpr_cli.training.trainer import Trainer
from bpr_cli.training.workers import reporting_deaths, until_stopped

REPORT_EVERY = 10
"""Steps between lines of the log. Only there, the loop waits for the GPU and the processes agree whether to stop."""

OnStep = Callable[[float | None], None]
"""Function called after every step with the mean loss of the last log line; None before the first line."""


@dataclass(frozen=True)
class Pace:
    """Settings that do not change the result.

    Attributes:
        workers: number of processes that prepare batches.
        save_every: steps between checkpoints.
    """

    workers: int
    save_every: int


@dataclass(frozen=True)
class LoopResult:
    """The outcome of a loop.

    Attributes:
        state: progress of the training.
        signal: number of the signal that stopped the loop, 0 for none.
        loss: mean loss of the last log line; None without lines.
        seconds: elapsed time in seconds.
    """

    state: TrainState
    signal: int
    loss: float | None
    seconds: float


class Loop:
    """Trains from the current state to the last step."""

    def __init__(
        self,
        trainer: Trainer,
        recipe: Recipe,
        batches: StepBatches,
        pace: Pace,
        processes: Processes,
        writer: CheckpointWriter | None,
        state: TrainState,
    ) -> None:
        """Prepare the loop.

        Args:
            trainer: trainer that makes the steps.
            recipe: recipe with the number of steps and the validation interval.
            batches: training data.
            pace: number of workers, and steps between checkpoints.
            processes: the processes that train together.
            writer: writer of all files; None in all processes except process 0.
            state: progress of the trainer.
        """
        self._trainer, self._recipe, self._batches, self._pace = trainer, recipe, batches, pace
        self._processes, self._writer, self._state = processes, writer, state
        self._losses: list[Tensor] = []
        self._loss: float | None = None

    @property
    def is_done(self) -> bool:
        """Whether no step is left, or the patience has come to its end."""
        return self._state.step == self._recipe.steps or self._state.is_exhausted(self._recipe)

    def run(self, on_step: OnStep) -> LoopResult:
        """Train.

        Raises:
            BprError: the loss is not finite, a patch cannot be read, or a worker has died; the last saved weights are
                kept.
        """
        began = time.monotonic()
        with noting_signals() as request:
            self._train(request, on_step)
        return LoopResult(self._state, request.signal, self._loss, time.monotonic() - began)

    def _train(self, request: StopRequest, on_step: OnStep) -> None:
        """Make the steps that are left, or those until a signal asks to stop."""
        done = begun = self._state.step
        steps = range(begun, begun if self.is_done else self._recipe.steps)
        pinned = self._processes.device.type == "cuda"
        workers: list[BaseProcess] = []
        with reporting_deaths(workers):
            # Workers start here, after the signal handlers are set.
            batches = load_batches(self._batches, steps, self._pace.workers, pinned, workers)
            if self._processes.count == 1:  # several processes must stop after the same step
                batches = until_stopped(batches, workers, request)
            for done, batch in enumerate(batches, begun + 1):
                if self._writer and done == 1:
                    draw_sheet(batch, self._writer.folder.patches)
                self._losses.append(self._trainer.step(done - 1, batch))
                stopped = self._after(done, request)
                on_step(self._loss)
                if stopped:
                    return
        if done < steps.stop:
            self._save(done)

    def _after(self, done: int, request: StopRequest) -> bool:
        """Report, validate and save if due after ``done`` steps; returns whether to stop."""
        last = done == self._recipe.steps
        report = done % REPORT_EVERY == 0 or last
        validate = done % self._recipe.validate_every == 0 or last
        stop = self._must_stop(request, report)
        save = validate or stop or done % self._pace.save_every == 0
        if report or save:
            self._read_losses(done)
        if report:
            self._report(done)
        if validate and self._writer:
            found = self._writer.validate(self._trainer, done, self._state.best)
            best = self._state.best
            better = found if best is None or found.score > best.score else best
            self._state = replace(self._state, best=better, last=found)
        if save:
            self._save(done)
        return stop or (validate and self._is_exhausted())

    def _save(self, done: int) -> None:
        """Save what to resume from after ``done`` steps."""
        self._read_losses(done)
        if self._writer:
            scaler = self._trainer.scaler.state_dict()
            self._writer.save(self._trainer, replace(self._state, scaler=scaler))

    def _is_exhausted(self) -> bool:
        """Whether validations have not become better for too long; only process 0 knows, and tells the others."""
        if not self._recipe.patience:
            return False
        return self._processes.greatest(int(self._state.is_exhausted(self._recipe))) > 0

    def _must_stop(self, request: StopRequest, report: bool) -> bool:
        """Whether a signal asked any process to stop; several processes agree on it only when they report."""
        if self._processes.count > 1:
            request.signal = self._processes.greatest(request.signal) if report else request.signal
            return report and request.signal > 0
        return request.signal > 0

    def _read_losses(self, done: int) -> None:
        """Wait for the losses of the steps up to ``done``, averaged over processes."""
        if self._losses:
            found = self._processes.mean(torch.stack(self._losses)).tolist()
            wrong = next((index for index, loss in enumerate(found) if not math.isfinite(loss)), None)
            if wrong is not None:
                raise self._not_finite(found[wrong], done - len(found) + wrong + 1)
            self._state = replace(self._state, losses=(*self._state.losses, *found))
            self._losses.clear()
        self._state = replace(self._state, step=done)

    def _report(self, done: int) -> None:
        """Log the steps since the last line."""
        self._loss = math.fsum(self._state.losses) / len(self._state.losses)
        self._state = replace(self._state, losses=())
        if self._writer:
            self._writer.logs.add(LogRow(done, self._loss, self._trainer.rate(done - 1)))

    def _not_finite(self, loss: float, step: int) -> BprError:
        """The error of a training that has diverged."""
        kept = "nothing was saved before"
        if self._writer and self._writer.folder.last.exists():
            kept = f"{self._writer.folder.last} holds the last good weights"
        return BprError(
            f"the loss of step {step} is {loss}, so the training was stopped; {kept}; train again with another --out, "
            "a lower learning rate, gradient clipping (--set optimiser.clip=1) or --precision float32"
        )
