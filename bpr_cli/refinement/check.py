"""The dry run: checks and counts all inputs of a refinement, and estimates its cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from bpr_cli.errors import BprError
from bpr_cli.formats.base import Failure, Item, PredictionSet
from bpr_cli.formats.images import check_image_file, pixels_of
from bpr_cli.formats.reading import InputReading, ReadSettings
from bpr_cli.masks.masks import Mask, size_of
from bpr_cli.patches.crop import Patches
from bpr_cli.refinement.in_process import make_refiner
from bpr_cli.refinement.job import check_start, open_for
from bpr_cli.refinement.network_used import NetworkUsed, WeightsUsed
from bpr_cli.refinement.pipeline import LOOK_AHEAD, misfit
from bpr_cli.refinement.report import peak_memory
from bpr_cli.refinement.result import OnItem, read_usable, with_faults
from bpr_cli.refinement.segments import LabelSegments, Segments, segments_of
from bpr_cli.refinement.settings import RefineSettings
from bpr_cli.settings import check_settings
from bpr_cli.system.paths import as_path
from bpr_cli.system.terminal import show_progress, tell
from bpr_cli.system.threads import PIXELS_AT_ONCE, Budget, in_order
from bpr_cli.typing import Size

if TYPE_CHECKING:
    from bpr_cli.refinement.refiner import Refiner

TIMED_PASSES = 3
"""Number of timed forward passes, after one for warm-up."""


@dataclass(frozen=True)
class Workload:
    """The work and memory that one image needs.

    Attributes:
        segments: number of masks.
        patches: number of patches, over all passes.
        memory: bytes of image, masks and probabilities until the image is written.
    """

    segments: int
    patches: int
    memory: int


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a refinement on this machine.

    Attributes:
        seconds: network time of the counted patches; reading, pasting and writing come on top as far as no core is free
            for them.
        patches_per_second: measured speed of the network.
        memory: peak memory in bytes, extrapolated from the largest image; None if the operating system does not report
            the memory of a process.
    """

    seconds: float
    patches_per_second: float
    memory: int | None


@dataclass(frozen=True)
class CheckSummary:
    """A finished check; every field is plain data, ready for JSON.

    Attributes:
        versions: versions of bpr, Python and the packages that results depend on, by name.
        format: format of the predictions.
        task: instance, semantic or panoptic.
        reading: what the input was taken for, and how to say otherwise.
        images: number of images that can be refined.
        segments: number of masks in them.
        patches: number of patches along their boundaries. The patches of later passes are counted on the coarse masks,
            and those that follow boundaries that move far are not, so the refinement may need a tenth more.
        estimate: estimated cost of the refinement.
        devices: devices that the network would run on.
        weights: weights of the network.
        settings: all settings.
        failures: items and records that cannot be refined, with the messages that the refinement would give.
        notes: how the predictions were read, where that decides the result.
    """

    versions: dict[str, str]
    format: str
    task: str
    reading: InputReading
    images: int
    segments: int
    patches: int
    estimate: Estimate
    devices: list[str]
    weights: WeightsUsed
    settings: RefineSettings
    failures: list[Failure]
    notes: list[str]


def check(
    predictions: Path | str,
    images: Path | str,
    out: Path | str | None = None,
    settings: RefineSettings = RefineSettings(),  # noqa: B008 - frozen
    options: ReadSettings = ReadSettings(),  # noqa: B008 - frozen
    *,
    overwrite: bool = False,
    progress: bool = False,
    on_item: OnItem = lambda _: None,
) -> CheckSummary:
    """Check everything that ``refine`` with the same arguments would read, and estimate its cost; writes nothing.

    Args:
        predictions: a directory, a JSON file or a single mask.
        images: the directory of the images, or a single image.
        out: the output of ``refine``; None skips its checks.
        settings: how to refine.
        options: how to read the predictions; by default the format is detected.
        overwrite: whether ``refine`` would start afresh instead of resuming.
        progress: show what the input was taken for and a progress bar on standard error.
        on_item: called after every item.

    Raises:
        BprError: ``refine`` would fail before the first image.
    """
    check_settings(settings, RefineSettings)
    target = None if out is None else as_path(out, "out")
    opened = open_for(predictions, images, target, options)
    tell(progress, opened.reading.sentence(predictions))
    refiner = make_refiner(settings)  # after the input is checked, because importing PyTorch takes seconds
    with show_progress(progress, "checking", len(opened.items)) as count:

        def advance(item: Item) -> None:
            count()
            on_item(item)

        return check_opened(refiner, opened, target, overwrite, advance)


