"""Settings of an evaluation, shared by the command line, the Python API and the report. Does not import NumPy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from bpr_cli.settings import Count, NonNegative, Settings, option

DILATION_RATIO = 0.02
"""Band width of boundary IoU as a fraction of the image diagonal; the default of Cheng et al. (CVPR 2021)."""

MAX_WORKERS = 4
"""Largest default number of workers: more of them wait for the disk and fill the memory."""

_INPUT, _METRICS, _SPEED = "Input", "Metrics", "Speed"


InstanceMetric = Literal["ap", "boundary-ap", "af"]
"""Metrics of instances, each with its averages over thresholds, sizes and classes."""


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """How predictions are measured."""

    metrics: Annotated[
        tuple[InstanceMetric, ...],
        Meta(min_length=1),
        option(
            "Metrics of instances to measure; repeat for several, and leave out what takes time (default: all)",
            panel=_METRICS,
            metavar="ap|boundary-ap|af",
            repeated=True,
        ),
    ] = ("ap", "boundary-ap", "af")
    tolerance: Annotated[
        NonNegative,
        option("Boundary F tolerance in pixels; below 1, a fraction of the image diagonal", panel=_METRICS),
    ] = 1.0
    boundary_f_at: Annotated[
        tuple[Annotated[float, Meta(gt=0, le=1000)], ...],
        option(
            "Tolerances in pixels at which the report also shows boundary F of label maps and binary masks "
            "(default: 1,2,3,5)",
            panel=_METRICS,
        ),
    ] = (1.0, 2.0, 3.0, 5.0)
    dilation_ratio: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | None,
        option(
            "Band width of boundary IoU, boundary AP and boundary PQ as a fraction of the image diagonal (default: "
            "0.02; Cityscapes instances: 0.005)",
            panel=_METRICS,
        ),
    ] = None
    oracle: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=1000)], ...],
        option(
            "Distances in pixels, such as 1,2,3: also report the scores if all pixels that close to the predicted "
            "boundary were correct",
            panel=_METRICS,
        ),
    ] = ()
    label_set: Annotated[
        str | None,
        option(
            "Classes of label maps: labelIds or trainIds (Cityscapes), a text file with one name per line, or a JSON "
            "file with categories (default: Cityscapes if file names say so, else all labels of the ground truth)",
            panel=_INPUT,
        ),
    ] = None
    ignore_labels: Annotated[
        tuple[int, ...] | None,
        option(
            "Void label of label maps, besides those of the label set; repeat for several (default: 255)",
            panel=_INPUT,
            flags=("--ignore-label",),
            metavar="LABEL",
            repeated=True,
        ),
    ] = None
    reduce_zero_label: Annotated[
        bool,
        option(
            "Take 0 in ground-truth label maps as void and lower all other labels by one, as mmsegmentation does",
            panel=_INPUT,
        ),
    ] = False
    max_detections: Annotated[
        Count | None,
        option(
            "Highest-scoring predictions kept per image and category (default: 100; LVIS: 300 per image)",
            panel=_METRICS,
        ),
    ] = None
    allow_missing: Annotated[
        bool, option("Skip images that do not match or cannot be read instead of stopping", panel=_INPUT)
    ] = False
    workers: Annotated[
        Count | None,
        option("Images measured in parallel (default: number of cores, at most 4)", panel=_SPEED),
    ] = None

    def band_ratio(self, usual: float = DILATION_RATIO) -> float:
        """``dilation_ratio``, or the usual one if none is set."""
        return usual if self.dilation_ratio is None else self.dilation_ratio

    @property
    def worker_count(self) -> int:
        """Effective number of workers."""
        return self.workers or min(os.cpu_count() or 1, MAX_WORKERS)
