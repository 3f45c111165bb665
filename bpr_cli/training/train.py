"""A training: checks everything before it writes anything, and resumes an interrupted run."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from bpr_cli.errors import BprError, note
from bpr_cli.formats.output_checks import check_outputs
from bpr_cli.inference.patch_model import note_if_slow
from bpr_cli.networks.registry import build_network
from bpr_cli.settings import check_settings
from bpr_cli.system.paths import as_local_path, as_paths, read_bytes
from bpr_cli.system.terminal import message_console, show_progress
from bpr_cli.training.augmentation import Augmentation
from bpr_cli.training.checkpoint import CheckpointWriter, TrainState, ValidationResult, unpack
from bpr_cli.training.data import BatchSlice, PatchStream, SampleStream, StepBatches
from bpr_cli.training.distributed import Processes, joined
from bpr_cli.training.loop import Loop, LoopResult, OnStep, Pace
from bpr_cli.training.recipe import load_recipe
from bpr_cli.training.run_folder import CsvLog, Logs, RunFolder, TensorBoardLog
from bpr_cli.training.sampling import ImageStream
from bpr_cli.training.settings import TrainSettings
from bpr_cli.training.setup import Plan, make_plan, note_taken_over, open_sets
from bpr_cli.training.trainer import Arithmetic, Trainer
from bpr_cli.training.validate import PatchScores, Validator
from bpr_cli.version import __version__
from bpr_cli.weights.files import LoadedWeights, load_weights

MOST_WORKERS = 16


@dataclass(frozen=True)
class TrainSummary:
    """A finished or stopped training; every field is plain data, ready for JSON.

    Attributes:
        version: version of bpr.
        output: path of the run directory.
        network: name of the network.
        parameters: number of its parameters.
        device: device of process 0.
        processes: number of processes that trained together.
        patches: number of training patches, or of images if patches are sampled from images.
        steps: number of steps of the complete training.
        started_at: number of steps that earlier runs had completed, else 0.
        stopped_at: number of completed steps; fewer than ``steps`` if a signal or the patience stopped the training.
        stopped_by: number of that signal, 0 for none.
        stopped_early: whether no better score came for as many validations as the recipe waits.
        loss: mean loss of the last steps; None without steps.
        coarse: scores of the coarse masks of the validation patches.
        initial: scores of the initial weights on these patches; None without initial weights.
        best: the best validation; None before the first validation.
        last: the latest validation; None before the first validation.
        seconds: elapsed time in seconds.
        patches_per_second: speed over all processes, including validation.
        weights: weights files by name.
        curves: picture of loss and validation by step.
        sheet: picture of patches of the first step.
        settings: everything that determines the result.
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
    stopped_early: bool
    loss: float | None
    coarse: PatchScores
    initial: PatchScores | None
    best: ValidationResult | None
    last: ValidationResult | None
    seconds: float
    patches_per_second: float
    weights: dict[str, str]
    curves: str
    sheet: str
    settings: dict[str, Any]


def train(
    patches: Path | str | Sequence[Path | str],
    out: Path | str,
    settings: TrainSettings | None = None,
    *,
    progress: bool = False,
) -> TrainSummary | None:
    """Train a network on patch sets, or resume the training in ``out``, as ``bpr train`` does.

    Args:
        patches: one or more patch sets from ``extract``.
        out: the run directory; see ``RunFolder``.
        settings: settings of the training; None takes the recipe ``modern``.
        progress: show progress on standard error.

    Returns:
        The summary; None in all processes except process 0, if ``torchrun`` started several.

    Raises:
        BprError: settings, patch sets and initial weights do not fit together; the directory is in use or holds
            another run; a file cannot be read or written; or the loss is not finite.
    """
    settings = TrainSettings(load_recipe()) if settings is None else settings
    check_settings(settings, TrainSettings)
    given = as_paths(patches, "patches", as_local_path)
    if not given:
        raise BprError("patches is empty; expected one or more patch sets")
    with open_training(given, as_local_path(out, "out"), settings) as training:
        shown = progress and training.processes.leads
        if shown:
            message_console().print(training.prospect())
        with show_progress(shown, "training", training.steps, "step", training.start) as advance:
            return training.run(lambda loss: advance("" if loss is None else f"loss {loss:.4f}"))


