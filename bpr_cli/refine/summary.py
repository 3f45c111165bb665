"""What a refinement reports of itself, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bpr_cli.formats.base import Failure, PredictionSet
from bpr_cli.refine.settings import RefineSettings
from bpr_cli.version import __version__

if TYPE_CHECKING:
    from bpr_cli.refine.pipeline import RefineResult
    from bpr_cli.refine.refiner import Refiner


@dataclass(frozen=True)
class WeightsUsed:
    """Which weights refined: their name, network and the SHA-256 of their file."""

    name: str
    network: str
    digest: str


@dataclass(frozen=True)
class RefineSummary:
    """A finished refinement; every field is plain data, ready for JSON.

    Attributes:
        version: of bpr.
        output: where the refined predictions are.
        format: of input and output.
        task: instance, semantic or panoptic.
        images: number of images written.
        resumed: number of images among them that an earlier start had written.
        segments: number of masks in them.
        patches: number of patches decided.
        boundary_movement: mean distance that boundaries moved, in pixels.
        kept_coarse: number of segments that keep their coarse masks because of a bound.
        seconds: busy seconds by stage, summed over threads.
        elapsed: seconds from start to end.
        devices: where the network ran.
        backend: what ran it there; its precision is in the settings.
        weights: which weights.
        settings: all settings.
        failures: items that could not be refined, and why.
    """

    version: str
    output: str
    format: str
    task: str
    images: int
    resumed: int
    segments: int
    patches: int
    boundary_movement: float
    kept_coarse: int
    seconds: dict[str, float]
    elapsed: float
    devices: list[str]
    backend: str
    weights: WeightsUsed
    settings: RefineSettings
    failures: list[Failure]


def weights_used(refiner: Refiner) -> WeightsUsed:
    """Which weights a refiner has loaded."""
    weights = refiner.weights
    return WeightsUsed(weights.card.name, weights.card.network, weights.digest)


def summarise(refiner: Refiner, predictions: PredictionSet, result: RefineResult, out: Path) -> RefineSummary:
    """Put together what is known after a refinement."""
    movement = result.movement
    return RefineSummary(
        version=__version__,
        output=str(out),
        format=predictions.format,
        task=predictions.task.value,
        images=result.written,
        resumed=result.resumed,
        segments=movement.segments,
        patches=movement.patches,
        boundary_movement=round(movement.pixels, 4),
        kept_coarse=movement.kept_coarse,
        seconds={stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        elapsed=round(result.elapsed, 3),
        devices=refiner.devices,
        backend=refiner.backend,
        weights=weights_used(refiner),
        settings=refiner.settings,
        failures=result.failures,
    )
