"""Settings of a refinement: written once, used by the command line, the Python API and the reports."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Literal, get_args

from bpr_cli.errors import BprError
from bpr_cli.patches.schemes import Scheme
from bpr_cli.refinement.bounds import Bounds
from bpr_cli.weights.card import check_core, check_scales
from bpr_cli.weights.shipped import DEFAULT_WEIGHTS

Precision = Literal["float32", "bfloat16", "float16"]
BackendName = Literal["auto", "pytorch", "openvino"]


def default_workers() -> int:
    """Enough threads to prepare patches beside the network, and few enough to stay small in memory."""
    return max(1, min(4, os.cpu_count() or 1))


@dataclass(frozen=True)
class RefineSettings:
    """How masks are refined.

    Attributes:
        weights: a shipped name or a path to a weights file.
        nms_threshold: overlap (IoU) up to which neighbouring patches are kept, 0..1. More overlap is better and slower:
            0.25 is the default of the paper, 0.55 its best.
        scheme: where patches lie (paper, Table 4): ``dense`` along the boundary, on a fixed ``grid``, or one around
            each whole mask (``instance``), whatever its size; these two are for comparison, without overlap. ``cover``
            takes over a third fewer patches for slightly less quality: each where it shows most that none shows yet,
            and none that would add little (``patches/cover.py``), so short stretches may stay coarse. Only ``dense``
            heeds the overlap.
        scales: rounds of refinement and how many times as large as the weights' own their patches are; None takes what
            the weights are best with. ``(2.0, 1.0)`` looks from further away first.
        flip: decide every patch and its mirror image and average, at twice the time; None takes what the weights say.
        core: a mask keeps the pixels that lie deeper inside it than this fraction of the square root of its area, 0..1,
            see ``core.py``; 1 for none, None for what the weights are best with. Label maps have no cores.
        device: ``auto`` (all GPUs that are there, else the CPU), ``cpu``, ``cuda``, or a list such as ``cuda:0,1``.
        precision: arithmetic of the network.
        backend: the program that runs the network: ``pytorch``, or on a CPU ``openvino``; ``auto`` takes the faster one
            of those that are installed and have the precision.
        max_area_change: a segment whose area changes by more than this fraction of it keeps its coarse mask; None sets
            no bound. See ``bounds.py``, also for what this means for labels.
        min_iou_with_coarse: a segment whose IoU with its coarse mask is below this, 0..1, keeps its coarse mask; None
            sets no bound.
        batch_size: patches that go through the network together; halved by itself when memory does not suffice. On a
            CPU results do not depend on it (see ``Predictor``); GPUs may differ in a pixel whose probability is 0.5.
        workers: threads that read, cut, paste and write beside the network.
    """

    weights: str = DEFAULT_WEIGHTS
    nms_threshold: float = 0.25
    scheme: Scheme = "dense"
    scales: tuple[float, ...] | None = None
    flip: bool | None = None
    core: float | None = None
    device: str = "auto"
    precision: Precision = "float32"
    backend: BackendName = "auto"
    max_area_change: float | None = None
    min_iou_with_coarse: float | None = None
    batch_size: int = 64
    workers: int = default_workers()

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            BprError: a value is out of range.
        """
        if not 0 <= self.nms_threshold < 1:
            raise BprError(f"nms_threshold is {self.nms_threshold}; expected a number from 0 up to, not including, 1")
        if self.scheme not in get_args(Scheme):
            raise BprError(f"scheme is {self.scheme!r}; expected one of {', '.join(get_args(Scheme))}")
        if self.scales is not None:
            check_scales(self.scales)
        if self.core is not None:
            check_core(self.core)
        if self.precision not in get_args(Precision):
            raise BprError(f"precision is {self.precision!r}; expected one of {', '.join(get_args(Precision))}")
        if self.backend not in get_args(BackendName):
            raise BprError(f"backend is {self.backend!r}; expected one of {', '.join(get_args(BackendName))}")
        if self.max_area_change is not None and not 0 <= self.max_area_change < math.inf:
            raise BprError(f"max_area_change is {self.max_area_change}; expected a fraction of 0 or more, such as 0.5")
        if self.min_iou_with_coarse is not None and not 0 <= self.min_iou_with_coarse <= 1:
            raise BprError(f"min_iou_with_coarse is {self.min_iou_with_coarse}; expected a number from 0 to 1")
        for name in ("batch_size", "workers"):
            if getattr(self, name) < 1:
                raise BprError(f"{name} is {getattr(self, name)}; expected 1 or more")

    @property
    def bounds(self) -> Bounds:
        """The bounds to what refinement may do to a segment."""
        return Bounds(self.max_area_change, self.min_iou_with_coarse)
