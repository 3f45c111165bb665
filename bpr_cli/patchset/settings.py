"""What extraction is told, and every patch set remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from bpr_cli.errors import BprError
from bpr_cli.patches.boxes import Scheme


@dataclass(frozen=True)
class PatchSetSettings:
    """How the patches of a set were chosen and stored.

    Attributes:
        patch_size: side of the boxes in image pixels, 4 to 2048; the scheme ``instance`` resizes its boxes to it. The
            default is what the recipe ``modern`` shows twice as large.
        padding: context around each box in image pixels, 0 to 1024. More than a network is to see, as by default,
            leaves room for shifts and zooms while training.
        scheme: where the boxes lie, see ``patches/boxes.py``.
        nms_threshold: overlap (IoU) of the boxes of the scheme ``dense``, 0 up to, not including, 1.
        min_iou: a coarse mask of an instance is taken where its IoU with a true mask exceeds this, 0..1 (paper: 0.5).
        keep_inferior: keep patches of label maps that hold only one class away from their border (paper, Table 14).
        max_patches: patches of the whole set, drawn at random without replacement; None keeps all.
        seed: of the draw and of simulated masks.
        simulate: simulated coarse masks of every true segment, 0 for none.
        jpeg: quality of the images, 1 to 100; None stores them without loss.
        label_set: classes of label maps: ``labelIds`` or ``trainIds`` of Cityscapes, the path of a file with one name
            a line, or None: as the names of files say, or else all labels.
        ignore_labels: labels that are void, beside those of the label set; None takes 255.
    """

    patch_size: int = 32
    padding: int = 32
    scheme: Scheme = "dense"
    nms_threshold: float = 0.25
    min_iou: float = 0.5
    keep_inferior: bool = False
    max_patches: int | None = None
    seed: int = 0
    simulate: int = 0
    jpeg: int | None = None
    label_set: str | None = None
    ignore_labels: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Check types and ranges.

        Raises:
            BprError: a value is of the wrong type or out of range.
        """
        self._check_whole("patch_size", 4, 2048)
        self._check_whole("padding", 0, 1024)
        self._check_whole("seed", 0, 2**63 - 1)
        self._check_whole("simulate", 0, 1000)
        if self.max_patches is not None:
            self._check_whole("max_patches", 1, 2**63 - 1)
        if self.jpeg is not None:
            self._check_whole("jpeg", 1, 100)
        if self.scheme not in get_args(Scheme):
            raise BprError(f"scheme is {self.scheme!r}; expected one of {', '.join(get_args(Scheme))}")
        for name in ("nms_threshold", "min_iou"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not 0 <= value < 1:
                raise BprError(f"{name} is {value!r}; expected a number from 0 up to, not including, 1")
        if type(self.keep_inferior) is not bool:
            raise BprError(f"keep_inferior is {self.keep_inferior!r}; expected true or false")
        if not isinstance(self.label_set, str | None):
            raise BprError(f"label_set is {self.label_set!r}; expected a name or a path")
        if self.ignore_labels is not None and not all(type(label) is int for label in self.ignore_labels):
            raise BprError(f"ignore_labels is {self.ignore_labels!r}; expected whole numbers")

    def _check_whole(self, name: str, lowest: int, highest: int) -> None:
        value = getattr(self, name)
        if type(value) is not int or not lowest <= value <= highest:
            raise BprError(f"{name} is {value!r}; expected a whole number from {lowest} to {highest}")

    @property
    def side(self) -> int:
        """E: side of a patch with its context in pixels."""
        return self.patch_size + 2 * self.padding
