"""Summarises, tests and converts weights, for ``bpr weights``, and starts ``lite-unet`` from an ImageNet encoder.

The encoder is that of EfficientNet-Lite0, under the parameter names of its common PyTorch ports: ``_conv_stem``,
``_bn0``, and ``_blocks.N`` with ``_expand_conv``, ``_depthwise_conv``, ``_project_conv`` and ``_bn0`` to ``_bn2``. The
last stages and the classifier are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bpr_cli.errors import BprError
from bpr_cli.networks.unet import STAGES, LiteUNet
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.checkpoint import read_checkpoint
from bpr_cli.weights.files import LoadedWeights, check_new, fill, load_weights, save_weights

TRIAL_SIZE = 64
"""Side of the test patch in pixels."""

CardValue = str | int | float | bool | tuple[float, ...]
"""Types of card values that a conversion may change."""


@dataclass(frozen=True)
class WeightsSummary:
    """A summary of weights.

    Attributes:
        path: the file.
        digest: SHA-256 of the file, hexadecimal.
        bytes: size of the file in bytes.
        tensors: number of tensors, buffers included.
        parameters: number of trainable parameters.
        card: settings and origin.
    """

    path: str
    digest: str
    bytes: int
    tensors: int
    parameters: int
    card: WeightsCard


def summarise_weights(loaded: LoadedWeights) -> WeightsSummary:
    """Summarise loaded weights."""
    return WeightsSummary(
        path=str(loaded.path),
        digest=loaded.digest,
        bytes=loaded.path.stat().st_size,
        tensors=len(loaded.network.state_dict()),
        parameters=sum(parameter.numel() for parameter in loaded.network.parameters()),
        card=loaded.card,
    )


def try_weights(loaded: LoadedWeights) -> None:
    """Run the network on a patch of noise; names, shapes and values were already checked on loading.

    Raises:
        BprError: the output is not finite.
    """
    noise = torch.randn(1, 4, TRIAL_SIZE, TRIAL_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = loaded.network(noise)
    if not torch.isfinite(logits).all():
        raise BprError(
            f"the weights {loaded.path} cannot be used: the network's output for a patch of noise is not finite"
        )


def convert_weights(source: str | Path, out: Path, *, overwrite: bool = False, **changes: CardValue) -> LoadedWeights:
    """Convert weights to the format of the new file's suffix.

    A checkpoint stores the card in an entry that MMSegmentation ignores, so converting back gives an equal file.

    Args:
        source: shipped name or file, as in ``load_weights``.
        out: new file, as in ``save_weights``.
        overwrite: whether to replace ``out`` if it exists.
        changes: new values of the card, by attribute name.

    Returns:
        The new weights, loaded from their file.

    Raises:
        BprError: the source cannot be used, a value of the card is invalid, or ``out`` exists or cannot be written.
    """
    check_new(out, overwrite)
    loaded = load_weights(source)
    card = replace(loaded.card, **changes)  # type: ignore[arg-type]
    save_weights(out, loaded.network, card)
    return load_weights(out)


MEAN, STD = (127.0,) * 3, (128.0,) * 3
"""Normalisation that EfficientNet-Lite was trained with, on the scale 0..255."""

CARD = WeightsCard(
    name="lite-unet-start",
    network="lite-unet",
    patch_size=64,
    padding=32,
    input_size=128,
    mean=MEAN,
    std=STD,
    training_data="ImageNet (encoder only)",
    licence="that of the checkpoint",
    description="a start for bpr train --init; everything but the encoder is untrained",
)


def start_from_imagenet(checkpoint: Path, seed: int = 0) -> LiteUNet:
    """Make a network with an encoder pre-trained on ImageNet and other weights random.

    Args:
        checkpoint: EfficientNet-Lite0 as ``.pth``.
        seed: seed of the random weights.

    Raises:
        BprError: the file cannot be read safely, or it is not EfficientNet-Lite0.
    """
    try:
        found = read_checkpoint(checkpoint).tensors
        torch.manual_seed(seed)
        network = LiteUNet()
        tensors = network.state_dict()
        for own, theirs in _names():
            if theirs not in found:
                raise BprError(f"it has no tensor {theirs}; expected EfficientNet-Lite0")
            if found[theirs].shape != tensors[own].shape:
                shapes = f"{tuple(found[theirs].shape)}; expected {tuple(tensors[own].shape)} of EfficientNet-Lite0"
                raise BprError(f"its tensor {theirs} is {shapes}")
            tensors[own] = found[theirs]
        fill(network, tensors)
    except BprError as error:
        raise BprError(f"the weights {checkpoint} cannot be used: {error}") from None
    except OSError as error:
        raise BprError(f"the weights {checkpoint} cannot be read: {error.strerror or error}") from None
    return network


def _names() -> Iterator[tuple[str, str]]:
    """Names of every tensor of the encoder, in the network and in the checkpoint."""
    yield "image_stem.weight", "_conv_stem.weight"
    yield from _norm_names("stem_norm", "_bn0")
    number = 0
    for level, stage in enumerate(STAGES):
        for index in range(stage.blocks):
            yield from _block_names(f"encoder.{level}.{index}", f"_blocks.{number}", stage.expansion > 1)
            number += 1


def _block_names(own: str, theirs: str, widens: bool) -> Iterator[tuple[str, str]]:
    parts = {"filter": ("_depthwise_conv", "_bn1"), "narrow": ("_project_conv", "_bn2")}
    if widens:
        parts["widen"] = ("_expand_conv", "_bn0")
    for part, (convolution, norm) in parts.items():
        yield f"{own}.{part}.0.weight", f"{theirs}.{convolution}.weight"
        yield from _norm_names(f"{own}.{part}.1", f"{theirs}.{norm}")


def _norm_names(own: str, theirs: str) -> Iterator[tuple[str, str]]:
    for value in ("weight", "bias", "running_mean", "running_var"):
        yield f"{own}.{value}", f"{theirs}.{value}"
