"""What the pictures of a report are drawn from: an image, and its segmentations as maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bpr_cli.typing import ByteArray, LabelArray


@dataclass(frozen=True, eq=False)
class Layer:
    """One segmentation of an image.

    Attributes:
        labels: int32, (H, W): 0 is background or void; any other number is a class (of label maps) or a segment.
        names: name of the category of each number; numbers without one are left out of legends.
    """

    labels: LabelArray
    names: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Layers:
    """The image and its segmentations; read again from the files when the report is written.

    Attributes:
        image: uint8, (H, W, 3), RGB; None if no images were given.
        truth: ground truth.
        prediction: predictions, with the numbers of the ground truth where they belong to its segments.
        baselines: baselines, likewise; empty without a baseline.
    """

    image: ByteArray | None
    truth: Layer
    prediction: Layer
    baselines: tuple[Layer, ...] = ()
