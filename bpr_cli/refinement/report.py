"""What a refinement reports of itself, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpr_cli.formats.base import Failure, PredictionSet, SetInputs
from bpr_cli.formats.source import REPORT_KIND
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.system.environment import installed_versions, peak_memory

if TYPE_CHECKING:
    from bpr_cli.refinement.image import RefinementStats
    from bpr_cli.refinement.pipeline import RefineResult
    from bpr_cli.refinement.refiner import Refiner

SCHEMA = Path(__file__).with_name("run.schema.json")
"""JSON Schema of what ``dataclasses.asdict`` makes of a ``RefineSummary``."""

_LIBRARIES = ("torch", "numpy", "opencv-python", "pycocotools")


@dataclass(frozen=True)
class WeightsUsed:
    """Which weights refined: their name, network and the SHA-256 of their file."""

    name: str
    network: str
    digest: str


@dataclass(frozen=True)
class ItemSummary:
    """What was done to one image; fields as in ``RefineSummary``."""

    name: str
    segments: int
    patches: int
    boundary_movement: float
    area_change: float
    kept_coarse: int
    resumed: bool


@dataclass(frozen=True)
class RefineSummary:
    """A finished refinement; every field is plain data, ready for JSON.

    Attributes:
        kind: what this is, for those who find it in a file.
        versions: of bpr, Python and the packages that results depend on, by name.
        output: where the refined predictions are.
        format: of input and output.
        task: instance, semantic or panoptic.
        inputs: what was refined.
        images: number of images written.
        resumed: number of images among them that an earlier start had written.
        segments: number of masks in them.
        patches: number of patches decided.
        boundary_movement: mean distance that boundaries moved, in pixels.
        area_change: how much areas grew or shrank, as a fraction of the coarse area, see ``RefinementStats``.
        kept_coarse: number of segments that keep their coarse masks because of a bound.
        seconds: busy seconds by stage, summed over threads.
        elapsed: seconds from start to end.
        peak_memory: the most memory that the process has had at a time, in bytes; None where the system does not tell.
        devices: where the network ran.
        backend: what ran it there; its precision is in the settings.
        weights: which weights.
        settings: all settings.
        failures: items that could not be refined, and why.
        items: what was done to each image written, in the order of the input.
    """

    kind: str
    versions: dict[str, str]
    output: str
    format: str
    task: str
    inputs: SetInputs | None
    images: int
    resumed: int
    segments: int
    patches: int
    boundary_movement: float
    area_change: float
    kept_coarse: int
    seconds: dict[str, float]
    elapsed: float
    peak_memory: int | None
    devices: list[str]
    backend: str
    weights: WeightsUsed
    settings: RefineSettings
    failures: list[Failure]
    items: list[ItemSummary]


def weights_used(refiner: Refiner) -> WeightsUsed:
    """Which weights a refiner has loaded."""
    weights = refiner.weights
    return WeightsUsed(weights.card.name, weights.card.network, weights.digest)


def versions_used(refiner: Refiner) -> dict[str, str]:
    """Versions of bpr, of Python and of the packages that a refiner's results depend on, by name."""
    return installed_versions((*_LIBRARIES, *refiner.packages))


def summarise(refiner: Refiner, predictions: PredictionSet, result: RefineResult, out: Path) -> RefineSummary:
    """Put together what is known after a refinement."""
    return RefineSummary(
        kind=REPORT_KIND,
        versions=versions_used(refiner),
        output=str(out),
        format=predictions.format,
        task=predictions.task.value,
        inputs=predictions.inputs,
        images=result.written,
        resumed=len(result.resumed),
        **_figures(result.movement),
        seconds={stage: round(seconds, 3) for stage, seconds in result.seconds.items()},
        elapsed=round(result.elapsed, 3),
        peak_memory=peak_memory(),
        devices=refiner.devices,
        backend=refiner.backend,
        weights=weights_used(refiner),
        settings=refiner.settings,
        failures=result.failures,
        items=[
            ItemSummary(name=name, **_figures(movement), resumed=name in result.resumed)
            for name, movement in result.items.items()
        ],
    )


def _figures(movement: RefinementStats) -> dict[str, Any]:
    """What is told of the segments of one image, or of all."""
    return {
        "segments": movement.segments,
        "patches": movement.patches,
        "boundary_movement": round(movement.pixels, 4),
        "area_change": round(movement.area_change, 6),
        "kept_coarse": movement.kept_coarse,
    }
