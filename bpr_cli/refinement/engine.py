"""Engines: where the items of a refinement are worked on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bpr_cli.formats.base import Item
from bpr_cli.refinement.in_process import InProcess
from bpr_cli.refinement.network_used import NetworkUsed
from bpr_cli.refinement.pipeline import Work
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.system.cluster import ClusterSettings


class Engine(Protocol):
    """Refines items with given settings.

    Attributes:
        settings: how to refine.
    """

    settings: RefineSettings

    def network(self) -> NetworkUsed:
        """The network, which is loaded at the first call, and what else results depend on.

        Raises:
            BprError: the weights cannot be used, or the device does not exist.
        """

    def refine(self, items: Sequence[Item], work: Work) -> None:
        """Refine items, or note why they fail.

        Raises:
            BprError: the disk is full, or the memory is too small for the network.
        """

    def close(self) -> None:
        """End what the engine has started."""


def make_engine(settings: RefineSettings, processes: int | None, cluster: ClusterSettings) -> Engine:
    """The engine for a number of processes, or for a cluster, where they are the workers; None: see ``refine``."""
    if cluster.cluster:
        from bpr_cli.refinement.cluster import OnCluster  # noqa: PLC0415 - few need it

        return OnCluster(settings, cluster, processes)
    if processes in (None, 1):
        return InProcess(settings)
    from bpr_cli.refinement.processes import Processes  # noqa: PLC0415 - as above

    return Processes(settings, processes)
