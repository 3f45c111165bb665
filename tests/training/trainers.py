"""Trainers of networks that make a step in milliseconds."""

import torch
from torch import Tensor, nn

from bpr_cli.training.data import TrainBatch
from bpr_cli.training.distributed import Processes
from bpr_cli.training.settings import Recipe
from bpr_cli.training.trainer import Arithmetic, Trainer
from bpr_cli.weights.card import WeightsCard

CARD = WeightsCard("tiny", "tiny", patch_size=16, padding=8, input_size=32)
ALONE = Processes(0, 1, 1, torch.device("cpu"))


class Tiny(nn.Module):
    """Two convolutions, with a batch norm between them if asked for."""

    def __init__(self, norm: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.last = nn.Conv2d(6, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


class TinyNorm(Tiny):
    def __init__(self) -> None:
        super().__init__(norm=True)


def new_trainer(
    recipe: Recipe, network: nn.Module | None = None, accumulate: int = 1, card: WeightsCard = CARD
) -> Trainer:
    torch.manual_seed(1)
    return Trainer(network or TinyNorm(), card, recipe, Arithmetic("float32", accumulate, 0), ALONE)


def some_batch(seed: int, count: int = 4, side: int = 32) -> TrainBatch:
    random = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 256, (count, side, side, 3), generator=random, dtype=torch.uint8)
    coarse = torch.randint(0, 2, (count, side, side), generator=random, dtype=torch.uint8)
    return TrainBatch(image, coarse, (image[..., 0] > 127).to(torch.uint8))


def assert_equal(first: nn.Module, second: nn.Module) -> None:
    for (name, one), other in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
