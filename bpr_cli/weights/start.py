"""Starts networks from encoders that were trained on ImageNet, for ``bpr weights start``.

``lite-unet`` starts from EfficientNet-Lite0, under the parameter names of its common PyTorch ports: ``_conv_stem``,
``_bn0``, and ``_blocks.N`` with ``_expand_conv``, ``_depthwise_conv``, ``_project_conv`` and ``_bn0`` to ``_bn2``. The
paper's networks start from the checkpoints that MMSegmentation names ``open-mmlab://msra/hrnetv2_w18_small``,
``open-mmlab://resnet50_v1c`` and so on, whose parameters are named as in the backbone here. Last stages and classifiers
that a network does not have are not used; the stem of the mask and the head stay random, or come from trained weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import build_network
from bpr_cli.networks.unet import STAGES
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.checkpoint import read_checkpoint
from bpr_cli.weights.files import PAPER_INPUT_SIZES, fill, layout_of, load_weights, recognise

LITE, LITE_STEM = "lite-unet", "_conv_stem.weight"

MEAN, STD = (127.0,) * 3, (128.0,) * 3
"""Normalisation that EfficientNet-Lite was trained with, on the scale 0..255."""

BACKBONE, MASK_STEM, COUNTER = "backbone.", "backbone.conv_mask.", ".num_batches_tracked"


def start_from_imagenet(
    checkpoint: Path, network: str | None = None, seed: int = 0, decoder: str | Path | None = None
) -> tuple[nn.Module, WeightsCard]:
    """Make a network with an encoder pre-trained on ImageNet; its other layers are random, or those of trained weights.

    Args:
        checkpoint: encoder as ``.pth``.
        network: name of the network; None takes the one whose encoder the checkpoint fits best.
        seed: seed of the random layers.
        decoder: shipped name or file of weights of the same network, whose other layers are taken.

    Returns:
        The network in training mode, and its card, whose sizes a training replaces.

    Raises:
        BprError: a file cannot be read safely, the checkpoint is not an encoder of the network, or ``decoder`` is
            of another network.
    """
    trained = load_weights(decoder) if decoder else None
    try:
        found = read_checkpoint(checkpoint).tensors
        name = network or _recognised(found)
        torch.manual_seed(seed)
        started = build_network(name)
        tensors = started.state_dict()
        if trained:
            if trained.card.network != name:
                raise BprError(f"{decoder} is of the network {trained.card.network}; expected {name}, as it is")
            tensors |= trained.network.state_dict()
        names = _lite_names() if name == LITE else _backbone_names(tensors)
        what = "EfficientNet-Lite0" if name == LITE else f"the encoder of {name}"
        for own, theirs in names:
            if theirs not in found:
                raise BprError(f"it has no tensor {theirs}; expected {what}")
            if found[theirs].shape != tensors[own].shape:
                shapes = f"{tuple(found[theirs].shape)}; expected {tuple(tensors[own].shape)} of {what}"
                raise BprError(f"its tensor {theirs} is {shapes}")
            tensors[own] = found[theirs]
        fill(started, tensors)
    except BprError as error:
        raise BprError(f"the weights {checkpoint} cannot be used: {error}") from None
    except OSError as error:
        raise BprError(f"the weights {checkpoint} cannot be read: {error.strerror or error}") from None
    return started, _card(name, trained.card if trained else None)


def _recognised(found: Mapping[str, Tensor]) -> str:
    """Name of the network whose encoder a checkpoint holds."""
    if LITE_STEM in found:
        return LITE
    return recognise({BACKBONE + name: shape for name, shape in layout_of(found).items()})


def _card(network: str, decoder: WeightsCard | None) -> WeightsCard:
    """The card of a network that is not trained yet, or whose decoder alone is."""
    card = WeightsCard(
        name=f"{network}-start",
        network=network,
        input_size=PAPER_INPUT_SIZES.get(network, WeightsCard.input_size),
        training_data="ImageNet (encoder only)",
        licence="that of the checkpoint",
        description="a start for bpr train --init; everything but the encoder is untrained",
    )
    if decoder:
        card = replace(
            card,
            training_data=f"ImageNet (encoder); {decoder.training_data} (other layers)",
            licence=decoder.licence,
            description="a start for bpr train --init; the encoder knows ImageNet only",
        )
    return replace(card, padding=32, mean=MEAN, std=STD) if network == LITE else card


def _backbone_names(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Names of every tensor of a paper's encoder, in the network and in the checkpoint; counters may be missing."""
    for own in tensors:
        if own.startswith(BACKBONE) and not own.startswith(MASK_STEM) and not own.endswith(COUNTER):
            yield own, own.removeprefix(BACKBONE)


def _lite_names() -> Iterator[tuple[str, str]]:
    """Names of every tensor of the encoder of ``lite-unet``, in the network and in the checkpoint."""
    yield "image_stem.weight", LITE_STEM
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
