"""Load and save weights: bpr's own files (safetensors with a card in the metadata) and the authors' checkpoints."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import build_network
from bpr_cli.system.atomic import write_atomically, writing
from bpr_cli.weights.card import WeightsCard
from bpr_cli.weights.checkpoint import checkpoint_bytes, read_checkpoint
from bpr_cli.weights.layout import check_layout, check_values, fill, layout_of, recognise
from bpr_cli.weights.shipped import DEFAULT_WEIGHTS, shipped_weights

OWN_SUFFIX = ".safetensors"
CHECKPOINT_SUFFIXES = (".pth", ".pt")
METADATA_KEY = "bpr"
LARGEST_CARD = 1 << 20

PAPER_INPUT_SIZES = {"hrnet48": 256}
"""Where the authors' configuration departs from the default input size."""


@dataclass(frozen=True)
class LoadedWeights:
    """A network that is ready to refine, with its settings and origin.

    Attributes:
        network: in eval mode, on the CPU, float32; (P, 4, T, T) to logits (P, 2, T, T).
        card: its settings and origin.
        digest: SHA-256 of the file, hexadecimal.
        path: the file.
    """

    network: nn.Module
    card: WeightsCard
    digest: str
    path: Path


def load_weights(name_or_path: str | Path = DEFAULT_WEIGHTS) -> LoadedWeights:
    """Load a network and its settings.

    Args:
        name_or_path: a name in ``shipped_weights()``, a ``.safetensors`` file that ``save_weights`` wrote, or a
            ``.pth`` or ``.pt`` checkpoint in the authors' MMSegmentation layout. Their checkpoints have no settings:
            the network is recognised from its tensors, and the rest is as in the paper (patches of 64 pixels without
            padding, input size 128, or 256 for ``hrnet48``, ImageNet normalisation).

    Raises:
        BprError: there are no such weights, or the file cannot be used; the message names it and says why.

    Example:
        >>> weights = load_weights("fast")
        >>> weights.card.network, weights.card.patch_size
        ('lite-unet', 64)
        >>> logits = weights.network(torch.zeros(8, 4, 128, 128))  # (P, 4, T, T) to (P, 2, T, T)
    """
    path = _find(name_or_path)
    read = _read_own if path.suffix.lower() == OWN_SUFFIX else _read_checkpoint
    try:
        network, card = read(path)
        return LoadedWeights(network.eval(), card, _digest(path), path)
    except BprError as error:
        raise BprError(f"the weights {path} cannot be used: {error}") from None
    except OSError as error:
        raise BprError(f"the weights {path} cannot be read: {error.strerror or error}") from None


def save_weights(path: Path, network: nn.Module, card: WeightsCard) -> None:
    """Write a network and its card as one file. The file appears under its name only when it is complete.

    Args:
        path: ends in ``.safetensors``, or in ``.pth`` or ``.pt`` for a checkpoint in the authors' MMSegmentation
            layout. A missing folder is created, an existing file replaced.
        network: of the architecture that ``card.network`` names, on any device.
        card: is stored in the file's metadata.

    Raises:
        BprError: ``load_weights`` would refuse the file, or it cannot be written.
    """
    check_suffix(path)
    tensors = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
    try:
        check_layout(card.network, build_network(card.network), layout_of(tensors))
        check_values(network)
        metadata = {METADATA_KEY: card.to_json()}
        own = path.suffix.lower() == OWN_SUFFIX
        content = save(tensors, metadata) if own else checkpoint_bytes(tensors, metadata)
    except BprError as error:
        raise BprError(f"the weights {path} were not written: {error}") from None
    with writing(f"the weights {path}"):
        write_atomically(path, content)


def check_suffix(path: Path) -> None:
    """Refuse a name for new weights whose suffix stands for no format of weights.

    Raises:
        BprError: the name has another suffix.
    """
    if path.suffix.lower() not in (OWN_SUFFIX, *CHECKPOINT_SUFFIXES):
        raise BprError(
            f"the weights {path} cannot be written: the name must end in {OWN_SUFFIX}, or in "
            f"{' or '.join(CHECKPOINT_SUFFIXES)} for a checkpoint"
        )


def check_new(path: Path, overwrite: bool) -> None:
    """Refuse a name for new weights that is taken, or whose suffix stands for no format.

    Raises:
        BprError: see ``check_suffix``; or the file exists and ``overwrite`` is False.
    """
    check_suffix(path)
    if path.exists() and not overwrite:
        raise BprError(f"the weights {path} exist already; give --overwrite to replace them, or another name")


def _find(name_or_path: str | Path) -> Path:
    """The file of a name or path."""
    shipped = shipped_weights()
    if str(name_or_path) in shipped:
        return shipped[str(name_or_path)]
    path = Path(name_or_path)
    if not path.is_file():
        names = f"the shipped ones are {', '.join(shipped)}" if shipped else "none are shipped with this installation"
        found = "that is a folder" if path.is_dir() else "there is no such file"
        raise BprError(f"there are no weights {str(path)!r}: {found}, and {names}")
    if path.suffix.lower() not in (OWN_SUFFIX, *CHECKPOINT_SUFFIXES):
        raise BprError(
            f"the weights {path} cannot be used: expected a name that ends in {OWN_SUFFIX} (written by bpr) or in "
            f"{' or '.join(CHECKPOINT_SUFFIXES)} (a checkpoint in MMSegmentation layout)"
        )
    return path


def _read_own(path: Path) -> tuple[nn.Module, WeightsCard]:
    """Network and card of a file that ``save_weights`` wrote. Card and shapes are checked before any tensor is read."""
    try:
        with safe_open(path, framework="pt") as file:
            card = _card_from(file.metadata())
            network = build_network(card.network)
            names = list(file.keys())
            check_layout(card.network, network, {name: tuple(file.get_slice(name).get_shape()) for name in names})
            fill(network, {name: file.get_tensor(name) for name in names})
            return network, card
    except SafetensorError as error:
        raise BprError(
            f"it is not a complete safetensors file ({str(error)[:120]}); copy or download it again"
        ) from None


def _card_from(metadata: dict[str, str] | None) -> WeightsCard:
    """The card in the metadata of a file."""
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise BprError("it has no card in its metadata, so bpr did not write it")
    if len(text) > LARGEST_CARD:
        raise BprError(f"its card has {len(text)} characters; expected at most {LARGEST_CARD}")
    try:
        return WeightsCard.from_json(text)
    except BprError as error:
        raise BprError(f"its card is invalid: {error}") from None


def _read_checkpoint(path: Path) -> tuple[nn.Module, WeightsCard]:
    """Network and card of a checkpoint. Without a card, the settings of the paper are assumed."""
    checkpoint = read_checkpoint(path)
    layout = layout_of(checkpoint.tensors)
    if METADATA_KEY in checkpoint.metadata:
        card = _card_from(checkpoint.metadata)
    else:
        card = _assumed_card(path, recognise(layout))
    network = build_network(card.network)
    check_layout(card.network, network, layout)
    fill(network, checkpoint.tensors)
    return network, card


def _assumed_card(path: Path, network: str) -> WeightsCard:
    """The settings of the paper (Sect. 4.1), for a checkpoint without a card."""
    printable = "".join(letter for letter in path.stem if letter.isprintable())
    return WeightsCard(
        name=printable[:200] or "checkpoint",
        network=network,
        input_size=PAPER_INPUT_SIZES.get(network, WeightsCard.input_size),
        training_data="unknown (the checkpoint does not say)",
        licence="unknown (the checkpoint does not say)",
        description="checkpoint in MMSegmentation layout, used with the settings of the paper",
    )


def _digest(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
