"""Refines in this process, and loads the network when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bpr_cli.errors import lacking
from bpr_cli.formats.base import Item
from bpr_cli.refinement.network_used import NetworkUsed
from bpr_cli.refinement.pipeline import Pipeline, Work
from bpr_cli.refinement.settings import RefineSettings

if TYPE_CHECKING:
    from bpr_cli.refinement.refiner import Refiner


class InProcess:
    """Refines items in this process.

    Args:
        settings: how to refine.
        refiner: a refiner of these settings; by default one is made when it is needed.
    """

    def __init__(self, settings: RefineSettings, refiner: Refiner | None = None) -> None:
        self.settings = settings
        self._given = refiner

    @classmethod
    def of(cls, refiner: Refiner) -> InProcess:
        """The engine of a refiner, which can be used again."""
        return cls(refiner.settings, refiner)

    @cached_property
    def _refiner(self) -> Refiner:
        return self._given or make_refiner(self.settings)

    def network(self) -> NetworkUsed:
        """See ``Engine``."""
        return NetworkUsed.of(self._refiner)

    def refine(self, items: Sequence[Item], work: Work) -> None:
        """See ``Engine``."""
        Pipeline(self._refiner, work).run(items)

    def close(self) -> None:
        """See ``Engine``; nothing was started."""


def make_refiner(settings: RefineSettings) -> Refiner:
    """Load a network; only here is PyTorch imported, which drivers, merges and finished outputs do without.

    Raises:
        BprError: PyTorch is not installed, the weights cannot be used, or the device does not exist.
    """
    try:
        from bpr_cli.refinement.refiner import Refiner  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise lacking("the network", ["torch"]) from error
    return Refiner(settings)
