"""Which devices the network runs on."""

from __future__ import annotations

import re

import torch

from bpr_cli.errors import BprError

CPU = torch.device("cpu")


def parse_devices(text: str) -> list[torch.device]:
    """Understand ``auto``, ``cpu``, ``cuda`` (all GPUs), ``cuda:1`` or ``cuda:0,1``.

    Returns:
        The devices to spread batches over, at least one.

    Raises:
        BprError: the text is none of these, or names a GPU that is not there.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if text == "cpu" or (text == "auto" and available == 0):
        return [CPU]
    listed = re.fullmatch(r"cuda:(\d+(?:,\d+)*)", text)
    if text not in ("auto", "cuda") and listed is None:
        raise BprError(f"device is {text!r}; expected auto, cpu, cuda, or GPUs by number such as cuda:0 or cuda:0,1")
    numbers = list(dict.fromkeys(int(n) for n in listed[1].split(","))) if listed else list(range(available))
    missing = [number for number in numbers if number >= available]
    if missing or not numbers:
        raise BprError(
            f"device is {text!r}, but PyTorch sees {available} CUDA device{'' if available == 1 else 's'}; "
            "use --device cpu, or install a CUDA build of PyTorch and check the driver"
        )
    return [torch.device("cuda", number) for number in numbers]
