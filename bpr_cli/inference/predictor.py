"""Patches in, decisions out: forward passes of one size, on one or several devices."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.inference.backends import make_backend
from bpr_cli.inference.devices import CPU, parse_devices
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.patches.crop import Patches
from bpr_cli.weights.files import LoadedWeights

CPU_PASS = 8
"""Patches a forward pass on a CPU, whatever the batch size. The last bits of a network's output depend on how many
patches it is given at once, and results must not; larger passes are hardly faster there."""

MEMORY_ERRORS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


class Predictor:
    """Runs patches through the network in forward passes of one size, the last one filled up.

    So a patch is decided alike whatever patches come with it; on a CPU, whatever the batch size too.

    Attributes:
        devices: the devices in use; passes are split over them.
        backend: the program that runs the network on them.
        pass_size: patches a forward pass: the batch size, or ``CPU_PASS``; halved when memory does not suffice.
        batch_size: patches to hand over at a time: the setting, rounded up to whole passes so that none is filled up.
    """

    def __init__(self, weights: LoadedWeights, settings: InferenceSettings, flip: bool | None = None) -> None:
        """Load the network onto its devices.

        Args:
            weights: the network and how it wants its patches.
            settings: devices and the rest; ``weights`` does not count.
            flip: average every patch with its mirror image; None takes what the weights say.

        Raises:
            BprError: a device or the backend is not there.
        """
        self.devices = parse_devices(settings.device)
        self.pass_size = CPU_PASS if self.devices[0] == CPU else settings.batch_size
        self.batch_size = -(-settings.batch_size // self.pass_size) * self.pass_size
        self._make_backend = partial(
            make_backend, weights, settings, weights.card.flip if flip is None else flip, self.devices
        )
        self.backend = self._make_backend(self.pass_size)
        self._patch_size = weights.card.patch_size

    def decide(self, patches: Patches) -> NDArray[np.uint8]:
        """Foreground probabilities in units of 1/255: uint8, (P, S, S).

        Raises:
            BprError: not even one patch fits into the device's memory.
        """
        out = np.empty((len(patches), self._patch_size, self._patch_size), dtype=np.uint8)
        start = 0
        while start < len(patches):
            stop = min(start + self.pass_size, len(patches))
            try:
                parts = (filled_up(part[start:stop], self.pass_size) for part in (patches.image, patches.mask))
                out[start:stop] = self.backend(*parts)[: stop - start]
            except RuntimeError as error:
                self._step_down(error)
            else:
                start = stop
        return out

    def _step_down(self, error: RuntimeError) -> None:
        """Halve the passes after an out-of-memory error; any other error goes on."""
        if not is_out_of_memory(error):
            raise error
        if self.pass_size == 1:
            raise BprError(
                f"{self.devices[0]} has not enough memory for one patch; close other programs, or use --device cpu"
            ) from error
        self.pass_size //= 2
        self.backend = self._make_backend(self.pass_size)


def filled_up(array: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """The array, (P, ...), followed by as many zeros as make it (count, ...)."""
    if len(array) == count:
        return array
    return np.concatenate([array, np.zeros((count - len(array), *array.shape[1:]), array.dtype)])


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch ran out of memory; not every allocator has an exception of its own for that."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in str(error) for words in MEMORY_ERRORS)
