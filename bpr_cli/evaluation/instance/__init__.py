"""Metrics of instances: COCO AP, boundary AP, AF and the AP of Cityscapes."""

from bpr_cli.evaluation.instance.boundary_f import BoundaryFTable, mask_boundary_f
from bpr_cli.evaluation.instance.cityscapes import (
    CityscapesFigures,
    CityscapesRecord,
    check_frame,
    cityscapes_figures,
    update_frame,
)
from bpr_cli.evaluation.instance.coco import CocoRecord, CocoSettings, check_image, update_image
from bpr_cli.evaluation.instance.coco_figures import ApFigures, ApTable, CocoFigures, coco_figures
from bpr_cli.evaluation.instance.segments import ImageKey, ScoredMask, TruthMask

__all__ = [
    "ApFigures",
    "ApTable",
    "BoundaryFTable",
    "CityscapesFigures",
    "CityscapesRecord",
    "CocoFigures",
    "CocoRecord",
    "CocoSettings",
    "ImageKey",
    "ScoredMask",
    "TruthMask",
    "check_frame",
    "check_image",
    "cityscapes_figures",
    "coco_figures",
    "mask_boundary_f",
    "update_frame",
    "update_image",
]
