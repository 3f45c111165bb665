"""The settings of an evaluation: one class for the command line, Python and the report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bpr_cli.errors import BprError
from bpr_cli.evaluation.boundary import DILATION_RATIO
from bpr_cli.evaluation.checks import check_boundary_settings
from bpr_cli.formats.json_files import join_names

_FORMS = {
    "labels": "label maps",
    "masks": "binary masks",
    "coco": "COCO results",
    "cityscapes": "Cityscapes results",
    "panoptic": "panoptic results",
}
"""What messages call the formats of predictions."""

_COUNTS_FOR = {
    "label_set": ("--label-set", ("labels",)),
    "ignore_labels": ("--ignore-label", ("labels",)),
    "max_detections": ("--max-detections", ("coco",)),
    "tolerance": ("--tolerance", ("labels", "masks", "coco", "cityscapes")),
    "dilation_ratio": ("--dilation-ratio", ("labels", "masks", "coco", "panoptic")),
}
"""The option and the formats of a setting that does not count for all."""

MAX_WORKERS = 4
"""Most workers that are taken without being asked for: more wait for the disk and fill the memory."""


@dataclass(frozen=True)
class EvaluateSettings:
    """How predictions are measured.

    Attributes:
        tolerance: of boundary F, in pixels; below 1 a fraction of the image diagonal.
        dilation_ratio: width of the bands of boundary IoU, boundary AP and boundary PQ, as a fraction of the diagonal.
        oracle: distances in pixels for which the head-room is measured.
        label_set: classes of label maps: ``labelIds`` or ``trainIds`` of Cityscapes, the path of a file with one name
            a line or of a JSON file with categories, or None: Cityscapes where file names say so, else all labels that
            occur in the ground truth.
        ignore_labels: labels that are void, beside those of the label set; None takes 255.
        max_detections: predictions of a category that are taken of one image, the best first; where the ground truth
            says which categories were looked for (LVIS), of all categories together. None takes 100, for LVIS 300.
        allow_missing: leave out what does not match instead of refusing everything.
        workers: images measured at a time; None takes the cores, ``MAX_WORKERS`` at most.
    """

    tolerance: float = 1.0
    dilation_ratio: float = DILATION_RATIO
    oracle: tuple[int, ...] = ()
    label_set: str | None = None
    ignore_labels: tuple[int, ...] | None = None
    max_detections: int | None = None
    allow_missing: bool = False
    workers: int | None = None

    def __post_init__(self) -> None:
        check_boundary_settings(self.tolerance, self.dilation_ratio)
        wrong = [distance for distance in self.oracle if not 1 <= distance <= 1000]
        if wrong:
            raise BprError(f"the oracle distance is {wrong[0]}, expected whole pixels from 1 to 1000")
        if self.max_detections is not None and self.max_detections < 1:
            raise BprError(f"the number of detections is {self.max_detections}, expected 1 or more")
        if self.workers is not None and self.workers < 1:
            raise BprError(f"the number of workers is {self.workers}, expected 1 or more")

    @property
    def worker_count(self) -> int:
        """Workers to use."""
        return self.workers or min(os.cpu_count() or 1, MAX_WORKERS)

    def check_for(self, form: str, predictions: Path) -> None:
        """Check that every setting that is not the default counts for some predictions.

        Args:
            form: format of the predictions.
            predictions: their path, for the message.

        Raises:
            BprError: a setting would change nothing.
        """
        defaults = EvaluateSettings()
        for name, (option, known) in _COUNTS_FOR.items():
            if form not in known and getattr(self, name) != getattr(defaults, name):
                counts = join_names((_FORMS[each] for each in known), limit=len(known))
                raise BprError(
                    f"{option} counts for {counts}, but {predictions} holds {_FORMS[form]}; leave it out, or give "
                    "another --format"
                )
