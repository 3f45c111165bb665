"""Check that the tensors of a file fit a network: names, shapes, types and values, in this order.

Shapes are compared before any tensor is read, so a forged file cannot make the program allocate memory.
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


def layout_of(tensors: Mapping[str, Tensor]) -> Layout:
    """The layout of a state dict."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def recognise(found: Layout) -> str:
    """Name of the network that shares the most tensors, by name and shape, with a file.

    Raises:
        BprError: no tensor has a name that any network has.
    """
    with torch.device("meta"):  # no values: all networks together would fill a gigabyte
        layouts = {name: layout_of(build_network(name).state_dict()) for name in NETWORKS}
    if not any(layout.keys() & found.keys() for layout in layouts.values()):
        raise BprError(
            f"it has no tensor of a network that bpr knows ({', '.join(sorted(NETWORKS))}); "
            f"found {_some(sorted(found)) or 'no tensor at all'}"
        )
    return max(layouts, key=lambda name: len(layouts[name].items() & found.items()))


def check_layout(name: str, network: nn.Module, found: Layout) -> None:
    """Compare names and shapes with those of a network.

    Args:
        name: what the message calls the network.
        network: whose tensors are expected.
        found: what a file holds.

    Raises:
        BprError: a tensor is missing, unexpected or of another shape; the message names the first ones.
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
        network: changed in place.
        tensors: with names and shapes that ``check_layout`` accepted.

    Raises:
        BprError: a tensor has integers where floats belong or the other way round, or see ``check_values``.
    """
    for name, expected in network.state_dict().items():
        if tensors[name].is_floating_point() != expected.is_floating_point() or tensors[name].is_complex():
            raise BprError(f"its tensor {name} is of type {tensors[name].dtype}, expected {expected.dtype}")
    network.load_state_dict(dict(tensors), strict=True)
    check_values(network)


def check_values(network: nn.Module) -> None:
    """Refuse values that would turn every output into NaN.

    Raises:
        BprError: a tensor holds NaN or infinity, or a batch norm a negative variance.
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