def check_opened(
    refiner: Refiner,
    predictions: PredictionSet,
    out: Path | None = None,
    overwrite: bool = False,
    on_item: OnItem = lambda _: None,
) -> CheckSummary:
    """Do the work of ``check`` with predictions from ``open_for`` and a refiner that can be reused.

    Masks are decoded. Images are decoded only if their first and last bytes do not show whether they are intact.
    """
    if out:
        check_start(refiner, predictions, out, overwrite)
    workloads, failures = _examine_all(refiner, predictions, on_item)
    network = NetworkUsed.of(refiner)
    return CheckSummary(
        versions=network.versions,
        format=predictions.format,
        task=predictions.task.value,
        reading=predictions.reading,
        images=len(workloads),
        segments=sum(each.segments for each in workloads),
        patches=sum(each.patches for each in workloads),
        estimate=estimate(refiner, workloads),
        devices=network.devices,
        weights=network.weights,
        settings=refiner.settings,
        failures=with_faults([*predictions.failures, *failures], predictions.faults()),
        notes=predictions.notes("refined"),
    )


def _examine_all(refiner: Refiner, predictions: PredictionSet, on_item: OnItem) -> tuple[list[Workload], list[Failure]]:
    """The workloads of the items that can be refined, and the reasons why the others cannot."""
    budget = Budget(PIXELS_AT_ONCE)

    def examine(item: Item) -> Workload | Failure:
        with budget.hold(pixels_of(item.image, predictions.max_pixels)):
            return _examine(refiner, predictions, item)

    workloads: list[Workload] = []
    failures: list[Failure] = []
    examined = in_order(examine, predictions.items, refiner.settings.workers)
    for item, found in zip(predictions.items, examined, strict=True):
        if isinstance(found, Workload):
            workloads.append(found)
        else:
            failures.append(found)
        on_item(item)
    return workloads, failures


def _examine(refiner: Refiner, predictions: PredictionSet, item: Item) -> Workload | Failure:
    """The workload of an item, or the reason why it cannot be refined."""
    try:
        prediction = read_usable(predictions, item)
        size = check_image_file(item.image, predictions.max_pixels, masks=size_of(prediction))
        try:
            segments = segments_of(prediction, size)
        except BprError as error:
            raise misfit(item, error) from error
    except BprError as error:
        return Failure(item.name, str(error))
    return workload(refiner, segments, size)


def workload(refiner: Refiner, segments: Segments[Any], size: Size) -> Workload:
    """The workload of the segments of an image of ``size`` (H, W)."""
    used = refiner.passes_over(labels=isinstance(segments, LabelSegments))
    passes = [segments.outlines(how) for how in used]
    patches = [sum(len(outline.boxes) for outline in outlines) for outlines in passes]
    masks = sum(outline.mask.crop.nbytes for outline in passes[0] if isinstance(outline.mask, Mask))
    predicted = max(patches) * refiner.weights.card.output_size**2
    return Workload(len(passes[0]), sum(patches), 3 * size[0] * size[1] + masks + segments.map_bytes + predicted)


def estimate(refiner: Refiner, workloads: list[Workload]) -> Estimate:
    """Estimate the cost of all workloads from a few timed forward passes."""
    seconds = seconds_per_patch(refiner)
    patches = sum(each.patches for each in workloads)
    peak = peak_memory()
    if peak is not None:
        # The look-ahead may wait to be predicted, to come back and to be written; before them, to see masks as a whole.
        waiting = (3 + refiner.passes[0].whole) * (LOOK_AHEAD * refiner.settings.workers + 1)
        waiting += round(2 * refiner.predictor.batch_size * len(workloads) / max(patches, 1))  # share two batches
        largest = max((each.memory for each in workloads), default=0)
        peak += batch_memory(refiner) + min(waiting, len(workloads)) * largest
    return Estimate(round(patches * seconds, 1), round(1 / seconds, 1), peak)


def batch_memory(refiner: Refiner) -> int:
    """Bytes of the batch in the network and of the next batch, which is cropped meanwhile."""
    return 2 * refiner.predictor.batch_size * 4 * refiner.weights.card.input_size**2


def seconds_per_patch(refiner: Refiner) -> float:
    """Network time per patch in a full forward pass: the median of a few passes, in seconds."""
    refiner.predictor.predict(blank_patches(refiner))
    times = []
    for _ in range(TIMED_PASSES):
        # Created anew each time, because passes become smaller when memory is short.
        patches = blank_patches(refiner)
        began = time.perf_counter()
        refiner.predictor.predict(patches)
        times.append((time.perf_counter() - began) / len(patches))
    return median(times)


def blank_patches(refiner: Refiner) -> Patches:
    """Blank patches for one full forward pass of every stream."""
    count, side = refiner.predictor.at_once, refiner.weights.card.input_size
    return Patches(np.zeros((count, side, side, 3), np.uint8), np.zeros((count, side, side), np.uint8))
