"""Figures of binary masks, one an image: mean IoU, boundary IoU and boundary F.

All three are measured image by image and averaged over images, each image counting the same. Two empty masks agree:
they score 1 in all three.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import boundary_f, boundary_iou, iou, tolerance_pixels
from bpr_cli.evaluation.checks import check_boundary_settings, check_sizes
from bpr_cli.evaluation.settings import DILATION_RATIO


@dataclass(frozen=True)
class BinarySettings:
    """How masks are measured.

    Attributes:
        tolerance: of boundary F, in pixels; below 1 a fraction of the image diagonal.
        dilation_ratio: width of the bands of boundary IoU as a fraction of the image diagonal.
    """

    tolerance: float = 1.0
    dilation_ratio: float = DILATION_RATIO

    def __post_init__(self) -> None:
        check_boundary_settings(self.tolerance, self.dilation_ratio)


@dataclass(frozen=True)
class BinarySums:
    """Sums over images, from which the figures follow; those of two sets of images are added by ``+``.

    Attributes:
        images: number of images.
        iou: sum of the images' IoU.
        boundary_iou: sum of the images' boundary IoU.
        boundary_f: sum of the images' boundary F.
    """

    images: int = 0
    iou: float = 0.0
    boundary_iou: float = 0.0
    boundary_f: float = 0.0

    def __add__(self, other: BinarySums) -> BinarySums:
        return BinarySums(
            self.images + other.images,
            self.iou + other.iou,
            self.boundary_iou + other.boundary_iou,
            self.boundary_f + other.boundary_f,
        )


@dataclass(frozen=True)
class BinaryFigures:
    """Means over images, from 0 to 1; NaN when there was no image."""

    iou: float
    boundary_iou: float
    boundary_f: float


def check_binary(prediction: NDArray[np.generic], truth: NDArray[np.generic]) -> None:
    """Check that two masks can be compared.

    Raises:
        BprError: they are not (H, W) arrays of one size with at least one pixel.
    """
    for mask, name in ((prediction, "the prediction"), (truth, "the ground truth")):
        if mask.ndim != 2 or mask.size == 0:
            raise BprError(f"{name} is an array of shape {mask.shape}, expected an (H, W) mask")
    check_sizes(prediction, truth)


def binary_sums(prediction: NDArray[np.generic], truth: NDArray[np.generic], settings: BinarySettings) -> BinarySums:
    """Compare the masks of one image.

    Args:
        prediction: (H, W), non-zero is foreground.
        truth: (H, W), non-zero is foreground.
        settings: widths.

    Raises:
        BprError: as ``check_binary``.
    """
    check_binary(prediction, truth)
    tolerance = tolerance_pixels(settings.tolerance, (truth.shape[0], truth.shape[1]))
    return BinarySums(
        1,
        iou(prediction, truth),
        boundary_iou(prediction, truth, settings.dilation_ratio),
        boundary_f(prediction, truth, tolerance),
    )


def binary_figures(sums: BinarySums) -> BinaryFigures:
    """The figures of all images that went into the sums."""
    if not sums.images:
        return BinaryFigures(float("nan"), float("nan"), float("nan"))
    return BinaryFigures(sums.iou / sums.images, sums.boundary_iou / sums.images, sums.boundary_f / sums.images)
