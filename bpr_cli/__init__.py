"""bpr: sharpen the boundaries of segmentation masks that already exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpr_cli.errors import BprError
from bpr_cli.refine.settings import RefineSettings
from bpr_cli.version import __version__

if TYPE_CHECKING:
    from bpr_cli.refine.refiner import Refiner

__all__ = ["BprError", "RefineSettings", "Refiner", "__version__"]


def __getattr__(name: str) -> object:
    """Import ``Refiner`` on first use: it needs PyTorch, which ``bpr --help`` must not wait for."""
    if name == "Refiner":
        from bpr_cli.refine.refiner import Refiner  # noqa: PLC0415

        return Refiner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
