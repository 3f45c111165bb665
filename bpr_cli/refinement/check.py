"""The dry run: everything that a refinement would read is checked and counted, and its cost estimated."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.formats.images import check_image_file
from bpr_cli.masks.masks import LabelMap, Prediction
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.image import check_sizes, find_segments, labels_of
from bpr_cli.refinement.pipeline import LOOK_AHEAD, OnItem, misfit
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.refinement.report import WeightsUsed, versions_used, weights_used
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.system.environment import peak_memory
from bpr_cli.system.threads import in_order
from bpr_cli.typing import Size

PASSES = 3
"""Forward passes that are timed, after one that is not: the first takes longer."""


@dataclass(frozen=True)
class Workload:
    """What refining one image takes.

    Attributes:
        segments: number of masks.
        patches: number of patches, over all rounds.
        memory: bytes that image, masks and decisions take until they are written.
    """

    segments: int
    patches: int
    memory: int


@dataclass(frozen=True)
class Estimate:
    """What a refinement will take on this machine.

    Attributes:
        seconds: of the network, which reading, cutting and writing run beside.
        patches_per_second: as timed.
        memory: bytes at most, as far as the largest image tells; None where the system does not say what it has given.
    """

    seconds: float
    patches_per_second: float
    memory: int | None


@dataclass(frozen=True)
class CheckSummary:
    """A finished check; every field is plain data, ready for JSON.

    Attributes:
        versions: of bpr, Python and the packages that results depend on, by name.
        format: of the predictions.
        task: instance, semantic or panoptic.
        images: number of images that can be refined.
        segments: number of masks in them.
        patches: number of patches along their boundaries. Rounds after the first refine what the one before it made, so
            theirs are counted on the coarse masks and may come out different by a little.
        estimate: what refining will take.
        devices: where the network would run.
        weights: which weights.
        settings: all settings.
        failures: items that cannot be refined, and why, in the words of the refinement.
    """

    versions: dict[str, str]
    format: str
    task: str
    images: int
    segments: int
    patches: int
    estimate: Estimate
    devices: list[str]
    weights: WeightsUsed
    settings: RefineSettings
    failures: list[Failure]


def check_predictions(refiner: Refiner, predictions: PredictionSet, on_item: OnItem = lambda _: None) -> CheckSummary:
    """Check every item of a prediction set as a refinement would find it; writes nothing.

    Masks are decoded; images are not where their headers and ends suffice.

    Args:
        refiner: network and settings.
        predictions: the opened set.
        on_item: called in the calling thread after every item.
    """
    failures = list(predictions.failures)
    workloads = []
    examined = in_order(lambda item: _examine(refiner, predictions, item), predictions.items, refiner.settings.workers)
    for item, found in zip(predictions.items, examined, strict=True):
        if isinstance(found, Workload):
            workloads.append(found)
        else:
            failures.append(found)
        on_item(item)
    return CheckSummary(
        versions=versions_used(refiner),
        format=predictions.format,
        task=predictions.task.value,
        images=len(workloads),
        segments=sum(each.segments for each in workloads),
        patches=sum(each.patches for each in workloads),
        estimate=estimate(refiner, workloads),
        devices=refiner.devices,
        weights=weights_used(refiner),
        settings=refiner.settings,
        failures=failures,
    )


def _examine(refiner: Refiner, predictions: PredictionSet, item: Item) -> Workload | Failure:
    """What an item takes, or what is wrong with it."""
    try:
        prediction = predictions.read(item)
        size = check_image_file(item.image)
        try:
            check_sizes(prediction, size)
        except BprError as error:
            raise misfit(item, error) from error
    except BprError as error:
        return Failure(item.name, str(error))
    return workload(refiner, prediction, size)


def workload(refiner: Refiner, prediction: Prediction, size: Size) -> Workload:
    """What refining the predictions of an image of ``size`` (H, W) takes."""
    labels = labels_of(prediction)
    rounds = [find_segments(prediction, labels, how) for how in refiner.rounds]
    patches = [sum(len(segment.boxes) for segment in segments) for segments in rounds]
    pixels = sum(segment.mask.crop.nbytes for segment in rounds[0])
    if isinstance(prediction, LabelMap):
        # The map, its refined counterpart and, while labels compete, the confidence of every pixel.
        pixels += 3 * prediction.labels.nbytes
    decided = max(patches) * refiner.weights.card.patch_size**2
    return Workload(len(rounds[0]), sum(patches), 3 * size[0] * size[1] + pixels + decided)


def estimate(refiner: Refiner, workloads: list[Workload]) -> Estimate:
    """What refining takes, by the speed of the network in a few forward passes."""
    seconds = seconds_per_patch(refiner)
    patches = sum(each.patches for each in workloads)
    peak = peak_memory()
    if peak is not None:
        # Every stage of the pipeline may have so many images waiting behind it.
        waiting = (len(refiner.rounds) + 1) * (LOOK_AHEAD * refiner.settings.workers + 1)
        peak += batch_memory(refiner) + min(waiting, len(workloads)) * max(
            (each.memory for each in workloads), default=0
        )
    return Estimate(round(patches * seconds, 1), round(1 / seconds, 1), peak)


def batch_memory(refiner: Refiner) -> int:
    """Bytes of the batch that the network decides and the one that is cut out beside it."""
    return 2 * refiner.batch_size * 4 * refiner.rounds[0].input_size ** 2


def seconds_per_patch(refiner: Refiner) -> float:
    """Seconds of the network for one patch of a full forward pass: the median of a few."""
    refiner.decide(blank_patches(refiner))
    times = []
    for _ in range(PASSES):
        # Made anew each time: the passes become smaller when memory does not suffice.
        patches = blank_patches(refiner)
        began = time.perf_counter()
        refiner.decide(patches)
        times.append((time.perf_counter() - began) / len(patches))
    return median(times)


def blank_patches(refiner: Refiner) -> Patches:
    """As many patches as a forward pass takes."""
    count, side = refiner.pass_size, refiner.rounds[0].input_size
    return Patches(np.zeros((count, side, side, 3), np.uint8), np.zeros((count, side, side), np.uint8))
