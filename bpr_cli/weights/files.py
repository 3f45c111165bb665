"""Loads and saves weights: bpr's own files (safetensors with a card in the metadata) and the authors' checkpoints.

The tensors of a file are checked against the network: names, shapes, types and values, in this order. Shapes are
compared before any tensor is read, so that a forged file cannot fill the memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import NETWORKS, build_network
from bpr_cli.system.atomic import write_atomically, writing
from bpr_cli.weights.card import DEFAULT_WEIGHTS, WeightsCard
from bpr_cli.weights.checkpoint import checkpoint_bytes, read_checkpoint
from bpr_cli.weights.lookup import CHECKPOINT_SUFFIXES, OWN_SUFFIX, digest_of, find_weights

Shape = tuple[int, ...]
Layout = Mapping[str, Shape]
"""Shape of every tensor of a state dict, by name."""

METADATA_KEY = "bpr"
CONTEXT_PREFIX = "context."
LARGEST_CARD = 1 << 20

PAPER_INPUT_SIZES = {"hrnet48": 256}
"""Input sizes of the authors' configurations that differ from the default."""


@dataclass(frozen=True)
class LoadedWeights:
    """A network that is ready to refine, with its settings and origin.

    Attributes:
        network: in eval mode, on the CPU, float32; (P, 4, T, T) to logits (P, 2, T, T).
        card: its settings and origin.
        digest: SHA-256 of the file, hexadecimal.
        path: the file.
        context: the network that sees every mask as a whole before this one sees its patches; None for none.
    """

    network: nn.Module
    card: WeightsCard
    digest: str
    path: Path
    context: LoadedWeights | None = None


def load_weights(name_or_path: str | Path = DEFAULT_WEIGHTS) -> LoadedWeights:
    """Load a network and its settings.

    Args:
        name_or_path: a name in ``shipped_weights()``, a ``.safetensors`` file that ``save_weights`` wrote, or a
            ``.pth`` or ``.pt`` checkpoint in the authors' MMSegmentation layout. Their checkpoints have no settings,
            so the network is detected from its tensors, and the other settings are those of the paper (patches of
            64 pixels without padding, input size 128, or 256 for ``hrnet48``, ImageNet normalisation).

    Raises:
        BprError: there are no such weights, or the file cannot be used; the message gives the file and the reason.

    Example:
        >>> weights = load_weights("fast")
        >>> weights.card.network, weights.card.patch_size
        ('lite-unet', 64)
        >>> logits = weights.network(torch.zeros(8, 4, 128, 128))  # (P, 4, T, T) to (P, 2, T, T)
    """
    path = find_weights(name_or_path)
    read = _read_own if path.suffix.lower() == OWN_SUFFIX else _read_checkpoint
    try:
        digest, (network, card, other) = digest_of(path), read(path)
        context = LoadedWeights(other.eval(), card.context, digest, path) if other and card.context else None
        return LoadedWeights(network.eval(), card, digest, path, context)
    except BprError as error:
        raise BprError(f"the weights {path} cannot be used: {error}") from None
    except OSError as error:
        raise BprError(f"the weights {path} cannot be read: {error.strerror or error}") from None


def save_weights(path: Path, network: nn.Module, card: WeightsCard, context: nn.Module | None = None) -> None:
    """Write a network and its card to one file, atomically.

    Args:
        path: new file, which holds its own tensors, ending in ``.safetensors``, or in ``.pth`` or ``.pt`` for a
            checkpoint in the authors' MMSegmentation layout. A missing folder is created, and an existing file is
            replaced.
        network: network of the architecture ``card.network``, on any device.
        card: card to store in the file's metadata.
        context: the network of ``card.context``, which sees whole masks; a checkpoint cannot hold it.

    Raises:
        BprError: ``load_weights`` would refuse the file, or the file cannot be written.
    """
    check_suffix(path)
    own = path.suffix.lower() == OWN_SUFFIX
    try:
        tensors, metadata = checked_tensors(network, card), {METADATA_KEY: card.to_json()}
        if (card.context is None) != (context is None):
            raise TypeError("network and card for whole masks belong together")
        if card.context and context:
            if not own:
                raise BprError(f"only {OWN_SUFFIX} files hold a network for whole masks too")
            seen = checked_tensors(context, card.context)
            tensors |= {CONTEXT_PREFIX + name: tensor for name, tensor in seen.items()}
        content = save(tensors, metadata) if own else checkpoint_bytes(tensors, metadata)
    except BprError as error:
        raise BprError(f"the weights {path} were not written: {error}") from None
    with writing(f"the weights {path}"):
        write_atomically(path, content)


