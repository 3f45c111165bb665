"""The network with all that changes when it learns, and one step of it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bpr_cli.inference.patch_model import DTYPES, PatchModel
from bpr_cli.inference.settings import Precision
from bpr_cli.training.average import WeightAverage
from bpr_cli.training.batches import Batch
from bpr_cli.training.distributed import Processes
from bpr_cli.training.loss import patch_loss
from bpr_cli.training.optimiser import RATE_FACTOR, build_optimiser
from bpr_cli.training.schedule import rate_at
from bpr_cli.training.settings import Recipe
from bpr_cli.training.sizes import Sizes
from bpr_cli.weights.card import WeightsCard


@dataclass(frozen=True)
class Arithmetic:
    """How a step is computed.

    Attributes:
        precision: of the network.
        accumulate: passes that a step is split into.
        seed: of what is random within the network.
    """

    precision: Precision
    accumulate: int
    seed: int


class Trainer:
    """A network, its moving average and its optimiser.

    Attributes:
        network: what learns, on the device, channels last.
        average: its moving average, or None where the recipe has none. Only process 0 keeps it.
        optimiser: changes the network.
        scaler: keeps float16 gradients from vanishing; does nothing for other precisions.
    """

    def __init__(
        self, network: nn.Module, card: WeightsCard, recipe: Recipe, arithmetic: Arithmetic, processes: Processes
    ) -> None:
        """Make ready to learn.

        Args:
            network: with its first weights, on the CPU; moved to the device.
            card: how the network wants its patches.
            recipe: optimiser, schedule and loss.
            arithmetic: precision and passes.
            processes: who learns together; all must be given the same network.
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
        self._ring = Sizes(card.patch_size, card.padding, card.input_size).ring
        self._input = PatchModel(self.network, card).to(device).network_input
        ids = [device.index] if device.type == "cuda" else None
        self._called = DistributedDataParallel(self.network, device_ids=ids) if processes.count > 1 else self.network

    @property
    def result(self) -> nn.Module:
        """What is validated and saved: the average where there is one."""
        return self.average.network if self.average else self.network

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0, of all but pretrained weights."""
        return rate_at(step, self._recipe.steps, self._recipe.optimiser.learning_rate, self._recipe.schedule)

    def step(self, step: int, batch: Batch) -> Tensor:
        """Learn from a batch.

        Args:
            step: counted from 0.
            batch: the share of this process.

        Returns:
            The loss before the step, a number on the device; of this process's share alone.
        """
        # Networks may drop features at random. So seeded, a step does not depend on the steps before it.
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

    def _backward(self, batch: Batch, last: bool) -> Tensor:
        """Add the gradient of a part of a step; returns its share of the loss. Processes meet at the last part."""
        wait = nullcontext() if last or self._processes.count == 1 else self._called.no_sync()
        part = batch.to(self._processes.device)
        with wait:
            with torch.autocast(part.image.device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
                logits = self._called(self._input(part.image, part.coarse))
            loss = patch_loss(logits, part.truth, self._ring, self._recipe.loss) / self._arithmetic.accumulate
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()
