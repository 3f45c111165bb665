"""What a refinement used, and what a report says of it: weights, devices, inference engine and versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from bpr_cli.version import installed_versions

if TYPE_CHECKING:
    from bpr_cli.refinement.refiner import Refiner

_LIBRARIES = ("torch", "numpy", "opencv-python", "pycocotools")


@dataclass(frozen=True)
class WeightsUsed:
    """Weights of the network."""

    name: Annotated[str, Meta(description="Name of the weights, from their card.")]
    network: Annotated[str, Meta(description="Name of the network.")]
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256 of the weights file, hexadecimal.")]
    licence: Annotated[str, Meta(description="Terms of the weights, from their card; empty if it states none.")] = ""


@dataclass(frozen=True)
class NetworkUsed:
    """What the results of a refinement depend on, besides its settings and inputs.

    Attributes:
        versions: versions of bpr, Python and packages, by name.
        devices: devices of the network.
        backend: the inference engine that ran it.
        weights: its weights.
        core: depth of the interior that masks keep; see ``Limits``.
    """

    versions: dict[str, str]
    devices: list[str]
    backend: str
    weights: WeightsUsed
    core: float

    @classmethod
    def of(cls, refiner: Refiner) -> NetworkUsed:
        """What a refiner uses."""
        weights, predictor = refiner.weights, refiner.predictor
        return cls(
            versions=installed_versions((*_LIBRARIES, *predictor.backend.packages)),
            devices=[str(device) for device in predictor.devices],
            backend=predictor.backend.name,
            weights=WeightsUsed(weights.card.name, weights.card.network, weights.digest, weights.card.licence),
            core=refiner.limits.core,
        )
