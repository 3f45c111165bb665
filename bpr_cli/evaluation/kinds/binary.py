"""Binary masks: one an image, without categories."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.evaluation.binary import BinarySettings, BinarySums, binary_figures, binary_sums
from bpr_cli.evaluation.kinds.base import Compared, Kind, Tables
from bpr_cli.evaluation.oracle import oracle_mask
from bpr_cli.evaluation.settings import EvaluateSettings
from bpr_cli.formats.base import Item, PredictionSet
from bpr_cli.masks.masks import LabelMap
from bpr_cli.truth.pairs import Pair
from bpr_cli.typing import BoolArray

_NAMES = {"iou": "IoU", "boundary_iou": "boundary IoU", "boundary_f": "boundary F"}


class BinaryKind(Kind[BoolArray, BoolArray, BinarySums]):
    """Mean IoU, boundary IoU and boundary F."""

    def __init__(self, settings: EvaluateSettings) -> None:
        self._settings = BinarySettings(settings.tolerance, settings.dilation_ratio)

    def read(self, scored: PredictionSet, item: Item | None, pair: Pair) -> BoolArray:
        """The mask of an image: bool, (H, W)."""
        if item is None:
            raise BprError(f"{pair.name} has no mask")
        masks = scored.read(item)
        if isinstance(masks, LabelMap):
            raise BprError(f"{scored.file(item)} is a label map, expected a binary mask")
        return masks[0].to_array()

    def read_truth(self, truth: PredictionSet, pair: Pair) -> BoolArray:
        """The true mask of an image: bool, (H, W); empty for an image that COCO annotations list without any."""
        if pair.truth is None and pair.size is not None:
            return np.zeros(pair.size, dtype=bool)
        return self.read(truth, pair.truth, pair)

    def measure(self, pair: Pair, content: BoolArray, truth: BoolArray) -> Compared[BinarySums]:  # noqa: ARG002
        """The sums of one image; the mask is the only segment, and so is an empty one."""
        sums = binary_sums(content, truth, self._settings)
        return Compared(sums, [("mask", sums.iou)])

    def add(self, total: BinarySums, sums: BinarySums) -> BinarySums:
        """The sums of both."""
        return total + sums

    def oracle(self, content: BoolArray, truth: BoolArray, distance: int) -> BoolArray:
        """The mask, right near its boundary."""
        return oracle_mask(content, truth, distance)

    def tables(self, total: BinarySums) -> Tables:
        """The figures; there are no classes."""
        figures = asdict(binary_figures(total))
        return Tables({name: figures[field] for field, name in _NAMES.items()}, [])

    def layer(self, content: BoolArray, truth: BoolArray) -> NDArray[np.int32]:  # noqa: ARG002
        """1 for the mask."""
        return content.astype(np.int32)

    def truth_layer(self, truth: BoolArray) -> NDArray[np.int32]:
        """1 for the mask."""
        return truth.astype(np.int32)
