"""The files of a training: logs, weights with their cards, and a checkpoint to resume from.

The checkpoint is one safetensors file with weights, moving average, optimiser and progress; it contains no pickles.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from bpr_cli.errors import BprError
from bpr_cli.system.atomic import write_atomically, writing
from bpr_cli.training.curves import draw_curves
from bpr_cli.training.run_folder import LogRow, Logs, RunFolder
from bpr_cli.training.settings import Recipe
from bpr_cli.training.trainer import Trainer
from bpr_cli.training.validate import PatchScores, Validator
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.files import save_weights

STATE_VERSION = 2
"""Version 1 held scores as fractions."""

PROGRESS = "standing"
"""Name of the tensor that holds the progress as JSON. A tensor can be read from bytes, unlike the metadata of a
safetensors file."""

NETWORK, AVERAGE, OPTIMISER = "network.", "average.", "optimiser."


@dataclass(frozen=True)
class ValidationResult:
    """The scores of a validation.

    Attributes:
        step: number of steps before the validation.
        iou: mean IoU of the predicted patches with the ground truth, in percent.
        boundary_f: mean boundary F-score at 1 px, in percent.
    """

    step: int
    iou: float
    boundary_f: float

    @property
    def score(self) -> float:
        """Score that selects the best weights: the mean of IoU and boundary F-score."""
        return (self.iou + self.boundary_f) / 2


@dataclass(frozen=True)
class TrainState:
    """The progress of a training, except its tensors.

    Attributes:
        step: number of completed steps.
        losses: losses of the steps since the last line of the log.
        best: the best validation so far.
        last: the latest validation.
        scaler: state of the gradient scaler.
    """

    step: int = 0
    losses: tuple[float, ...] = ()
    best: ValidationResult | None = None
    last: ValidationResult | None = None
    scaler: dict[str, float] = field(default_factory=dict)

    def is_exhausted(self, recipe: Recipe) -> bool:
        """Whether no validation was better for as many in a row as the recipe waits."""
        if not recipe.patience or self.best is None or self.last is None:
            return False
        return self.last.step - self.best.step >= recipe.patience * recipe.validate_every


def pack(trainer: Trainer, state: TrainState) -> bytes:
    """The content of a checkpoint file."""
    text = json.dumps({"version": STATE_VERSION, **asdict(state)}).encode()
    tensors = {PROGRESS: torch.frombuffer(bytearray(text), dtype=torch.uint8)}
    tensors |= _named(NETWORK, trainer.network.state_dict())
    if trainer.average:
        tensors |= _named(AVERAGE, trainer.average.network.state_dict())
    for index, values in trainer.optimiser.state_dict()["state"].items():
        tensors |= _named(f"{OPTIMISER}{index}.", {name: value for name, value in values.items() if value is not None})
    return save(tensors)


def unpack(content: bytes, trainer: Trainer) -> TrainState:
    """Restore a trainer from a checkpoint.

    Args:
        content: checkpoint from ``pack``.
        trainer: trainer with the same settings as the packed one; changed in place.

    Raises:
        BprError: the content is damaged or of another network or version; the message does not name the file.
    """
    try:
        tensors = load(content)
        values = json.loads(tensors[PROGRESS].numpy().tobytes())
        version = values.pop("version")
        if version not in (1, STATE_VERSION):
            raise BprError("it was written by another version of bpr")
        _restore_network(trainer.network, tensors, NETWORK)
        if trainer.average:
            _restore_network(trainer.average.network, tensors, AVERAGE)
        _restore_optimiser(trainer, tensors)
        trainer.scaler.load_state_dict(values["scaler"])
        return _state(values, scale=100 if version == 1 else 1)
    except (
        SafetensorError,
        LookupError,
        ArithmeticError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
    ) as error:
        raise BprError(f"it is damaged ({str(error)[:120]})") from error


def _state(values: Mapping[str, Any], scale: int) -> TrainState:
    """Decode the progress from JSON; scores are multiplied by ``scale``."""
    named = {name: _scaled(values[name], scale) if values[name] else None for name in ("best", "last")}
    state = TrainState(**{**values, **named, "losses": tuple(values["losses"])})
    validations = [number for found in named.values() if found for number in (found.step, found.iou, found.boundary_f)]
    numbers = (state.step, *state.losses, *state.scaler.values(), *validations)
    if type(state.step) is not int or not all(type(number) in (int, float) for number in numbers):
        raise ValueError("its progress is not made of numbers")
    return state


def _scaled(values: Mapping[str, Any], scale: int) -> ValidationResult:
    return ValidationResult(values["step"], scale * values["iou"], scale * values["boundary_f"])


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, with ``prefix`` before their names."""
    return {
        prefix + name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _restore_network(network: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Load the tensors with a prefix into a network, in its memory format."""
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    network.load_state_dict(own, strict=True)


def _restore_optimiser(trainer: Trainer, tensors: Mapping[str, Tensor]) -> None:
    """Load the state of the optimiser."""
    parameters = [each for group in trainer.optimiser.param_groups for each in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMISER):
            index, key = name.removeprefix(OPTIMISER).split(".", 1)
            states.setdefault(int(index), {})[key] = _formatted_like(tensor, parameters[int(index)])
    trainer.optimiser.load_state_dict({**trainer.optimiser.state_dict(), "state": states})


def _formatted_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The tensor in the memory format of the parameter, as in an uninterrupted training."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, device="cpu").copy_(tensor)


@dataclass(frozen=True)
class CheckpointWriter:
    """Validates the weights and writes all files of a run. Only process 0 has one.

    Attributes:
        folder: directory of the run.
        logs: logs, with one line per report.
        validator: scores the weights.
        card: card of the weights, without metrics.
    """

    folder: RunFolder
    logs: Logs
    validator: Validator
    card: WeightsCard

    def validate(self, trainer: Trainer, step: int, best: ValidationResult | None) -> ValidationResult:
        """Validate the weights after ``step`` steps, draw the curves, and save the weights if they are the best."""
        scores = self.validator.measure(trainer.result)
        found = ValidationResult(step, scores.iou, scores.boundary_f)
        self.logs.add(LogRow(step, validation_iou=found.iou, validation_boundary_f=found.boundary_f))
        draw_curves(self.folder.log, self.folder.curves, self.validator.coarse)
        if best is None or found.score > best.score:
            self._save_weights(self.folder.best, trainer.result, step, found)
        return found

    def save(self, trainer: Trainer, state: TrainState) -> None:
        """Save the weights and the checkpoint to resume from.

        Raises:
            BprError: the weights contain NaN or infinity, or the disk is full; the previous files are kept.
        """
        self._save_weights(self.folder.last, trainer.result, state.step, state.last)
        with writing(self.folder.state):
            write_atomically(self.folder.state, pack(trainer, state))

    def _save_weights(self, path: Path, network: nn.Module, step: int, found: ValidationResult | None) -> None:
        """Write weights with their validation scores."""
        metrics = card_metrics(found, self.validator.coarse) if found and found.step == step else {}
        save_weights(path, network, replace(self.card, metrics={"steps": step, **metrics}))


def card_metrics(found: ValidationResult, coarse: PatchScores) -> dict[str, float | str]:
    """The scores of a validation as metrics for a card."""
    return {
        "validation patches": coarse.patches,
        "patch IoU, %": round(found.iou, 3),
        "patch IoU, coarse, %": round(coarse.iou, 3),
        "patch boundary F, 1 px, %": round(found.boundary_f, 3),
        "patch boundary F, 1 px, coarse, %": round(coarse.boundary_f, 3),
    }
