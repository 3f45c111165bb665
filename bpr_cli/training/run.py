"""Opening a training: everything is checked before anything is written, and a run that is there is gone on with."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.formats.output_checks import check_folder_apart
from bpr_cli.networks.registry import build_network
from bpr_cli.system.paths import read_bytes
from bpr_cli.training.augment import Augmentation
from bpr_cli.training.batches import Share, StepBatches
from bpr_cli.training.checkpoint import TrainState, unpack
from bpr_cli.training.distributed import Processes, joined
from bpr_cli.training.log import CsvLog, Logs, TensorBoardLog
from bpr_cli.training.loop import Advance, Ending, Loop, Pace
from bpr_cli.training.order import Order
from bpr_cli.training.recorder import CheckpointWriter
from bpr_cli.training.run_folder import RunFolder
from bpr_cli.training.settings import TrainSettings
from bpr_cli.training.setup import Plan, make_plan, open_sets
from bpr_cli.training.summary import TrainSummary
from bpr_cli.training.trainer import Arithmetic, Trainer
from bpr_cli.training.validate import Validator
from bpr_cli.version import __version__
from bpr_cli.weights.files import LoadedWeights, load_weights

MOST_WORKERS = 16


@dataclass(frozen=True)
class Training:
    """A training that is ready to begin, or to go on.

    Attributes:
        plan: what it does.
        settings: what it was asked for.
        processes: who does it.
        folder: where it is written down.
        start: number of steps that were made before.
        learner: learns.
        loop: makes it learn.
        recorder: writes; only in process 0.
    """

    plan: Plan
    settings: TrainSettings
    processes: Processes
    folder: RunFolder
    start: int
    learner: Trainer
    loop: Loop
    recorder: CheckpointWriter | None

    @property
    def steps(self) -> int:
        """Number of steps in all."""
        return self.settings.recipe.steps

    def run(self, advance: Advance = lambda _: None) -> TrainSummary | None:
        """Train to the last step, or until asked to stop.

        Returns:
            What was done, or None in all processes but the first.

        Raises:
            BprError: the loss is no finite number, or a file cannot be read or written.
        """
        ending = self.loop.run(advance)
        return self._summary(ending, self.recorder) if self.recorder else None

    def _summary(self, ending: Ending, recorder: CheckpointWriter) -> TrainSummary:
        made = (ending.standing.step - self.start) * self.settings.recipe.batch_size
        weights = {path.stem: str(path) for path in (self.folder.best, self.folder.last) if path.exists()}
        return TrainSummary(
            version=__version__,
            output=str(self.folder.path),
            network=self.plan.card.network,
            parameters=sum(parameter.numel() for parameter in self.learner.network.parameters()),
            device=str(self.processes.device),
            processes=self.processes.count,
            patches=sum(map(len, self.plan.training)),
            steps=self.steps,
            started_at=self.start,
            stopped_at=ending.standing.step,
            stopped_by=ending.signal,
            loss=ending.loss,
            coarse=recorder.validator.coarse,
            best=ending.standing.best,
            last=ending.standing.last,
            seconds=round(ending.seconds, 3),
            patches_per_second=round(made / max(ending.seconds, 1e-9), 2),
            weights=weights,
            settings=dict(self.plan.settings),
        )


@contextmanager
def open_training(patches: Sequence[Path], out: Path, settings: TrainSettings) -> Iterator[Training]:
    """Make a training ready, and keep others out of its directory for as long as it is open.

    Args:
        patches: patch sets to train on, one or more.
        out: the run directory, see ``RunFolder``. One that holds a run with the same settings is gone on with.
        settings: of the training.

    Raises:
        BprError: something does not fit, or the directory is in use or holds another run; nothing was written then.
    """
    with joined(settings.device) as processes:
        share = share_of(settings.recipe.batch_size, settings.accumulate, processes)
        init = load_weights(settings.init) if settings.init else None
        plan = make_plan(open_sets([*patches, *settings.validation]), settings, init, out.resolve().name)
        network = _first_network(plan, settings.seed, init)
        check_folder_apart(out, [*patches, *settings.validation])
        folder = RunFolder(out)
        with folder.locked() if processes.leads else nullcontext():
            if processes.leads:
                folder.begin(plan.settings, _circumstances(settings, processes), settings.overwrite)
            arithmetic = Arithmetic(settings.precision, settings.accumulate, settings.seed)
            learner = Trainer(network, plan.card, settings.recipe, arithmetic, processes)
            standing = _resume(folder, learner, processes)
            recorder = _recorder(folder, plan, settings, processes, standing) if processes.leads else None
            loop = _loop(plan, settings, share, processes, learner, recorder, standing)
            try:
                yield Training(plan, settings, processes, folder, standing.step, learner, loop, recorder)
            finally:
                if recorder:
                    recorder.logs.close()


def share_of(batch_size: int, accumulate: int, processes: Processes) -> Share:
    """The part of every batch that this process trains on.

    Raises:
        BprError: the batch cannot be split evenly over processes and passes.
    """
    if batch_size % (processes.count * accumulate):
        raise BprError(
            f"batch_size is {batch_size}, which {processes.count} process{'es' if processes.count > 1 else ''} with "
            f"{accumulate} pass{'es' if accumulate > 1 else ''} each cannot share evenly; give a multiple of "
            f"{processes.count * accumulate}"
        )
    size = batch_size // processes.count
    return Share(processes.rank * size, size, batch_size)


def _first_network(plan: Plan, seed: int, init: LoadedWeights | None) -> nn.Module:
    """The network before its first step: the given one, or one with random weights that depend on the seed alone."""
    if init:
        return init.network
    torch.manual_seed(seed)
    return build_network(plan.card.network)


def _circumstances(settings: TrainSettings, processes: Processes) -> dict[str, Any]:
    """What is worth knowing of a run beside its settings."""
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


def _resume(folder: RunFolder, learner: Trainer, processes: Processes) -> TrainState:
    """Bring the learner to the saved state; process 0 reads it for all, as others may not see its disk."""
    found = read_bytes(folder.state) if processes.leads and folder.state.exists() else b""
    content = processes.from_leader(found)
    try:
        return unpack(content, learner) if content else TrainState()
    except BprError as error:
        raise BprError(f"{folder.state} cannot be used: {error}; start afresh with --overwrite") from None


def _recorder(
    folder: RunFolder, plan: Plan, settings: TrainSettings, processes: Processes, standing: TrainState
) -> CheckpointWriter:
    """What writes."""
    validator = Validator(plan.validation, plan.card, settings.precision, processes.device)
    logs: list[CsvLog | TensorBoardLog] = []
    if settings.tensorboard:
        logs.append(TensorBoardLog(folder.tensorboard, standing.step))
    return CheckpointWriter(folder, Logs([*logs, CsvLog(folder.log, standing.step)]), validator, plan.card)


def _loop(
    plan: Plan,
    settings: TrainSettings,
    share: Share,
    processes: Processes,
    learner: Trainer,
    recorder: CheckpointWriter | None,
    standing: TrainState,
) -> Loop:
    """What makes the learner learn."""
    recipe = settings.recipe
    order = Order([len(part) for part in plan.training], recipe.balance, settings.seed)
    batches = StepBatches(plan.training, order, Augmentation(recipe, plan.sizes), settings.seed, share)
    on_gpu = processes.device.type == "cuda"
    workers = loader_workers(on_gpu, processes.local_count) if settings.workers is None else settings.workers
    return Loop(learner, recipe, batches, Pace(workers, settings.save_every), processes, recorder, standing)


def loader_workers(on_gpu: bool, processes: int) -> int:
    """Number of workers that keep the device busy: on a CPU, whose cores the network needs itself, one.

    Args:
        on_gpu: whether the network runs on a GPU.
        processes: that train on this machine and share its cores.
    """
    return max(1, min(MOST_WORKERS, (os.cpu_count() or 1) // processes)) if on_gpu else 1
