"""The network with all that turns patches into decisions, on one or several devices."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bpr_cli.errors import BprError
from bpr_cli.networks.card import WeightsCard
from bpr_cli.networks.fold import folded
from bpr_cli.networks.weights import LoadedWeights
from bpr_cli.patches.crop import Patches
from bpr_cli.patches.reassemble import CERTAIN
from bpr_cli.refine.devices import CPU, parse_devices
from bpr_cli.refine.settings import RefineSettings

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

CPU_PASS = 8
"""Patches a forward pass on a CPU, whatever the batch size. The last bits of a network's output depend on how many
patches it is given at once, and results must not; larger passes are hardly faster there."""

MEMORY_ERRORS = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


class PatchModel(nn.Module):
    """Normalise, decide, resize and cut: uint8 patches to uint8 probabilities, so that little crosses to a GPU."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, card: WeightsCard, dtype: torch.dtype = torch.float32, flip: bool = False
    ) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype
        self.flip = flip
        self.mask_patch = card.mask_patch
        self.padding = card.padding
        self.context_size = card.patch_size + 2 * card.padding
        self.register_buffer("mean", torch.tensor(card.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(card.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Decide patches.

        Args:
            image: uint8, (P, T, T, 3), RGB.
            mask: uint8, (P, T, T), 0 or 1.

        Returns:
            Foreground probability of the patch without its context, in units of 1/255: uint8, (P, S, S).
        """
        x = self.network_input(image, mask)
        foreground = self.foreground(x)
        if self.flip:
            foreground = (foreground + self.foreground(x.flip(-1)).flip(-1)) / 2
        end = self.context_size - self.padding
        return (foreground[:, self.padding : end, self.padding : end] * CERTAIN).round().to(torch.uint8)

    def foreground(self, x: Tensor) -> Tensor:
        """Foreground probability of patch and context, float32, (P, C, C), of network input (P, 4, T, T)."""
        # Here and not around the call: the threads of DataParallel do not inherit the dtype.
        with torch.autocast(x.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            logits: Tensor = self.network(x)
        logits = logits.float()
        if logits.shape[-1] != self.context_size:
            logits = F.interpolate(logits, size=(self.context_size, self.context_size), mode="bilinear")
        return logits.softmax(dim=1)[:, 1]

    def network_input(self, image: Tensor, mask: Tensor) -> Tensor:
        """RGB by mean and standard deviation, the mask as -1 / +1 or hidden: float32, (P, 4, T, T), channels last."""
        rgb = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        signed = mask.unsqueeze(1).float() * 2 - 1
        if not self.mask_patch:
            signed = torch.zeros_like(signed)
        return torch.cat([rgb, signed], dim=1).contiguous(memory_format=torch.channels_last)


class Decider:
    """Runs patches through the network in forward passes of one size, the last one filled up.

    So a patch is decided alike whatever patches come with it; on a CPU, whatever the batch size too.

    Attributes:
        devices: the devices in use; passes are split over them by DataParallel.
        pass_size: patches a forward pass: the batch size, or ``CPU_PASS``; halved when memory does not suffice.
        batch_size: patches to hand over at a time: the setting, rounded up to whole passes so that none is filled up.
    """

    def __init__(self, weights: LoadedWeights, settings: RefineSettings) -> None:
        self.devices = parse_devices(settings.device)
        self.pass_size = CPU_PASS if self.devices[0] == CPU else settings.batch_size
        self.batch_size = -(-settings.batch_size // self.pass_size) * self.pass_size
        self._patch_size = weights.card.patch_size
        network = folded(weights.network) if self.devices[0] == CPU else weights.network
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        flip = weights.card.flip if settings.flip is None else settings.flip
        model = PatchModel(network, weights.card, DTYPES[settings.precision], flip).eval().to(self.devices[0])
        self._model = nn.DataParallel(model, self.devices) if len(self.devices) > 1 else model

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
                out[start:stop] = self._forward(patches.image[start:stop], patches.mask[start:stop])
            except RuntimeError as error:
                self._step_down(error)
            else:
                start = stop
        return out

    @torch.inference_mode()
    def _forward(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        inputs = [torch.from_numpy(filled_up(part, self.pass_size)).to(self.devices[0]) for part in (image, mask)]
        decided: Tensor = self._model(*inputs)
        probabilities: NDArray[np.uint8] = decided[: len(image)].to(CPU).numpy()
        return probabilities

    def _step_down(self, error: RuntimeError) -> None:
        """Halve the passes after an out-of-memory error; any other error goes on."""
        if not is_out_of_memory(error):
            raise error
        if self.pass_size == 1:
            raise BprError(
                f"{self.devices[0]} has not enough memory for one patch; close other programs, or use --device cpu"
            ) from error
        self.pass_size //= 2


def filled_up(array: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """The array, (P, ...), followed by as many zeros as make it (count, ...)."""
    if len(array) == count:
        return array
    return np.concatenate([array, np.zeros((count - len(array), *array.shape[1:]), array.dtype)])


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch ran out of memory; not every allocator has an exception of its own for that."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in str(error) for words in MEMORY_ERRORS)
