"""Runs patches through the network in passes of constant size, on one or several devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock

import numpy as np
import torch

from bpr_cli.errors import BprError
from bpr_cli.inference.backends import CPU, Backend, make_backend, parse_devices
from bpr_cli.inference.settings import InferenceSettings
from bpr_cli.patches.crop import Patches
from bpr_cli.typing import ByteArray
from bpr_cli.weights.files import LoadedWeights

CPU_PASS = 8
"""Patches per forward pass on a CPU, whatever the batch size. The last bits of a network's output depend on the size of
the pass, but results must not depend on the batch size. Larger passes are hardly faster on a CPU."""

MEMORY_ERRORS = ("out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED")


class Predictor:
    """Predicts patches in forward passes of constant size; the last pass is padded with zeros.

    Thus the prediction for a patch does not depend on the other patches and, on a CPU, not on the batch size.
    Several threads may predict at the same time. A pickled or copied predictor loads its network onto devices anew.

    Attributes:
        devices: devices in use; passes are split between them.
        backend: backend that runs the network, in passes of the batch size or ``CPU_PASS``; smaller if memory is short.
        batch_size: best number of patches per call: the setting, rounded up to complete passes of all streams.
        input_size: side of the patches in pixels that the network takes.
    """

    def __init__(self, weights: LoadedWeights, settings: InferenceSettings, flip: bool | None = None) -> None:
        """Load the network onto its devices.

        Args:
            weights: the network and its settings.
            settings: device, precision, backend and batch size; ``weights`` is not used.
            flip: whether to average the predictions for each patch and its mirror image; None for the setting of the
                weights.

        Raises:
            BprError: a device or the backend is not available.
        """
        self._made_of = weights, settings, flip
        self.devices = parse_devices(settings.device)
        pass_size = CPU_PASS if self.devices[0] == CPU else settings.batch_size
        flip = weights.card.flip if flip is None else flip
        self._make_backend = partial(make_backend, weights, settings, flip, self.devices)
        self.backend = self._make_backend(pass_size)
        self.batch_size = -(-settings.batch_size // self.at_once) * self.at_once
        self.input_size, self._output_size = weights.card.input_size, weights.card.output_size
        self._halving = Lock()

    def __reduce__(self) -> tuple[Callable[..., Predictor], tuple[object, ...]]:
        """Pickle and copy what the predictor was made of; compiled networks and locks can be neither."""
        return Predictor, self._made_of

    @property
    def at_once(self) -> int:
        """Number of patches that are computed at the same time."""
        streams = self.backend.streams
        return self.backend.pass_size * (streams.count if streams else 1)

    def predict(self, patches: Patches) -> ByteArray:
        """Predict patches.

        Args:
            patches: P patches with the input size of the weights.

        Returns:
            Foreground probabilities of the patches with their rim, in units of 1/255: uint8, (P, S, S).

        Raises:
            BprError: not even one patch fits into the memory of the device.
        """
        out = np.empty((len(patches), self._output_size, self._output_size), dtype=np.uint8)
        done = 0
        while done < len(patches):
            backend = self.backend  # another thread may replace it
            try:
                for start, predicted in _passes(backend, patches, done):
                    out[start : start + len(predicted)] = predicted
                    done = start + len(predicted)
            except RuntimeError as error:
                self._step_down(backend, error)
        return out

    def _step_down(self, failed: Backend, error: RuntimeError) -> None:
        """Halve the passes after an out-of-memory error, unless another thread has; raise any other error again."""
        if not is_out_of_memory(error):
            raise error
        if failed.pass_size == 1:
            raise BprError(
                f"{self.devices[0]} does not have enough memory for one patch; close other programs, "
                "or use --device cpu"
            ) from error
        with self._halving:
            if self.backend is failed:
                self.backend = self._make_backend(failed.pass_size // 2)


def _passes(backend: Backend, patches: Patches, begin: int) -> Iterator[tuple[int, ByteArray]]:
    """Predict patches from number ``begin`` on; yields the number of the first patch of each pass with the results."""

    def predict(start: int) -> ByteArray:
        stop = min(start + backend.pass_size, len(patches))
        parts = (filled_up(part[start:stop], backend.pass_size) for part in (patches.image, patches.mask))
        return backend(*parts)[: stop - start]

    starts = range(begin, len(patches), backend.pass_size)
    return zip(starts, (backend.streams.map if backend.streams else map)(predict, starts), strict=True)


def filled_up(array: ByteArray, count: int) -> ByteArray:
    """Pad an array, (P, ...), with zeros to (count, ...)."""
    if len(array) == count:
        return array
    return np.concatenate([array, np.zeros((count - len(array), *array.shape[1:]), array.dtype)])


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error means that memory ran out; some allocators have no exception type for it."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in str(error) for words in MEMORY_ERRORS)
