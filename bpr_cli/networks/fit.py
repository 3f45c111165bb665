"""Whether the tensors of a file are those of a network: names, shapes, types and values, asked in this order.

Shapes are compared before any tensor is read, so a forged file cannot make the program take memory.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bpr_cli.errors import BprError
from bpr_cli.networks.registry import NETWORKS, build_network

Shape = tuple[int, ...]
Layout = Mapping[str, Shape]
"""Shape of every tensor of a state dict, by name."""


def layout_of(network: str) -> Layout:
    """What a network of the registry expects, found without allocating its tensors.

    Raises:
        BprError: there is no network of that name.
    """
    with torch.device("meta"):
        built = build_network(network)
    return {name: tuple(tensor.shape) for name, tensor in built.state_dict().items()}


def recognise(found: Layout) -> str:
    """The network whose tensors, by name and shape, a file has the most of.

    Raises:
        BprError: not one tensor has a name that a network knows.
    """
    layouts = {name: layout_of(name) for name in NETWORKS}
    if not any(layout.keys() & found.keys() for layout in layouts.values()):
        raise BprError(
            f"it has no tensor of a network that bpr knows ({', '.join(sorted(NETWORKS))}), "
            f"but {_some(sorted(found)) or 'no tensor at all'}"
        )
    return max(layouts, key=lambda name: len(layouts[name].items() & found.items()))


def check_layout(network: str, found: Layout) -> None:
    """Compare names and shapes.

    Raises:
        BprError: a tensor is missing, too many or of another shape; the sentence names the first ones.
    """
    expected = layout_of(network)
    missing = [name for name in expected if name not in found]
    unexpected = sorted(name for name in found if name not in expected)
    misshapen = [
        f"{name} is {found[name]}, expected {shape}"
        for name, shape in expected.items()
        if name in found and found[name] != shape
    ]
    parts = {"missing": missing, "unexpected": unexpected, "of another shape": misshapen}
    if any(parts.values()):
        counted = [f"{len(names)} {what} ({_some(names)})" for what, names in parts.items() if names]
        raise BprError(f"its tensors do not fit the network {network}: {'; '.join(counted)}")


def filled(network: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The network with these weights, in eval mode; the tensors are copied and brought to its types.

    Args:
        network: a name in the registry.
        tensors: tensors whose names and shapes ``check_layout`` found right.

    Raises:
        BprError: a tensor holds no real numbers, or values that no network works with.
    """
    built = build_network(network)
    for name, expected in built.state_dict().items():
        if tensors[name].is_floating_point() != expected.is_floating_point() or tensors[name].is_complex():
            raise BprError(f"its tensor {name} is of type {tensors[name].dtype}, expected {expected.dtype}")
    built.load_state_dict(dict(tensors), strict=True)
    check_values(built)
    return built.eval()


def check_values(network: nn.Module) -> None:
    """Look for values that would turn every output into NaN.

    Raises:
        BprError: a tensor holds NaN or infinity, or a batch norm a negative variance.
    """
    for name, tensor in network.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise BprError(f"its tensor {name} holds NaN or infinity")
        if name.endswith("running_var") and (tensor < 0).any():
            raise BprError(f"its tensor {name} holds a negative variance")


def _some(names: list[str]) -> str:
    """The first three of them, each cut to what a line can hold; names come from a stranger's file."""
    shown = [name if name.isprintable() else ascii(name) for name in names[:3]]
    more = ", ..." if len(names) > 3 else ""
    return ", ".join(name if len(name) <= 120 else f"{name[:117]}..." for name in shown) + more