@dataclass(frozen=True)
class Training:
    """A training that is ready to start or resume.

    Attributes:
        plan: data, sizes and card.
        settings: the given settings.
        processes: the processes that train together.
        folder: the run directory.
        start: number of steps completed by earlier runs.
        initial: network with the given initial weights, or None.
        trainer: trainer that makes the steps.
        loop: loop over the steps.
        writer: writer of all files; only in process 0.
    """

    plan: Plan
    settings: TrainSettings
    processes: Processes
    folder: RunFolder
    start: int
    initial: nn.Module | None
    trainer: Trainer
    loop: Loop
    writer: CheckpointWriter | None

    @property
    def steps(self) -> int:
        """Number of steps of the complete training."""
        return self.settings.recipe.steps

    def prospect(self) -> str:
        """What will be done, and how long it takes, as a sentence."""
        left, size = self.steps - self.start, self.settings.recipe.batch_size
        begun = f"resuming after step {self.start} of {self.steps}" if self.start else ""
        if not left or self.loop.is_done:
            return begun
        what = f"{f'{begun}: ' if begun else ''}{left} steps of {size} patches on {self.processes.device}"
        if self.processes.count > 1:
            return what
        about = timedelta(seconds=round(left * self.trainer.seconds_per_step(size)))
        return f"{what}, about {about} (h:mm:ss) and the time of validations"

    def run(self, on_step: OnStep = lambda _: None) -> TrainSummary | None:
        """Train until the last step or until a signal asks to stop; see ``train``."""
        writer = self.writer
        initial = writer.validator.measure(self.initial) if writer and self.initial else None
        result = self.loop.run(on_step)
        return self._summary(result, writer, initial) if writer else None

    def _summary(self, result: LoopResult, writer: CheckpointWriter, initial: PatchScores | None) -> TrainSummary:
        patches = (result.state.step - self.start) * self.settings.recipe.batch_size
        return TrainSummary(
            version=__version__,
            output=str(self.folder.path),
            network=self.plan.card.network,
            parameters=sum(parameter.numel() for parameter in self.trainer.network.parameters()),
            device=str(self.processes.device),
            processes=self.processes.count,
            patches=sum(map(len, self.plan.training)),
            steps=self.steps,
            started_at=self.start,
            stopped_at=result.state.step,
            stopped_by=result.signal,
            stopped_early=result.state.step < self.steps and result.state.is_exhausted(self.settings.recipe),
            loss=result.loss,
            coarse=writer.validator.coarse,
            initial=initial,
            best=result.state.best,
            last=result.state.last,
            seconds=round(result.seconds, 3),
            patches_per_second=round(patches / max(result.seconds, 1e-9), 2),
            weights={path.stem: str(path) for path in (self.folder.best, self.folder.last) if path.exists()},
            curves=str(self.folder.curves),
            sheet=str(self.folder.patches),
            settings=dict(self.plan.settings),
        )


@contextmanager
def open_training(patches: Sequence[Path], out: Path, settings: TrainSettings) -> Iterator[Training]:
    """Prepare a training, and lock its directory while it is open.

    Args:
        patches: one or more patch sets.
        out: the run directory; see ``RunFolder``. A run with the same settings, or fewer steps, is resumed.
        settings: settings of the training.

    Raises:
        BprError: settings, patch sets and initial weights do not fit together, or the directory is in use or holds
            another run; nothing is written.
    """
    with joined(settings.device) as processes:
        batch_slice = slice_of(settings.recipe.batch_size, settings.accumulate, processes)
        init = load_weights(settings.init) if settings.init else None
        plan = make_plan(open_sets(patches, settings), settings, init, out.resolve().name)
        network = _initial_network(plan, settings.seed, init)
        initial = deepcopy(network) if init and processes.leads else None
        check_outputs(out, [*patches, *settings.validation])
        folder = RunFolder(out)
        with folder.locked() if processes.leads else nullcontext():
            before = None
            if processes.leads:
                note_if_slow(settings.precision, processes.device)
                if init:
                    note_taken_over(init.card, plan)
                before = folder.begin(plan.settings, _circumstances(settings, processes), settings.overwrite)
            arithmetic = Arithmetic(settings.precision, settings.accumulate, settings.seed)
            trainer = Trainer(network, plan.card, settings.recipe, arithmetic, processes)
            state = _resume(folder, trainer, processes)
            if before:
                steps = settings.recipe.steps
                note(
                    "%s goes on to %d steps instead of %d; from step %d on, the learning rate is that of a run of %d "
                    "steps, %.2g",
                    *(out, steps, before, state.step, steps, trainer.rate(state.step)),
                )
            writer = _writer(folder, plan, settings, processes, state) if processes.leads else None
            loop = _loop(plan, settings, batch_slice, processes, trainer, writer, state)
            try:
                yield Training(plan, settings, processes, folder, state.step, initial, trainer, loop, writer)
            finally:
                if writer:
                    writer.logs.close()


