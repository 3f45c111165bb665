"""The processes that train together: a single process, or those started by ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch import distributed as dist

from bpr_cli.errors import BprError
from bpr_cli.inference.backends import CPU, parse_devices


@dataclass(frozen=True)
class Processes:
    """This process among all that train together.

    Attributes:
        rank: number of this process, from 0; only process 0 writes anything.
        count: number of processes on all machines.
        local_count: number of processes on this machine.
        device: device of this process.
    """

    rank: int
    count: int
    local_count: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this is process 0, which writes all files."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """Mean over processes, element by element."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.count
        return values

    def greatest(self, value: int) -> int:
        """The largest number of all processes."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return int(shared)

    def from_leader(self, content: bytes) -> bytes:
        """The content from process 0; other processes pass empty bytes."""
        if self.count == 1:
            return content
        size = self.greatest(len(content))
        shared = torch.zeros(size, dtype=torch.uint8, device=self.device)
        if self.leads and size:
            shared.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        if size:
            dist.broadcast(shared, 0)
        return shared.cpu().numpy().tobytes()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that ``torchrun`` started; it sets environment variables for them.

    Args:
        device: see ``TrainSettings``.

    Raises:
        BprError: the device does not exist.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(0, 1, 1, single_device(device))
        return
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    chosen = _device_of_process(device, local)
    dist.init_process_group("gloo" if chosen == CPU else "nccl")
    try:
        yield Processes(rank, count, int(os.environ["LOCAL_WORLD_SIZE"]), chosen)
    finally:
        dist.destroy_process_group()


def single_device(text: str) -> torch.device:
    """The device of a process that trains alone.

    Raises:
        BprError: the device does not exist, or several devices are given.
    """
    devices = parse_devices(text)
    if len(devices) > 1 and "," in text:
        raise BprError(
            f"device is {text!r}, but a process trains on one; start a process for each GPU with "
            f"torchrun --nproc-per-node {len(devices)} -m bpr_cli train ..."
        )
    return devices[0]


def _device_of_process(text: str, local: int) -> torch.device:
    """The device of a process by its rank on its machine."""
    devices = parse_devices(text)
    if devices[0] == CPU:
        return CPU
    if local >= len(devices):
        raise BprError(
            f"process {local} of this machine has no GPU of its own: PyTorch sees {len(devices)}; start at most as "
            "many processes (--nproc-per-node), or use --device cpu"
        )
    torch.cuda.set_device(devices[local])
    return devices[local]
