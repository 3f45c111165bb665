"""bpr: sharpen the boundaries of segmentation masks that already exist."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from bpr_cli.errors import BprError
from bpr_cli.version import __version__

if TYPE_CHECKING:
    from bpr_cli.refinement.refiner import Refiner
    from bpr_cli.refinement.settings import RefineSettings

__all__ = ["BprError", "RefineSettings", "Refiner", "__version__"]

_LAZY = {"Refiner": "bpr_cli.refinement.refiner", "RefineSettings": "bpr_cli.refinement.settings"}


def __getattr__(name: str) -> object:
    """Import on first use what needs NumPy or PyTorch, which the command line's first moment must not wait for."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