def checked_tensors(network: nn.Module, card: WeightsCard) -> dict[str, Tensor]:
    """Copies of the tensors of a network, on the CPU.

    Raises:
        BprError: they do not fit the network that the card names, or hold unusable values.
    """
    tensors = {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
    check_layout(card.network, build_network(card.network), layout_of(tensors))
    check_values(network)
    return tensors


def save_changed(path: Path, card: WeightsCard, source: LoadedWeights, *, share: bool = False) -> None:
    """Write loaded weights with another card, atomically.

    Args:
        path: new file, as in ``save_weights``; a checkpoint leaves out the network for whole masks.
        card: its card.
        source: the weights.
        share: whether the file holds only the card; then the file with the tensors must stay in the same folder.

    Raises:
        BprError: as of ``save_weights``, or of ``check_share`` if the file is to hold only the card.
    """
    if share:
        check_share(path, source)
        holder = _holder_of(source.path, source.card)
        with writing(f"the weights {path}"):
            write_atomically(path, save({}, {METADATA_KEY: card.to_json((holder.name, digest_of(holder)))}))
    elif path.suffix.lower() == OWN_SUFFIX:
        save_weights(path, source.network, card, source.context.network if source.context else None)
    else:
        save_weights(path, source.network, replace(card, context=None))


def check_share(path: Path, source: LoadedWeights) -> None:
    """Check that a new file may hold only the card of weights, and take its tensors from their file.

    Raises:
        BprError: the files are the same, lie in different folders or have other suffixes.
    """
    holder = _holder_of(source.path, source.card)
    is_beside = holder.resolve().parent == path.resolve().parent and holder.resolve() != path.resolve()
    if not is_beside or {path.suffix, holder.suffix} != {OWN_SUFFIX}:
        raise BprError(
            f"the weights {path} cannot share the tensors of {holder}; expected two {OWN_SUFFIX} files in one folder"
        )


def check_suffix(path: Path) -> None:
    """Check that the suffix of a new weights file belongs to a known format.

    Raises:
        BprError: the suffix is unknown.
    """
    if path.suffix.lower() not in (OWN_SUFFIX, *CHECKPOINT_SUFFIXES):
        raise BprError(
            f"the weights {path} cannot be written: the name must end in {OWN_SUFFIX}, or in "
            f"{' or '.join(CHECKPOINT_SUFFIXES)} for a checkpoint"
        )


def check_new(path: Path, overwrite: bool) -> None:
    """Check that a new weights file has a known suffix and does not exist.

    Raises:
        BprError: the suffix is unknown, or the file exists and ``overwrite`` is False.
    """
    check_suffix(path)
    if path.exists() and not overwrite:
        raise BprError(f"the weights {path} already exist; pass --overwrite to replace them, or choose another name")


def _read_own(path: Path) -> tuple[nn.Module, WeightsCard, nn.Module | None]:
    """Read network, card and the network for whole masks, if there is one, from a file of ``save_weights``.

    Card and shapes are checked before any tensor is read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card = _card_from(file.metadata())
        with safe_open(_holder_of(path, card), framework="pt") as file:
            layout = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            own, seen = split(layout) if card.context else (layout, {})
            network = build_network(card.network)
            check_layout(card.network, network, own)
            context = build_network(card.context.network) if card.context else None
            if card.context and context:
                check_layout(card.context.network, context, seen)
                fill(context, {name: file.get_tensor(CONTEXT_PREFIX + name) for name in seen})
            fill(network, {name: file.get_tensor(name) for name in own})
            return network, card, context
    except SafetensorError as error:
        raise BprError(
            f"it is not a complete safetensors file ({str(error)[:120]}); copy or download it again"
        ) from None


def split(layout: Layout) -> tuple[Layout, Layout]:
    """The tensors of the network for patches, and those of the network for whole masks, without their prefix."""
    whole = {name for name in layout if name.startswith(CONTEXT_PREFIX)}
    own = {name: shape for name, shape in layout.items() if name not in whole}
    return own, {name.removeprefix(CONTEXT_PREFIX): layout[name] for name in layout if name in whole}


def _holder_of(path: Path, card: WeightsCard) -> Path:
    """The file with the tensors of weights."""
    if card.tensors_of is None:
        return path
    name, digest = card.tensors_of
    holder = path.parent / name
    problem = "there is no such file"
    if holder.is_file():
        if (found := digest_of(holder)) == digest:
            return holder
        problem = f"that file has the SHA-256 {found[:12]}..., expected {digest[:12]}..."
    raise BprError(f"it shares the tensors of {holder}, but {problem}; copy both files together")


def _card_from(metadata: Mapping[str, str] | None) -> WeightsCard:
    """Read the card from the metadata of a file."""
    text = (metadata or {}).get(METADATA_KEY)
    if text is None:
        raise BprError("it has no card in its metadata, so bpr did not write it")
    if len(text) > LARGEST_CARD:
        raise BprError(f"its card has {len(text)} characters; expected at most {LARGEST_CARD}")
    try:
        return WeightsCard.from_json(text)
    except BprError as error:
        raise BprError(f"its card is invalid: {error}") from None


def _read_checkpoint(path: Path) -> tuple[nn.Module, WeightsCard, None]:
    """Read network and card from a checkpoint; without a card, the settings of the paper are assumed."""
    checkpoint = read_checkpoint(path)
    layout = layout_of(checkpoint.tensors)
    if METADATA_KEY in checkpoint.metadata:
        card = _card_from(checkpoint.metadata)
    else:
        card = _assumed_card(path, recognise(layout))
    network = build_network(card.network)
    check_layout(card.network, network, layout)
    fill(network, checkpoint.tensors)
    return network, card, None


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


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """The layout of a state dict."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def recognise(found: Layout) -> str:
    """Name of the network that shares most tensors, by name and shape, with a file.

    Raises:
        BprError: no network has a tensor with any of the names.
    """
    with torch.device("meta"):  # without values, because all networks together would fill a gigabyte
        layouts = {name: layout_of(build_network(name).state_dict()) for name in NETWORKS}
    if not any(layout.keys() & found.keys() for layout in layouts.values()):
        raise BprError(
            f"it has no tensor of a network that bpr knows ({', '.join(sorted(NETWORKS))}); "
            f"found {_some(sorted(found)) or 'no tensor at all'}"
        )
    return max(layouts, key=lambda name: len(layouts[name].items() & found.items()))


def check_layout(name: str, network: nn.Module, found: Layout) -> None:
    """Compare names and shapes of a file with those of a network.

    Args:
        name: name of the network in the message.
        network: network with the expected tensors.
        found: layout of the file.

    Raises:
        BprError: a tensor is missing, unexpected or has another shape; the message names the first ones.
    """
    expected = layout_of(network.state_dict())
    missing = [tensor for tensor in expected if tensor not in found]
    unexpected = sorted(tensor for tensor in found if tensor not in expected)
    misshapen = [
        f"{tensor} is {found[tensor]}, expected {shape}"
        for tensor, shape in expected.items()
        if tensor in found and found[tensor] != shape
    ]
    parts = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    if any(parts.values()):
        counted = [f"{len(names)} {what} ({_some(names)})" for what, names in parts.items() if names]
        raise BprError(f"its tensors do not fit the network {name}: {'; '.join(counted)}")


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a network, converted to its dtypes.

    Args:
        network: network to fill in place.
        tensors: tensors whose names and shapes passed ``check_layout``.

    Raises:
        BprError: a tensor has integers instead of floats or vice versa, or its values fail ``check_values``.
    """
    for name, expected in network.state_dict().items():
        if tensors[name].is_floating_point() != expected.is_floating_point() or tensors[name].is_complex():
            raise BprError(f"its tensor {name} is of type {tensors[name].dtype}, expected {expected.dtype}")
    network.load_state_dict(dict(tensors), strict=True)
    check_values(network)


def check_values(network: nn.Module) -> None:
    """Refuse values that would make every output NaN.

    Raises:
        BprError: a tensor has NaN or infinity, or a batch norm has a negative variance.
    """
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise BprError(f"its tensor {name} holds NaN or infinity")
        if name.endswith("running_var") and (tensor < 0).any():
            raise BprError(f"its tensor {name} holds a negative variance")


def _some(names: list[str]) -> str:
    """The first three names, shortened and made printable: they may come from a forged file."""
    shown = [name if name.isprintable() else ascii(name) for name in names[:3]]
    more = ", ..." if len(names) > 3 else ""
    return ", ".join(name if len(name) <= 120 else f"{name[:117]}..." for name in shown) + more
