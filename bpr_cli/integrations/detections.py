"""Refines the detections of other libraries, and returns them in the same kind."""
# ruff: noqa: ANN401 - classes of libraries that may not be installed

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from bpr_cli.errors import BprError
from bpr_cli.masks.masks import EMPTY_BOX, Mask
from bpr_cli.masks.values import HALF
from bpr_cli.refinement.arrays import ImageLike, as_array, as_given, described
from bpr_cli.refinement.refiner import Refiner
from bpr_cli.typing import BoolArray

Detections = TypeVar("Detections")
Adapter = Callable[[Refiner, Any, Any], Any]

_KINDS = (
    "supervision.Detections, ultralytics Results, an image's dictionary of Hugging Face post_process_instance_ or "
    "post_process_panoptic_segmentation or of a torchvision Mask R-CNN, or detectron2 Instances"
)


def refine(image: ImageLike | None, detections: Detections, refiner: Refiner | None = None) -> Detections:
    """Refine the masks of detections; everything else that they hold is kept.

        detections = refine(image, detections)

    The given object is left alone. Boxes follow their masks: the box of a mask that changed becomes its bounding box,
    ``(x0, y0, x1, y1)`` in pixels, half-open; the others stay.

    Args:
        image: RGB, in any form that ``Refiner.refine`` takes; for images that OpenCV read, ``image[..., ::-1]``. None
            for ultralytics Results, which hold their image.
        detections: of one image, at its size:

            - ``supervision.Detections`` with masks.
            - ultralytics ``Results`` with masks; smaller ones are enlarged to the size of the image, as with
              ``retina_masks=True``.
            - a dictionary of ``post_process_instance_segmentation`` or ``post_process_panoptic_segmentation`` of
              Hugging Face transformers. In a map, pixels of no segment are background if they are -1, as in instance
              maps, and void if they are 0, as in panoptic maps; void stays as it is. Maps of
              ``post_process_semantic_segmentation`` go to ``Refiner.refine_labels``.
            - a dictionary of a torchvision Mask R-CNN: ``masks`` are probabilities and stay soft.
            - detectron2 ``Instances`` with ``pred_masks``, or anything with its methods.
        refiner: how to refine; by default one of the default settings, which is loaded once and kept.

    Raises:
        BprError: the detections are of none of these kinds, have no masks or differ in size from the image.
    """
    refined: Detections = adapter_of(detections)(refiner or default_refiner(), image, detections)
    return refined


@cache
def default_refiner() -> Refiner:
    """The refiner of the default settings, loaded once."""
    return Refiner()


def adapter_of(detections: object) -> Adapter:
    """The function for a kind of detections, told by what they hold.

    Raises:
        BprError: they are of no known kind, or several.
    """
    if isinstance(detections, list | tuple):
        raise BprError(f"detections is a list of {len(detections)}; expected those of one image: refine each by itself")
    if isinstance(detections, Mapping):
        if "segments_info" in detections:
            return _of_transformers
        if "masks" in detections:
            return _of_torchvision
    for names, adapter in _ADAPTERS.items():
        if all(hasattr(detections, name) for name in names):
            return adapter
    raise BprError(f"detections is {described(detections)}; expected {_KINDS}")


def _of_supervision(refiner: Refiner, image: ImageLike, detections: Any) -> Any:
    if _has_no_masks(detections.mask, len(detections)):
        return detections
    coarse = np.asarray(detections.mask)
    masks = refiner.refine_masks(image, coarse, kind="mask")
    boxes = boxes_around(masks, coarse, detections.xyxy)
    if hasattr(detections.mask, "from_dense"):  # a CompactMask, which crops masks to the boxes it is given
        everywhere = boxes_around(masks, ~masks, detections.xyxy)
        masks = type(detections.mask).from_dense(masks, everywhere, coarse.shape[1:])
    return replace(detections, mask=masks, xyxy=boxes)


