"""All that a run writes: logs, weights with their cards, and the state to go on from. Only process 0 has one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from bpr_cli.system.atomic import write_atomically, writing
from bpr_cli.training.checkpoint import TrainState, Validation, pack
from bpr_cli.training.log import LogRow, Logs
from bpr_cli.training.run_folder import RunFolder
from bpr_cli.training.trainer import Trainer
from bpr_cli.training.validate import PatchFigures, Validator
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import save_weights


@dataclass(frozen=True)
class CheckpointWriter:
    """Files and validation of a run.

    Attributes:
        folder: where the files are.
        logs: lines by step.
        validator: of the weights.
        card: of the weights, without figures.
    """

    folder: RunFolder
    logs: Logs
    validator: Validator
    card: WeightsCard

    def report(self, step: int, loss: float, rate: float) -> None:
        """Log the steps up to ``step``."""
        self.logs.add(LogRow(step, loss, rate))

    def validate(self, learner: Trainer, step: int, best: Validation | None) -> Validation:
        """Validate the weights after ``step`` steps, and save them where they are better than the best."""
        figures = self.validator.measure(learner.result)
        found = Validation(step, figures.iou, figures.boundary_f)
        self.logs.add(LogRow(step, validation_iou=found.iou, validation_boundary_f=found.boundary_f))
        if best is None or found.score > best.score:
            self._save_weights(self.folder.best, learner.result, step, found)
        return found

    def save(self, learner: Trainer, standing: TrainState) -> None:
        """Save the weights as they are and all that is needed to go on.

        Raises:
            BprError: the weights hold NaN or infinity, or the disk is full; the files from before are kept.
        """
        self._save_weights(self.folder.last, learner.result, standing.step, standing.last)
        with writing(self.folder.state):
            write_atomically(self.folder.state, pack(learner, standing))

    def _save_weights(self, path: Path, network: nn.Module, step: int, found: Validation | None) -> None:
        """Write weights with the figures that were found for them."""
        figures = card_figures(found, self.validator.coarse) if found and found.step == step else {}
        save_weights(path, network, replace(self.card, metrics={"steps": step, **figures}))


def card_figures(found: Validation, coarse: PatchFigures) -> dict[str, float | str]:
    """A validation as figures of a card."""
    return {
        "validation patches": coarse.patches,
        "patch IoU": round(found.iou, 5),
        "patch IoU, coarse": round(coarse.iou, 5),
        "patch boundary F, 1 px": round(found.boundary_f, 5),
        "patch boundary F, 1 px, coarse": round(coarse.boundary_f, 5),
    }
