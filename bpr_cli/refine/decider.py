"""The network with all that turns patches into decisions, on one or several devices."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bpr_cli.errors import BprError
from bpr_cli.networks.card import WeightsCard
from bpr_cli.networks.weights import LoadedWeights
from bpr_cli.patches.crop import Patches
from bpr_cli.patches.reassemble import CERTAIN
from bpr_cli.refine.devices import CPU, parse_devices
from bpr_cli.refine.settings import RefineSettings

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class PatchModel(nn.Module):
    """Normalise, decide, resize and cut: uint8 patches to uint8 probabilities, so that little crosses to a GPU."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, card: WeightsCard) -> None:
        super().__init__()
        self.network = network
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
        logits: Tensor = self.network(self.network_input(image, mask))
        if logits.shape[-1] != self.context_size:
            logits = F.interpolate(logits, size=(self.context_size, self.context_size), mode="bilinear")
        foreground = logits.float().softmax(dim=1)[:, 1]
        end = self.context_size - self.padding
        return (foreground[:, self.padding : end, self.padding : end] * CERTAIN).round().to(torch.uint8)

    def network_input(self, image: Tensor, mask: Tensor) -> Tensor:
        """RGB by mean and standard deviation, the mask as -1 / +1: float32, (P, 4, T, T), channels last."""
        rgb = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        signed = mask.unsqueeze(1).float() * 2 - 1
        return torch.cat([rgb, signed], dim=1).contiguous(memory_format=torch.channels_last)


class Decider:
    """Runs patches through the network in batches of bounded size.

    Attributes:
        batch_size: patches a forward pass; lowered when memory did not suffice.
        devices: the devices in use; batches are split over them by DataParallel.
    """

    def __init__(self, weights: LoadedWeights, settings: RefineSettings) -> None:
        self.batch_size = settings.batch_size
        self.devices = parse_devices(settings.device)
        self._dtype = DTYPES[settings.precision]
        self._patch_size = weights.card.patch_size
        network = weights.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        model = PatchModel(network, weights.card).eval().to(self.devices[0])
        self._model = nn.DataParallel(model, self.devices) if len(self.devices) > 1 else model

    def decide(self, patches: Patches) -> NDArray[np.uint8]:
        """Foreground probabilities in units of 1/255: uint8, (P, S, S).

        Raises:
            BprError: not even one patch fits into the device's memory.
        """
        out = np.empty((len(patches), self._patch_size, self._patch_size), dtype=np.uint8)
        start = 0
        while start < len(patches):
            stop = start + self.batch_size
            try:
                out[start:stop] = self._forward(patches.image[start:stop], patches.mask[start:stop])
            except (torch.OutOfMemoryError, RuntimeError) as error:
                self._step_down(error)
            else:
                start = stop
        return out

    @torch.inference_mode()
    def _forward(self, image: NDArray[np.uint8], mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
        device = self.devices[0]
        with torch.autocast(device.type, dtype=self._dtype, enabled=self._dtype != torch.float32):
            decided: Tensor = self._model(torch.from_numpy(image).to(device), torch.from_numpy(mask).to(device))
        probabilities: NDArray[np.uint8] = decided.to(CPU).numpy()
        return probabilities

    def _step_down(self, error: RuntimeError) -> None:
        """Halve the batch after an out-of-memory error; any other error goes on."""
        if not is_out_of_memory(error):
            raise error
        if self.batch_size == 1:
            raise BprError(
                f"{self.devices[0]} has not enough memory for one patch; close other programs, or use --device cpu."
            ) from error
        self.batch_size //= 2
        if self.devices[0].type == "cuda":
            torch.cuda.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether PyTorch ran out of memory; on the CPU it says so only in words."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