def _of_ultralytics(refiner: Refiner, image: ImageLike | None, results: Any) -> Any:
    from ultralytics.utils.ops import scale_masks  # noqa: PLC0415 - only here, where it is installed

    boxes = results.boxes
    if _has_no_masks(None if results.masks is None else results.masks.data, len(boxes)):
        return results
    small = torch.as_tensor(results.masks.data)
    coarse = as_array(scale_masks(small[None].float(), results.orig_shape)[0], "masks") > HALF
    masks = refiner.refine_masks(results.orig_img[..., ::-1] if image is None else image, coarse)
    refined, data = copy(results), as_array(boxes.data, "boxes").copy()
    data[:, :4] = boxes_around(masks, coarse, data[:, :4])
    refined.update(boxes=as_given(data, boxes.data), masks=as_given(masks.astype(data.dtype), results.masks.data))
    return refined


def _of_transformers(refiner: Refiner, image: ImageLike, detections: Mapping[str, Any]) -> dict[str, Any]:
    given, segments = detections["segmentation"], detections["segments_info"]
    if not segments:
        return dict(detections)
    if isinstance(given, list):
        raise BprError("segmentation holds run lengths; expected a map: leave return_coco_annotation out")
    if given.ndim == 3:
        return {**detections, "segmentation": refiner.refine_masks(image, given, kind="mask")}
    labels = as_array(given, "segmentation")
    void = {0} - {segment["id"] for segment in segments}
    refined = refiner.refine_labels(image, labels.astype(np.int32), ignore=void)
    return {**detections, "segmentation": as_given(refined.astype(labels.dtype), given)}


def _of_torchvision(refiner: Refiner, image: ImageLike, detections: Mapping[str, Any]) -> dict[str, Any]:
    given = detections["masks"]
    if len(given) == 0:
        return dict(detections)
    masks = refiner.refine_masks(image, given, kind="probabilities", soft=True)
    coarse, refined = (as_array(each, "masks")[:, 0] > HALF for each in (given, masks))
    return {**detections, "masks": masks, "boxes": _boxes_like(detections["boxes"], refined, coarse)}


def _of_detectron(refiner: Refiner, image: ImageLike, instances: Any) -> Any:
    fields = instances.get_fields()
    if _has_no_masks(fields.get("pred_masks"), len(instances)):
        return instances
    given = fields["pred_masks"]
    tensor = getattr(given, "tensor", given)  # of BitMasks
    masks = refiner.refine_masks(image, tensor, kind="mask")
    changed = {"pred_masks": masks if tensor is given else type(given)(masks)}
    if (boxes := fields.get("pred_boxes")) is not None:
        coarse, refined_masks = (as_array(each, "pred_masks") != 0 for each in (tensor, masks))
        changed["pred_boxes"] = type(boxes)(_boxes_like(boxes.tensor, refined_masks, coarse))
    refined = type(instances)(instances.image_size)
    for name, value in {**fields, **changed}.items():
        refined.set(name, value)
    return refined


_ADAPTERS: dict[tuple[str, ...], Adapter] = {
    ("orig_img", "masks", "boxes"): _of_ultralytics,
    ("get_fields", "image_size"): _of_detectron,
    ("xyxy", "mask"): _of_supervision,
}
"""Functions by the attributes of the objects that they refine."""


def _has_no_masks(masks: object, count: int) -> bool:
    """Whether there is nothing to refine.

    Raises:
        BprError: there are detections, but they have no masks.
    """
    if masks is None and count:
        raise BprError(f"detections holds {count} boxes without masks; expected those of a model that predicts masks")
    return count == 0


def _boxes_like(boxes: Any, masks: BoolArray, coarse: BoolArray) -> Any:
    """``boxes_around`` for boxes of any kind, such as tensors."""
    return as_given(boxes_around(masks, coarse, as_array(boxes, "boxes")), boxes)


def boxes_around(masks: BoolArray, coarse: BoolArray, boxes: NDArray[Any]) -> NDArray[Any]:
    """Boxes that follow their masks.

    Args:
        masks: refined, bool, (N, H, W).
        coarse: the masks before, bool, (N, H, W).
        boxes: (N, 4), ``(x0, y0, x1, y1)`` in pixels, half-open.

    Returns:
        The bounding boxes of the masks that changed, and the given boxes of the others and of empty masks.
    """
    out: NDArray[Any] = boxes.copy()
    for number in np.flatnonzero((masks != coarse).any(axis=(1, 2))):
        box = Mask.from_array(masks[number]).box
        if box != EMPTY_BOX:
            out[number] = box
    return out