def slice_of(batch_size: int, accumulate: int, processes: Processes) -> BatchSlice:
    """The slice of every batch for this process.

    Raises:
        BprError: the batch cannot be split evenly over processes and passes.
    """
    if batch_size % (processes.count * accumulate):
        raise BprError(
            f"a batch of {batch_size} patches cannot be shared evenly by "
            f"{processes.count} process{'es' if processes.count > 1 else ''} with "
            f"{accumulate} pass{'es' if accumulate > 1 else ''} each; "
            f"give a multiple of {processes.count * accumulate} as --batch-size"
        )
    size = batch_size // processes.count
    return BatchSlice(processes.rank * size, size, batch_size)


def _initial_network(plan: Plan, seed: int, init: LoadedWeights | None) -> nn.Module:
    """The network before its first step: the given network, or one with random weights from the seed."""
    if init:
        return init.network
    torch.manual_seed(seed)
    return build_network(plan.card.network)


def _circumstances(settings: TrainSettings, processes: Processes) -> dict[str, Any]:
    """Facts about a run that are not settings, such as versions."""
    return {
        "bpr": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "device": str(processes.device),
        "processes": processes.count,
        "accumulate": settings.accumulate,
    }


def _resume(folder: RunFolder, trainer: Trainer, processes: Processes) -> TrainState:
    """Restore the trainer from the checkpoint; process 0 reads it for all, because others may not share its disk."""
    found = read_bytes(folder.state) if processes.leads and folder.state.exists() else b""
    content = processes.from_leader(found)
    try:
        return unpack(content, trainer) if content else TrainState()
    except BprError as error:
        raise BprError(f"{folder.state} cannot be used: {error}; start afresh with --overwrite") from None


def _writer(
    folder: RunFolder, plan: Plan, settings: TrainSettings, processes: Processes, state: TrainState
) -> CheckpointWriter:
    validator = Validator(plan.validation, plan.card, settings.precision, processes.device)
    logs: list[CsvLog | TensorBoardLog] = []
    if settings.tensorboard:
        logs.append(TensorBoardLog(folder.tensorboard, state.step))
    return CheckpointWriter(folder, Logs([*logs, CsvLog(folder.log, state.step)]), validator, plan.card)


def _loop(
    plan: Plan,
    settings: TrainSettings,
    batch_slice: BatchSlice,
    processes: Processes,
    trainer: Trainer,
    writer: CheckpointWriter | None,
    state: TrainState,
) -> Loop:
    recipe = settings.recipe
    stream: SampleStream
    if recipe.sampling:
        stream = ImageStream(plan.training, recipe, plan.sizes, settings.seed)
    else:
        stream = PatchStream(plan.training, recipe.balance, Augmentation(recipe, plan.sizes), settings.seed)
    on_gpu = processes.device.type == "cuda"
    workers = loader_workers(on_gpu, processes.local_count) if settings.workers is None else settings.workers
    pace = Pace(workers, settings.save_every)
    return Loop(trainer, recipe, StepBatches(stream, batch_slice), pace, processes, writer, state)


def loader_workers(on_gpu: bool, processes: int) -> int:
    """Default number of workers: enough to keep a GPU busy, but one on a CPU, whose cores the network needs itself.

    Args:
        on_gpu: whether the network runs on a GPU.
        processes: number of training processes that share the cores of this machine.
    """
    return max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // processes)) if on_gpu else 1
