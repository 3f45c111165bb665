"""The network with its optimiser, schedule and moving average, and a single training step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW, Optimizer

from bpr_cli.errors import BprError
from bpr_cli.inference.patch_model import DTYPES, PatchModel
from bpr_cli.inference.settings import FloatPrecision
from bpr_cli.training.augmentation import PatchSizes
from bpr_cli.training.data import TrainBatch
from bpr_cli.training.distributed import Processes
from bpr_cli.training.loss import patch_loss
from bpr_cli.training.settings import OptimiserSettings, Recipe, ScheduleSettings
from bpr_cli.weights.card import WeightsCard

SECOND_MOMENT_DECAY = 0.999
"""Beta 2 of AdamW; PyTorch's default."""

RATE_FACTOR = "rate_factor"
"""Key in a parameter group for the factor on the scheduled learning rate."""

HEAD_START = 10
"""Steps that keep the decay low at the start, so that the average forgets the random initial weights."""


@dataclass(frozen=True)
class Arithmetic:
    """Numerical settings of a step.

    Attributes:
        precision: floating-point type of the network.
        accumulate: number of forward passes that a step is split into.
        seed: seed of random layers in the network.
    """

    precision: FloatPrecision
    accumulate: int
    seed: int


class Trainer:
    """A network, its moving average and its optimiser.

    Attributes:
        network: the trained network, on the device, channels last.
        average: moving average of the network; None without one in the recipe, and in all processes except process 0.
        optimiser: optimiser of the network.
        scaler: gradient scaler, which prevents float16 gradients from vanishing; inactive for other precisions.
    """

    def __init__(
        self, network: nn.Module, card: WeightsCard, recipe: Recipe, arithmetic: Arithmetic, processes: Processes
    ) -> None:
        """Prepare a training.

        Args:
            network: network with its initial weights on the CPU; it is moved to the device.
            card: card with the sizes and normalisation of the input.
            recipe: recipe with optimiser, schedule and loss.
            arithmetic: numerical settings.
            processes: the processes that train together; all need the same initial network.
        """
        device = processes.device
        if device.type == "cuda" and processes.count > 1:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = build_optimiser(self.network, recipe.optimiser)
        self.scaler = torch.amp.GradScaler(device.type, enabled=arithmetic.precision == "float16")
        averaged = recipe.ema_decay > 0 and processes.leads
        self.average = WeightAverage(self.network, recipe.ema_decay) if averaged else None
        self._recipe, self._arithmetic, self._processes = recipe, arithmetic, processes
        self._dtype = DTYPES[arithmetic.precision]
        self._side = card.input_size
        self._ring = PatchSizes(card.patch_size, card.padding, card.input_size).ring
        self._input = PatchModel(self.network, card).to(device).network_input
        ids = [device.index] if device.type == "cuda" else None
        self._parallel = DistributedDataParallel(self.network, device_ids=ids) if processes.count > 1 else self.network

    @property
    def result(self) -> nn.Module:
        """The network to validate and save: the moving average, if there is one."""
        return self.average.network if self.average else self.network

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0, for all weights except pretrained ones."""
        return rate_at(step, self._recipe.steps, self._recipe.optimiser.learning_rate, self._recipe.schedule)

    def step(self, step: int, batch: TrainBatch) -> Tensor:
        """Update the network with one batch.

        Args:
            step: number of the step, counted from 0.
            batch: slice of the batch for this process.

        Returns:
            The loss of this slice before the update, a scalar on the device.
        """
        # Networks may drop features at random. The seed depends on the step, so a resumed training drops the same ones.
        torch.manual_seed(self._arithmetic.seed * 1_000_003 + step * self._processes.count + self._processes.rank)
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = group[RATE_FACTOR] * self.rate(step)
        parts = batch.split(self._arithmetic.accumulate)
        loss = torch.stack([self._backward(part, part is parts[-1]) for part in parts]).sum()
        self.scaler.unscale_(self.optimiser)
        if self._recipe.optimiser.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._recipe.optimiser.clip)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(step)
        return loss

    def seconds_per_step(self, size: int) -> float:
        """How long the network takes for a step of ``size`` patches; nothing changes. For a single process only.

        It is measured in a second try, because the first one prepares the device.
        """
        self.network.train()
        kept = deepcopy(self.network.state_dict())
        generator = torch.Generator().manual_seed(0)
        side = (size // self._arithmetic.accumulate, self._side, self._side)
        image = torch.randint(0, 256, (*side, 3), dtype=torch.uint8, generator=generator)
        batch = TrainBatch(image, (image[..., 0] > 127).to(torch.uint8), (image[..., 1] > 127).to(torch.uint8))
        seconds = 0.0
        for _ in range(2):
            began = time.perf_counter()
            self._backward(batch, last=True).item()  # waits for a GPU
            seconds = time.perf_counter() - began
            self.optimiser.zero_grad(set_to_none=True)
        self.network.load_state_dict(kept)
        return seconds * self._arithmetic.accumulate

    def _backward(self, batch: TrainBatch, last: bool) -> Tensor:
        """Add the gradient of one part of a step and return its share of the loss; the last part synchronises."""
        synchronised = last or self._processes.count == 1
        part = batch.to(self._processes.device)
        with nullcontext() if synchronised else self._parallel.no_sync():
            with torch.autocast(part.image.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
                logits = self._logits(part)
            loss = patch_loss(logits, part.truth, self._ring, self._recipe.loss) / self._arithmetic.accumulate
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _logits(self, part: TrainBatch) -> Tensor:
        """The forward pass of one part of a step.

        Raises:
            BprError: a batch norm sees a single value for each channel, whose deviation is zero.
        """
        try:
            logits: Tensor = self._parallel(self._input(part.image, part.coarse))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise BprError(
                f"a forward pass has only {len(part.image)} patch, too few for the batch normalisation of this network "
                "at this input size; lower --accumulate, or raise --batch-size"
            ) from error
        return logits


@runtime_checkable
class Pretrained(Protocol):
    """A network with some weights that usually come from another training."""

    def pretrained_parameters(self) -> Iterator[nn.Parameter]:
        """The pretrained weights."""


def build_optimiser(network: nn.Module, settings: OptimiserSettings) -> Optimizer:
    """Create the optimiser of all weights of a network.

    One-dimensional weights (biases and scales of batch norms) are decayed only with ``decay_all``. Weights that the
    network declares as ``Pretrained`` have their own learning rate.
    """
    pretrained = {id(each) for each in network.pretrained_parameters()} if isinstance(network, Pretrained) else set()
    groups: dict[tuple[bool, bool], dict[str, Any]] = {}
    for parameter in network.parameters():
        decayed, known = parameter.ndim > 1 or settings.decay_all, id(parameter) in pretrained
        group = {
            "params": [],
            "weight_decay": settings.weight_decay if decayed else 0.0,
            RATE_FACTOR: settings.encoder_rate if known else 1.0,
        }
        groups.setdefault((decayed, known), group)["params"].append(parameter)
    if settings.name == "sgd":
        return SGD(groups.values(), lr=settings.learning_rate, momentum=settings.momentum)
    return AdamW(groups.values(), lr=settings.learning_rate, betas=(settings.momentum, SECOND_MOMENT_DECAY))


def rate_at(step: int, steps: int, peak: float, settings: ScheduleSettings) -> float:
    """The learning rate of a step. It depends only on the step, so resuming needs no state.

    Args:
        step: number of the step, counted from 0.
        steps: number of steps of the complete training.
        peak: learning rate from which the schedule decays.
        settings: shape of the schedule.

    Returns:
        During the warm-up, a linear rise from 0 (never reached) to ``peak``. Afterwards, the decay to ``min_rate``
        (reached after the last step), or its part between ``begin`` and ``end``.
    """
    warm = round(settings.warmup * steps)
    if step < warm:
        return peak * (step + 1) / warm
    progress = settings.begin + (settings.end - settings.begin) * (step - warm) / (steps - warm)
    if settings.name == "poly":
        return poly(progress, peak, settings.min_rate, settings.power)
    return cosine(progress, peak, settings.min_rate)


def poly(progress: float, highest: float, lowest: float, power: float) -> float:
    """The polynomial decay of MMSegmentation: ``progress`` 0 gives ``highest``, 1 gives ``lowest``."""
    return float((highest - lowest) * (1 - progress) ** power + lowest)


def cosine(progress: float, highest: float, lowest: float) -> float:
    """Half a cosine wave (Loshchilov and Hutter, 2017): ``progress`` 0 gives ``highest``, 1 gives ``lowest``."""
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * progress)) / 2


def decay_at(step: int, decay: float) -> float:
    """Decay of the moving average at a step, counted from 0; it grows to ``decay``, as early weights change fast."""
    return min(decay, (1 + step) / (HEAD_START + step))


class WeightAverage:
    """Exponential moving average of the weights, which is less noisy than the last weights and usually better.

    Attributes:
        network: network with the averaged weights, in eval mode.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from the current weights of a network.

        Args:
            network: the network to average, on its final device; its tensors may change but must not be replaced.
            decay: final decay; see ``decay_at``.
        """
        self.network = deepcopy(network).eval()
        self._decay = decay
        pairs = list(zip(self.network.state_dict().values(), network.state_dict().values(), strict=True))
        self._mixed = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average after a step, counted from 0, including the statistics of batch norms."""
        # One call for all tensors: on a GPU, starting hundreds of operations takes longer than computing them.
        kept, new = ([pair[side] for pair in self._mixed] for side in (0, 1))
        torch._foreach_lerp_(kept, new, 1 - decay_at(step, self._decay))
        for kept_tensor, new_tensor in self._copied:
            kept_tensor.copy_(new_tensor)
