"""The state of a training as one safetensors file: weights, average, optimiser and where it stands. No pickles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from bpr_cli.errors import BprError
from bpr_cli.training.trainer import Trainer

STATE_VERSION = 1
STANDING = "standing"
"""The tensor that holds the JSON: unlike the metadata of a safetensors file, it can be read from bytes."""

NETWORK, AVERAGE, OPTIMISER = "network.", "average.", "optimiser."


@dataclass(frozen=True)
class Validation:
    """What a validation found.

    Attributes:
        step: number of steps made before it.
        iou: mean IoU of the decided patches with the truth, 0..1.
        boundary_f: mean boundary F-score at 1 px, 0..1.
    """

    step: int
    iou: float
    boundary_f: float

    @property
    def score(self) -> float:
        """What makes weights the best: region and boundary alike."""
        return (self.iou + self.boundary_f) / 2


@dataclass(frozen=True)
class TrainState:
    """Where a training stands, beside its tensors.

    Attributes:
        step: number of steps made.
        losses: of the steps since the last line of the log.
        best: the best validation so far.
        last: the latest one.
        scaler: state of the gradient scaler.
    """

    step: int = 0
    losses: tuple[float, ...] = ()
    best: Validation | None = None
    last: Validation | None = None
    scaler: dict[str, float] = field(default_factory=dict)


def pack(learner: Trainer, standing: TrainState) -> bytes:
    """The whole state as the content of a file."""
    text = json.dumps({"version": STATE_VERSION, **asdict(standing)}).encode()
    tensors = {STANDING: torch.frombuffer(bytearray(text), dtype=torch.uint8)}
    tensors |= _named(NETWORK, learner.network.state_dict())
    if learner.average:
        tensors |= _named(AVERAGE, learner.average.network.state_dict())
    for index, values in learner.optimiser.state_dict()["state"].items():
        tensors |= _named(f"{OPTIMISER}{index}.", {name: value for name, value in values.items() if value is not None})
    return save(tensors)


def unpack(content: bytes, learner: Trainer) -> TrainState:
    """Bring a learner to a packed state.

    Args:
        content: what ``pack`` made.
        learner: made with the same settings as the one that was packed; changed in place.

    Raises:
        BprError: the content is damaged, or of another network or version; the sentence's subject is the file.
    """
    try:
        tensors = load(content)
        values = json.loads(tensors[STANDING].numpy().tobytes())
        if values.pop("version") != STATE_VERSION:
            raise BprError("it was written by another version of bpr")
        _fill(learner.network, tensors, NETWORK)
        if learner.average:
            _fill(learner.average.network, tensors, AVERAGE)
        _fill_optimiser(learner, tensors)
        learner.scaler.load_state_dict(values["scaler"])
        return _standing(values)
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


def _standing(values: Mapping[str, object]) -> TrainState:
    """The standing that JSON tells of."""
    named = {name: Validation(**values[name]) if values[name] else None for name in ("best", "last")}  # type: ignore[arg-type]
    standing = TrainState(**{**values, **named, "losses": tuple(values["losses"])})  # type: ignore[arg-type]
    validations = [number for found in named.values() if found for number in (found.step, found.iou, found.boundary_f)]
    numbers = (standing.step, *standing.losses, *standing.scaler.values(), *validations)
    if type(standing.step) is not int or not all(type(number) in (int, float) for number in numbers):
        raise ValueError("its standing is not made of numbers")
    return standing


def _named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, in plain order of memory, under longer names."""
    return {
        prefix + name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """Give a network the tensors under a prefix; they keep the network's order of memory."""
    own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    network.load_state_dict(own, strict=True)


def _fill_optimiser(learner: Trainer, tensors: Mapping[str, Tensor]) -> None:
    """Give the optimiser its state."""
    parameters = [each for group in learner.optimiser.param_groups for each in group["params"]]
    states: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(OPTIMISER):
            index, key = name.removeprefix(OPTIMISER).split(".", 1)
            states.setdefault(int(index), {})[key] = _ordered_like(tensor, parameters[int(index)])
    learner.optimiser.load_state_dict({**learner.optimiser.state_dict(), "state": states})


def _ordered_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """The tensor in the parameter's order of memory, in which the arithmetic of an uninterrupted training ran."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, device="cpu").copy_(tensor)
